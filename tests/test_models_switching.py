"""Several models in one engine: each request is drawn by the one it names, all are loaded beside the drawing, and however they come
nobody waits for ever."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tiny
import torch
from studio import Studio, differing, ends, events_of, wish

from webapp.catalogue import Catalogue
from webapp.engine import checkpoint, shelf
from webapp.engine.drawing import Drawing
from webapp.engine.engine import Engine
from webapp.engine.events import Cancelled, Failed, Finished, Waiting
from webapp.engine.model import Model

NAMES = {"own": "epsilon", "A": "v_prediction", "B": "builtin", "C": "turbo"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four models, and a catalogue that names them."""
    home = tmp_path_factory.mktemp("home")
    catalogue = Catalogue(home)
    for name, schedule in NAMES.items():
        catalogue.add(name, str(tiny.folder(home / f"folder {name}", schedule)))
    catalogue.add("gone", str(home / "nowhere"))
    return home


class Switching:
    """A studio on "own" with the catalogue; `loads` are the keys that were loaded, `hold(key)` keeps a model from coming."""

    def __init__(self, home: Path, **options: int) -> None:
        self.studio = Studio(checkpoint.load(home / "folder own", "cpu", torch.float32), catalogue=Catalogue(home), **options)
        self.engine: Engine = self.studio.engine
        self.loads: list[str] = []
        self.held: dict[str, threading.Event] = {}
        self.refs: list[weakref.ref] = []
        self._load, self.engine._shelf._load = self.engine._shelf._load, self._watch

    def hold(self, key: str) -> None:
        self.held[key] = threading.Event()

    def _watch(self, key: str) -> Model:
        self.loads.append(key)
        if key in self.held:
            assert self.held[key].wait(60)
        model = self._load(key)
        self.refs.append(weakref.ref(model.checkpoint.unet))
        return model

    def submit(self, model: str, **changes: object) -> Drawing:
        return self.engine.submit(wish(model=model, **changes))


@pytest.fixture
def switching(home: Path) -> Iterator[Switching]:
    switching = Switching(home)
    yield switching
    for held in switching.held.values():
        held.set()
    switching.studio.close()
    for thread in threading.enumerate():
        if thread.name == "load":
            thread.join(60)  # the next test builds models itself


@pytest.fixture
def room_for_one(switching: Switching, monkeypatch: pytest.MonkeyPatch) -> Switching:
    monkeypatch.setattr(shelf, "free", lambda device: 0 if switching.engine._shelf.models else 2**60)
    return switching


def end(drawing: Drawing) -> Finished | Failed | Cancelled:
    (last,) = ends(events_of(drawing))
    return last


def until(true: Callable[[], bool]) -> None:
    stop = time.monotonic() + 60
    while not true():
        assert time.monotonic() < stop
        time.sleep(0.005)


def test_each_request_is_drawn_by_the_model_it_names(home: Path, switching: Switching) -> None:
    drawings = {name: switching.submit(name) for name in ("", "A", "B", "own", "b")}
    results = {name: end(drawing) for name, drawing in drawings.items()}
    assert sorted(switching.loads) == ["A", "B"]
    for name, folder in {"": "own", "A": "A", "B": "B", "own": "own", "b": "B"}.items():
        assert isinstance(results[name], Finished)
        assert results[name].receipt.model == f"folder {folder}"
        assert results[name].receipt.request.model == name
        direct = Studio(checkpoint.load(home / f"folder {folder}", "cpu", torch.float32))
        assert differing(end(direct.engine.submit(wish())).image, results[name].image) <= 1
        direct.close()


def test_a_grid_may_go_through_models(switching: Switching) -> None:
    pictures = [wish(model=model, seed=seed) for model in ("own", "A", "B") for seed in (1, 2)]
    results = sorted(ends(events_of(switching.engine.submit(pictures))), key=lambda end: end.index)
    assert [end.receipt.model for end in results] == [f"folder {model}" for model in ("own", "own", "A", "A", "B", "B")]


