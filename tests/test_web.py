"""The pages as a visitor without a browser meets them: forms, addresses, other people's things, and nothing but clear sentences."""

from __future__ import annotations

import io
import json
import re
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import Visitor, eventually
from PIL import Image

from webapp import metadata
from webapp.schema import Receipt

LONG = {"steps": "150", "width": "256", "height": "256"}  # drawing this takes a while


@pytest.fixture
def ann(site) -> Visitor:
    return Visitor(site.address)


def draw(visitor: Visitor, prompt: str, files: dict[str, bytes] | None = None, **form: str) -> dict:
    return visitor.json("/generate", {"prompt": prompt, **form}, files)


def png(visitor: Visitor, picture: dict) -> bytes:
    status, data, _ = visitor.ask(f"/pictures/{picture['id']}.png")
    assert status == 200
    return data


def receipt(visitor: Visitor, picture: dict) -> Receipt:
    return metadata.read(png(visitor, picture))


def test_without_javascript_the_form_leads_to_the_job_and_then_to_the_picture(ann):
    status, page, address = ann.ask("/generate", {"prompt": "a red circle on a blue background", "seed": "3"})
    assert status == 200 and "/jobs/" in address
    path = address.removeprefix(ann.address)
    page = eventually(lambda: b".webp" in (now := ann.ask(path)[1]) and now, 60).decode()
    assert 'http-equiv="refresh"' not in page
    status, data, _ = ann.ask(re.search(r"/pictures/[\w-]+\.png", page)[0])
    assert status == 200
    assert metadata.read(data).request.prompt == "a red circle on a blue background"


def test_while_it_draws_the_jobs_page_looks_again_by_itself(ann):
    job = draw(ann, "the sea", **LONG)["id"]
    assert b'http-equiv="refresh"' in ann.ask(f"/jobs/{job}")[1]
    ann.json(f"/jobs/{job}/cancel", {})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", ""),
        ("prompt", "x" * 10_000),
        ("prompt", "a\0b"),
        ("width", "1e9"),
        ("width", "1000000000"),
        ("steps", "0"),
        ("guidance", "NaN"),
        ("sampler", "Magic"),
        ("seed", "-7"),
        ("count", "100"),
    ],
)
def test_a_wrong_field_is_named_beside_it_and_nothing_is_lost(ann, field, value):
    form = {"prompt": "a lighthouse in a storm", "negative_prompt": "keep <this> too", field: value}
    status, page, _ = ann.ask("/generate", form)
    page = page.decode()
    assert status == 400
    assert re.search(rf'id="error-{field}" data-for="{field}">[^<]+\.</span>', page)
    assert "keep &lt;this&gt; too" in page
    if field != "prompt":
        assert "a lighthouse in a storm</textarea>" in page
    told = ann.json("/generate", form)
    assert told["status"] == 400 and list(told["fields"]) == [field]


@pytest.mark.parametrize(
    "prompt", ["#", "\"quotes\" 'and' `more`", "🦄🌈", "123", "<img src=x onerror=alert(1)></script>", "line\nbreak", "${7*7}{{7*7}}"]
)
def test_any_text_is_drawn_and_shown_as_text(ann, prompt):
    job = draw(ann, prompt, steps="1")
    assert ann.wait_for(job["id"])["prompt"] == prompt
    page = ann.ask("/")[1].decode()
    assert "<img src=x" not in page
    pictures = ann.json(f"/jobs/{job['id']}")["pictures"]
    assert [receipt(ann, picture).request.prompt for picture in pictures] == prompt.split("\n"), "each line is a prompt of its own"


