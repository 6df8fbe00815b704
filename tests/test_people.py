"""The people of a run and their invitations: pictures are counted exactly, names tell nothing, words are kept out."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from webapp.errors import Busy, InvalidRequest
from webapp.jobs import people as people_module
from webapp.jobs.events import Events
from webapp.jobs.files import Files
from webapp.jobs.people import GUESTS, HOST, People, name
from webapp.jobs.queue import Queue
from webapp.jobs.store import Job, Store
from webapp.library import Library
from webapp.schema import GenerationRequest, Receipt


@pytest.fixture
def queue(tmp_path):
    store = Store(tmp_path)
    yield Queue(store, Files(str(tmp_path / "pictures")), Events(), Library(tmp_path / "library"))
    store.close()


def wish(prompt: str = "a castle", **fields: object) -> GenerationRequest:
    return GenerationRequest.read({"prompt": prompt, **fields})


def draw(queue: Queue, job: Job, number: int) -> None:
    queue.keep(job, number, Image.new("RGB", (8, 8)), Receipt(request=job.plan[number], model="none"))


def invited(people: People, quota: int, *guests: str) -> str:
    """The invitation's id, by which these guests came."""
    id = people.invited(token=people.invite("friends", quota, 1)).id
    for guest in guests:
        people.note(guest, id)
    return id


def test_names_are_two_words_always_the_same_and_mostly_different():
    assert name("ann") == name("ann") and len(name("ann").split()) == 2
    assert len({name(str(number)) for number in range(20_000)}) == 900


def test_an_invitation_opens_by_its_token_which_is_kept_nowhere(queue, tmp_path):
    token = queue.people.invite("Grandma", 5, 1)
    assert queue.people.invited(token=token).label == "Grandma" and queue.people.invited(token=token + "x") is None
    assert queue.people.invited(id=queue.people.invites()[0].id).quota == 5
    queue.store.close()
    kept = b"".join(file.read_bytes() for file in tmp_path.glob("pictures.db*"))
    assert b"Grandma" in kept and token.encode() not in kept


@pytest.mark.parametrize(
    ("label", "quota", "days"), [("", 1, 1), ("x" * 81, 1, 1), ("a", 0, 1), ("a", 10_001, 1), ("a", 1, 0), ("a", 1, 366)]
)
def test_an_invitation_that_makes_no_sense_gets_a_sentence(queue, label, quota, days):
    with pytest.raises(InvalidRequest):
        queue.people.invite(label, quota, days)
    assert queue.people.invites() == []


def test_it_ends_on_its_day_or_when_it_is_withdrawn(queue, monkeypatch):
    token = queue.people.invite("a", 5, 1)
    assert queue.people.invited(token=token).ended == ""
    later = time.time() + 86_401
    monkeypatch.setattr(people_module.time, "time", lambda: later)
    assert "ended" in queue.people.invited(token=token).ended
    monkeypatch.undo()
    assert queue.people.revoke(queue.people.invites()[0].id) and "withdrawn" in queue.people.invited(token=token).ended
    assert not queue.people.revoke("nothing")


def test_every_picture_counts_and_what_is_left_is_told(queue):
    invited(queue.people, 5, "ann", "bob")
    queue.submit("ann", wish(count=3))
    with pytest.raises(Busy, match="asks for 3 pictures, and your invitation has 2 left"):
        queue.submit("bob", wish(count=3))
    queue.submit("bob", wish("a star"), "key")
    queue.submit("bob", wish(), "key")  # the same again
    assert queue.people.invites()[0].used == 4
    queue.submit("ann", wish())
    with pytest.raises(Busy, match="All pictures of your invitation are drawn"):
        queue.submit("ann", wish())
    assert (len(queue.store.jobs_of("ann", 9)), len(queue.store.jobs_of("bob", 9))) == (2, 1)


def test_what_is_not_drawn_is_given_back(queue):
    invited(queue.people, 5, "ann")
    waiting = queue.submit("ann", wish(count=5))
    queue.cancel("ann", waiting.id)
    queue.cancel("ann", waiting.id)  # again gives nothing more
    assert queue.people.invites()[0].used == 0
    queue.submit("ann", wish(count=3))
    job = queue.claim("worker")
    draw(queue, job, 1)
    queue.end(job, "failed", "It failed.", "worker")
    assert queue.people.invites()[0].used == 1
    queue.submit("ann", wish(count=4))
    job = queue.claim("worker")
    queue.give_back(job, "worker")
    assert queue.people.invites()[0].used == 5, "it goes on later"
    job = queue.claim("worker")
    for number in range(4):
        draw(queue, job, number)
    queue.end(job, "done", "", "worker")
    assert queue.people.invites()[0].used == 5
    with pytest.raises(Busy, match="All pictures of your invitation are drawn"):
        queue.submit("ann", wish())


