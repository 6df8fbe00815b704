"""Turns, leases, and that nothing is lost or doubled: on a real database, with hand-made workers."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from webapp import metadata
from webapp.errors import Busy, InvalidRequest, NotFound
from webapp.jobs import events as events_module
from webapp.jobs import queue as queue_module
from webapp.jobs.estimate import Pace
from webapp.jobs.events import Events
from webapp.jobs.files import Files
from webapp.jobs.people import GUESTS, HOST
from webapp.jobs.queue import Queue, overtaken, turns
from webapp.jobs.store import Store
from webapp.library import Library, Style
from webapp.schema import Defaults, GenerationRequest, Receipt

DEFAULTS = Defaults(width=64, height=64, steps=2, guidance=3, sampler="DDIM")
WISH = GenerationRequest(prompt="a cat", seed=5, width=64, height=64, steps=2, guidance=3, sampler="DDIM")


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    return open_queue(tmp_path)


def open_queue(place: Path) -> Queue:
    return Queue(Store(place), Files(str(place / "pictures")), Events(), Library(place / "library"))


def wish(**fields: object) -> GenerationRequest:
    """As it comes in at the door."""
    return GenerationRequest.read({**WISH.model_dump(), **fields})


def keep(queue: Queue, job, number: int, colour: str = "red") -> None:
    queue.keep(job, number, Image.new("RGB", (64, 64), colour), Receipt(request=job.plan[number], model="builtin"))


def wildcard(queue: Queue, name: str, *lines: str) -> None:
    path = queue.library.folder("wildcards") / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines))


def test_turns_go_round_between_people():
    waiting = [("a1", "ann"), ("a2", "ann"), ("a3", "ann"), ("b1", "bob"), ("c1", "cem"), ("b2", "bob")]
    assert turns(waiting, {}) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_what_one_has_in_work_counts_as_the_first():
    waiting = [("a2", "ann"), ("b1", "bob"), ("a3", "ann"), ("b2", "bob")]
    assert turns(waiting, {"ann": 1.0, "bob": 2.0}, {"ann": 1}) == ["b1", "a2", "b2", "a3"]


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


def test_a_late_worker_neither_doubles_a_picture_nor_ends_anothers_job(queue, tmp_path, monkeypatch):
    monkeypatch.setattr(queue_module, "LEASE", -1.0)
    job = queue.submit("ann", WISH)
    queue.claim("late")
    queue.renew("other")
    queue.claim("other")
    keep(queue, job, 0, "red")
    kept = queue.store.pictures_of([job.id])[job.id]
    files = sorted((tmp_path / "pictures").iterdir())
    keep(queue, job, 0, "blue")
    queue.end(job, "failed", "too late", "late")
    assert queue.store.pictures_of([job.id])[job.id] == kept
    assert sorted((tmp_path / "pictures").iterdir()) == files, "nor leaves files behind"
    assert queue.find("ann", job.id).state == "running"


def test_a_job_that_kills_the_server_each_time_is_given_up(queue, monkeypatch):
    monkeypatch.setattr(queue_module, "LEASE", -1.0)
    job = queue.submit("ann", WISH)
    for _ in range(queue_module.MOST_ATTEMPTS):
        assert queue.claim("w")
        queue.renew("other")
    assert queue.claim("w") is None
    assert queue.find("ann", job.id).state == "failed"


def test_a_job_that_gets_on_each_time_is_not_given_up(queue, monkeypatch):
    monkeypatch.setattr(queue_module, "LEASE", -1.0)
    count = queue_module.MOST_ATTEMPTS + 2
    job = queue.submit("ann", WISH.model_copy(update={"count": count}))
    for number in range(count):
        claimed = queue.claim("w")
        assert claimed and queue.missing(claimed)[0] == number
        keep(queue, claimed, number)
        queue.renew("other")
    assert queue.find("ann", job.id).state == "queued" and queue.missing(job) == []


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


def test_everybodys_waiting_jobs_together_are_bounded(queue, monkeypatch):
    monkeypatch.setattr(queue_module, "MOST_OF_ALL", 3)
    for owner in ("ann", "bob", "cem"):
        queue.submit(owner, WISH)
    with pytest.raises(Busy, match="come back"):
        queue.submit("dan", WISH)
    queue.claim("w")
    assert queue.submit("dan", WISH).state == "queued", "what is being drawn waits no more"


def test_whoever_is_refused_is_told_when_there_will_be_room(queue, monkeypatch):
    monkeypatch.setattr(queue_module, "MOST_WAITING", 2)
    monkeypatch.setattr(queue, "defaults", DEFAULTS)
    jobs = [queue.submit("ann", WISH) for _ in range(2)]
    with pytest.raises(Busy) as unknown:
        queue.submit("ann", WISH)
    assert unknown.value.retry_after == 60, "nothing is known yet"
    for seconds, wanted in ((0.1, 2), (15.0, 30), (10_000.0, 600)):  # a step of the two that the first job takes; the next begins then
        queue.pace = Pace()
        queue.pace.note_step(("", 64, 64, True), 1, seconds)
        if seconds == 0.1:
            assert queue.claim("w").id == jobs[0].id
            jobs.append(queue.submit("ann", WISH))
        queue.wake()
        with pytest.raises(Busy) as told:
            queue.submit("ann", WISH)
        assert told.value.retry_after == pytest.approx(wanted, abs=1)


def test_a_job_given_back_goes_on_in_its_turn_and_that_is_no_failed_attempt(queue):
    job = queue.submit("ann", WISH.model_copy(update={"count": 2}))
    for _ in range(queue_module.MOST_ATTEMPTS + 2):
        claimed = queue.claim("w")
        assert claimed and claimed.id == job.id
        queue.give_back(claimed, "w")
    claimed = queue.claim("w")
    keep(queue, claimed, 0)
    queue.give_back(claimed, "another worker's")
    assert queue.find("ann", job.id).state == "running", "it is not the other's to give"
    bobs = queue.submit("bob", WISH)
    queue.give_back(claimed, "w")
    assert queue.order() == [bobs.id, job.id], "who was served goes behind who was not"
    view = queue.views([queue.find("ann", job.id)], None)[0]
    assert (view.state, bool(view.pictures[0].id), queue.missing(claimed)) == ("queued", True, [1])


def test_a_job_may_be_in_work_through_any_number_of_orderly_restarts(queue, tmp_path):
    job = queue.submit("ann", WISH)
    for restart in range(queue_module.MOST_ATTEMPTS + 2):
        later = open_queue(tmp_path)
        assert later.claim(f"w{restart}").id == job.id
        later.release(f"w{restart}")
    assert queue.claim("w").attempts == 1


def test_of_what_was_cancelled_while_its_last_picture_was_drawn_nothing_stays(queue, tmp_path):
    job = queue.submit("ann", WISH)
    claimed = queue.claim("w")
    queue.cancel("ann", job.id)
    queue.progress(claimed, 0, step=1, steps=2)
    keep(queue, claimed, 0)
    queue.give_back(claimed, "w")
    assert queue._live == {}
    assert list((tmp_path / "pictures").iterdir()) == [] and queue.missing(claimed) == [0]


def test_what_is_cancelled_is_not_given_back(queue):
    job = queue.submit("ann", WISH)
    claimed = queue.claim("w")
    queue.cancel("ann", job.id)
    queue.give_back(claimed, "w")
    assert queue.find("ann", job.id).state == "cancelled" and queue.order() == []


@pytest.mark.parametrize(
    ("running", "begun", "waiting", "back"),
    [
        ("a1 a2 a3 a4", "a1", "b", "a2 a3 a4"),
        ("a1 a2 a3 a4", "a1 a3", "b", "a2 a4"),
        ("a1 a2 a3 a4", "", "b", "a2 a3 a4"),  # each keeps one
        ("a1 a2 a3 a4", "a1", "a", ""),
        ("a1 a2 a3", "a1", "b", ""),  # a slot is free
        ("a1 b1 a2 b2", "a1", "a c", "a2 b2"),
        ("a1 b1 a2 c1", "a1", "a b c", ""),
    ],
)
def test_who_gives_way_to_somebody_who_has_nothing_in_work(running, begun, waiting, back):
    assert overtaken([(id, id[0]) for id in running.split()], set(begun.split()), set(waiting.split()), 4) == back.split()


def test_what_changed_since_a_moment_is_known_to_its_owner_alone(queue):
    events, before = queue.events, queue.events.now
    one, two = queue.submit("ann", WISH), queue.submit("ann", WISH)
    bobs = queue.submit("bob", WISH)
    assert set(events.since("ann", before)) == {one.id, two.id}
    assert events.since("bob", before) == [bobs.id]
    after = events.now
    assert events.since("ann", after) == []
    queue.progress(one, 0, step=1, steps=2)
    assert events.since("ann", after) == [one.id]


@pytest.mark.parametrize(
    "moment", ["", "1", "abc-1", "-", "{run}-", "{run}--1", "{run}-999999", "{run}-1e1", "{run}-" + "9" * 5000, "{run}-\u0663\u0663"]
)
def test_a_moment_that_is_not_known_brings_everything(queue, moment):
    queue.submit("ann", WISH)
    assert queue.events.since("ann", moment.replace("{run}", queue.events.now.split("-")[0])) is None


def test_what_was_forgotten_brings_everything(queue, monkeypatch):
    monkeypatch.setattr(events_module, "REMEMBERED", 2)
    before = queue.events.now
    for name in ("one", "two"):
        queue.events.changed("ann", name)
    assert queue.events.since("ann", before) == ["one", "two"]
    queue.events.changed("bob", "three")
    assert queue.events.since("ann", before) is None
    assert queue.events.since("ann", queue.events.now) == []


def test_a_tab_has_one_listener(queue):
    with queue.events.listen("ann", "tab") as first, queue.events.listen("ann", "other") as other, queue.events.listen("ann", "tab"):
        assert first.wait(60) is None, "it was ended"
        assert other.wait(0) == []
        assert (queue.events.count("ann"), queue.events.count("ann", besides="tab")) == (3, 1)


def test_a_kept_picture_can_be_read_and_carries_its_request(queue):
    queue.submit("ann", WISH.model_copy(update={"count": 2}))
    job = queue.claim("w")
    keep(queue, job, 1)
    picture = queue.store.pictures_of([job.id])[job.id][0]
    assert metadata.read(queue.files.read(f"{picture.id}.png")) == picture.receipt
    assert picture.receipt.request == WISH.model_copy(update={"seed": 6}) == job.plan[1]
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


def test_what_was_planned_is_kept_though_the_wildcards_change(queue, tmp_path):
    wildcard(queue, "colour", "red", "green", "blue")
    job = queue.submit("ann", wish(prompt="a __colour__ cat", count=8))
    drawn = [picture.prompt for picture in job.plan]
    assert len(set(drawn)) > 1 and set(drawn) <= {"a red cat", "a green cat", "a blue cat"}
    wildcard(queue, "colour", "black")
    later = open_queue(tmp_path)
    assert [picture.prompt for picture in later.claim("w").plan] == drawn
    assert [picture.prompt for picture in later.views([job], None)[0].pictures] == drawn
    (queue.library.folder("wildcards") / "colour.txt").unlink()
    assert open_queue(tmp_path).find("ann", job.id).plan == job.plan
    assert {picture.prompt for picture in queue.submit("bob", wish(prompt="a dog", count=3)).plan} == {"a dog"}


def test_styles_are_written_out_in_what_is_planned(queue):
    queue.library.add_style(Style(name="Ink", prompt="{prompt}, in black ink", negative_prompt="colour"))
    job = queue.submit("ann", wish(styles=["ink"], negative_prompt="blurry"))
    queue.library.remove_style("Ink")
    [picture] = queue.find("ann", job.id).plan
    assert (picture.prompt, picture.styles) == ("a cat, in black ink", ())
    assert "blurry" in picture.negative_prompt and "colour" in picture.negative_prompt
    assert job.request.styles == ("ink",), "what was asked for is what the form shows again"


def test_a_matrix_given_back_is_drawn_only_where_it_is_missing(queue, tmp_path, monkeypatch):
    monkeypatch.setattr(queue_module, "LEASE", -1.0)
    queue.submit("ann", wish(prompt="a {red|green|blue} {cat|dog}"))
    job = queue.claim("dead")
    assert [picture.prompt for picture in job.plan][::5] == ["a red cat", "a blue dog"]
    for number in (0, 3, 4):
        keep(queue, job, number)
    later = open_queue(tmp_path)
    later.renew("alive")
    again = later.claim("alive")
    assert again.plan == job.plan and later.missing(again) == [1, 2, 5]
    for number in later.missing(again):
        keep(later, again, number)
    later.end(again, "done", "", "alive")
    view = later.views([later.find("ann", job.id)], None)[0]
    assert len({picture.id for picture in view.pictures}) == 6 and later.missing(again) == []


def test_a_key_sent_again_finds_its_job_though_a_hundred_wait(queue):
    first = queue.submit("ann", WISH, "k")
    for _ in range(queue_module.MOST_WAITING - 1):
        queue.submit("ann", WISH)
    with pytest.raises(Busy):
        queue.submit("ann", WISH, "another")
    assert queue.submit("ann", WISH, "k").id == first.id


def test_one_key_sent_by_many_threads_at_once_is_one_job(queue):
    with ThreadPoolExecutor(12) as pool:
        jobs = list(pool.map(lambda _: queue.submit("ann", WISH.model_copy(update={"seed": None}), "k"), range(24)))
    assert len({(job.id, job.request.seed) for job in jobs}) == 1
    assert len(queue.order()) == 1


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("count", {"prompt": "{a|b|c|d|e|f|g|h} {1|2|3|4|5|6|7|8|9}"}),
        ("count", {"prompt": "\n".join(f"cat {i}" for i in range(9)), "count": 8}),
        ("count", {"x": {"field": "steps", "values": "1-9"}, "y": {"field": "guidance", "values": "1-8"}}),
        ("count", {"prompt": "{a|b}" * 600}),
        ("x", {"x": {"field": "count", "values": "1-9"}}),
        ("x", {"x": {"field": "steps", "values": "10, lots"}}),
        ("y", {"x": {"field": "steps", "values": "1"}, "y": {"field": "steps", "values": "2"}}),
        ("styles", {"styles": ["No Such Style"]}),
        ("prompt", {"prompt": "a __nothing__ cat"}),
    ],
)
def test_what_cannot_be_planned_is_refused_at_its_field_and_not_queued(queue, field, fields):
    with pytest.raises(InvalidRequest) as told:
        queue.submit("ann", wish(**fields))
    assert list(told.value.fields) == [field]
    assert queue.order() == [] and told.value.sentence.endswith(".")


def test_sixty_four_are_taken(queue):
    assert len(queue.submit("ann", wish(prompt="{1|2|3|4} {1|2|3|4}", count=4)).plan) == 64


def test_a_picture_handed_in_opens_to_whoever_handed_it_in(queue, tmp_path):
    name = queue.take_in("ann", b"a picture")
    assert queue.take_in("ann", b"a picture") == name and queue.files.read(name) == b"a picture"
    for fields in ({"image": name}, {"image": name, "mask": name}, {"controls": [{"model": "edges", "image": name}]}):
        later = open_queue(tmp_path)
        assert later.submit("ann", wish(**fields)).request.images() == {name}
        with pytest.raises(InvalidRequest) as told:
            later.submit("bob", wish(**fields))
        assert sorted(told.value.fields) == sorted(fields)
        assert "hand it in" in told.value.sentence
    queue.take_in("bob", b"a picture")
    assert queue.submit("bob", wish(image=name)).state == "queued"


def test_what_a_guest_may_hand_in_has_an_end_and_what_the_host_may_has_none(queue, monkeypatch):
    monkeypatch.setattr(queue_module, "MOST_HANDED_IN", 1000)
    queue.people.note("guest", GUESTS)
    queue.people.note("host", HOST)
    first = queue.take_in("guest", b"a" * 600)
    for size in (401, 10_000):
        with pytest.raises(InvalidRequest, match="ask the host"):
            queue.take_in("guest", b"b" * size)
    queue.take_in("guest", b"b" * 400)
    assert queue.take_in("guest", b"a" * 600) == first, "what they have handed in already takes no more room"
    with pytest.raises(InvalidRequest):
        queue.take_in("guest", b"c")
    assert len(queue.files.system.ls(queue.files.root)) == 2
    for owner in ("host", "somebody at home"):
        queue.take_in(owner, b"d" * 5000)


def test_nothing_is_handed_in_on_a_disk_that_is_nearly_full(queue, monkeypatch):
    mine = queue.take_in("ann", b"mine")
    monkeypatch.setattr(queue_module, "LEAST_FREE", queue.files.free() + 10**12)
    with pytest.raises(InvalidRequest, match="nearly full"):
        queue.take_in("ann", b"another")
    assert queue.take_in("ann", b"mine") == mine


def test_nothing_is_asked_for_or_begun_on_a_disk_that_is_nearly_full(queue, monkeypatch):
    waiting = queue.submit("ann", WISH, "k")
    with monkeypatch.context() as full:
        full.setattr(queue_module, "LEAST_TO_DRAW", queue.files.free() + 10**12)
        with pytest.raises(Busy, match="nearly full"):
            queue.submit("bob", WISH)
        assert queue.submit("ann", WISH, "k").id == waiting.id, "it was asked for before"
        assert queue.claim("w") is None
    assert queue.claim("w").id == waiting.id


def test_of_a_picture_that_could_not_be_written_nothing_stays(queue, tmp_path):
    queue.submit("ann", WISH)
    job = queue.claim("w")
    with queue.store.database.begin() as db:
        db.execute(text("ALTER TABLE pictures RENAME TO elsewhere"))
    with pytest.raises(OperationalError):
        keep(queue, job, 0)
    assert list((tmp_path / "pictures").iterdir()) == []
    with queue.store.database.begin() as db:
        db.execute(text("ALTER TABLE elsewhere RENAME TO pictures"))
    keep(queue, job, 0)
    assert queue.missing(job) == [] and len(list((tmp_path / "pictures").iterdir())) == 2


def test_a_picture_that_nobody_handed_in_is_not_there(queue):
    with pytest.raises(InvalidRequest) as told:
        queue.submit("ann", wish(image="0" * 64))
    assert list(told.value.fields) == ["image"]
    mine = queue.take_in("ann", b"mine")
    with pytest.raises(InvalidRequest) as told:
        queue.submit("ann", wish(image=mine, mask="0" * 64))
    assert list(told.value.fields) == ["mask"]


def test_notes_of_a_finished_picture_are_seen(queue):
    queue.submit("ann", WISH)
    job = queue.claim("w")
    assert queue.views([job], None)[0].pictures[0].notes == ()
    queue.keep(job, 0, Image.new("RGB", (64, 64)), Receipt(request=WISH, model="builtin", notes=("A word was cut.",)))
    assert queue.views([job], None)[0].pictures[0].notes == ("A word was cut.",)
