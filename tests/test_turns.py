"""Fair turns with a real engine: who holds much delays nobody by more than a turn; what is given back is not lost."""

from __future__ import annotations

import sys
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import eventually
from sqlalchemy import text
from test_queue import open_queue

from webapp.catalogue import Catalogue
from webapp.engine import checkpoint
from webapp.engine.engine import Engine
from webapp.errors import InvalidRequest
from webapp.jobs import queue as queue_module
from webapp.jobs import workers as workers_module
from webapp.jobs.queue import Queue
from webapp.jobs.store import new_id
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


def test_who_finds_a_free_slot_waits_for_no_twenty_four_of_another(queue, workers):
    workers._engine._batcher._cap = lambda shape: 1
    anns = [queue.submit("ann", wish(count=8, seed=10 * i)).id for i in range(JOBS_AT_ONCE - 1)]
    eventually(lambda: any(pictures(queue, id) for id in anns), 120)
    bobs = queue.submit("bob", wish())
    over = done(queue, "bob", bobs.id)
    between = [p for id in anns for p in queue.store.pictures_of([id])[id] if bobs.created < p.created < over.finished]
    assert len(between) <= 8
    for id in anns:
        queue.cancel("ann", id)


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


def test_the_model_before_has_left_memory_when_the_next_is_read(queue, workers, monkeypatch):
    before, left = weakref.ref(workers._engine.checkpoint.unet), []
    load = checkpoint.load
    monkeypatch.setattr(checkpoint, "load", lambda *given, **more: left.append(before() is None) or load(*given, **more))
    id = queue.submit("ann", wish(count=2, steps=100)).id
    eventually(lambda: any(view.step > 2 for view in queue.views([queue.find("ann", id)], None)[0].pictures), 60)
    assert queue.pace.seconds_per_step()
    workers.use("builtin")
    assert queue.together(("", 64, 64, True)) == 1 and queue.pace.seconds_per_step() == {}
    done(queue, "ann", id)
    assert left == [True]


def test_a_model_that_is_not_wanted_any_more_is_not_made_ready(queue, workers, monkeypatch):
    go, loads, made = threading.Event(), [], []
    load, begin = checkpoint.load, Engine.__init__

    def slowly(*given: object, **more: object) -> object:
        loads.append(given)
        assert len(loads) > 1 or go.wait(120)
        return load(*given, **more)

    monkeypatch.setattr(checkpoint, "load", slowly)
    monkeypatch.setattr(Engine, "__init__", lambda engine, *given, **more: made.append(given[0]) or begin(engine, *given, **more))
    workers.use("builtin")
    eventually(lambda: loads, 60)
    workers.use("builtin")
    eventually(lambda: workers.model.state == "ready", 120)
    go.set()
    eventually(lambda: not any(thread.name == "load" and thread.is_alive() for thread in workers._threads), 120)
    assert (len(loads), len(made)) == (2, 1)


def test_where_the_engine_cannot_be_imported_that_is_said(queue, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "webapp.engine.engine", None)
    workers = LocalWorkers(queue, "builtin", Catalogue(tmp_path / "library"))
    workers.start()
    eventually(lambda: workers.model.state == "failed", 60)
    assert "log says why" in workers.model.sentence
    workers.stop()


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


def test_a_picture_that_could_not_be_written_is_written_later(queue, workers, tmp_path, caplog):
    id = queue.submit("ann", wish(count=2, steps=100)).id
    eventually(lambda: id in workers._drawings, 60)
    (tmp_path / "pictures").rename(tmp_path / "elsewhere")
    eventually(lambda: caplog.text.count("could not be written") >= 2, 60)
    assert queue.find("ann", id).state == "running" and pictures(queue, id) == []
    (tmp_path / "elsewhere").rename(tmp_path / "pictures")
    assert done(queue, "ann", id).attempts == 1 and pictures(queue, id) == [0, 1]


