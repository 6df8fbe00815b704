"""The pages as a visitor without a browser meets them: forms, addresses, other people's things, and nothing but clear sentences."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
import tiny
from conftest import NATIVE, ROOT, Visitor, eventually
from PIL import Image

from webapp import metadata
from webapp.library import Library, Style
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
    over = lambda page: b".webp" in page and b'http-equiv="refresh"' not in page  # noqa: E731  # it stops looking again by itself
    page = eventually(lambda: over(now := ann.ask(path)[1]) and now, 60).decode()
    status, data, _ = ann.ask(re.search(r"/pictures/[\w-]+\.png", page)[0])
    assert status == 200
    assert metadata.read(data).request.prompt == "a red circle on a blue background"


def test_while_it_draws_the_jobs_page_looks_again_by_itself(ann):
    job = draw(ann, "the sea", **LONG)["id"]
    assert b'<noscript><meta http-equiv="refresh" content="5"></noscript>' in ann.ask(f"/jobs/{job}")[1]
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
    job = draw(ann, "an island", steps="60", width="192", height="192")["id"]
    told: list[dict] = []
    with ann.open(urllib.request.Request(ann.address + "/events"), timeout=60) as stream:
        for line in stream:
            if line.startswith(b"data: ") and (facts := json.loads(line[6:])).get("id") == job:
                told.append(facts)
                if facts.get("state") == "done":
                    break
    assert told[0]["prompt"] == "an island" and "prompt" not in told[1], "all of it first, then what is new"
    news = [picture for facts in told for picture in facts.get("pictures", ())]
    steps = [picture["step"] for picture in news if picture.get("step")]
    assert steps == sorted(steps) and len(set(steps)) > 3
    assert any(picture.get("preview", "").startswith("data:image/webp") for picture in news)
    assert any(picture.get("id") for picture in news)


# -- several pictures of one request


def test_a_grid_is_drawn_and_laid_on_a_sheet_for_its_owner_alone(ann, site):
    form = {"x_field": "steps", "x_values": "1-3", "y_field": "guidance", "y_values": "1, 2.5", "seed": "4"}
    told = draw(ann, "a red circle", **form)
    assert len(told["pictures"]) == 6
    view = ann.wait_for(told["id"])
    made = [receipt(ann, picture).request for picture in view["pictures"]]
    assert [(each.guidance, each.steps) for each in made] == [(1, 1), (1, 2), (1, 3), (2.5, 1), (2.5, 2), (2.5, 3)]
    assert {each.seed for each in made} == {4}
    page = ann.ask(f"/jobs/{told['id']}")[1].decode()
    path = f"/jobs/{told['id']}/sheet-1.png"
    assert path in page and "sheet-2.png" not in page
    status, data, _ = ann.ask(path)
    on_sheet = Image.open(io.BytesIO(data))
    assert status == 200 and on_sheet.width > 3 * NATIVE and on_sheet.height > 2 * NATIVE
    one = Image.open(io.BytesIO(png(ann, view["pictures"][5]))).convert("RGB").tobytes()
    boxes = (
        (x, y)
        for x in range(on_sheet.width - NATIVE, on_sheet.width - NATIVE - 32, -1)
        for y in range(on_sheet.height - NATIVE, on_sheet.height - NATIVE - 32, -1)
    )
    assert any(on_sheet.crop((x, y, x + NATIVE, y + NATIVE)).tobytes() == one for x, y in boxes), "the last picture lies in the last corner"
    for number in ("0", "2", "99", "9" * 30, "-1", "x"):
        assert ann.ask(f"/jobs/{told['id']}/sheet-{number}.png")[0] == 404
    assert Visitor(site.address).ask(path)[0] == 404
    assert b"sheet-1" not in ann.ask(f"/jobs/{draw(ann, 'no grid', steps='1', count='2')['id']}")[1]


def test_a_sheet_shows_what_is_there_so_far(ann):
    told = draw(ann, "a red circle", x_field="steps", x_values="1, 150", width="256", height="256")
    first = eventually(lambda: (view := ann.json(f"/jobs/{told['id']}"))["pictures"][0]["id"] and view, 120)
    status, data, _ = ann.ask(f"/jobs/{told['id']}/sheet-1.png")
    half = Image.open(io.BytesIO(data))
    assert status == 200 and half.width > 512
    ann.json(f"/jobs/{told['id']}/cancel", {})
    if not first["pictures"][1]["id"]:
        assert half.crop((half.width - 200, half.height - 200, half.width - 20, half.height - 20)).getcolors(4), "an empty cell, no picture"
    assert "sheet-1.png" in ann.ask(f"/jobs/{told['id']}")[1].decode(), "nor is it lost when the rest is cancelled"


def test_a_grid_is_still_shown_when_a_style_of_it_is_gone(app):
    library = app.extensions["house"].library
    library.add_style(Style(name="Ink", prompt="{prompt}, in ink"))
    client = app.test_client()
    answer = client.post("/generate", data={"prompt": "a", "x_field": "styles", "x_values": "Ink, Photograph"})
    assert answer.status_code == 303
    assert client.get(answer.location + "/sheet-1.png").status_code == 200
    library.remove_style("Ink")
    assert client.get(answer.location).status_code == 200
    assert client.get(answer.location + "/sheet-1.png").status_code == 404


@pytest.mark.parametrize(
    ("form", "field", "word"),
    [
        ({"x_field": "steps", "x_values": "1-65"}, "x", "64"),
        ({"x_field": "steps", "x_values": "1-9", "y_field": "seed", "y_values": "1-9"}, "count", "81"),
        ({"x_field": "steps", "x_values": ""}, "x", "missing"),
        ({"x_field": "steps", "x_values": "ten"}, "x", "ten"),
        ({"y_field": "cookie", "y_values": "1"}, "y", "cookie"),
        ({"prompt": "{a|b|c|d|e|f|g|h|i} {a|b|c|d|e|f|g|h}"}, "count", "72"),
        ({"prompt": "\n".join("abcdefghi"), "count": "8"}, "count", "72"),
        ({"styles": "No Such Style"}, "styles", "No Such Style"),
        ({"sampler": "DDIM", "schedule": "karras"}, "schedule", "DDIM"),
        ({"prompt": "__nothing__"}, "prompt", "nothing"),
    ],
)
def test_what_cannot_be_planned_is_told_at_its_field(app, form, field, word):
    client = app.test_client()
    answer = client.post("/generate", data={"prompt": "a cat", **form})
    page = answer.get_data(as_text=True)
    assert answer.status_code == 400
    assert word in re.search(rf'data-for="{field}">([^<]+\.)</span>', page)[1]
    for name, value in form.items():
        assert value in page or name == "styles", "what was typed is still there"
    assert client.get("/jobs").get_json()["jobs"] == []


def test_a_list_of_prompts_shows_each_with_its_own_words(ann):
    job = draw(ann, "a red circle\n{a blue|a green} square", steps="1")
    view = ann.wait_for(job["id"])
    prompts = ["a red circle", "a blue square", "a green square"]
    assert [picture["prompt"] for picture in view["pictures"]] == prompts
    page = ann.ask(f"/jobs/{job['id']}")[1].decode()
    link = f'<p class="prompt"><a href="/jobs/{job["id"]}">'
    assert all(f"{link}{prompt}</a></p>" in page and f'alt="{prompt}"' in page for prompt in prompts)


def test_what_the_owner_should_know_stands_under_the_picture(ann):
    job = draw(ann, "a red zyzzyva on a hill", steps="1")["id"]
    [picture] = ann.wait_for(job)["pictures"]
    assert picture["notes"] == ["This model does not know the word: zyzzyva."]
    for path in (f"/jobs/{job}", "/"):
        assert '<p class="notes">This model does not know the word: zyzzyva.</p>' in ann.ask(path)[1].decode()
    [other] = ann.wait_for(draw(ann, "a red circle", steps="1")["id"])["pictures"]
    assert other["notes"] == []


def test_use_these_settings_brings_every_field_back(ann):
    style = next(iter(Library().styles))
    form = {
        "negative_prompt": "fog", "styles": style, "seed": "9", "steps": "2", "guidance": "3", "sampler": "Euler", "schedule": "karras",
        "x_field": "prompt_replace", "x_values": '"a, b", c', "y_field": "steps", "y_values": "1, 2", "hires_scale": "1.5", "subseed_strength": "0.5",
    }  # fmt: skip
    told = draw(ann, "a, b & <c>", **form)
    ann.json(f"/jobs/{told['id']}/cancel", {})
    page = ann.ask(f"/?again={told['id']}")[1].decode()
    assert "a, b &amp; &lt;c&gt;</textarea>" in page and "fog</textarea>" in page
    assert f'name="styles" value="{style}" checked' in page
    for chosen in ("Euler", "karras"):
        assert f"<option selected>{chosen}</option>" in page
    for value in ("prompt_replace", "steps"):
        assert f'<option value="{value}" selected>' in page
    for name, value in {
        "seed": "9",
        "x_values": "&#34;a, b&#34;,c",
        "y_values": "1,2",
        "hires_scale": "1.5",
        "subseed_strength": "0.5",
    }.items():
        assert re.search(rf'name="{name}"[^>]*\bvalue="{re.escape(value)}"', page), name


# -- models


@pytest.mark.parametrize("name", ["/etc/passwd", "../builtin", "webapp/builtin", "runwayml/stable-diffusion-v1-5", "x4-upscaler"])
def test_a_model_that_is_not_listed_is_never_loaded(app, name):
    client = app.test_client()
    for form, field in (({"model": name}, "model"), ({"x_field": "model", "x_values": f'builtin,"{name}"'}, "x")):
        answer = client.post("/generate", data={"prompt": "a cat", **form}, headers={"Accept": "application/json"})
        assert answer.status_code == 400
        assert "builtin" in answer.get_json()["fields"][field]
    assert client.get("/jobs").get_json()["jobs"] == []


@pytest.mark.slow
def test_a_model_that_was_added_draws_beside_the_one_that_is_loaded(serve, tmp_path):
    folder = tiny.folder(tmp_path / "a-tiny-model")
    added = subprocess.run(
        [sys.executable, "-m", "webapp", "models", "add", "second", str(folder), "--data", str(tmp_path / "data")], cwd=ROOT, timeout=120
    )
    assert added.returncode == 0
    address = serve().address
    ann, bob = Visitor(address), Visitor(address)
    assert "<option>second</option>" in ann.ask("/")[1].decode()
    jobs = [(who, draw(who, "a cat", seed="3", steps="6", width="64", height="64", model=model)["id"], model)
            for who, model in ((ann, "second"), (bob, ""), (ann, "builtin"), (bob, "second"))]  # fmt: skip
    made: dict[str, list[Image.Image]] = {}
    for who, job, model in jobs:
        [picture] = who.wait_for(job)["pictures"]
        made.setdefault(receipt(who, picture).model, []).append(Image.open(io.BytesIO(png(who, picture))))
        assert receipt(who, picture).model == ("a-tiny-model" if model == "second" else "builtin")
    assert all(_difference(*pictures) < 1 for pictures in made.values())
    assert _difference(made["builtin"][0], made["a-tiny-model"][0]) > 10
    grid = draw(ann, "a cat", x_field="model", x_values="builtin, second", seed="3", steps="6", width="64", height="64")
    for picture, name in zip(ann.wait_for(grid["id"])["pictures"], ("builtin", "a-tiny-model"), strict=True):
        assert _difference(Image.open(io.BytesIO(png(ann, picture))), made[name][0]) < 1
