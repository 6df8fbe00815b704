"""`python -m webapp generate` as a user types it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from webapp import metadata
from webapp.schema import SAMPLERS

ROOT = Path(__file__).parent.parent
PROMPT = "a red circle on a blue background"


def generate(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "webapp", "generate", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_it_draws_what_was_asked_for_and_the_same_again(tmp_path):
    one, two = tmp_path / "one.png", tmp_path / "deeper" / "two.png"
    for out in (one, two):
        done = generate(PROMPT, "--out", str(out), "--seed", "7")
        assert done.returncode == 0, done.stderr
        assert f"{out} (seed 7)" in done.stdout and "100%" in done.stderr
    image = Image.open(one)
    assert image.tobytes() == Image.open(two).tobytes()
    red, _, blue = image.getpixel((image.width // 2, image.height // 2))
    assert red > 150 > blue
    red, _, blue = image.getpixel((4, 4))
    assert blue > 150 > red


def test_every_option_reaches_the_picture(tmp_path):
    out = tmp_path / "p.png"
    options = [
        "--negative",
        "red",
        "--steps",
        "3",
        "--guidance",
        "2.5",
        "--sampler",
        "dpm++ 2m karras",
        "--width",
        "192",
        "--height",
        "128",
    ]
    done = generate(PROMPT, *options, "--count", "2", "--seed", "5", "--out", str(out))
    assert done.returncode == 0, done.stderr
    requests = [metadata.from_png((tmp_path / f"p-{i}.png").read_bytes()) for i in (1, 2)]
    assert [request.seed for request in requests] == [5, 6]
    assert requests[0].model_dump(exclude={"seed"}) == {
        "prompt": PROMPT, "negative_prompt": "red", "width": 192, "height": 128, "steps": 3, "guidance": 2.5, "sampler": "DPM++ 2M Karras", "count": 1,
    }  # fmt: skip
    assert Image.open(tmp_path / "p-1.png").size == (192, 128)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([""], "empty"),
        (["x" * 10_000], "2,000"),
        ([PROMPT, "--width", "1e9"], "width"),
        ([PROMPT, "--width", "1000000000"], "2,048"),
        ([PROMPT, "--steps", "0"], "1 to 150"),
        ([PROMPT, "--guidance", "nan"], "guidance"),
        ([PROMPT, "--sampler", "Magic"], SAMPLERS[1]),
        ([PROMPT, "--model", "no/such folder"], "no/such folder"),
        ([PROMPT, "--steps", "1", "--out", "/proc/nothing/p.png"], "/proc/nothing/p.png"),
    ],
)
def test_what_cannot_be_done_gets_a_sentence(arguments, word):
    done = generate(*arguments)
    assert done.returncode == 2
    assert word in done.stderr and "Traceback" not in done.stderr