def test_whoever_cancels_what_cannot_be_written_is_heard(queue, workers, tmp_path, caplog):
    id = queue.submit("ann", wish(steps=100)).id
    eventually(lambda: id in workers._drawings, 60)
    (tmp_path / "pictures").rename(tmp_path / "elsewhere")
    eventually(lambda: "could not be written" in caplog.text, 60)
    queue.cancel("ann", id)
    eventually(lambda: not workers._in_hand, 60)
    (tmp_path / "elsewhere").rename(tmp_path / "pictures")
    assert pictures(queue, id) == []


def test_what_fails_while_it_is_kept_is_not_drawn_on_for_nobody(queue, workers, monkeypatch):
    def broken(*_: object) -> None:
        raise ValueError("a secret")

    monkeypatch.setattr(queue, "keep", broken)
    drawings = []
    submit = workers._engine.submit
    monkeypatch.setattr(workers._engine, "submit", lambda *wanted: drawings.append(submit(*wanted)) or drawings[-1])
    id = queue.submit("ann", wish(count=8)).id
    over = eventually(lambda: not (job := queue.find("ann", id)).active and job, 120)
    assert over.state == "failed" and "secret" not in over.error
    assert [drawing.cancelled for drawing in drawings] == [True]


def failing(queue: Queue, owner: str, count: int, **fields: object):
    """A job of so many pictures, the first of which cannot be begun."""
    plan = [wish(seed=seed, steps=4, **fields) for seed in range(count)]
    plan[0] = plan[0].model_copy(update={"prompt": "a <lora:none:1> cat"})
    job = queue.store.add(owner, wish(), plan, new_id())
    queue.wake()
    return job


def test_a_job_with_a_picture_that_failed_gives_way_too_and_goes_on_later(queue, tmp_path, monkeypatch):
    monkeypatch.setattr(workers_module, "JOBS_AT_ONCE", 1)
    workers = LocalWorkers(queue, "builtin", Catalogue(tmp_path / "library"))
    anns, bobs = failing(queue, "ann", 20).id, queue.submit("bob", wish(steps=4)).id
    workers.start()
    over = done(queue, "bob", bobs)
    kept = [picture for picture in queue.store.pictures_of([anns])[anns] if picture.created < over.finished]
    assert len(kept) == workers_module.TURN - 1
    job = eventually(lambda: not (job := queue.find("ann", anns)).active and job, 120)
    assert (job.state, pictures(queue, anns)) == ("failed", list(range(1, 20))) and "none" in job.error
    workers.stop()


def test_of_a_job_that_was_overtaken_after_a_failure_the_rest_is_drawn_later(queue, workers):
    unet = workers._engine.checkpoint.unet

    def overtake(*_: object) -> None:
        hook.remove()
        eventually(lambda: job.id in workers._drawings, 60)
        workers._drawings[job.id].cancel()

    hook = unet.register_forward_pre_hook(overtake)
    job = failing(queue, "ann", 3)
    over = eventually(lambda: not (now := queue.find("ann", job.id)).active and now, 120)
    assert (over.state, pictures(queue, job.id)) == ("failed", [1, 2]) and "none" in over.error


def test_a_job_that_was_taken_but_that_no_thread_has_is_drawn_all_the_same(queue, tmp_path, monkeypatch):
    workers = LocalWorkers(queue, "builtin", Catalogue(tmp_path / "library"))
    id = queue.submit("ann", wish()).id
    monkeypatch.setattr(queue_module, "LEASE", -1.0)
    assert queue.claim(workers.name).id == id
    monkeypatch.undo()
    workers.start()
    done(queue, "ann", id)
    assert pictures(queue, id) == [0]
    workers.stop()


def test_a_job_of_another_version_fails_and_the_next_is_drawn(queue, workers):
    with queue.store.database.begin() as db:
        old = queue.store.add("ann", wish(), [wish()], "old").id
        db.execute(text("UPDATE jobs SET request = '{}' WHERE id = :id"), {"id": old})
    queue.wake()
    done(queue, "bob", queue.submit("bob", wish()).id)
    with queue.store.database.connect() as db:
        assert db.execute(text("SELECT state FROM jobs WHERE id = :id"), {"id": old}).scalar() == "failed"
