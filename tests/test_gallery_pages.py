"""The gallery's pages as a browser without scripts, and a script without a browser, meet them."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import statistics
import threading
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed

import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image

from webapp import metadata
from webapp.jobs.store import DONE, PICTURES, Picture, new_id
from webapp.schema import GenerationRequest, Receipt
from webapp.web import prints, sheets
from webapp.web.gallery import MOST, MOST_ZIPPED

Drawn = Callable[..., list[str]]
JSON = {"Accept": "application/json"}


def owner(client: FlaskClient) -> str:
    """Who this browser is, as the server knows it."""
    client.get("/")
    with client.session_transaction() as session:
        return session["person"]


@pytest.fixture
def ann(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def bob(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def drawn(app: Flask) -> Drawn:
    return lambda client, *prompts, **more: draw(app, owner(client), *prompts, **more)


def draw(app: Flask, who: str, *prompts: str, size: tuple[int, int] = (64, 64), **fields: object) -> list[str]:
    """Pictures of one finished request, with their files; their ids, the newest last."""
    house = app.extensions["house"]
    requests = [GenerationRequest(prompt=prompt, width=64, height=64, **{"seed": 7, **fields}) for prompt in prompts]
    job = house.store.add(who, requests[0], requests, new_id())
    ids = []
    for number, request in enumerate(requests):
        receipt = Receipt(request=request, model="m", model_hash="abc123", notes=("A note.",))
        picture = Picture(new_id(), job.id, number, who, receipt, time.time())
        house.files.save(picture.id, metadata.to_png(Image.new("RGB", size, (number * 40 % 256, 90, 60)), receipt))
        house.store.keep(picture)
        ids.append(picture.id)
    house.store.end(job.id, DONE)
    return ids


def shown(page: bytes) -> list[str]:
    return re.findall(r'name="id" value="([\w-]+)" aria-labelledby', page.decode())


def unzipped(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        assert file.testzip() is None
        return {name: file.read(name) for name in file.namelist()}


# -- the gallery


def test_newest_first_in_pages_that_lead_on(ann, drawn):
    made = drawn(ann, *(f"picture {number}" for number in range(130)))
    path, seen = "/gallery", []
    while path:
        page = ann.get(path).data
        seen += shown(page)
        found = re.search(r'id="older" href="([^"]+)"', page.decode())
        path = found and found[1].replace("&amp;", "&")
    assert seen == made[::-1]


def test_search_and_favourites_stay_on_the_way(ann, drawn):
    made = drawn(ann, *(f"{'cat' if number % 2 else 'dog'} & <b> {number}" for number in range(130)))
    page = ann.get("/gallery?q=CAT").data.decode()
    assert "65" in re.search(r'class="count">(\d+)<', page)[1] and 'value="CAT"' in page
    older = re.search(r'id="older" href="([^"]+)"', page)[1].replace("&amp;", "&")
    assert shown(ann.get(older).data) == made[1:11:2][::-1]
    ann.post("/gallery/change", data={"id": made[:3], "do": "favourite"})
    assert shown(ann.get("/gallery?favourites=1").data) == made[:3][::-1]
    assert shown(ann.get("/gallery?favourites=1&q=cat").data) == [made[1]]
    ann.post("/gallery/change", data={"id": made[:3], "do": "unfavourite"})
    assert shown(ann.get("/gallery?favourites=1").data) == []


def test_sizes_are_known_and_prompts_are_only_text(ann, drawn):
    prompt = '"><img src=x onerror=alert(1)></script>'
    (one,) = drawn(ann, prompt)
    for path in ("/gallery", f"/gallery?q={prompt}", f"/pictures/{one}", f"/compare?a={one}&b={one}"):
        page = ann.get(path).data.decode()
        assert "<img src=x" not in page and '</script>"' not in page
    page = ann.get("/gallery").data.decode()
    assert 'width="64" height="64" loading="lazy" decoding="async" alt="&#34;&gt;&lt;img src=x' in page
    word = ann.post(f"/pictures/{one}/share", headers=JSON).get_json()["link"]
    assert "<img src=x" not in ann.get(word).data.decode()


@pytest.mark.parametrize(
    "path", ["/gallery?after=garbage", "/gallery?after=%00", "/gallery?q=%00", "/gallery?q=%25_%5C", "/gallery?undo=x"]
)
def test_odd_addresses_show_a_page(ann, drawn, path):
    drawn(ann, "a cat")
    answer = ann.get(path)
    assert answer.status_code == 200 and b"<main" in answer.data


def test_a_huge_search_is_cut(ann, drawn):
    made = drawn(ann, "a" * 400)
    assert shown(ann.get("/gallery?q=" + "a" * 60_000).data) == []
    assert shown(ann.get("/gallery?q=" + "a%20" * 20_000).data) == made


def test_scripts_get_the_same_as_json(ann, drawn):
    one, two = drawn(ann, "a cat", "a dog")
    told = ann.get("/gallery", headers=JSON).get_json()
    assert [each["id"] for each in told["pictures"]] == [two, one] and told["next"] == ""
    facts = ann.get(f"/pictures/{one}", headers=JSON).get_json()
    assert facts["prompt"] == "a cat" and facts["receipt"]["request"]["seed"] == 7 and facts["newer"] == two and facts["older"] == ""
    assert ["Prompt", "a cat", "a dog"] in ann.get(f"/compare?a={one}&b={two}", headers=JSON).get_json()["differences"]


@pytest.mark.alone
def test_ten_thousand_pictures_open_in_150_ms(app, ann, drawn):
    many(app, owner(ann), 10_000)
    medians = {}
    for path in ("/gallery", "/gallery?q=lighthouse%204242", "/gallery?after=p005000"):
        assert len(shown(ann.get(path).data)) == (1 if "q=" in path else 60)
        took = []
        for _ in range(7):
            start = time.perf_counter()
            ann.get(path)
            took.append(time.perf_counter() - start)
        medians[path] = statistics.median(took)
    print({path: f"{1000 * seconds:.0f} ms" for path, seconds in medians.items()})
    assert max(medians.values()) < 0.150


def many(app: Flask, who: str, number: int) -> None:
    """So many pictures of one person, all with the files of one."""
    house = app.extensions["house"]
    (model,) = draw(app, who, "a lighthouse", size=(512, 512))
    kept = house.store.picture(model, who)
    rows = [
        {"id": f"p{n:06}", "job": kept.job, "number": n + 1, "owner": who, "prompt": f"a lighthouse {n}", "created": float(n)}
        for n in range(number)
    ]
    for row in rows:
        request = kept.receipt.request.model_copy(update={"prompt": row["prompt"]})
        scheduler = {f"setting_{each}": each / 7 for each in range(30)}  # as many as a real one has
        row["receipt"] = kept.receipt.model_copy(update={"request": request, "scheduler": scheduler}).model_dump_json()
    with house.store.database.begin() as db:
        db.execute(PICTURES.insert(), rows)
    for row in rows:
        for kind in ("png", "webp"):
            os.link(f"{house.files.root}/{model}.{kind}", f"{house.files.root}/{row['id']}.{kind}")


# -- changing


def test_without_scripts_delete_leads_back_and_can_be_undone(ann, drawn):
    made = drawn(ann, "one cat", "two cats", "three dogs")
    answer = ann.post("/gallery/change", data={"id": made[:2], "do": "delete", "q": "cat"})
    assert answer.status_code == 303 and "q=cat" in answer.location
    page = ann.get(answer.location).data.decode()
    assert "2 pictures were deleted." in page and shown(page.encode()) == []
    undo = re.search(r'name="id" value="([\w-]+)">', page)[1]
    answer = ann.post("/gallery/change", data={"id": undo, "do": "restore", "q": "cat"})
    assert shown(ann.get(answer.location).data) == made[1::-1]
    assert ann.post("/gallery/change", data={"id": undo, "do": "restore"}).status_code == 404  # nothing is left to undo


def test_scripts_delete_and_undo(ann, drawn):
    made = drawn(ann, "one", "two", "three")
    ann.post("/gallery/change", data={"id": made[2], "do": "delete"}, headers=JSON)
    told = ann.post("/gallery/change", data={"id": made[:2], "do": "delete"}, headers=JSON).get_json()
    assert told["changed"] == 2
    assert ann.get("/gallery", headers=JSON).get_json()["pictures"] == []
    assert ann.post("/gallery/change", data={"id": told["undo"], "do": "restore"}, headers=JSON).get_json()["changed"] == 2
    assert [each["id"] for each in ann.get("/gallery", headers=JSON).get_json()["pictures"]] == made[1::-1]


@pytest.mark.parametrize(
    ("path", "form", "words"),
    [
        ("/gallery/change", {"do": "delete"}, "choose a picture"),
        ("/gallery/change", {"id": "x", "do": "explode"}, "say what to do"),
        ("/gallery/change", {"id": "x"}, "say what to do"),
        ("/gallery/change", {"id": ["x"] * (MOST + 1), "do": "delete"}, "At most 10,000"),
        ("/gallery/zip", {}, "choose a picture"),
        ("/gallery/zip", {"id": ["x"] * (MOST + 1)}, "At most 10,000"),
    ],
)
def test_what_makes_no_sense_gets_a_sentence(ann, path, form, words):
    answer = ann.post(path, data=form, headers=JSON)
    assert answer.status_code == 400 and words in answer.get_json()["error"]


@pytest.mark.parametrize("query", ["", "?a=x", "?id=x", "?id=x&id=y&id=z", "?a=x&b=y&id=z"])
def test_comparing_takes_two(ann, query):
    answer = ann.get(f"/compare{query}")
    assert answer.status_code == 400 and b"choose two" in answer.data


def test_ten_thousand_are_changed_at_once(app, ann, drawn):
    many(app, owner(ann), MOST)
    ids = [f"p{n:06}" for n in range(MOST)]
    for do in ("favourite", "delete"):
        assert ann.post("/gallery/change", data={"id": ids, "do": do}, headers=JSON).get_json()["changed"] == MOST
    assert ann.post("/gallery/change", data={"id": ids[5], "do": "restore"}, headers=JSON).get_json()["changed"] == MOST
    answer = ann.post("/gallery/zip", data={"id": ids}, headers=JSON)
    assert answer.status_code == 400 and f"{MOST_ZIPPED:,}" in answer.get_json()["error"]
    assert ann.post("/gallery/zip", data={"all": "1"}).status_code == 400


# -- one picture


def test_its_page_tells_how_it_was_made_and_leads_on(ann, drawn):
    one, two, three = drawn(ann, "a cat", "a blue cat", "a dog", negative_prompt="snow", steps=12, guidance=5.0, sampler="euler")
    page = ann.get(f"/pictures/{two}").data.decode()
    for words in ("a blue cat", "snow", "7", "64 × 64", "12", "5", "Euler", "A note.", "abc123"):
        assert words in page
    assert f'rel="prev" href="/pictures/{three}"' in page and f'rel="next" href="/pictures/{one}"' in page
    for address in (f"like={two}", f"start={two}", f"start={two}#mask", f"bigger={two}", f"settings={two}"):
        assert f'href="/?{address}"' in page
    assert page.count('class="strip"') == 1 and page.count("Number ") == 3
    page = ann.get(f"/pictures/{two}?q=cat").data.decode()
    assert 'rel="prev"' not in page and f'href="/pictures/{one}?q=cat"' in page and 'rel="up" href="/gallery?q=cat"' in page


def test_marking_stays_on_its_page_and_deleting_leads_to_the_gallery(ann, drawn):
    one, _ = drawn(ann, "a cat", "a dog")
    answer = ann.post("/gallery/change", data={"id": one, "back": one, "do": "favourite"})
    assert answer.location == f"/pictures/{one}" and 'value="unfavourite"' in ann.get(answer.location).data.decode()
    answer = ann.post("/gallery/change", data={"id": one, "do": "delete"})
    assert answer.location == f"/gallery?undo={one}"
    assert ann.get(f"/pictures/{one}").status_code == 404
    for back in ("//evil.example", "https://evil.example", "x"):
        assert ann.post("/gallery/change", data={"id": one, "back": back, "do": "restore"}).location == "/gallery"
        ann.post("/gallery/change", data={"id": one, "do": "delete"})


def test_files_are_kept_for_ever_and_named_after_the_prompt(ann, drawn):
    (one,) = drawn(ann, "Ein Kätzchen; on/the  moon..", size=(600, 64))
    for path in (".png", ".png?plain=1", ".webp", ".webp?full=1"):
        answer = ann.get(f"/pictures/{one}{path}")
        assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"
        kind = "image/png" if "png" in path else "image/webp"
        assert answer.mimetype == kind == Image.open(io.BytesIO(answer.data)).get_format_mimetype()
    assert Image.open(io.BytesIO(ann.get(f"/pictures/{one}.webp?full=1").data)).size == (600, 64)
    assert metadata.read(ann.get(f"/pictures/{one}.png").data).request.prompt.startswith("Ein")
    assert metadata.read(ann.get(f"/pictures/{one}.png?plain=1").data) is None
    saved = ann.get(f"/pictures/{one}.png?download=1").headers["Content-Disposition"]
    assert saved.startswith("attachment") and "filename*=UTF-8''ein-k%C3%A4tzchen-on-the-moon-7.png" in saved
    (two,) = drawn(ann, "鸟 на море 🦄")
    saved = ann.get(f"/pictures/{two}.png").headers["Content-Disposition"]
    assert saved.startswith("inline") and saved.isascii() and "%E9%B8%9F-%D0%BD%D0%B0-" in saved


def test_what_it_was_started_from_is_shown_by_its_own_id_alone(app, ann, bob, drawn):
    out = io.BytesIO()
    Image.new("RGB", (300, 100), "red").save(out, "PNG")
    name = app.extensions["house"].queue.take_in(owner(ann), out.getvalue())
    one, two = *drawn(ann, "a house", image=name), *drawn(ann, "grown", image=name, outpaint_left=64)
    plain, theirs = *drawn(ann, "no start"), *drawn(bob, "another's file", image=name)
    page = ann.get(f"/pictures/{one}").data.decode()
    assert "Before and after" in page and name not in page
    assert Image.open(io.BytesIO(ann.get(f"/pictures/{one}/before.webp").data)).size == (64, 64)  # as the drawing began with it
    assert Image.open(io.BytesIO(ann.get(f"/pictures/{two}/before.webp").data)).size == (128, 64)
    for client, id in ((ann, plain), (bob, theirs), (bob, one)):
        assert client.get(f"/pictures/{id}/before.webp").status_code == 404
    assert b"Before and after" not in bob.get(f"/pictures/{theirs}").data


def test_comparing_tells_what_differs(ann, drawn):
    one, two = *drawn(ann, "a cat", steps=10), *drawn(ann, "a cat", steps=20, negative_prompt="snow")
    page = ann.get(f"/compare?a={one}&b={two}").data.decode()
    told = re.findall(r'<th scope="row">(.*?)</th><td>(.*?)</td><td>(.*?)</td>', page)
    assert sorted(told) == [("Left out", "–", "snow"), ("Steps", "10", "20")]
    assert b"Nothing: both" in ann.get(f"/compare?id={one}&id={one}").data


# -- zip


def test_a_zip_of_some_with_and_without_settings(ann, drawn):
    made = drawn(ann, "A Cat / on: the <moon>", "a cat on the moon", "../../etc/passwd", "???", "x" * 3000)
    files = unzipped(ann.post("/gallery/zip", data={"id": made}).data)
    assert list(files) == [
        "a-cat-on-the-moon-7.png",
        "a-cat-on-the-moon-7 (2).png",
        "etc-passwd-7.png",
        "picture-7.png",
        "x" * 60 + "-7.png",
    ]
    assert [metadata.read(data).request.prompt for data in files.values()][2] == "../../etc/passwd"
    plain = unzipped(ann.post("/gallery/zip", data={"id": made, "plain": "1"}).data)
    assert all(metadata.read(data) is None for data in plain.values()) and len(plain) == 5


def test_a_zip_of_all_goes_by_the_search_and_leaves_out_what_is_gone(app, ann, drawn):
    made = drawn(ann, *(f"cat {n}" for n in range(70)), "a dog")
    app.extensions["house"].files.remove(made[3])
    assert len(unzipped(ann.post("/gallery/zip", data={"all": "1", "q": "cat"}).data)) == 69
    assert len(unzipped(ann.post("/gallery/zip", data={"all": "1"}).data)) == 70
    assert ann.post("/gallery/zip", data={"all": "1", "q": "zebra"}).status_code == 404


def test_a_zip_is_sent_while_it_is_made(app, ann, drawn):
    drawn(ann, *(f"cat {n}" for n in range(5)))
    answer = ann.post("/gallery/zip", data={"all": "1"}, buffered=False)
    assert "Content-Length" not in answer.headers
    parts = list(answer.response)
    assert len(parts) == 6 and max(map(len, parts)) < sum(map(len, parts)) / 3


# -- links for others


def test_a_link_shows_one_picture_to_strangers_until_it_is_withdrawn(app, ann, drawn):
    one, two = drawn(ann, "a shared cat", "a private dog", negative_prompt="my secret words")
    answer = ann.post(f"/pictures/{one}/share")
    assert answer.status_code == 303
    path = re.search(r"/shared/[\w-]+", ann.get(answer.location.split("#")[0]).data.decode())[0]
    stranger = app.test_client()
    answer = stranger.get(path)
    page = answer.data.decode()
    assert "a shared cat" in page and "secret" not in page and one not in page and "<nav" not in page
    assert answer.headers["X-Robots-Tag"] == "noindex" and 'content="noindex"' in page
    for kind in ("png", "webp", "webp?full=1"):
        answer = stranger.get(f"{path}.{kind}")
        assert answer.status_code == 200 and answer.headers["Cache-Control"] == "no-store"
        assert metadata.read(answer.data) is None and b"secret" not in answer.data
    assert stranger.get(f"/pictures/{one}").status_code == stranger.get(f"/pictures/{two}.png").status_code == 404
    ann.post(f"/pictures/{one}/withdraw")
    for ending in ("", ".png", ".webp"):
        assert stranger.get(path + ending).status_code == 404
    again = ann.post(f"/pictures/{one}/share", headers=JSON).get_json()["link"]
    assert again != path and stranger.get(again).status_code == 200


def test_a_posted_link_is_made_once_and_too_many_at_once_are_told(app, drawn, ann, monkeypatch):
    """A picture at full size takes seconds of the one thread that makes them: here it waits as long as the test wants."""
    ids = drawn(ann, *"abcdefghijkl", size=(600, 64))
    words = [ann.post(f"/pictures/{id}/share", headers=JSON).get_json()["link"] for id in ids]
    made, plain = [], prints._full
    monkeypatch.setattr(prints, "_full", lambda png: made.append(png) or plain(png))
    stranger = app.test_client()
    answers = [stranger.get(f"{words[0]}.webp?full=1") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3 and len({answer.data for answer in answers}) == len(made) == 1
    held = threading.Event()
    prints._printing.thread.submit(held.wait)
    with ThreadPoolExecutor(len(words)) as crowd:
        asked = [crowd.submit(lambda word=word: app.test_client().get(f"{word}.webp?full=1")) for word in words[1:]]
        for busy in itertools.islice(as_completed(asked, timeout=20), 2):
            assert busy.result().status_code == 429 and int(busy.result().headers["Retry-After"]) >= 1
        assert stranger.get(f"{words[0]}.webp?full=1").status_code == 200, "what is there already waits for nobody"
        held.set()
    assert sorted(each.result().status_code for each in asked) == [200] * 9 + [429] * 2
    ann.post(f"/pictures/{ids[0]}/withdraw")
    assert stranger.get(f"{words[0]}.webp?full=1").status_code == 404


def test_a_shared_file_is_named_after_its_prompt_alone(app, ann, drawn):
    (one,) = drawn(ann, "a cat", seed=424242)
    word = ann.post(f"/pictures/{one}/share", headers=JSON).get_json()["link"]
    saved = app.test_client().get(f"{word}.png?download=1")
    assert saved.headers["Content-Disposition"] == "attachment; filename=a-cat.png" and "424242" not in str(saved.headers)
    assert "a-cat-424242.png" in ann.get(f"/pictures/{one}.png?download=1").headers["Content-Disposition"]


def test_what_was_deleted_is_nowhere_on_its_jobs_page(app, ann, drawn):
    one, two = drawn(ann, "a cat", "a dog")
    job = app.extensions["house"].queue.picture(owner(ann), one).job
    assert f"start={one}" in ann.get(f"/jobs/{job}").text
    ann.post("/gallery/change", data={"id": one, "do": "delete"})
    page = ann.get(f"/jobs/{job}").text
    assert one not in page and f"start={two}" in page and f"like={two}" in page
    ann.post("/gallery/change", data={"id": two, "do": "delete"})
    page = ann.get(f"/jobs/{job}").text
    assert two not in page and "start=" not in page and f"again={job}" in page


def test_what_one_does_next_with_a_picture_is_done_by_the_model_that_drew_it(app, ann, drawn):
    house = app.extensions["house"]
    (one,) = drawn(ann, "a cat")  # by the model that was loaded then, which the request does not name
    for way in ("settings", "bigger", "like"):
        assert "It was drawn by m, which is not among the models here." in ann.get(f"/?{way}={one}").text
    house.catalogue.add("m", "somebody/a-model")
    for way in ("settings", "bigger", "like"):
        page = ann.get(f"/?{way}={one}").text
        assert "<option selected>m</option>" in page and "which is not among" not in page


def test_a_sheet_is_made_again_when_there_is_more_on_it_and_for_few_at_once(app, ann, drawn):
    grid = GenerationRequest(prompt="a", seed=1, width=64, height=64, steps=2, x={"field": "steps", "values": ("1", "2")})
    house, who = app.extensions["house"], owner(ann)
    job = house.queue.submit(who, grid)
    house.store.claim(job.id, "w", 100)
    first = ann.get(f"/jobs/{job.id}/sheet-1.png")
    known = {"If-None-Match": first.headers["ETag"]}
    again = ann.get(f"/jobs/{job.id}/sheet-1.png", headers=known)
    assert first.status_code == 200 and (again.status_code, again.data) == (304, b"") and "no-cache" in again.headers["Cache-Control"]
    house.queue.keep(job, 0, Image.new("RGB", (64, 64)), Receipt(request=job.plan[0], model="m"))
    assert ann.get(f"/jobs/{job.id}/sheet-1.png", headers=known).status_code == 200
    held, name, cookie = threading.Event(), app.config["SESSION_COOKIE_NAME"], ann.get_cookie(app.config["SESSION_COOKIE_NAME"]).value
    sheets._composing.thread.submit(held.wait)

    def look() -> int:
        client = app.test_client()
        client.set_cookie(name, cookie)
        return client.get(f"/jobs/{job.id}/sheet-1.png").status_code

    with ThreadPoolExecutor(11) as crowd:
        asked = [crowd.submit(look) for _ in range(11)]
        assert [each.result() for each in itertools.islice(as_completed(asked, timeout=20), 2)] == [429] * 2
        held.set()
    assert sorted(each.result() for each in asked) == [200] * 9 + [429] * 2


def test_a_deleted_picture_is_not_on_its_sheet(app, ann):
    grid = GenerationRequest(prompt="a", seed=1, width=64, height=64, steps=2, x={"field": "steps", "values": ("1", "2")})
    house, who = app.extensions["house"], owner(ann)
    job = house.queue.submit(who, grid)
    house.store.claim(job.id, "w", 100)
    for number, each in enumerate(job.plan):
        house.queue.keep(job, number, Image.new("RGB", (64, 64), ("#ff0000", "#00ff00")[number]), Receipt(request=each, model="m"))
    house.queue.end(job, DONE, "", "w")
    kept = [picture.id for picture in house.store.pictures_of([job.id])[job.id]]

    def colours() -> set:
        return {
            colour for _, colour in Image.open(io.BytesIO(ann.get(f"/jobs/{job.id}/sheet-1.png").data)).convert("RGB").getcolors(1 << 20)
        }

    assert {(255, 0, 0), (0, 255, 0)} <= colours()
    ann.post("/gallery/change", data={"id": kept[0], "do": "delete"})
    assert (255, 0, 0) not in colours() and (0, 255, 0) in colours()


def test_a_table_from_which_all_is_deleted_is_an_empty_one(app, ann, drawn):
    one, two = drawn(ann, "a cat", "a dog")
    hint, examples = '<section class="empty" id="empty">', "Drawn by the built-in model"
    page = ann.get("/").text
    assert hint not in page and examples not in page
    ann.post("/gallery/change", data={"id": [one, two], "do": "delete"})
    page = ann.get("/").text
    assert hint in page and examples in page


def test_links_for_others_bear_the_public_address(app, ann, drawn):
    (one,) = drawn(ann, "a cat")
    path = ann.post(f"/pictures/{one}/share", headers=JSON).get_json()["link"]
    for public, address in (("", "http://localhost"), ("https://cats.example", "https://cats.example")):
        app.config["PUBLIC_URL"] = public
        page = ann.get(f"/pictures/{one}").text
        assert f'value="{address}{path}"' in page and ("data-public" in page) == bool(public)
        assert ann.get(f"/pictures/{one}", headers=JSON).get_json()["link"] == address + path


def test_other_peoples_pictures_are_not_there(app, ann, bob, drawn):
    """Every route of these pages that takes an id, on every verb."""
    (one,), (mine,) = drawn(ann, "a cat"), drawn(bob, "a dog")
    word = ann.post(f"/pictures/{one}/share", headers=JSON).get_json()["link"]
    tried = 0
    for rule in app.url_map.iter_rules():
        if not rule.endpoint.startswith("gallery.") or "<id>" not in rule.rule:
            continue
        for kind in ("png", "webp"):
            path = rule.rule.replace("<id>", one).replace("<any(png,webp):kind>", kind)
            for method in rule.methods - {"OPTIONS"}:
                assert bob.open(path, method=method).status_code == 404, (method, path)
                tried += 1
    assert tried >= 12
    for do in ("favourite", "unfavourite", "delete", "restore"):
        assert bob.post("/gallery/change", data={"id": one, "do": do}).status_code == 404
        ann.post("/gallery/change", data={"id": one, "do": "delete"}) if do == "delete" else None
    ann.post("/gallery/change", data={"id": one, "do": "restore"})
    assert bob.post("/gallery/zip", data={"id": one}).status_code == 404
    assert list(unzipped(bob.post("/gallery/zip", data={"id": [one, mine]}).data)) == ["a-dog-7.png"]
    for pair in ((one, mine), (mine, one), (one, one)):
        assert bob.get(f"/compare?a={pair[0]}&b={pair[1]}").status_code == 404
    assert shown(bob.get(f"/gallery?after={one}").data) == []
    assert bob.get(f"/gallery?undo={one}").data.count(b"deleted") == 0
    assert ann.get(f"/pictures/{one}", headers=JSON).get_json()["favourite"] is False
    assert json.loads(ann.get("/gallery", headers=JSON).data)["pictures"][0]["id"] == one
    assert ann.get(word).status_code == 404  # deleting it ended its link


def test_changes_are_by_post_alone(ann, drawn):
    (one,) = drawn(ann, "a cat")
    for path in ("/gallery/change", "/gallery/zip", f"/pictures/{one}/share", f"/pictures/{one}/withdraw"):
        assert ann.get(path).status_code == 405
