"""What is kept, what can go, and that nothing else goes."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import update

from webapp.jobs.events import Events
from webapp.jobs.files import Files
from webapp.jobs.people import DAY, GUESTS, PEOPLE
from webapp.jobs.queue import Queue
from webapp.jobs.storage import Storage
from webapp.jobs.store import DONE, JOBS, Store
from webapp.library import Library
from webapp.schema import GenerationRequest, Receipt


@pytest.fixture
def queue(tmp_path):
    store = Store(tmp_path)
    yield Queue(store, Files(str(tmp_path / "pictures")), Events(), Library(tmp_path / "library"))
    store.close()


@pytest.fixture
def storage(queue):
    return Storage(queue.store, queue.files)


def drawn(queue: Queue, owner: str, **fields: object) -> str:
    """A finished picture's id."""
    job = queue.store.claim(queue.submit(owner, GenerationRequest.read({"prompt": "a", **fields})).id, "worker", 100)
    queue.keep(job, 0, Image.effect_noise((64, 64), 90).convert("RGB"), Receipt(request=job.plan[0], model="none"))
    queue.end(job, DONE, "", "worker")
    return queue.store.pictures_of([job.id])[job.id][0].id


def age(tmp_path: Path, name: str, seconds: float) -> None:
    os.utime(tmp_path / "pictures" / name, (time.time() - seconds,) * 2)


def long_ago(queue: Queue, owner: str, days: int) -> None:
    then = time.time() - days * DAY
    with queue.store.database.begin() as db:
        db.execute(update(PEOPLE).where(PEOPLE.c.id == owner).values(seen=then))
        db.execute(update(JOBS).where(JOBS.c.owner == owner).values(created=then))


def test_used_is_what_lies_on_the_disk(queue, storage, tmp_path):
    drawn(queue, "ann"), drawn(queue, "bob"), drawn(queue, "bob")
    queue.take_in("ann", b"x" * 1234)
    used = storage.used()
    lying = sum(file.stat().st_size for file in (tmp_path / "pictures").iterdir())
    assert used.handed_in == 1234 and used.drawn + 1234 == lying and used.database > 0
    assert used.people.total() == used.drawn and 1.5 < used.people["bob"] / used.people["ann"] < 2.5
    drawn(queue, "ann")
    assert storage.used() is used  # looked at once a minute


def test_what_was_handed_in_and_led_to_nothing_goes_after_a_day(queue, storage, tmp_path):
    names = ("idle", "fresh", "waiting", "finished", "again")
    idle, fresh, waiting, finished, again = (queue.take_in("ann", name.encode()) for name in names)
    queue.take_in("bob", b"idle")
    queue.submit("ann", GenerationRequest.read({"prompt": "a", "image": waiting}))
    drawn(queue, "bob")
    drawn_from = queue.take_in("bob", b"finished")
    drawn(queue, "bob", image=drawn_from)
    for name in (idle, waiting, finished):
        age(tmp_path, name, DAY + 10)
    age(tmp_path, fresh, DAY - 60)
    age(tmp_path, again, DAY + 10)
    assert queue.take_in("ann", b"again") == again
    assert storage.drop_unneeded() == 1
    kept = {file.name for file in (tmp_path / "pictures").iterdir()}
    assert idle not in kept and {fresh, waiting, finished, again} <= kept
    assert queue.store.handed_in("ann", [idle, fresh]) == {fresh} and queue.store.handed_in("bob", [idle]) == set()
    assert storage.drop_unneeded() == 0


def test_who_was_away_for_long_is_forgotten_and_nobody_else(queue, storage, tmp_path):
    for owner in ("away", "here", "waiting", "unknown", "back"):
        drawn(queue, owner)
        if owner != "unknown":  # from before people were noted
            queue.people.note(owner, GUESTS)
    lost = queue.store.jobs_of("away", 9)[0].id
    for owner in ("away", "unknown", "waiting", "back"):
        long_ago(queue, owner, 31)
    queue.submit("waiting", GenerationRequest.read({"prompt": "b"}))
    long_ago(queue, "waiting", 31)
    queue.submit("back", GenerationRequest.read({"prompt": "b"}))
    files = len(list((tmp_path / "pictures").iterdir()))
    assert storage.absent(32) == (0, 0) and storage.absent(30) == (2, 2)
    assert storage.forget(32) == 0 and storage.forget(30) == 2
    assert queue.store.job(lost) is None and queue.store.jobs_of("unknown", 9) == []
    assert len(list((tmp_path / "pictures").iterdir())) == files - 4
    assert [len(queue.store.jobs_of(owner, 9)) for owner in ("here", "waiting", "back")] == [1, 2, 2]
    assert {guest.id for guest in queue.people.seen()} == {"here", "waiting", "back"}
