"""The loop: who is drawn with whom and when, what is told of it, and that what befalls one picture leaves the others be. What the
pictures look like is the matter of test_parity.py."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import tiny
import torch
from studio import Studio, differing, ends, events_of, wish

from webapp.craft import SAMPLERS
from webapp.engine import checkpoint
from webapp.engine.checkpoint import Checkpoint
from webapp.engine.drawing import Drawing
from webapp.engine.events import Cancelled, Event, Failed, Finished, Preview, Step, Waiting
from webapp.errors import DrawingFailed
from webapp.schema import GenerationRequest

pytestmark = pytest.mark.filterwarnings("ignore:Should have t[ab]")  # torchsde's rounding


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return checkpoint.load(tiny.folder(tmp_path_factory.mktemp("model") / "tiny"), "cpu", torch.float32)


@pytest.fixture
def studio(model: Checkpoint) -> Iterator[Studio]:
    studio = Studio(model)
    yield studio
    studio.close()


def test_without_guidance_a_picture_takes_one_row(studio: Studio) -> None:
    for guidance in (0.0, 1.0, 1.5):
        studio.draw(wish(guidance=guidance, steps=1))
    assert [call.shape[0] for call in studio.calls] == [1, 1, 2]


def test_events_come_in_order(studio: Studio) -> None:
    events = studio.draw(wish(steps=12))
    steps = [event for event in events if isinstance(event, Step)]
    previews = [event for event in events if isinstance(event, Preview)]
    assert events[0] == Waiting(0, ahead=0)
    assert steps == [Step(0, step, 12) for step in range(1, 13)]
    assert previews
    assert all(1 < preview.step < 12 and preview.image.size == (8, 8) for preview in previews)
    assert all(events[events.index(preview) - 1] == Step(0, preview.step, 12) for preview in previews)
    assert isinstance(events[-1], Finished)
    assert events[-1].image.size == (64, 64)
    assert len(ends(events)) == 1


def test_defaults_and_seed_are_filled_in(studio: Studio) -> None:
    asked = GenerationRequest(prompt="a cat")
    request = studio.draw(asked)[-1].receipt.request
    filled = {"width": 64, "height": 64, "steps": 25, "guidance": 7.5, "sampler": "DPM++ 2M", "hires_strength": 0.5}
    assert request == asked.model_copy(update={**filled, "seed": request.seed})
    assert request.seed is not None


def test_several_pictures_are_drawn_from_following_seeds(studio: Studio) -> None:
    finished = {event.index: event for event in ends(studio.draw(wish(count=3)))}
    assert [finished[index].receipt.request for index in range(3)] == [wish(seed=7), wish(seed=8), wish(seed=9)]
    assert len({event.image.tobytes() for event in finished.values()}) == 3


def test_a_finished_request_draws_the_same_picture_again(studio: Studio) -> None:
    for event in ends(studio.draw(wish(count=3, sampler="Euler a"))):
        again = studio.draw(event.receipt.request)[-1].image
        assert differing(again, event.image) <= 1


def test_only_the_pictures_asked_for_are_drawn(studio: Studio) -> None:
    events = ends(studio.draw(wish(count=4), [3, 1]))
    assert {(event.index, event.receipt.request.seed) for event in events} == {(1, 8), (3, 10)}
    assert studio.draw(wish(count=4), []) == []


def test_sizes_keep_apart_and_take_turns(studio: Studio) -> None:
    drawings: list[Drawing] = []
    studio.at[0] = lambda: drawings.extend(studio.engine.submit(wish(width=w, height=h)) for w, h in [(128, 64), (64, 128), (64, 64)])
    first = studio.draw(wish(seed=1))
    images = [events_of(drawing)[-1].image for drawing in drawings]
    assert [image.size for image in images] == [(128, 64), (64, 128), (64, 64)]
    assert isinstance(first[-1], Finished)
    assert [tuple(call.shape[2:]) for call in studio.calls[1:7]] == [(8, 8), (8, 16), (16, 8)] * 2


def test_a_bigger_picture_shares_with_fewer(model: Checkpoint) -> None:
    studio = Studio(model, max_batch=4)
    studio.at[0] = lambda: drawings.append(studio.engine.submit(wish(width=128, height=64, guidance=1, count=4, steps=4)))
    drawings: list[Drawing] = []
    studio.draw(wish(guidance=1, count=4))
    assert isinstance(events_of(drawings[0])[-1], Finished)
    studio.close()
    rows: dict[int, int] = {}
    for call in studio.calls:
        rows[call.shape[3]] = max(rows.get(call.shape[3], 0), call.shape[0])
    assert rows == {8: 4, 16: 2}


@pytest.mark.parametrize("share", [1, 2])
def test_who_asks_for_one_is_drawn_after_one_turn_of_another_in_company(model: Checkpoint, share: int) -> None:
    studio, ready = Studio(model, max_batch=share), threading.Event()
    studio.at[0] = ready.wait
    drawings = [studio.engine.submit(wish(count=6, seed=seed), owner="ann") for seed in (10, 20)]
    drawings.append(studio.engine.submit(wish(seed=99), owner="bob"))
    ready.set()
    assert all(isinstance(event, Finished) for drawing in drawings for event in ends(events_of(drawing)))
    studio.close()
    seeds = [request.seed for request in studio.latents]
    assert seeds.index(99) <= share
    assert [seed for seed in seeds if seed != 99] == [*range(10, 16), *range(20, 26)]
    assert max(call.shape[0] for call in studio.calls) == 2 * share


def test_waiting_costs_no_latents_and_counts_down(model: Checkpoint) -> None:
    """Sixteen pictures of eight sizes, two to a step: never more than four are begun."""
    studio = Studio(model, max_batch=2)
    begun: list[int] = []
    count = lambda: begun.append(sum(picture.task is not None for picture in studio.engine._batcher.line))  # noqa: E731
    studio.at = dict.fromkeys(range(200), count)
    drawings: list[Drawing] = []
    studio.at[0] = lambda: drawings.extend(studio.engine.submit(wish(width=64 + 8 * (n % 8), count=2, steps=4)) for n in range(8))
    assert isinstance(studio.draw(wish(seed=1))[-1], Finished)
    events = [events_of(drawing) for drawing in drawings]
    studio.close()
    assert sum(isinstance(event, Finished) for drawing in events for event in drawing) == 16
    assert max(begun) == 4
    ahead = [event.ahead for event in events[-1] if isinstance(event, Waiting) and event.index == 1]
    assert ahead[0] == 16
    assert ahead == sorted(ahead, reverse=True)


def test_cancelling_takes_back_what_is_not_finished(studio: Studio) -> None:
    ready = threading.Event()
    studio.at[0] = ready.wait
    drawing = studio.engine.submit(wish(steps=50, count=2))
    studio.at[5] = drawing.cancel
    ready.set()
    events = events_of(drawing)
    assert {type(event) for event in ends(events)} == {Cancelled}
    assert {event.index for event in ends(events)} == {0, 1}
    assert max(event.step for event in events if isinstance(event, Step)) == 6
    assert len(studio.calls) == 6
    assert isinstance(studio.draw(wish())[-1], Finished)


def test_cancelling_reaches_those_that_wait(model: Checkpoint) -> None:
    studio = Studio(model, max_batch=1)
    drawing, other = studio.engine.submit(wish(steps=30)), studio.engine.submit(wish(steps=30))
    other.cancel()
    events = events_of(other)
    assert [type(event) for event in events] == [Waiting, Cancelled]
    assert isinstance(events_of(drawing)[-1], Finished)
    studio.close()


def test_cancelling_what_is_finished_changes_nothing(studio: Studio) -> None:
    drawing = studio.engine.submit(wish())
    assert isinstance(events_of(drawing)[-1], Finished)
    drawing.cancel()
    assert isinstance(studio.draw(wish())[-1], Finished)


def test_a_task_that_cannot_begin_hurts_nobody(studio: Studio) -> None:
    drawings: list[Drawing] = []
    studio.at[2] = lambda: drawings.append(studio.engine.submit([wish(sampler="no such sampler")]))
    company = studio.draw(wish())
    (failed,) = ends(events_of(drawings[0]))
    assert isinstance(failed, Failed)
    assert "log says more" in failed.sentence
    alone = studio.latents[wish()]
    assert isinstance(company[-1], Finished)
    studio.draw(wish(seed=8))
    studio.draw(wish())
    assert torch.equal(studio.latents[wish()], alone)


def test_a_task_that_fails_on_the_way_hurts_nobody(studio: Studio) -> None:
    """One picture's scheduler is broken at the third call; the other in the same call goes on."""

    def sabotage() -> None:
        victim = next(picture for picture in studio.engine._batcher.line if picture.request.seed == 8)
        victim.task.scheduler.alphas_cumprod = None

    studio.at[3] = sabotage
    first, second = ends(studio.draw(wish(count=2)))
    assert (first.index, type(first)) == (1, Failed)
    assert (second.index, type(second)) == (0, Finished)


