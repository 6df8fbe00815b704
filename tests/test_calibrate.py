"""How many share a step: the knee of a curve, the measuring of it, and what the engine makes of both."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tiny
import torch
from studio import Studio, ends, events_of, wish

from webapp.engine import calibrate, checkpoint
from webapp.engine.calibrate import knee, measure, unet_step
from webapp.engine.checkpoint import Checkpoint
from webapp.engine.drawing import Drawing
from webapp.engine.events import Cancelled, Finished, Preview, Step


def flat(count: int) -> float:
    return 0.1 * count


def steep(count: int) -> float:
    return 0.1 + 0.001 * count


def saturating(count: int) -> float:
    """Up to four for the price of one."""
    return 0.1 * max(1, count / 4)


@pytest.mark.parametrize(
    ("seconds", "wanted"),
    [
        ({1: 1, 2: 2, 4: 4, 8: 8}, 1),
        ({1: 1, 2: 1, 4: 1, 8: 1}, 8),
        ({1: 1, 2: 1, 4: 1, 8: 2}, 4),
        ({1: 1, 2: 1, 4: 1.96, 8: 3.85}, 2),  # eight are 4 % better than two
        ({1: 1, 2: 1, 4: 1.8, 8: 3.6}, 4),
        ({1: 1, 2: 1.9, 4: 3.5, 8: 6.9}, 1),  # a sixth is gained: not worth waiting for each other
        ({1: 1, 2: 1.6}, 2),
        ({1: 1, 2: 2.5, 4: 6}, 1),
        ({1: 5}, 1),
        ({}, 1),
    ],
)
def test_knee(seconds: dict[int, float], wanted: int) -> None:
    assert knee(seconds) == wanted


class Machine:
    """Steps that cost what `cost` says, on a clock of its own; the first takes `warming` seconds more, and every `hiccup`-th twice."""

    def __init__(self, cost: Callable[[int], float], warming: float = 0.0, hiccup: int = 0, memory: int = 100) -> None:
        self.cost, self.warming, self.hiccup, self.memory = cost, warming, hiccup, memory
        self.now = 0.0
        self.counts: list[int] = []

    def clock(self) -> float:
        return self.now

    def step(self, count: int) -> None:
        if count > self.memory:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")
        self.counts.append(count)
        self.now += self.cost(count) + (self.warming if len(self.counts) == 1 else 0)
        if self.hiccup and len(self.counts) % self.hiccup == 0:
            self.now += self.cost(count)


@pytest.mark.parametrize(("cost", "wanted"), [(flat, 1), (steep, 8), (saturating, 4)])
def test_curves_are_measured_as_they_are(cost: Callable[[int], float], wanted: int) -> None:
    machine = Machine(cost, warming=0.5)
    seconds = measure(machine.step, 10, machine.clock)
    assert seconds == pytest.approx({count: cost(count) for count in (1, 2, 4, 8)})
    assert knee(seconds) == wanted


def test_what_else_the_machine_does_is_measured_around() -> None:
    machine = Machine(saturating, hiccup=3)
    assert measure(machine.step, 10, machine.clock) == pytest.approx({count: saturating(count) for count in (1, 2, 4, 8)})


@pytest.mark.parametrize("budget", [0.05, 0.3, 1.0, 1.7, 3.0])
@pytest.mark.parametrize("cost", [flat, steep, saturating])
def test_the_budget_is_kept_but_for_the_step_that_tells_how_long_one_is(cost: Callable[[int], float], budget: float) -> None:
    machine = Machine(cost)
    seconds = measure(machine.step, budget, machine.clock)
    assert 1 in seconds
    assert machine.now <= max(budget, cost(1)) + 1e-9


def test_one_step_that_takes_longer_than_the_budget_is_enough() -> None:
    machine = Machine(lambda count: 40.0 * count)
    assert measure(machine.step, 3, machine.clock) == {1: 40.0}
    assert machine.counts == [1]


@pytest.mark.parametrize(("memory", "counts"), [(0, []), (1, [1]), (3, [1, 2]), (5, [1, 2, 4])])
def test_a_curve_ends_where_memory_does(memory: int, counts: list[int]) -> None:
    machine = Machine(steep, memory=memory)
    seconds = measure(machine.step, 10, machine.clock)
    assert list(seconds) == counts
    assert knee(seconds) == max(counts, default=1)


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    def broken(count: int) -> None:
        raise RuntimeError("no kernel")

    with pytest.raises(RuntimeError, match="no kernel"):
        measure(broken, 1)


def test_real_seconds_are_measured() -> None:
    seconds = measure(lambda count: time.sleep(0.02 if count < 4 else 0.08), 5)
    assert seconds[1] == pytest.approx(0.02, rel=0.7)
    assert seconds[8] > 2 * seconds[2]


@pytest.fixture
def model(tmp_path: Path) -> Checkpoint:
    return checkpoint.load(tiny.folder(tmp_path / "model"), "cpu", torch.float32)


@pytest.mark.parametrize("make", [tiny.pipeline, tiny.inpainting])
def test_a_measured_step_is_a_step_of_the_loop(make: Callable, tmp_path: Path) -> None:
    """The same rows, channels and words, two rows a picture, for inpainting models too."""
    model = checkpoint.load(tiny.save(make(), tmp_path / "model"), "cpu", torch.float32)
    studio = Studio(model)
    studio.draw(wish(steps=3, count=2))
    loop = next(call for call in studio.calls if call.shape[0] == 4)
    unet_step(model, 8, 8)(2)
    studio.close()
    measured = studio.calls[-1]
    assert (measured.shape, measured.timesteps.shape, measured.words.shape) == (loop.shape, loop.timesteps.shape, loop.words.shape)


class Told:
    """In place of measuring: the curve of each size as it is told, flat if nothing is."""

    def __init__(self, model: Checkpoint, **seconds: dict[int, float]) -> None:
        self.asked: list[tuple[int, int]] = []
        self.seconds = seconds

    def unet_step(self, model: Checkpoint, height: int, width: int) -> tuple[int, int]:
        return height, width

    def measure(self, size: tuple[int, int], budget: float) -> dict[int, float]:
        self.asked.append(size)
        return self.seconds.get(f"w{size[1]}", {1: 1, 2: 2})


SHARED, ALONE, TOO_SHORT = {1: 1, 2: 1, 4: 1, 8: 2}, {1: 1, 2: 2}, {1: 9}


@pytest.fixture
def told(model: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    told = Told(model)
    monkeypatch.setattr(calibrate, "measure", told.measure)
    monkeypatch.setattr(calibrate, "unet_step", told.unet_step)
    yield told


def rows(studio: Studio) -> dict[int, int]:
    """The most rows of a call, by the latents' width."""
    return {width: max(call.shape[0] for call in studio.calls if call.shape[3] == width) for width in {c.shape[3] for c in studio.calls}}


