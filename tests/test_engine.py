"""The loop: a picture drawn alone equals diffusers' own, drawn in company it equals itself, and what befalls one leaves the others be."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tiny
import torch
from diffusers import StableDiffusionPipeline
from PIL import ImageChops

from webapp.engine import checkpoint, samplers
from webapp.engine.checkpoint import Checkpoint
from webapp.engine.drawing import Drawing
from webapp.engine.engine import Engine
from webapp.engine.events import Cancelled, Event, Failed, Finished, Preview, Step, Waiting
from webapp.errors import DrawingFailed
from webapp.schema import SAMPLERS, GenerationRequest

SCHEDULES = ("epsilon", "v_prediction", "builtin")
WISH = GenerationRequest(prompt="a cat", negative_prompt="blurry", seed=7, width=64, height=64, steps=8, guidance=6, sampler="DDIM")


def wish(**changes: object) -> GenerationRequest:
    return WISH.model_copy(update=changes)


class Studio:
    """An engine on a tiny model, watched: the latents that each request ended in, and what each call of the UNet was given.

    `at[n]` is done before the n-th call of the UNet, from 0, on the engine's thread: so tests interfere at a known step.
    """

    def __init__(self, model: Checkpoint, **options: int) -> None:
        self.latents: dict[GenerationRequest, torch.Tensor] = {}
        self.calls: list[tuple[torch.Size, torch.Tensor]] = []
        self.at: dict[int, Callable[[], object]] = {}
        self.hook = model.unet.register_forward_pre_hook(self._before)
        self.engine = Engine(model, **options)
        self._deliver, self.engine._deliver = self.engine._deliver, self._watch

    def draw(self, request: GenerationRequest, indices: list[int] | None = None) -> list[Event]:
        return events_of(self.engine.submit(request, indices))

    def close(self) -> None:
        self.engine.close()
        self.hook.remove()

    def _before(self, unet: torch.nn.Module, inputs: tuple[torch.Tensor, torch.Tensor]) -> None:
        self.calls.append((inputs[0].shape, inputs[1]))
        self.at.get(len(self.calls) - 1, lambda: None)()

    def _watch(self, pictures: list) -> None:
        self.latents |= {picture.request: picture.task.latents for picture in pictures}
        self._deliver(pictures)


def events_of(drawing: Drawing) -> list[Event]:
    """All of them; fails when they do not come to an end."""
    events: list[Event] = []
    listener = threading.Thread(target=lambda: events.extend(drawing), daemon=True)
    listener.start()
    listener.join(60)
    assert not listener.is_alive(), "the drawing does not end"
    return events


def ends(events: list[Event]) -> list[Event]:
    return [event for event in events if isinstance(event, (Finished, Failed, Cancelled))]


def distance(latents: torch.Tensor, wanted: torch.Tensor) -> float:
    """The largest difference, as a share of the largest latent."""
    return ((latents.float() - wanted.float()).abs().max() / wanted.float().abs().max()).item()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: tiny.folder(tmp_path_factory.mktemp(name), name) for name in SCHEDULES}


@pytest.fixture(scope="module")
def model(folders: dict[str, Path]) -> Checkpoint:
    return checkpoint.load(folders["epsilon"], "cpu", torch.float32)


@pytest.fixture
def studio(model: Checkpoint) -> Iterator[Studio]:
    studio = Studio(model)
    yield studio
    studio.close()


class Reference:
    """diffusers' own pipeline on a folder."""

    def __init__(self, folder: Path, dtype: torch.dtype = torch.float32) -> None:
        self.pipe = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None, **{checkpoint._dtype_keyword(): dtype})
        self.pipe.set_progress_bar_config(disable=True)
        self.original = self.pipe.scheduler.config

    def latents(self, request: GenerationRequest) -> torch.Tensor:
        kind, changes = samplers.SCHEDULERS[request.sampler]
        self.pipe.scheduler = kind.from_config(self.original, **changes)
        generator = torch.Generator("cpu").manual_seed(request.seed)
        noise = None
        if self.pipe.dtype != torch.float32:  # the pipeline would draw it in half precision
            noise = torch.randn(1, 4, request.height // 8, request.width // 8, generator=generator).to(self.pipe.dtype)
        return self.pipe(
            request.prompt,
            negative_prompt=request.negative_prompt,
            width=request.width,
            height=request.height,
            num_inference_steps=request.steps,
            guidance_scale=request.guidance,
            generator=generator,
            latents=noise,
            output_type="latent",
        ).images


@pytest.fixture(scope="module", params=SCHEDULES)
def pair(request: pytest.FixtureRequest, folders: dict[str, Path]) -> tuple[Checkpoint, Reference]:
    folder = folders[request.param]
    return checkpoint.load(folder, "cpu", torch.float32), Reference(folder)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_alone_it_equals_the_pipeline(pair: tuple[Checkpoint, Reference], sampler: str) -> None:
    model, reference = pair
    studio = Studio(model)
    request = wish(sampler=sampler)
    studio.draw(request)
    studio.close()
    assert distance(studio.latents[request], reference.latents(request)) < 1e-6


def test_in_company_it_equals_the_pipeline(pair: tuple[Checkpoint, Reference]) -> None:
    """All samplers, two sizes, with and without guidance, joining at different steps, and one leaves halfway."""
    model, reference = pair
    studio = Studio(model)
    requests = [
        wish(
            prompt=f"a {sampler}",
            sampler=sampler,
            seed=place,
            steps=6 + place,
            guidance=1.0 if place % 3 == 2 else 4.0 + place,
            width=128 if place % 4 == 3 else 64,
        )
        for place, sampler in enumerate(SAMPLERS)
    ]
    drawings: list[Drawing] = []
    joined = threading.Event()
    for place, request in enumerate(requests):
        studio.at[2 * place] = lambda request=request: drawings.append(studio.engine.submit(request))
    studio.at[7] = lambda: drawings.append(studio.engine.submit(wish(seed=99, steps=60)))
    studio.at[13] = lambda: drawings[4].cancel() if drawings[4].request.seed == 99 else pytest.fail("not the one to cancel")
    studio.at[2 * len(requests)] = joined.set
    first = studio.draw(wish(seed=100, steps=40))
    assert joined.wait(30)
    results = [ends(events_of(drawing)) for drawing in drawings]
    studio.close()
    assert isinstance(first[-1], Finished)
    assert [type(result[0]) for result in results].count(Cancelled) == 1
    for request in [*requests, wish(seed=100, steps=40)]:
        assert distance(studio.latents[request], reference.latents(request)) < 1e-5, request.sampler
    shared = [timesteps for shape, timesteps in studio.calls if shape[0] > 2]
    assert max(len(timesteps) for timesteps in shared) >= 8
    assert any(len(timesteps.unique()) > 2 for timesteps in shared)
    assert {shape[-1] for shape, _ in studio.calls} == {8, 16}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_in_half_precision_it_equals_the_pipeline_too(folders: dict[str, Path], sampler: str) -> None:
    model, reference = checkpoint.load(folders["builtin"], "cpu", torch.bfloat16), Reference(folders["builtin"], torch.bfloat16)
    studio = Studio(model)
    request = wish(sampler=sampler)
    studio.draw(request)
    studio.close()
    assert studio.latents[request].dtype == torch.bfloat16
    assert torch.equal(studio.latents[request], reference.latents(request))


def test_without_guidance_a_picture_takes_one_row(studio: Studio) -> None:
    for guidance in (0.0, 1.0, 1.5):
        studio.draw(wish(guidance=guidance, steps=1))
    assert [shape[0] for shape, _ in studio.calls] == [1, 1, 2]


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
    drawing = studio.engine.submit(GenerationRequest(prompt="a cat"))
    finished = events_of(drawing)[-1]
    assert finished.request == drawing.request
    assert finished.request.model_dump(exclude={"seed"}) == {
        "prompt": "a cat",
        "negative_prompt": "",
        "width": 64,
        "height": 64,
        "steps": 25,
        "guidance": 7.5,
        "sampler": "DPM++ 2M",
        "count": 1,
    }
    assert finished.request.seed is not None


def test_several_pictures_are_drawn_from_following_seeds(studio: Studio) -> None:
    finished = {event.index: event for event in ends(studio.draw(wish(count=3)))}
    assert [finished[index].request for index in range(3)] == [wish(seed=7), wish(seed=8), wish(seed=9)]
    assert len({event.image.tobytes() for event in finished.values()}) == 3


def test_a_finished_request_draws_the_same_picture_again(studio: Studio) -> None:
    for event in ends(studio.draw(wish(count=3, sampler="Euler a"))):
        again = studio.draw(event.request)[-1].image
        assert differing(again, event.image) <= 1


def test_only_the_pictures_asked_for_are_drawn(studio: Studio) -> None:
    events = ends(studio.draw(wish(count=4), [3, 1]))
    assert {(event.index, event.request.seed) for event in events} == {(1, 8), (3, 10)}
    assert studio.draw(wish(count=4), []) == []


def differing(image: object, other: object) -> int:
    """The largest difference of two pictures, of 255."""
    return max(high for _, high in ImageChops.difference(image, other).getextrema())


def test_sizes_keep_apart_and_take_turns(studio: Studio) -> None:
    drawings: list[Drawing] = []
    studio.at[0] = lambda: drawings.extend(studio.engine.submit(wish(width=w, height=h)) for w, h in [(128, 64), (64, 128), (64, 64)])
    first = studio.draw(wish(seed=1))
    images = [events_of(drawing)[-1].image for drawing in drawings]
    assert [image.size for image in images] == [(128, 64), (64, 128), (64, 64)]
    assert isinstance(first[-1], Finished)
    assert [tuple(shape[2:]) for shape, _ in studio.calls[1:7]] == [(8, 8), (8, 16), (16, 8)] * 2


def test_a_bigger_picture_shares_with_fewer(model: Checkpoint) -> None:
    studio = Studio(model, max_batch=4)
    studio.at[0] = lambda: drawings.append(studio.engine.submit(wish(width=128, height=64, guidance=1, count=4, steps=4)))
    drawings: list[Drawing] = []
    studio.draw(wish(guidance=1, count=4))
    assert isinstance(events_of(drawings[0])[-1], Finished)
    studio.close()
    rows = {shape[3]: 0 for shape, _ in studio.calls}
    for shape, _ in studio.calls:
        rows[shape[3]] = max(rows[shape[3]], shape[0])
    assert rows == {8: 4, 16: 2}


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
    drawing = studio.engine.submit(wish(steps=50, count=2))
    studio.at[5] = drawing.cancel
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
    studio.at[2] = lambda: drawings.append(studio.engine.submit(wish(sampler="no such sampler")))
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
        victim.task.scheduler.timesteps = None

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


def test_out_of_memory_names_a_smaller_size(studio: Studio) -> None:
    studio.at[3] = lambda: torch.empty(2**60, dtype=torch.uint8)
    failed = studio.draw(wish(width=256, height=192))[-1]
    assert isinstance(failed, Failed)
    assert failed.sentence == "There was not enough memory to draw 256 x 192 pixels. Please try a smaller size, such as 128 x 64."
    assert isinstance(studio.draw(wish())[-1], Finished)


def test_a_blank_picture_is_failed_never_finished(studio: Studio) -> None:
    """One picture's latents overflow; its neighbour, decoded with it, is delivered."""

    def overflow() -> None:
        studio.engine._batcher.line[0].task.latents.fill_(float("nan"))

    studio.at[7] = overflow
    failed, finished = ends(studio.draw(wish(count=2)))
    assert isinstance(failed, Failed)
    assert "blank" in failed.sentence
    assert isinstance(finished, Finished)
    assert finished.index == 1


def test_closing_cancels_what_is_on_its_way(model: Checkpoint) -> None:
    studio = Studio(model, max_batch=1)
    closer = threading.Thread(target=studio.engine.close)
    studio.at[4] = closer.start
    drawings = [studio.engine.submit(wish(steps=150)) for _ in range(3)]
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
    assert {seed: events[-1].request.seed for seed, events in results.items()} == {seed: seed for seed in range(24)}
    assert max(shape[0] for shape, _ in studio.calls) > 2
