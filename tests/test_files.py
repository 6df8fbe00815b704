"""Pictures on the disk: whole or not there, also when many are saved at once."""

from __future__ import annotations

import hashlib
import io
import resource
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

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


def test_what_is_handed_in_has_its_hash_for_a_name(tmp_path):
    files = Files(str(tmp_path))
    data = png(7)
    assert files.take_in(data) == files.take_in(data) == hashlib.sha256(data).hexdigest()
    assert files.read(files.take_in(data)) == data


def test_when_many_hand_in_the_same_at_once_it_is_kept_once(tmp_path, monkeypatch):
    files = Files(str(tmp_path))
    together = threading.Barrier(8)
    monkeypatch.setattr(files.system, "exists", lambda path: bool(together.wait() and False))  # all find that it is not there yet
    with ThreadPoolExecutor(8) as pool:
        for shade in range(20):
            data = png(shade, 256)
            names = set(pool.map(lambda _, data=data: files.take_in(data), range(8)))
            assert names == {hashlib.sha256(data).hexdigest()} and files.read(*names) == data
    assert len(list(tmp_path.iterdir())) == 20, "no drafts"


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Meanwhile a file takes so many bytes, and then no more, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_finds_no_room_leaves_no_draft(tmp_path):
    files = Files(str(tmp_path))
    with files_of_at_most(1000), pytest.raises(OSError):
        files.take_in(b"x" * 2000)
    assert list(tmp_path.iterdir()) == []
