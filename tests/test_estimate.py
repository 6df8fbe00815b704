"""How long it will take."""

from __future__ import annotations

import random

import pytest

from webapp.jobs.estimate import Pace, finish_times

SMALL = ("m", 128, 128, True)


def test_the_latest_pictures_count_most() -> None:
    pace = Pace()
    assert pace.step(SMALL) is None
    pace.note(SMALL, 20, 2.0)
    assert pace.step(SMALL) == pytest.approx(0.1)
    for _ in range(20):
        pace.note(SMALL, 10, 4.0)
    assert pace.step(SMALL) == pytest.approx(0.4, rel=0.01)


def test_another_size_is_judged_by_its_area_and_another_model_not_at_all() -> None:
    pace = Pace()
    pace.note(SMALL, 10, 1.0)
    pace.note(("m", 512, 512, True), 10, 20.0)
    assert pace.step(("m", 256, 128, True)) == pytest.approx(0.2)
    assert pace.step(("m", 512, 1024, True)) == pytest.approx(4.0)
    assert pace.step(("m", 128, 128, False)) == pytest.approx(0.05)
    assert pace.step(("other", 128, 128, True)) is None


@pytest.mark.parametrize(
    ("work", "slots", "ends"),
    [
        ([], 4, []),
        ([(3, 1)], 4, [(0, 3)]),
        ([(1, 1), (1, 1)], 1, [(0, 1), (1, 2)]),
        ([(1, 1), (1, 1)], 2, [(0, 2), (0, 2)]),
        ([(1, 1), (2, 1)], 2, [(0, 2), (0, 3)]),
        ([(3, 3), (1, 1)], 2, [(0, 4), (0, 4)]),  # four pictures share alike
        ([(2, 1), (2, 1), (1, 1)], 2, [(0, 4), (0, 4), (4, 5)]),
        ([(0, 1), (1, 0)], 1, [(0, 0), (0, 1)]),
    ],
)
def test_who_ends_when(work: list, slots: int, ends: list) -> None:
    assert [pytest.approx(times) for times in ends] == finish_times(work, slots)


def test_all_work_is_done_in_its_time_whatever_the_order() -> None:
    chance = random.Random(0)
    for _ in range(50):
        work = [(chance.uniform(0.1, 9), chance.randint(1, 8)) for _ in range(chance.randint(1, 40))]
        times = finish_times(work, chance.randint(1, 6))
        assert max(end for _, end in times) == pytest.approx(sum(seconds for seconds, _ in work))
        starts = [start for start, _ in times]
        assert starts == sorted(starts)
        assert all(end - start >= seconds - 1e-6 for (start, end), (seconds, _) in zip(times, work, strict=True))
