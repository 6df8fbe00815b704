"""Fair turns with a real engine: who holds much delays nobody by more than a turn; what is given back is not lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import eventually
from sqlalchemy import text
from test_queue import open_queue

from webapp.catalogue import Catalogue
from webapp.errors import InvalidRequest
from webapp.jobs import queue as queue_module
from webapp.jobs.queue import Queue
from webapp.jobs.workers import JOBS_AT_ONCE, LocalWorkers
from webapp.schema import GenerationRequest


def wish(**fields: object) -> GenerationRequest:
    return GenerationRequest(prompt="a cat", seed=1, width=64, height=64, steps=20, guidance=3).model_copy(update=fields)


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    return open_queue(tmp_path)


@pytest.fixture
def workers(queue: Queue, tmp_path: Path) -> Iterator[LocalWorkers]:
    workers = LocalWorkers(queue, "builtin", Catalogue(tmp_path / "library"))
    workers.start()
    eventually(lambda: workers.model.state == "ready", 120)
    yield workers
    workers.stop()


def done(queue: Queue, owner: str, id: str):
    over = eventually(lambda: not (job := queue.find(owner, id)).active and job, 300)
    assert over.state == "done", over.error
    return over


def pictures(queue: Queue, id: str) -> list[int]:
    return [picture.number for picture in queue.store.pictures_of([id])[id]]


def test_with_a_hundred_of_one_person_waiting_anothers_one_is_next(queue, workers):
    anns = [queue.submit("ann", wish(seed=i)).id for i in range(100)]
    eventually(lambda: all(queue.find("ann", id).state == "done" for id in anns[:3]), 120)
    bobs = queue.submit("bob", wish())
    asked = time.time()
    assert queue.order()[0] == bobs.id or queue.find("bob", bobs.id).state != "queued"
    over = done(queue, "bob", bobs.id)
    jobs = [queue.find("ann", id) for id in anns]
    between = [job for job in jobs if job.finished and bobs.created < job.finished < over.finished]
    assert len(between) <= 2 * JOBS_AT_ONCE, "those that were begun already, and those that share his steps"
    assert not [job for job in jobs if job.started and asked < job.started < over.started], "nobody was begun before him"
    assert sum(not job.finished or job.finished > over.finished for job in jobs) > 80, "the others waited still"
    for job in jobs:
        queue.cancel("ann", job.id)


def test_a_long_job_makes_way_after_a_turn_and_goes_on_later(queue, workers):
    anns = queue.submit("ann", wish(count=16)).id
    more = [queue.submit("ann", wish(count=16, seed=100 * i)).id for i in range(1, JOBS_AT_ONCE)]
    eventually(lambda: pictures(queue, anns), 120)
    bobs = queue.submit("bob", wish())
    over = done(queue, "bob", bobs.id)
    for id in (anns, *more):
        assert done(queue, "ann", id).attempts >= 1
        assert pictures(queue, id) == list(range(16))
    kept = [picture for id in (anns, *more) for picture in queue.store.pictures_of([id])[id] if picture.created < over.finished]
    assert len(kept) <= 24, "sixty-four were asked for before him"


def test_another_model_takes_over_in_the_middle_and_nothing_is_lost_or_doubled(queue, workers):
    ids = [queue.submit("ann", wish(count=2, steps=60, seed=10 * i)).id for i in range(6)]
    eventually(lambda: any(view.step > 5 for view in queue.views([queue.find("ann", ids[0])], None)[0].pictures), 60)
    before = workers._engine
    workers.use("builtin")
    assert workers.model.state == "loading"
    with pytest.raises(InvalidRequest):
        workers.use("/etc/passwd")
    for id in ids:
        assert done(queue, "ann", id).attempts == 1
        assert pictures(queue, id) == [0, 1]
    assert workers._engine is not before and workers.model.state == "ready"


def test_a_model_that_fails_leaves_the_jobs_waiting_for_the_next(queue, tmp_path):
    workers = LocalWorkers(queue, str(tmp_path / "nothing"), Catalogue(tmp_path / "library"))
    workers.start()
    job = queue.submit("ann", wish(steps=2))
    eventually(lambda: workers.model.state == "failed", 60)
    assert "nothing" in workers.model.sentence and workers.facts() == {}
    assert queue.find("ann", job.id).state == "queued"
    workers.use("builtin")
    done(queue, "ann", job.id)
    facts = workers.facts()
    assert 0 < facts["memory_used"] < facts["memory_total"] and facts["device"] == "cpu"
    assert 0 < facts["seconds_per_step"]["64 x 64"] < 60
    workers.stop()


@contextmanager
def refusing(queue: Queue, when: str = "1") -> Iterator[None]:
    """Meanwhile the database takes no change of a job `when` it would become like that, as if its disk were full."""
    for line in (
        f"CREATE TRIGGER refusing BEFORE UPDATE ON jobs WHEN {when} BEGIN SELECT RAISE(ABORT, 'full'); END",
        "DROP TRIGGER refusing",
    ):
        with queue.store.database.begin() as db:
            db.execute(text(line))
        if line.startswith("CREATE"):
            yield


def test_when_the_database_fails_for_a_while_all_goes_on_afterwards(queue, workers, caplog):
    long = queue.submit("ann", wish(count=4, steps=150)).id
    eventually(lambda: long in workers._drawings, 60)
    with refusing(queue):
        short = queue.submit("bob", wish()).id
        eventually(lambda: caplog.text.count("taking a job failed") >= JOBS_AT_ONCE and "renewing the leases failed" in caplog.text, 60)
    assert done(queue, "bob", short).attempts == 1
    later = queue.submit("bob", wish(count=16, steps=150)).id
    eventually(lambda: later in workers._drawings, 60)
    for owner, id in (("ann", long), ("bob", later)):
        queue.cancel(owner, id)
    eventually(lambda: not workers._drawings, 5)
    assert len(pictures(queue, later)) < 16, "whoever cancels is heard still"


def test_a_last_word_that_could_not_be_written_is_written_later(queue, workers, caplog):
    with refusing(queue, "new.state = 'done'"):
        id = queue.submit("ann", wish(count=2)).id
        eventually(lambda: caplog.text.count("last word could not be written") >= 2, 60)
        assert queue.find("ann", id).state == "running"
    assert done(queue, "ann", id).attempts == 1 and pictures(queue, id) == [0, 1]


def test_a_job_that_was_taken_but_that_no_thread_has_is_drawn_all_the_same(queue, tmp_path, monkeypatch):
    workers = LocalWorkers(queue, "builtin", Catalogue(tmp_path / "library"))
    id = queue.submit("ann", wish()).id
    monkeypatch.setattr(queue_module, "LEASE", -1.0)
    assert queue.claim(workers.name).id == id
    monkeypatch.undo()
    workers.start()
    assert done(queue, "ann", id).attempts == 2
    workers.stop()


def test_a_job_of_another_version_fails_and_the_next_is_drawn(queue, workers):
    with queue.store.database.begin() as db:
        old = queue.store.add("ann", wish(), [wish()], "old").id
        db.execute(text("UPDATE jobs SET request = '{}' WHERE id = :id"), {"id": old})
    queue.wake()
    done(queue, "bob", queue.submit("bob", wish()).id)
    with queue.store.database.connect() as db:
        assert db.execute(text("SELECT state FROM jobs WHERE id = :id"), {"id": old}).scalar() == "failed"
