"""How long it will take: what is learnt from steps, what is foreseen from that, and whether it comes true."""

from __future__ import annotations

import random
import statistics
import time
from pathlib import Path

import pytest
from conftest import eventually
from test_queue import open_queue

from webapp.catalogue import Catalogue
from webapp.jobs.estimate import ROOM, Pace, Piece, Work, finish_times
from webapp.jobs.workers import LocalWorkers
from webapp.schema import Defaults, GenerationRequest

SMALL = ("m", 128, 128, True)
LARGE = ("m", 256, 256, True)
DEFAULTS = Defaults(width=128, height=128, steps=20, guidance=5, sampler="DDIM")


def wish(**fields: object) -> GenerationRequest:
    return GenerationRequest(prompt="a cat", model="m", seed=1).model_copy(update=fields)


def test_the_latest_steps_count_most() -> None:
    pace = Pace()
    assert pace.step(SMALL) is None
    pace.note_step(SMALL, 1, 0.1)
    assert pace.step(SMALL) == pytest.approx(0.1)
    for _ in range(80):
        pace.note_step(SMALL, 1, 0.4)
    assert pace.step(SMALL) == pytest.approx(0.4, rel=0.01)


def test_another_size_is_judged_by_its_area_and_another_model_not_at_all() -> None:
    pace = Pace()
    pace.note_step(SMALL, 1, 0.1)
    pace.note_step(("m", 512, 512, True), 1, 2.0)
    assert pace.step(("m", 256, 128, True)) == pytest.approx(0.2)
    assert pace.step(("m", 512, 1024, True)) == pytest.approx(4.0)
    assert pace.step(("m", 128, 128, False)) == pytest.approx(0.05)
    assert pace.step(("other", 128, 128, True)) is None


def test_a_step_that_several_share_costs_what_it_was_measured_to() -> None:
    pace = Pace()
    pace.note_step(SMALL, 1, 0.1)
    pace.note_step(SMALL, 4, 0.2)
    assert pace.step(SMALL, 4) == pytest.approx(0.2)
    assert pace.step(SMALL, 8) == pytest.approx(0.4)


def test_what_is_left_of_a_picture_counts_its_passes_and_what_comes_after_them() -> None:
    pace = Pace()
    assert pace.piece(wish(), DEFAULTS) is None, "nothing is known yet"
    pace.note_step(SMALL, 1, 0.1)
    pace.note_rest(wish(width=128, height=128), 0.5)
    assert pace.piece(wish(), DEFAULTS) == Piece([(SMALL, 20)], 0.5)
    assert pace.piece(wish(), DEFAULTS, 5, 20) == Piece([(SMALL, 15)], 0.5)
    assert pace.piece(wish(), DEFAULTS, 20, 20) == Piece([], 0.5)
    assert pace.piece(wish(steps=10, image="0" * 64, strength=0.5), DEFAULTS).passes == [(SMALL, 5)]
    twice = wish(hires_scale=2, hires_strength=0.5)
    assert pace.piece(twice, DEFAULTS).passes == [(SMALL, 20), (LARGE, 10)]
    assert pace.piece(twice, DEFAULTS, 24, 30).passes == [(LARGE, 6)]


def test_samplers_that_ask_the_model_twice_are_known_after_their_first_picture() -> None:
    pace = Pace()
    pace.note_step(SMALL, 1, 0.1)
    heun = wish(width=128, height=128, steps=20, guidance=5, sampler="Heun")
    pace.note_calls(heun, 39)
    assert pace.piece(heun.model_copy(update={"steps": 40}), DEFAULTS).passes == [(SMALL, 78)]
    assert pace.piece(wish(), DEFAULTS).passes == [(SMALL, 20)]


@pytest.mark.parametrize(
    ("fields", "steps"),
    [
        ({"strength": 0.5}, 10),
        ({"mask": "1" * 64, "strength": 0.5}, 10),
        ({"mask": "1" * 64}, 20),
        ({"outpaint_left": 128, "strength": 0.5}, 10),
        ({"outpaint_left": 128, "hires_scale": 2}, 20),  # has no second pass
    ],
)
def test_from_a_picture_as_many_steps_are_foreseen_as_the_engine_makes(fields: dict, steps: int) -> None:
    """And what one picture leaves out, the sampler is not thought to leave out of all."""
    pace = Pace()
    pace.note_step(SMALL, 1, 0.1)
    asked = wish(image="0" * 64, sampler="DDIM", **fields)
    assert [count for _, count in pace.piece(asked, DEFAULTS).passes] == [steps]
    pace.note_calls(asked.resolved(DEFAULTS), steps)
    assert pace.piece(wish(), DEFAULTS).passes == [(SMALL, 20)]


def test_an_upscalers_steps_are_not_thought_to_be_the_samplers() -> None:
    pace = Pace()
    pace.note_step(SMALL, 1, 0.1)
    pace.note_calls(wish(upscaler="x4").resolved(DEFAULTS), 40)
    assert pace.piece(wish(), DEFAULTS).passes == [(SMALL, 20)]


def foreseen(work: list[list[Piece]], slots: int = 4, share: int = 1) -> list[tuple[float, float]]:
    """With a second for a small picture's step and three for a large one's; shared by four, a step takes twice as long."""
    one_person = [Work("ann", pieces) for pieces in work]
    return finish_times(
        one_person, {}, slots, lambda kind, count: (1 if kind == SMALL else 3) * (1 if count == 1 else 2), lambda kind: share
    )


def small(steps: int, rest: float = 0.0) -> Piece:
    return Piece([(SMALL, steps)], rest)


