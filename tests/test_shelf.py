"""The models in memory: loaded beside, the least recently used leaving first, none in use, and nothing held of those that left."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
import torch

from webapp.engine import checkpoint, shelf
from webapp.engine.model import Model
from webapp.engine.shelf import Shelf
from webapp.engine.sources import PRECISE
from webapp.errors import ModelError
from webapp.library import Library


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.folder(tmp_path_factory.mktemp("models") / "tiny")


class Place:
    """A shelf on a machine whose memory has `room` for so many tiny models, and what happened on it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
        self.folder = folder
        self.changed = threading.Event()
        self.threads: list[str] = []
        self.shelf = Shelf(self.load, self.changed.set)
        size = 5 * shelf._numbers(self.model())
        monkeypatch.setattr(shelf, "free", lambda device: size * (room - len(self.shelf.models)) + 1)

    def model(self) -> Model:
        return Model(checkpoint.load(self.folder, "cpu", torch.float32), Library())

    def load(self, key: str) -> Model:
        self.threads.append(threading.current_thread().name)
        if key == "bad":
            raise ModelError("bad is not a model.")
        if key == "worse":
            raise RuntimeError("a secret")
        return self.model()

    def settled(self) -> dict[str, str]:
        assert self.changed.wait(30)
        self.changed.clear()
        return self.shelf.settle()

    def have(self, *keys: str, busy: tuple[str, ...] = ()) -> None:
        for key in keys:
            self.shelf.want(key, busy)
            assert self.settled() == {}


@pytest.fixture
def place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Place]:
    return lambda room: Place(folder, monkeypatch, room)


def test_a_model_is_loaded_in_a_thread_of_its_own_and_put_up_when_it_has_come(place: Callable[[int], Place]) -> None:
    here = place(4)
    here.shelf.want("a", ())
    assert here.shelf.loading == "a"
    here.shelf.want("b", ())  # one at a time
    assert here.settled() == {}
    assert list(here.shelf.models) == ["a"]
    assert here.shelf.loading is None
    assert here.threads == ["load"]
    assert here.shelf.settle() == {}


def test_the_own_model_which_has_no_name_is_loaded_once_too(place: Callable[[int], Place]) -> None:
    here = place(4)
    for _ in range(3):
        here.shelf.want("", ())
    assert here.settled() == {}
    assert here.threads == ["load"]


def test_what_cannot_be_loaded_is_told_and_may_be_tried_again(place: Callable[[int], Place]) -> None:
    here = place(4)
    here.shelf.want("bad", ())
    assert here.settled() == {"bad": "bad is not a model."}
    here.shelf.want("worse", ())
    (sentence,) = here.settled().values()
    assert "secret" not in sentence
    assert "could not be loaded" in sentence
    assert here.shelf.models == {}
    here.shelf.want("bad", ())
    assert here.settled() == {"bad": "bad is not a model."}


def test_the_least_recently_used_leaves_first(place: Callable[[int], Place]) -> None:
    here = place(3)
    here.have("a", "b", "c")
    here.shelf.get("a")
    here.have("d")
    assert list(here.shelf.models) == ["c", "a", "d"]
    here.shelf.get("c")
    here.have("b")
    assert list(here.shelf.models) == ["d", "c", "b"]


def test_none_in_use_leaves_and_what_finds_no_room_waits(place: Callable[[int], Place]) -> None:
    here = place(2)
    here.have("a", "b")
    here.have("c", busy=("a",))
    assert list(here.shelf.models) == ["a", "c"]
    here.shelf.want("d", ("a", "c"))
    assert here.shelf.loading is None
    assert list(here.shelf.models) == ["a", "c"]
    here.have("d", busy=("c",))
    assert list(here.shelf.models) == ["c", "d"]


def test_where_nothing_is_loaded_it_is_tried_however_little_is_free(place: Callable[[int], Place]) -> None:
    here = place(0)
    here.have("a")
    here.have("b")
    assert list(here.shelf.models) == ["b"]


def test_nothing_is_held_of_a_model_that_left(place: Callable[[int], Place]) -> None:
    here = place(1)
    here.have("a")
    gone = weakref.ref(here.shelf.get("a").checkpoint.unet)
    here.have("b")
    assert gone() is None


def test_sparing_sends_all_idle_ones_away(place: Callable[[int], Place]) -> None:
    here = place(4)
    here.have("a", "b", "c")
    assert here.shelf.spare({"b"})
    assert list(here.shelf.models) == ["b"]
    assert not here.shelf.spare({"b"})


def test_models_in_higher_precision_stay_only_while_they_are_wanted(place: Callable[[int], Place]) -> None:
    here = place(4)
    here.have("a", "a" + PRECISE, "b" + PRECISE)
    here.shelf.keep_precise({"a", "b" + PRECISE})
    assert list(here.shelf.models) == ["a", "b" + PRECISE]
    here.shelf.keep_precise(())
    assert list(here.shelf.models) == ["a"]
