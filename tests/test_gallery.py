"""The gallery: pages, search, marks, the bin, links; each person's own and nobody else's."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from conftest import eventually
from sqlalchemy import update
from test_queue import open_queue

from webapp.catalogue import Catalogue
from webapp.errors import NotFound
from webapp.jobs.events import Events
from webapp.jobs.files import Files
from webapp.jobs.gallery import UNDO, Gallery
from webapp.jobs.people import DAY
from webapp.jobs.queue import Queue
from webapp.jobs.store import CANCELLED, DONE, FAILED, JOBS, PICTURES, Picture, Store, new_id
from webapp.jobs.workers import LocalWorkers
from webapp.library import Library
from webapp.schema import GenerationRequest, Receipt


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    return Gallery(Store(tmp_path), Files(str(tmp_path / "pictures")))


def draw(gallery: Gallery, owner: str, *prompts: str, end: bool = True) -> list[str]:
    """Pictures of one job, as if drawn; their ids."""
    requests = [GenerationRequest(prompt=prompt, seed=1) for prompt in prompts]
    job = gallery.store.add(owner, requests[0], requests, new_id())
    ids = []
    for number, request in enumerate(requests):
        picture = Picture(new_id(), job.id, number, owner, Receipt(request=request, model="m"), time.time())
        assert gallery.store.keep(picture)
        gallery.files.system.pipe_file(f"{gallery.files.root}/{picture.id}.png", b"png")
        ids.append(picture.id)
    if end:
        gallery.store.end(job.id, DONE)
    return ids


def ids(pictures: Iterable[Picture]) -> list[str]:
    return [picture.id for picture in pictures]


def test_pages_go_back_in_time_without_gaps_or_repeats(gallery: Gallery) -> None:
    made = draw(gallery, "ann", *(f"picture {number}" for number in range(25)))
    draw(gallery, "bob", "a secret")
    seen, after = [], ""
    for size in (10, 10, 5):
        page = gallery.page("ann", after, limit=10)
        assert len(page.pictures) == size
        seen, after = seen + ids(page.pictures), page.next
        draw(gallery, "ann", "one more, made while she looks")
    assert after == ""
    assert sorted(seen) == sorted(made)
    times = [picture.created for picture in gallery.pictures("ann", seen)]
    assert times == sorted(times, reverse=True)
    assert gallery.page("bob", after=made[0]).pictures == []  # another's place is no place


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("cat", 2),
        ("CAT red", 1),
        ("red  blue", 0),
        ("", 3),
        ("100%", 1),
        ("_", 0),
        ("%", 1),
        ("ünï", 1),
        ("' OR 1=1 --", 0),
        ("ávila", 1),
        ("ÁVILA ñ", 1),
        ("STRASSE", 1),
    ],
)
def test_search_finds_each_word_wherever_it_stands(gallery: Gallery, search: str, found: int) -> None:
    draw(gallery, "ann", "a red cat", "a blue Cat, 100% real", "a dog, ünïcode, Ávila, Ñ, straße")
    assert len(gallery.page("ann", search=search).pictures) == found


def test_marks_are_kept_and_found(gallery: Gallery) -> None:
    one, two = draw(gallery, "ann", "one", "two")
    assert gallery.favour("ann", [one], True) == 1
    assert gallery.favour("bob", [two], True) == 0
    assert ids(gallery.page("ann", favourites=True).pictures) == [one]
    assert gallery.favour("ann", [one, two, "nonsense"], False) == 2
    assert gallery.page("ann", favourites=True).pictures == []


def test_what_is_thrown_away_is_gone_and_can_be_brought_back(gallery: Gallery) -> None:
    one, two = draw(gallery, "ann", "one", "two")
    word = gallery.share("ann", one)
    assert gallery.delete("bob", [one]) == 0
    assert gallery.delete("ann", [one]) == 1
    assert ids(gallery.page("ann").pictures) == [two]
    assert gallery.store.picture(one, "ann") is None
    with pytest.raises(NotFound):
        gallery.shared(word)
    assert gallery.thrown("bob", one) == gallery.restore("bob", one) == 0
    assert gallery.thrown("ann", one) == gallery.restore("ann", one) == 1
    assert gallery.files.read(f"{one}.png")
    with pytest.raises(NotFound):  # a link that was out is not given out again by itself
        gallery.shared(word)


def test_what_was_thrown_away_together_comes_back_together(gallery: Gallery) -> None:
    one, two, three, four = draw(gallery, "ann", "one", "two", "three", "four")
    gallery.delete("ann", [one])
    gallery.delete("ann", [two, three])
    gallery.delete("bob", [four])
    assert gallery.thrown("ann", three) == 2
    assert gallery.restore("ann", three) == 2
    assert ids(gallery.page("ann").pictures) == [four, three, two]
    assert gallery.restore("ann", three) == gallery.restore("ann", four) == gallery.restore("ann", "nonsense") == 0


def test_the_neighbours_are_those_that_the_pages_show(gallery: Gallery) -> None:
    made = draw(gallery, "ann", "cat 1", "dog 2", "cat 3", "cat 4")
    draw(gallery, "bob", "a secret cat")
    gallery.delete("ann", [made[2]])
    seen = gallery.pictures("ann", made)
    assert [gallery.neighbours("ann", each) for each in seen] == [(made[1], ""), (made[3], made[0]), ("", made[1])]
    assert gallery.neighbours("ann", seen[0], search="cat") == (made[3], "")
    assert gallery.neighbours("ann", seen[1], search="cat") == (made[3], made[0])
    assert gallery.neighbours("ann", seen[1], favourites=True) == ("", "")


def test_all_goes_through_every_page(gallery: Gallery) -> None:
    made = draw(gallery, "ann", *(f"cat {number}" for number in range(125)), "a dog")
    draw(gallery, "bob", "a secret cat")
    assert ids(gallery.all("ann", "cat")) == made[-2::-1]
    assert gallery.count("ann") == 126 and gallery.count("ann", "cat") == 125 and gallery.count("ann", favourites=True) == 0


def test_after_an_hour_it_is_gone_for_good(gallery: Gallery) -> None:
    one, two = draw(gallery, "ann", "one", "two")
    (three,) = draw(gallery, "ann", "three")
    (unfinished,) = draw(gallery, "ann", "four", end=False)
    jobs = {picture.job for picture in gallery.pictures("ann", [one, three])}
    gallery.delete("ann", [one, three, unfinished])
    with gallery.store.database.begin() as db:
        db.execute(update(PICTURES).where(PICTURES.c.deleted.is_not(None)).values(deleted=time.time() - UNDO - 1))
    assert gallery.thrown("ann", one) == gallery.restore("ann", one) == 0
    assert gallery.purge() == 2
    for id in (one, three):
        with pytest.raises(FileNotFoundError):
            gallery.files.read(f"{id}.png")
    assert gallery.files.read(f"{two}.png") and gallery.files.read(f"{unfinished}.png")
    assert sum(gallery.store.job(job) is not None for job in jobs) == 1  # a job with nothing left to show went with them


def old(gallery: Gallery) -> None:
    """Whatever was thrown away was thrown away more than an hour ago."""
    with gallery.store.database.begin() as db:
        db.execute(update(PICTURES).where(PICTURES.c.deleted > 1000).values(deleted=PICTURES.c.deleted - UNDO - 1))


def test_jobs_that_came_to_nothing_go_after_a_day(gallery: Gallery) -> None:
    ended = {}
    for name, state, age in (("failed", FAILED, DAY), ("cancelled", CANCELLED, DAY), ("fresh", CANCELLED, DAY - 60)):
        job = gallery.store.add(name, GenerationRequest(prompt="x", seed=1), [], new_id())
        gallery.store.end(job.id, state)
        ended[job.id] = age
    draw(gallery, "drawn", "a cat")
    ended |= {gallery.store.jobs_of("drawn", 9)[0].id: DAY}
    gallery.store.add("waiting", GenerationRequest(prompt="x", seed=1), [], new_id())
    with gallery.store.database.begin() as db:
        for id, age in ended.items():
            db.execute(update(JOBS).where(JOBS.c.id == id).values(finished=time.time() - age - 1))
    assert gallery.purge() == 0
    left = {owner for owner in ("failed", "cancelled", "fresh", "drawn", "waiting") if gallery.store.jobs_of(owner, 9)}
    assert left == {"fresh", "drawn", "waiting"}


def test_what_is_gone_for_good_does_not_look_as_if_it_were_still_to_be_drawn(gallery: Gallery, tmp_path: Path) -> None:
    queue = open_queue(tmp_path)
    one, two, three = draw(gallery, "ann", "one", "two", "three")
    (job,) = gallery.store.jobs_of("ann", 9)
    gallery.delete("ann", [one, three])
    for purged in (0, 2, 0):
        assert gallery.purge() == purged
        assert [picture.id for picture in queue.views([job], None)[0].pictures] == [two]
        old(gallery)
    assert [picture.id for picture in gallery.store.pictures_of([job.id])[job.id]] == [two]
    assert gallery.thrown("ann", one) == gallery.restore("ann", one) == 0
    gallery.delete("ann", [two])
    old(gallery)
    assert gallery.purge() == 1
    assert gallery.store.jobs_of("ann", 9) == [] and gallery.store.pictures_of([job.id], gone=True) == {job.id: []}


def test_other_tabs_are_told_of_what_is_thrown_away_and_brought_back(gallery: Gallery, tmp_path: Path) -> None:
    queue = Queue(gallery.store, gallery.files, Events(), Library(tmp_path))
    one, two = draw(gallery, "ann", "one", "two")
    (three,) = draw(gallery, "ann", "three")
    jobs = {job.id for job in gallery.store.jobs_of("ann", 9)}
    with queue.events.listen("ann") as ann, queue.events.listen("bob") as bob:
        assert gallery.delete("ann", [one, two, three]) == 3
        assert set(ann.wait(1)) == jobs
        assert gallery.restore("ann", one) == 3
        assert set(ann.wait(1)) == jobs
        assert gallery.delete("bob", [one]) == 0 and bob.wait(0) == []


def test_the_bin_is_emptied_when_the_server_starts(gallery: Gallery, tmp_path: Path) -> None:
    (one,) = draw(gallery, "ann", "one")
    gallery.delete("ann", [one])
    old(gallery)
    workers = LocalWorkers(open_queue(tmp_path), str(tmp_path / "none"), Catalogue(tmp_path / "library"))
    workers.start()
    eventually(lambda: not gallery.files.system.exists(f"{gallery.files.root}/{one}.png"), 30)
    workers.stop()


def test_a_link_opens_one_picture_until_it_is_withdrawn(gallery: Gallery) -> None:
    one, two = draw(gallery, "ann", "one", "two")
    word = gallery.share("ann", one)
    assert gallery.share("ann", one) == word
    assert gallery.share("ann", two) != word
    assert gallery.shared(word).id == one
    with pytest.raises(NotFound):
        gallery.share("bob", one)
    assert gallery.withdraw("bob", one) == 0
    assert gallery.withdraw("ann", one) == 1
    for nothing in (word, "", "x"):
        with pytest.raises(NotFound):
            gallery.shared(nothing)


def test_ten_thousand_pictures_open_at_once(gallery: Gallery) -> None:
    """The first page of many, and of a search through all, costs about what the first of few does."""
    receipt = Receipt(request=GenerationRequest(prompt="a red cat by the sea", seed=1), model="m").model_dump_json()
    with gallery.store.database.begin() as db:
        job = gallery.store.add("ann", GenerationRequest(prompt="x", seed=1), [], new_id()).id
        rows = [
            {"id": f"p{n:06}", "job": job, "number": n, "owner": "ann", "receipt": receipt, "prompt": f"cat {n}", "created": float(n)}
            for n in range(10_000)
        ]
        db.execute(PICTURES.insert(), rows)
    few = gallery.page("ann", after="p000060")
    assert len(few.pictures) == 60

    def cost(**options: str) -> float:
        start = time.process_time()
        for _ in range(5):
            assert gallery.page("ann", **options).pictures
        return time.process_time() - start

    assert cost() < 5 * cost(after="p000060")
    assert ids(gallery.page("ann", search="cat 4242").pictures) == ["p004242"]