@pytest.mark.parametrize(
    ("work", "slots", "share", "times"),
    [
        ([], 4, 1, []),
        ([[small(3, 0.5)]], 4, 1, [(0, 3.5)]),
        ([[small(2)], [small(2)]], 1, 1, [(0, 2), (2, 4)]),
        ([[small(2)], [small(3)]], 2, 1, [(0, 2), (0, 5)]),  # one after the other: this size's steps are not shared
        ([[small(2)] * 4], 1, 4, [(0, 4)]),  # shared
        ([[small(4)], [Piece([(LARGE, 2)], 0)]], 2, 1, [(0, 10), (0, 8)]),  # sizes take turns
        ([[Piece([(SMALL, 2), (LARGE, 1)], 1)]], 1, 1, [(0, 6)]),
        ([[], [small(1)]], 1, 1, [(0, 0), (0, 1)]),
        ([[small(0)], [small(1)]], 1, 1, [(0, 0), (0, 1)]),
    ],
)
def test_who_ends_when(work: list, slots: int, share: int, times: list) -> None:
    for job in work:
        for piece in job:
            piece.passes = [each for each in piece.passes if each[1]]
    assert [pytest.approx(each) for each in times] == foreseen(work, slots, share)


def test_turns_are_foreseen_as_the_queue_gives_them() -> None:
    work = [
        Work("ann", [small(4)], begun=True),
        Work("ann", [small(4)]),
        Work("bob", [small(2)]),
        Work("ann", [small(1)]),
        Work("cem", [small(2)]),
    ]
    times = finish_times(work, {"ann": 9.0, "bob": 5.0}, 1, lambda kind, count: 1.0, lambda kind: 1)
    assert times == [(0, 4), (8, 12), (6, 8), (12, 13), (4, 6)], "Cem was never served, Bob longer ago than Ann"


def test_in_one_size_pictures_of_different_people_are_foreseen_in_turn() -> None:
    work = [Work("ann", [small(2)] * 4, begun=True), Work("bob", [small(2)])]
    assert finish_times(work, {}, 2, lambda kind, count: 1.0, lambda kind: 1) == [(0, 10), (0, 4)]


def test_all_work_is_done_in_its_time_whatever_the_order() -> None:
    chance = random.Random(0)
    for _ in range(50):
        work = [[small(chance.randint(1, 40), chance.random()) for _ in range(chance.randint(1, 8))] for _ in range(chance.randint(1, 30))]
        times = foreseen(work, chance.randint(1, 6))
        assert max(end for _, end in times) == pytest.approx(sum(p.passes[0][1] + p.rest for pieces in work for p in pieces))
        starts = [start for start, _ in times]
        assert starts == sorted(starts)


def test_a_long_line_is_foreseen_at_once() -> None:
    work = [[small(25)] for _ in range(500)]
    begin = time.thread_time()
    assert len(foreseen(work)) == 500 and ROOM == 16
    assert time.thread_time() - begin < 0.5


# -- what was told, and what happened

SIZES = ((128, 128), (192, 192), (256, 256), (192, 128))


def mixed(chance: random.Random) -> dict[str, object]:
    width, height = chance.choice(SIZES)
    return {"width": width, "height": height, "steps": chance.randint(6, 18), "count": chance.choice((1, 1, 1, 2, 3)), "seed": 1}


def slowed(_unet: object, inputs: tuple) -> None:
    """Each call takes longer by its size and rows, as on a larger model, so that what else this machine does weighs less."""
    rows, _, height, width = inputs[0].shape
    time.sleep((0.03 + 0.012 * rows) * height * width / 256)


@pytest.mark.alone
def test_thirty_mixed_jobs_end_when_it_was_said(tmp_path: Path) -> None:
    """Told once all thirty are asked for: a job that comes later and is served in between nobody can foresee."""
    queue = open_queue(tmp_path)
    workers = LocalWorkers(queue, "builtin", Catalogue(tmp_path / "library"))
    workers.start()
    try:
        eventually(lambda: workers.model.state == "ready", 120)
        workers._engine.checkpoint.unet.register_forward_pre_hook(slowed)
        warm_up(queue)
        chance = random.Random(7)
        jobs = [queue.submit(f"person {i % 5}", GenerationRequest(prompt="a castle at sunset", **mixed(chance))) for i in range(30)]
        told_at = time.time()
        told = {view.id: view.ends for view in queue.views([queue.find(job.owner, job.id) for job in jobs], workers.model.defaults)}
        eventually(lambda: not any(queue.find(job.owner, job.id).active for job in jobs), 500, pause=0.2)
        errors = []
        for job in jobs:
            over = queue.find(job.owner, job.id)
            assert over.state == "done" and told[job.id], over.error
            took = over.finished - told_at
            errors.append(abs(told[job.id] - took) / max(took, 2.0))
            print(
                f"{job.request.width} x {job.request.height}, {job.request.steps} steps, {job.request.count}: {told[job.id]:.1f} s told, {took:.1f} s taken"
            )
        print(f"of {len(errors)} jobs the median is off by {statistics.median(errors):.1%}, the worst by {max(errors):.1%}")
        assert sum(error <= 0.25 for error in errors) >= 0.9 * len(errors)
    finally:
        workers.stop()


def warm_up(queue) -> None:
    """So much of each size that alone and shared steps are measured."""
    for count in (1, 4):
        jobs = [queue.submit("warm", GenerationRequest(prompt="a cat", width=w, height=h, steps=4, count=count)) for w, h in SIZES]
        eventually(lambda jobs=jobs: not any(queue.find("warm", job.id).active for job in jobs), 200)