def test_models_never_share_a_call(switching: Switching) -> None:
    end(switching.submit("A"))
    drawing = switching.engine.submit([wish(model=model, steps=6) for model in ("own", "A") for _ in range(3)])
    assert [type(event) for event in ends(events_of(drawing))] == [Finished] * 6
    assert max(call.shape[0] for call in switching.studio.calls) == 6  # the own model's: three with guidance


def test_while_a_model_loads_the_others_draw(switching: Switching) -> None:
    switching.hold("A")
    waiting = switching.submit("A")
    until(lambda: switching.loads == ["A"])
    for _ in range(3):
        assert isinstance(end(switching.submit("")), Finished)
    switching.held["A"].set()
    assert isinstance(end(waiting), Finished)


def test_while_a_model_loads_and_nobody_else_is_there_the_engine_sleeps(switching: Switching) -> None:
    switching.hold("A")
    drawings = [switching.submit("A"), switching.submit("B")]
    until(lambda: switching.loads == ["A"])
    looks: list[float] = []
    settle = switching.engine._shelf.settle
    switching.engine._shelf.settle = lambda: (looks.append(time.monotonic()), settle())[1]
    time.sleep(1.6)
    assert len(looks) <= 3
    switching.held["A"].set()
    assert [type(end(drawing)) for drawing in drawings] == [Finished] * 2
    looks.clear()
    time.sleep(1.2)
    assert len(looks) <= 2  # with nobody in line it looks no more


@pytest.mark.parametrize("name", ["no such model", "gone"])
def test_a_model_that_cannot_be_had_fails_its_pictures_and_no_others(switching: Switching, name: str) -> None:
    results = sorted(
        ends(events_of(switching.engine.submit([wish(), wish(model=name), wish(model="A"), wish(model=name)]))), key=lambda end: end.index
    )
    assert [type(end) for end in results] == [Finished, Failed, Finished, Failed]
    assert results[1].sentence == results[3].sentence
    assert name in results[1].sentence or "nowhere" in results[1].sentence
    assert isinstance(end(switching.submit(name)), Failed)  # each time
    assert isinstance(end(switching.submit("")), Finished)


def test_an_engine_without_a_catalogue_knows_its_own_model(home: Path) -> None:
    studio = Studio(checkpoint.load(home / "folder own", "cpu", torch.float32))
    assert isinstance(end(studio.engine.submit(wish(model="folder own"))), Finished)
    failed = end(studio.engine.submit(wish(model="A")))
    assert failed == Failed(0, "There is no model called A here.")
    studio.close()


def test_who_waits_for_a_model_may_leave(switching: Switching) -> None:
    switching.hold("A")
    waiting, other = switching.submit("A"), switching.submit("A", seed=2)
    until(lambda: switching.loads == ["A"])
    waiting.cancel()
    assert isinstance(end(waiting), Cancelled)
    switching.held["A"].set()
    assert isinstance(end(other), Finished)


def test_closing_does_not_wait_for_a_model(switching: Switching) -> None:
    switching.hold("A")
    waiting = switching.submit("A")
    until(lambda: switching.loads == ["A"])
    start = time.monotonic()
    switching.engine.close()
    assert time.monotonic() - start < 5
    assert isinstance(end(waiting), Cancelled)


def test_places_in_line_are_told_while_a_model_loads(switching: Switching) -> None:
    switching.hold("A")
    first, second = switching.submit("A"), switching.submit("A", seed=2)
    until(lambda: switching.loads == ["A"])
    first.cancel()
    assert isinstance(end(first), Cancelled)
    switching.held["A"].set()
    assert [event.ahead for event in events_of(second) if isinstance(event, Waiting)][:2] == [1, 0]


# Memory for one model only


