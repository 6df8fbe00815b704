"""Pictures on the disk: whole or not there, also when many are saved at once."""

from __future__ import annotations

import hashlib
import io
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from webapp.jobs.files import THUMBNAIL, Files


def png(shade: int, side: int = 64) -> bytes:
    out = io.BytesIO()
    Image.new("L", (side, side), shade).save(out, "PNG")
    return out.getvalue()


def test_many_threads_save_at_once(tmp_path):
    files = Files(str(tmp_path))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: files.save(f"p{number}", png(number)), range(200)))
    assert all(files.read(f"p{number}.png") == png(number) for number in range(200))
    assert len(list(tmp_path.iterdir())) == 400, "two files each, and no drafts"


def test_the_small_one_is_small(tmp_path):
    files = Files(str(tmp_path))
    files.save("big", png(9, 2 * THUMBNAIL))
    assert Image.open(io.BytesIO(files.read("big.webp"))).size == (THUMBNAIL, THUMBNAIL)


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(FileNotFoundError):
        Files(str(tmp_path)).read("nothing.png")


def test_what_is_handed_in_has_its_hash_for_a_name_also_when_many_hand_it_in_at_once(tmp_path):
    files = Files(str(tmp_path))
    data = png(7, 256)
    with ThreadPoolExecutor(16) as pool:
        names = set(pool.map(lambda _: files.take_in(data), range(200)))
    assert names == {hashlib.sha256(data).hexdigest()}
    assert files.read(*names) == data
    assert len(list(tmp_path.iterdir())) == 1, "no drafts"