def test_what_is_finished_after_it_was_cancelled_is_not_had_for_nothing(queue):
    invited(queue.people, 5, "ann")
    queue.submit("ann", wish(count=2))
    job = queue.claim("worker")
    draw(queue, job, 0)
    queue.cancel("ann", job.id)
    draw(queue, job, 1)
    assert queue.people.invites()[0].used == 1 == len(queue.store.pictures_of([job.id])[job.id])


def test_the_count_is_exact_when_some_are_drawn_while_they_are_cancelled(queue):
    invited(queue.people, 100, "ann")
    for _ in range(20):
        queue.submit("ann", wish(count=3))
    jobs = [queue.claim("worker") for _ in range(20)]
    with ThreadPoolExecutor(8) as crowd:
        for job in jobs:
            crowd.submit(draw, queue, job, 0)
            crowd.submit(queue.cancel, "ann", job.id)
    assert queue.people.invites()[0].used == queue.people.seen()[0].finished


def test_whoever_came_otherwise_spends_nothing(queue):
    invited(queue.people, 1)
    queue.people.note("cleo", GUESTS)
    for person in ("cleo", "nobody"):
        queue.submit(person, wish(count=8))
    assert queue.people.invites()[0].used == 0


def test_the_count_is_exact_when_all_come_at_once(queue):
    guests = [f"guest {number}" for number in range(24)]
    invited(queue.people, 30, *guests)

    def ask(guest: str) -> int:
        try:
            return len(queue.submit(guest, wish(count=4)).plan)
        except Busy:
            return 0

    with ThreadPoolExecutor(12) as crowd:
        drawn = sum(crowd.map(ask, guests))
    assert drawn == queue.people.invites()[0].used == 28  # seven times four; two are left


def test_one_key_pays_once_when_it_is_sent_by_many_threads(queue):
    invited(queue.people, 2, "ann")
    with ThreadPoolExecutor(8) as crowd:
        jobs = list(crowd.map(lambda _: queue.submit("ann", wish(count=2), "key").id, range(8)))
    assert len(set(jobs)) == 1 and queue.people.invites()[0].used == 2


def test_the_hosts_list_counts_and_shows_no_words(queue):
    invited(queue.people, 50, "ann")
    queue.people.note("bob", GUESTS)
    queue.people.note("host", HOST)
    queue.submit("ann", wish("a secret wish", count=3))
    queue.submit("bob", wish(count=2))
    assert queue.claim("worker").owner == "ann"
    ann, bob, host = sorted(queue.people.seen(), key=lambda guest: guest.id)
    assert (ann.label, ann.waiting, ann.drawing) == ("friends", 0, 3) and ann.name == name("ann")
    assert (bob.link, bob.waiting, bob.drawing) == (GUESTS, 2, 0) and (host.link, host.waiting) == (HOST, 0)
    assert queue.people.waiting() == (2, 3)
    assert "secret" not in str(queue.people.seen())


def test_being_here_is_written_down_once_a_minute(queue, monkeypatch):
    now = time.time()
    monkeypatch.setattr(people_module.time, "time", lambda: now)
    queue.people.note("ann", GUESTS)
    for seconds, expected in ((30, now), (59, now), (61, now + 61)):
        monkeypatch.setattr(people_module.time, "time", lambda seconds=seconds: now + seconds)
        queue.people.note("ann", GUESTS)
        assert queue.people.seen()[0].seen == expected
    queue.people.note("ann", HOST)  # another link is, at once
    assert queue.people.seen()[0].link == HOST


# -- words


@pytest.mark.parametrize(
    "prompt",
    [
        "a nude man",
        "NUDE",
        "Núdé, resting",
        "ｎｕｄｅ",
        "n u d e",
        "n-u_d.e",
        "nu\u200bde",
        "(nude:1.3)",
        "[cat:nude:0.5]",
        "a_nude_man",
        "a red car",
        "a RED-CAR",
        "a redcar",
        "a red\n car in town",
        "a Straße",
        "a STRASSE",
    ],
)
def test_blocked_words_are_found_however_they_are_written(queue, prompt):
    queue.people.rules.block("nude\n  Red   Car \n\nstrasse")
    with pytest.raises(InvalidRequest) as error:
        queue.people.rules.check(["a castle", prompt])
    assert set(error.value.fields) == {"prompt"}
    assert not any(word in error.value.sentence.casefold() for word in ("nude", "red", "strasse"))


@pytest.mark.parametrize("prompt", ["denuded hills", "nudes", "a car that is red", "scared carp", "an ude", "a red scar", "rot", ""])
def test_other_words_are_not(queue, prompt):
    queue.people.rules.block("nude\nred car")
    queue.people.rules.check([prompt])