def test_twenty_prompts_from_five_people_at_once_each_get_their_own_seeds_picture(site):
    people = [Visitor(site.address) for _ in range(5)]
    for person in people:
        person.ask("/")  # the first visit gives the browser its identity
    wishes = [(person, f"a {colour} circle", seed) for seed, colour in enumerate(("red", "green", "blue", "yellow")) for person in people]
    with ThreadPoolExecutor(20) as pool:
        jobs = list(pool.map(lambda wish: draw(wish[0], wish[1], seed=str(wish[2]), steps="8")["id"], wishes))
    assert len(set(jobs)) == 20
    drawn: dict[int, list[Image.Image]] = {}
    for (person, prompt, seed), job in zip(wishes, jobs):
        [picture] = person.wait_for(job)["pictures"]
        data = person.ask(f"/pictures/{picture['id']}.png")[1]
        request = metadata.read(data).request
        assert (request.prompt, request.seed) == (prompt, seed) == (request.prompt, picture["seed"])
        drawn.setdefault(seed, []).append(Image.open(io.BytesIO(data)))
    for seed, pictures in drawn.items():
        assert max(_difference(pictures[0], other) for other in pictures) < 3, "one seed, one picture, whoever asks"
        assert all(_difference(pictures[0], others[0]) > 3 for other, others in drawn.items() if other != seed)


def _difference(one: Image.Image, other: Image.Image) -> float:
    """Mean absolute difference of two pictures, 0 to 255."""
    pairs = list(zip(one.tobytes(), other.tobytes()))
    return sum(abs(a - b) for a, b in pairs) / len(pairs)


def test_other_peoples_things_are_not_to_be_found(ann, site):
    job = draw(ann, "a secret garden", steps="1")["id"]
    picture = ann.wait_for(job)["pictures"][0]["id"]
    bob = Visitor(site.address)
    for path in (f"/jobs/{job}", f"/pictures/{picture}.png", f"/pictures/{picture}.webp"):
        assert bob.ask(path)[0] == 404
    assert bob.ask(f"/jobs/{job}/cancel", {})[0] == 404
    assert b"secret garden" not in bob.ask("/")[1] + bob.ask("/jobs", accept="application/json")[1]


def test_ones_own_job_can_be_cancelled_while_it_waits_and_while_it_draws(ann):
    jobs = [draw(ann, "mountains", **LONG)["id"] for _ in range(6)]
    first = ann.wait_for(jobs[0], "running")
    assert first["state"] == "running"
    assert ann.json(f"/jobs/{jobs[5]}")["state"] == "queued"
    for job in reversed(jobs):
        assert ann.json(f"/jobs/{job}/cancel", {})["state"] == "cancelled"
    assert ann.wait_for(draw(ann, "a fish", steps="2")["id"])["pictures"][0]["id"], "the next one works"


def test_the_same_key_draws_once(ann):
    assert draw(ann, "a boat", key="k1", steps="1")["id"] == draw(ann, "a boat", key="k1", steps="1")["id"]


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/jobs/x",
        "/jobs/%00",
        "/pictures/..%2f..%2fcookie.key",
        "/pictures/../jobs.db",
        "/pictures/x.png",
        "/pictures/%00.png",
        "/pictures/x.gif",
        "/static/../pyproject.toml",
    ],
)
def test_there_is_nothing_at_other_addresses(ann, path):
    status, body, _ = ann.ask(path)
    assert status == 404 and b"Traceback" not in body


def test_what_changes_something_is_no_link(ann):
    assert ann.ask("/generate")[0] == 405
    assert ann.ask("/jobs/x/cancel")[0] == 405


@pytest.mark.parametrize("body", [{"prompt": "x" * (2 << 20)}, {f"f{i}": "" for i in range(5000)} | {"prompt": ""}])
def test_a_giant_form_is_refused_in_plain_words(ann, body):
    status, page, _ = ann.ask("/generate", body)
    assert (status in (400, 413) and b"<h1>" in page) or b"data-for" in page


def test_the_stream_tells_every_state_until_the_picture(ann):
    job = draw(ann, "an island", steps="40")["id"]
    told: list[dict] = []
    with ann.open(urllib.request.Request(ann.address + "/events"), timeout=60) as stream:
        for line in stream:
            if line.startswith(b"data: ") and (facts := json.loads(line[6:])).get("id") == job:
                told.append(facts)
                if facts["state"] == "done":
                    break
    steps = [facts["pictures"][0]["step"] for facts in told[:-1]]
    assert steps == sorted(steps) and len(set(steps)) > 3
    assert any(facts["pictures"][0]["preview"].startswith("data:image/webp") for facts in told)
    assert told[-1]["pictures"][0]["id"]