def test_the_own_size_is_measured_at_the_start_and_others_when_two_share_it(model: Checkpoint, told: Told) -> None:
    told.seconds = {"w8": SHARED, "w16": {1: 1, 2: 1, 4: 2}}
    studio = Studio(model, max_batch=None)
    studio.draw(wish(count=6, guidance=1, steps=2))
    assert told.asked == [(8, 8)]
    studio.draw(wish(width=128, guidance=1, steps=2))
    assert told.asked == [(8, 8)]  # one alone shares with nobody
    studio.draw(wish(width=128, count=5, guidance=1, steps=2))
    studio.draw(wish(width=128, count=3, guidance=1, steps=2))
    studio.close()
    assert told.asked == [(8, 8), (8, 16)]
    assert rows(studio) == {8: 4, 16: 2}


def test_a_number_that_is_given_is_not_measured(model: Checkpoint, told: Told) -> None:
    studio = Studio(model, max_batch=2)
    studio.draw(wish(count=4, guidance=1, steps=2))
    studio.draw(wish(width=128, count=4, guidance=1, steps=2))
    studio.close()
    assert told.asked == []
    assert rows(studio) == {8: 2, 16: 1}


def test_a_busy_start_is_not_the_last_word(model: Checkpoint, told: Told) -> None:
    """If three seconds did not suffice for two numbers, two who would share are reason enough to look again."""
    told.seconds = {"w8": TOO_SHORT}
    studio = Studio(model, max_batch=None)
    studio.draw(wish(steps=1))
    told.seconds = {"w8": SHARED}
    studio.draw(wish(count=4, guidance=1, steps=2))
    studio.close()
    assert told.asked == [(8, 8)] * 2
    assert rows(studio) == {8: 4}


def test_alone_in_a_step_the_first_to_come_is_the_first_to_be_done(model: Checkpoint, told: Told) -> None:
    """And every step is still one to look at and to leave at."""
    studio = Studio(model, max_batch=None, preview_interval=0)
    drawings: list[Drawing] = []
    order: list[int] = []
    deliver = studio.engine._deliver
    studio.engine._deliver = lambda pictures: (order.extend(picture.request.seed for picture in pictures), deliver(pictures))
    studio.at[0] = lambda: drawings.extend(studio.engine.submit(wish(seed=seed, steps=6)) for seed in range(1, 6))
    studio.at[14] = lambda: drawings[1].cancel()  # in its third step
    first = studio.draw(wish(seed=0, steps=6))
    events = [events_of(drawing) for drawing in drawings]
    studio.close()
    assert {call.shape[0] for call in studio.calls} == {2}
    assert order == [0, 1, 3, 4, 5]
    assert isinstance(events[1][-1], Cancelled)
    assert max(event.step for event in events[1] if isinstance(event, Step)) == 3
    for told_of in (first, events[0], *events[2:]):
        assert isinstance(ends(told_of)[0], Finished)
        assert [event.step for event in told_of if isinstance(event, Step)] == [1, 2, 3, 4, 5, 6]
        assert [event.step for event in told_of if isinstance(event, Preview)] == [2, 3, 4, 5]


def test_a_real_engine_finds_a_number(model: Checkpoint) -> None:
    studio = Studio(model, max_batch=None)
    studio.draw(wish(count=2, steps=1))
    (knees,) = (model.knees for model in studio.engine._shelf.models.values())
    studio.close()
    assert knees.keys() == {(8, 8)}
    assert knees[8, 8] in calibrate.COUNTS