def test_the_idle_one_makes_room_and_comes_back(room_for_one: Switching) -> None:
    """The own model too, whose weights nobody may hold on to."""
    models = room_for_one.engine._shelf.models
    own = weakref.ref(models[""].checkpoint.unet)
    room_for_one.studio.hook.remove()
    for name, key in [("A", "A"), ("", ""), ("B", "B"), ("B", "B"), ("A", "A"), ("own", "")]:
        assert isinstance(end(room_for_one.submit(name)), Finished)
        assert list(models) == [key]
        assert room_for_one.engine.checkpoint.name == "folder own"
        assert room_for_one.engine.checkpoint.defaults.width == 64
    assert room_for_one.loads == ["A", "", "B", "A", ""]
    assert own() is None
    assert [ref() is not None for ref in room_for_one.refs] == [False] * 4 + [True]


@pytest.mark.parametrize(("streaming", "waiting"), [("A", "B"), ("B", "A"), ("", "A"), ("A", "")])
def test_a_stream_for_one_model_does_not_starve_another(room_for_one: Switching, streaming: str, waiting: str) -> None:
    """Somebody for the one is always in line; after a while the other has its turn, and then the first goes on."""
    batcher, now = room_for_one.engine._batcher, [0.0]
    batcher.patience, batcher._clock = 0.5, lambda: now[0]
    assert isinstance(end(room_for_one.submit(streaming)), Finished)
    stop = threading.Event()
    finished: list[str] = []

    def stream() -> None:
        while not stop.is_set():
            assert isinstance(end(room_for_one.submit(streaming, steps=3)), Finished)
            finished.append(streaming)

    streams = [threading.Thread(target=stream) for _ in range(3)]
    for thread in streams:
        thread.start()
    until(lambda: len(finished) > 5)
    drawing, asked = room_for_one.submit(waiting), len(finished)
    until(lambda: len(finished) > asked + 5)  # more than the three in line: while patience lasts, the others go first
    now[0] += 1
    assert isinstance(end(drawing), Finished)
    served = len(finished)
    until(lambda: len(finished) > served + 5)
    stop.set()
    for thread in streams:
        thread.join(30)
        assert not thread.is_alive()


def test_two_streams_take_turns_and_do_not_load_for_every_picture(room_for_one: Switching) -> None:
    latest = time.monotonic() + 60
    finished = {"A": 0, "B": 0}
    batcher = room_for_one.engine._batcher
    batcher.patience, batcher._clock = 10, lambda: sum(finished.values())  # a turn is ten pictures

    def stream(name: str) -> None:
        while time.monotonic() < latest and (min(finished.values()) <= 5 or len(room_for_one.loads) < 5):
            assert isinstance(end(room_for_one.submit(name, steps=2)), Finished)
            finished[name] += 1

    streams = [threading.Thread(target=stream, args=(name,)) for name in "ABAB"]
    for thread in streams:
        thread.start()
    for thread in streams:
        thread.join(90)
        assert not thread.is_alive()
    assert min(finished.values()) > 5
    assert 5 <= len(room_for_one.loads) <= 12
    assert sum(finished.values()) > 3 * len(room_for_one.loads)


def test_a_model_is_not_sent_away_while_somebody_before_may_use_it(room_for_one: Switching) -> None:
    """Both come at once, the own model's first: it is drawn before its model leaves."""
    drawing = room_for_one.engine.submit([wish(), wish(model="A"), wish(seed=8)])
    results = [type(event) for event in ends(events_of(drawing))]
    assert results == [Finished] * 3
    assert room_for_one.loads == ["A"]


def test_idle_models_leave_when_a_step_finds_no_memory(switching: Switching) -> None:
    """Before anybody is made to share less, or told to draw smaller."""
    assert isinstance(end(switching.submit("A")), Finished)
    models = switching.engine._shelf.models
    assert list(models) == ["", "A"]

    def short(*_: object) -> None:
        if "A" in models:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    models[""].checkpoint.unet.register_forward_pre_hook(short)
    results = ends(events_of(switching.engine.submit(wish(count=3))))
    assert [type(end) for end in results] == [Finished] * 3
    assert list(models) == [""]
    assert models[""].knees == {}
    assert isinstance(end(switching.submit("A")), Finished)