def test_a_step_that_fails_fails_those_in_it_and_the_loop_lives_on(studio: Studio) -> None:
    def fail() -> None:
        raise RuntimeError("a kernel died, here is a secret")

    studio.at[3] = fail
    events = ends(studio.draw(wish(count=2)))
    assert [type(event) for event in events] == [Failed, Failed]
    assert "secret" not in events[0].sentence
    assert isinstance(studio.draw(wish())[-1], Finished)


def test_closing_cancels_what_is_on_its_way(model: Checkpoint) -> None:
    studio = Studio(model, max_batch=1)
    closer = threading.Thread(target=studio.engine.close)
    ready = threading.Event()
    studio.at |= {0: ready.wait, 4: closer.start}
    drawings = [studio.engine.submit(wish(steps=150)) for _ in range(3)]
    ready.set()
    results = [ends(events_of(drawing)) for drawing in drawings]
    closer.join(10)
    assert not closer.is_alive()
    assert [type(event) for (event,) in results] == [Cancelled] * 3
    assert len(studio.calls) < 150
    with pytest.raises(DrawingFailed):
        studio.engine.submit(wish())
    studio.close()


def test_many_may_submit_at_once(studio: Studio) -> None:
    results: dict[int, list[Event]] = {}

    def visit(seed: int) -> None:
        results[seed] = studio.draw(wish(seed=seed, steps=3, sampler=SAMPLERS[seed % len(SAMPLERS)]))

    visitors = [threading.Thread(target=visit, args=(seed,)) for seed in range(24)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join(60)
    assert {seed: events[-1].receipt.request.seed for seed, events in results.items()} == {seed: seed for seed in range(24)}
    assert max(call.shape[0] for call in studio.calls) > 2
