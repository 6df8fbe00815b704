"""Turns, leases, and that nothing is lost or doubled: on a real database, with hand-made workers."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from PIL import Image

from webapp import metadata
from webapp.errors import Busy, NotFound
from webapp.jobs import queue as queue_module
from webapp.jobs.events import Events
from webapp.jobs.files import Files
from webapp.jobs.queue import Queue, turns
from webapp.jobs.store import Store
from webapp.schema import GenerationRequest

WISH = GenerationRequest(prompt="a cat", seed=5, width=64, height=64, steps=2, guidance=3, sampler="DDIM")


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    return open_queue(tmp_path)


def open_queue(place: Path) -> Queue:
    return Queue(Store(place), Files(str(place / "pictures")), Events())


def keep(queue: Queue, job, number: int, colour: str = "red") -> None:
    queue.keep(job, number, Image.new("RGB", (64, 64), colour), WISH.picture(number), "builtin")


def test_turns_go_round_between_people():
    waiting = [("a1", "ann"), ("a2", "ann"), ("a3", "ann"), ("b1", "bob"), ("c1", "cem"), ("b2", "bob")]
    assert turns(waiting, {}) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_who_was_served_longest_ago_comes_first():
    waiting = [("a1", "ann"), ("b1", "bob"), ("c1", "cem")]
    assert turns(waiting, {"ann": 300.0, "bob": 200.0}) == ["c1", "b1", "a1"]


def test_a_hundred_jobs_delay_nobody_by_more_than_a_turn(queue):
    for _ in range(40):
        queue.submit("ann", WISH)
    first = queue.claim("w")
    bobs = queue.submit("bob", WISH)
    assert first.owner == "ann"
    assert queue.claim("w").id == bobs.id


def test_a_key_sent_again_is_the_same_job(queue):
    one, two = queue.submit("ann", WISH, "k"), queue.submit("ann", WISH, "k")
    others = queue.submit("bob", WISH, "k")
    assert one.id == two.id != others.id
    assert len(queue.order()) == 2


def test_many_claims_at_once_give_each_job_to_one(queue):
    ids = {queue.submit(f"p{i % 7}", WISH).id for i in range(28)}
    claimed: list[str] = []

    def work(name: str) -> None:
        while job := queue.claim(name):
            claimed.append(job.id)

    threads = [threading.Thread(target=work, args=(f"w{i}",)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == sorted(ids)


def test_a_job_keeps_its_seed_through_a_restart(queue, tmp_path):
    job = queue.submit("ann", WISH.model_copy(update={"seed": None}))
    again = open_queue(tmp_path).find("ann", job.id)
    assert again.request.seed == job.request.seed is not None


def test_a_silent_workers_job_goes_back_and_only_its_missing_pictures_are_drawn(queue, tmp_path, monkeypatch):
    monkeypatch.setattr(queue_module, "LEASE", -1.0)  # every lease has run out already
    queue.submit("ann", WISH.model_copy(update={"count": 3}))
    job = queue.claim("dead")
    keep(queue, job, 1)
    later = open_queue(tmp_path)
    later.renew("alive")
    again = later.claim("alive")
    assert again.id == job.id
    assert later.missing(again) == [0, 2]


def test_a_late_worker_neither_doubles_a_picture_nor_ends_anothers_job(queue, monkeypatch):
    monkeypatch.setattr(queue_module, "LEASE", -1.0)
    job = queue.submit("ann", WISH)
    queue.claim("late")
    queue.renew("other")
    queue.claim("other")
    keep(queue, job, 0, "red")
    kept = queue.store.pictures_of([job.id])[job.id]
    keep(queue, job, 0, "blue")
    queue.end(job, "failed", "too late", "late")
    assert queue.store.pictures_of([job.id])[job.id] == kept
    assert queue.find("ann", job.id).state == "running"


def test_a_job_that_kills_the_server_each_time_is_given_up(queue, monkeypatch):
    monkeypatch.setattr(queue_module, "LEASE", -1.0)
    job = queue.submit("ann", WISH)
    for _ in range(queue_module.MOST_ATTEMPTS):
        assert queue.claim("w")
        queue.renew("other")
    assert queue.claim("w") is None
    assert queue.find("ann", job.id).state == "failed"


def test_cancel_waiting_and_running_and_finished(queue):
    waiting, running, done = (queue.submit("ann", WISH, str(i)) for i in range(3))
    assert queue.cancel("ann", waiting.id).state == "cancelled"
    while (job := queue.claim("w")).id != running.id:
        pass
    assert queue.cancel("ann", running.id).state == "cancelled"
    assert running.id not in queue.renew("w")
    queue.end(running, "done", "", "w")
    assert queue.find("ann", running.id).state == "cancelled"
    job = queue.claim("w")
    assert job.id == done.id
    queue.end(job, "done", "", "w")
    assert queue.cancel("ann", done.id).state == "done"


def test_others_jobs_and_pictures_are_not_to_be_found(queue):
    job = queue.submit("ann", WISH)
    keep(queue, queue.claim("w"), 0)
    picture = queue.store.pictures_of([job.id])[job.id][0]
    for attempt in (lambda: queue.find("bob", job.id), lambda: queue.cancel("bob", job.id), lambda: queue.picture("bob", picture.id)):
        with pytest.raises(NotFound):
            attempt()
    assert queue.picture("ann", picture.id).job == job.id


def test_one_persons_waiting_jobs_are_bounded_and_say_so(queue, monkeypatch):
    monkeypatch.setattr(queue_module, "MOST_WAITING", 2)
    queue.submit("ann", WISH)
    queue.submit("ann", WISH)
    with pytest.raises(Busy):
        queue.submit("ann", WISH)
    assert queue.submit("bob", WISH).state == "queued"


def test_a_kept_picture_can_be_read_and_carries_its_request(queue):
    queue.submit("ann", WISH.model_copy(update={"count": 2}))
    job = queue.claim("w")
    keep(queue, job, 1)
    picture = queue.store.pictures_of([job.id])[job.id][0]
    assert metadata.from_png(queue.files.read(f"{picture.id}.png")) == WISH.picture(1) == picture.request
    assert queue.files.read(f"{picture.id}.webp")[8:12] == b"WEBP"


def test_views_tell_places_progress_and_pictures(queue):
    first, second = queue.submit("ann", WISH.model_copy(update={"count": 2})), queue.submit("bob", WISH)
    assert [view.ahead for view in queue.views([first, second], None)] == [0, 1]
    job = queue.claim("w")
    queue.progress(job, 0, step=1, steps=2, preview=b"RIFF")
    keep(queue, job, 1)
    view = queue.views([queue.find("ann", job.id)], None)[0]
    assert (view.state, view.pictures[0].step, view.pictures[0].steps) == ("running", 1, 2)
    assert view.pictures[0].preview.startswith("data:image/webp;base64,")
    assert view.pictures[1].id and not view.pictures[0].id
    assert [picture.seed for picture in view.pictures] == [5, 6]


def test_listeners_hear_of_their_own_jobs_only_and_end_when_all_ends(queue):
    with queue.events.listen("ann") as ann, queue.events.listen("bob") as bob:
        job = queue.submit("ann", WISH)
        queue.progress(job, 0, step=1, steps=2)
        assert ann.wait(1) == [job.id]
        assert ann.wait(0) == bob.wait(0) == []
        queue.events.close()
        assert ann.wait(60) is bob.wait(60) is None


def test_when_a_turn_is_taken_those_who_wait_are_told(queue):
    queue.submit("ann", WISH)
    bobs = queue.submit("bob", WISH)
    with queue.events.listen("bob") as bob:
        queue.claim("w")
        assert bob.wait(1) == [bobs.id]


def test_waiting_for_a_change_misses_none(queue):
    seen = queue.wait(-1, 0)
    assert queue.wait(seen, 0.01) == seen
    queue.submit("ann", WISH)
    assert queue.wait(seen, 60) != seen
