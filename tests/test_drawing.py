"""A drawing stands between two threads, and neither it nor what passes through it knows of torch."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from PIL import Image

from webapp.engine.drawing import Drawing
from webapp.engine.events import Cancelled, Failed, Finished, Step, Waiting
from webapp.schema import GenerationRequest, Receipt

RECEIPT = Receipt(request=GenerationRequest(prompt="a cat", seed=1), model="tiny")


def test_it_ends_with_the_last_of_its_pictures() -> None:
    drawing = Drawing([0, 1, 2], {})
    told = [
        Waiting(0, 0),
        Step(0, 1, 2),
        Failed(1, "Sorry."),
        Cancelled(2),
        Finished(0, Image.new("RGB", (8, 8)), RECEIPT, 1.0),
    ]
    for event in [*told, Step(0, 2, 2)]:
        drawing.tell(event)
    assert list(drawing) == told
    assert list(drawing) == []


def test_without_pictures_there_is_nothing_to_wait_for() -> None:
    assert list(Drawing([], {})) == []


def test_the_listener_may_be_there_first() -> None:
    drawing = Drawing([0], {})
    heard: list[object] = []
    listener = threading.Thread(target=lambda: heard.extend(drawing))
    listener.start()
    drawing.tell(Cancelled(0))
    listener.join(10)
    assert heard == [Cancelled(0)]


def test_taking_back_may_be_repeated() -> None:
    drawing = Drawing([0], {})
    assert not drawing.cancelled
    drawing.cancel()
    drawing.cancel()
    assert drawing.cancelled


def test_no_torch_is_needed_to_listen() -> None:
    code = "import sys, webapp.engine.drawing, webapp.engine.batcher; assert not {'torch', 'diffusers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent.parent, check=True)