@pytest.mark.parametrize(
    "prompt",
    [
        "n(u:1)de",
        "n(u:1.4)de",
        "n[x:u:0]de",
        "n[x:u:0.5]de",
        "n[x:u:149]de",
        "n[u::1]de",
        "n[o|i|u]de",
        "nu<lora:ink:0.5>de",
        "blue (red:0) cat",
        "blue (red:0.001) cat",
        "blue [red::0] cat",
        "blue BREAK cat",
        "nude <lora:ink:much>",
    ],
)
def test_blocked_words_are_found_as_the_model_reads_them(queue, prompt):
    queue.people.rules.block("nude\nblue cat")
    queue.people.note("ann", GUESTS)
    with pytest.raises(InvalidRequest, match="not drawn here"):
        queue.submit("ann", wish(prompt))


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "n[x:u:25]de", "steps": 25, "sampler": "Heun"},  # asks the model 49 times
        {"prompt": "n[x:u:1]de", "steps": 1, "hires_scale": 1.1, "hires_strength": 1.0, "hires_steps": 150},
        {"prompt": "n[x:[o|e|u|i]:0.9]de", "steps": 2, "hires_scale": 1.1},
    ],
)
def test_blocked_words_are_found_in_whatever_pass_the_model_reads_them(queue, fields):
    queue.people.rules.block("nude")
    queue.people.note("ann", GUESTS)
    with pytest.raises(InvalidRequest, match="not drawn here"):
        queue.submit("ann", GenerationRequest.read(fields))


@pytest.mark.parametrize("prompt", ["blue (red:0.5) cat", "n[x:y:0.5]de", "[blue|red] and a cat", "n (u:0) de", "<lora:nu:1> de"])
def test_other_words_are_not_as_it_reads_them(queue, prompt):
    queue.people.rules.block("nude\nblue cat")
    queue.people.note("ann", GUESTS)
    assert queue.submit("ann", wish(prompt)).state == "queued"


def test_what_would_take_too_long_to_look_through_is_refused_where_words_are_blocked(queue):
    queue.people.note("ann", GUESTS)
    many = "{1|2|3|4|5|6|7|8} " + "[a|b|c]" * 500
    queue.submit("ann", wish(many))
    queue.people.rules.block("nude")
    start = time.process_time()
    with pytest.raises(InvalidRequest, match="fewer square brackets"):
        queue.submit("ann", wish(many))
    assert time.process_time() - start < 1
    with pytest.raises(InvalidRequest, match="fewer square brackets"):
        queue.people.rules.check([f"{number} {'long ' * 700} [a|b|c|d|e|f|g] [a|b|c|d|e] [a|b|c]" for number in range(64)])
    queue.submit("ann", wish("{1|2|3|4|5|6|7|8} {a|b|c|d|e|f|g|h} [a|b] [c:d:0.5], [a (b:1.2) c]"))


def test_signs_alone_block_nothing_and_an_empty_list_neither(queue):
    for words in ("", "\n \n", "...\n***", "(["):
        queue.people.rules.block(words)
        queue.people.rules.check(["anything (at all): ... ***"])
    with pytest.raises(InvalidRequest):
        queue.people.rules.block("x" * 20_001)


def test_words_hold_for_guests_after_styles_and_wildcards_are_written_out(queue, tmp_path):
    library = tmp_path / "library"
    (library / "wildcards").mkdir(parents=True)
    (library / "wildcards" / "thing.txt").write_text("nude\n")
    queue.people.rules.block("nude")
    queue.people.note("ann", GUESTS)
    queue.people.note("host", HOST)
    for fields in (
        {"prompt": "a __thing__"},
        {"prompt": "a {nude|nude}"},
        {"prompt": "a cat", "x": {"field": "prompt_replace", "values": "cat, nude"}},
        {"prompt": "a castle\na nude"},
    ):
        with pytest.raises(InvalidRequest) as error:
            queue.submit("ann", GenerationRequest.read(fields))
        assert set(error.value.fields) == {"prompt"}, fields
        assert queue.submit("host", GenerationRequest.read(fields))
    assert queue.store.jobs_of("ann", 9) == []
    assert queue.submit("ann", wish("a castle", negative_prompt="nude"))


def test_a_refused_prompt_costs_nothing(queue):
    queue.people.rules.block("nude")
    invited(queue.people, 5, "ann")
    with pytest.raises(InvalidRequest):
        queue.submit("ann", wish("a nude"))
    assert queue.people.invites()[0].used == 0


# -- the link, the pause: they last


def test_what_the_host_has_decided_outlives_the_run(tmp_path):
    store = Store(tmp_path)
    rules = People(store).rules
    first = rules.open_with("")
    assert len(first) >= 43 and not rules.paused
    rules.pause(True)
    rules.block("nude")
    second = rules.rotate()
    store.close()
    store = Store(tmp_path)
    later = People(store).rules
    assert later.open_with("") == second != first and later.paused and later.words == "nude"
    with pytest.raises(InvalidRequest):
        later.check(["nude"])
    store.close()


def test_a_token_that_is_given_is_the_links_until_it_is_changed(tmp_path):
    store = Store(tmp_path)
    rules = People(store).rules
    assert rules.open_with("mine") == "mine"
    rotated = rules.rotate()
    assert People(store).rules.open_with("mine") == rotated  # not back to the one that was changed
    assert People(store).rules.open_with("another") == "another"
    assert People(store).rules.open_with("") not in ("another", rotated, "mine")
    store.close()
