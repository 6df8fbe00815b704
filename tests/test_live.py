"""What the page is told while it looks on: by the stream, resumed after a drop, or by asking; and how the model comes to be there."""

from __future__ import annotations

import html
import json
import re
import threading
import time
import urllib.request
from queue import Empty, SimpleQueue
from urllib.parse import parse_qs, urlsplit

import pytest
import tiny
from conftest import Visitor, eventually
from fake_hub import FakeHub
from flask import Flask
from PIL import Image

from webapp.schema import JobView, PictureView, Receipt
from webapp.settings import Settings
from webapp.web import live
from webapp.web.app import create_app
from webapp.web.live import Told

FACTS = {"prompt": "a cat", "steps": "4", "width": "64", "height": "64"}


def view(**fields) -> JobView:
    pictures = fields.pop("pictures", [PictureView(number=0, seed=1, prompt="a cat")])
    facts = {"id": "j" * 22, "state": "running", "error": "", "ahead": 0, "prompt": "a cat", "width": 8, "height": 8, "created": 1.0}
    return JobView(**{**facts, "pictures": pictures, **fields})


def picture(**fields) -> PictureView:
    return PictureView(number=0, seed=1, prompt="a cat", **fields)


def test_the_first_message_tells_all_and_a_step_about_a_hundred_bytes():
    told = Told(previews=True)
    [whole] = told.messages([view(starts=0, ends=20.0)])
    assert '"prompt":"a cat"' in whole
    told.news(view(pictures=[picture(step=1, steps=20)], starts=0, ends=20.0))
    [step] = told.messages([view(pictures=[picture(step=2, steps=20)], starts=0, ends=20.0)])
    assert json.loads(step.split("data: ")[1].split("\n")[0]) == {"id": "j" * 22, "pictures": [{"number": 0, "step": 2}]}
    assert len(step) < 110
    assert list(told.messages([view(pictures=[picture(step=2, steps=20)], starts=0, ends=20.0)])) == []


def test_a_preview_is_sent_once_and_never_to_a_quiet_page():
    loud, quiet = Told(previews=True), Told(previews=False)
    shown = [
        view(pictures=[picture(step=step, steps=9, preview=data)]) for step, data in ((1, ""), (2, "data:1"), (3, "data:1"), (4, "data:2"))
    ]
    assert [loud.news(each)["pictures"][0].get("preview") for each in shown] == ["", "data:1", None, "data:2"]
    assert "data:" not in json.dumps([quiet.news(each) for each in shown])


def test_what_the_page_counts_down_itself_is_told_again_only_when_it_is_off(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(live.time, "monotonic", lambda: now[0])
    told = Told(previews=True)
    assert told.news(view(ends=60.0))["ends"] == 60.0
    for ends, wanted in ((50.0, None), (41.5, None), (40.0, {"ends": 40.0}), (30.0, None), (None, {"ends": None}), (5.0, {"ends": 5.0})):
        now[0] += 10
        news = told.news(view(ends=ends))
        assert news == (wanted and {"id": "j" * 22, **wanted}), ends


def test_a_picture_that_is_gone_is_told_by_telling_all(monkeypatch):
    told = Told(previews=True)
    told.news(view(pictures=[picture(), PictureView(number=1, seed=2)]))
    assert told.news(view())["created"] == 1.0


class Stream:
    """Reads /events of an app in this process, in a thread, as a visitor who has the client's cookies."""

    def __init__(self, app: Flask, client, address: str = "/events") -> None:
        self.messages: SimpleQueue[dict] = SimpleQueue()
        name = app.config["SESSION_COOKIE_NAME"]
        threading.Thread(target=self._read, args=(app.test_client(), name, client.get_cookie(name), address), daemon=True).start()

    def _read(self, client, name: str, cookie, address: str) -> None:
        if cookie:
            client.set_cookie(name, cookie.value)
        for part in client.get(address).response:
            lines = (part if isinstance(part, str) else part.decode()).strip().split("\n")
            message = dict(line.split(": ", 1) for line in lines if not line.startswith(":"))
            if message:
                self.messages.put({"event": "all before", **message, "data": json.loads(message.get("data", "{}"))})
        self.messages.put({"event": "end"})

    def next(self, kind: str = "job", seconds: float = 10) -> dict:
        while (message := self.messages.get(timeout=seconds))["event"] != kind:
            pass
        return message

    def nothing(self, seconds: float = 0.5) -> bool:
        try:
            while True:
                if self.messages.get(timeout=seconds)["event"] == "job":
                    return False
        except Empty:
            return True


def draw(client, **fields) -> dict:
    return client.post("/generate", data=FACTS | fields, headers={"Accept": "application/json"}).json


def test_a_stream_goes_on_where_the_last_one_was_lost(app):
    client, queue = app.test_client(), app.extensions["house"].queue
    first, second = draw(client)["id"], draw(client)["id"]
    stream = Stream(app, client)
    seen = [stream.next(), stream.next()]
    assert [message["data"]["id"] for message in seen] == [first, second], "oldest first"
    assert not any("id" in message for message in seen), "whoever has only the first has not all"
    after = stream.next("all before")["id"]
    assert Stream(app, client, f"/events?after={after}").nothing()
    queue.progress(queue.store.job(first), 0, step=1, steps=4)
    again = Stream(app, client, f"/events?after={after}")
    message = again.next()
    assert message["data"]["id"] == first and message["data"]["prompt"] == "a cat" and again.nothing()
    header = Stream(app, client.application.test_client(), "/events")  # somebody else
    assert header.nothing()
    lost = Stream(app, client, "/events?after=another-1")
    assert {lost.next()["data"]["id"], lost.next()["data"]["id"]} == {first, second}


def test_what_a_stream_broke_off_before_it_told_is_told_by_the_next(app, monkeypatch):
    client, queue = app.test_client(), app.extensions["house"].queue
    job = draw(client)["id"]
    stream = Stream(app, client)
    after = stream.next("all before")["id"]
    queue.progress(queue.store.job(job), 0, step=1, steps=4)
    with monkeypatch.context() as patch:
        patch.setattr(live, "_news", lambda after: 1 / 0)  # a database that is locked
        head = str(next(iter(client.get(f"/events?after={after}").response)))
        assert "event: model" in head and "id: " not in head
    assert Stream(app, client, f"/events?after={after}").next()["data"]["id"] == job


def test_asking_brings_what_changed_too(app):
    client, queue = app.test_client(), app.extensions["house"].queue
    first, _ = draw(client)["id"], draw(client)["id"]
    told = client.get("/jobs").json
    assert len(told["jobs"]) == 2
    assert client.get(f"/jobs?after={told['after']}").json["jobs"] == []
    queue.progress(queue.store.job(first), 0, step=1, steps=4)
    assert [job["id"] for job in client.get(f"/jobs?after={told['after']}").json["jobs"]] == [first]


def test_the_page_knows_up_to_which_moment_it_is_told(app):
    client = app.test_client()
    draw(client)
    after = client.get("/").text.split('data-after="')[1].split('"')[0]
    assert client.get(f"/jobs?after={after}").json["jobs"] == []


def test_a_tab_has_one_stream_and_a_crowd_of_tabs_is_refused(app):
    client = app.test_client()
    client.get("/")
    first = Stream(app, client, "/events?tab=one")
    first.next("model")
    Stream(app, client, "/events?tab=one").next("model")
    assert first.next("end")
    for number in range(live.STREAMS - 1):
        Stream(app, client, f"/events?tab=t{number}").next("model")
    assert client.get("/events?tab=more").status_code == 429
    Stream(app, client, "/events?tab=one").next("model")


def test_two_hundred_jobs_are_shown_and_told_quickly(app):
    client, house = app.test_client(), app.extensions["house"]
    draw(client)
    with client.session_transaction() as session:
        owner = session["person"]
    request = house.store.jobs_of(owner, 1)[0].request
    for _ in range(99):
        house.queue.submit(owner, request)
    for number in range(100):
        job = house.store.add(owner, request, [request], f"k{number}")
        claimed = house.store.claim(job.id, "w", 60)
        house.queue.keep(claimed, 0, Image.new("RGB", (64, 64)), Receipt(request=request, model="builtin"))
        house.queue.end(claimed, "done", "", "w")
    for path in ("/", "/jobs"):
        client.get(path)
        begin = time.thread_time()  # the client answers in this thread
        answer = client.get(path)
        taken = time.thread_time() - begin
        print(f"{path}: {taken * 1000:.0f} ms, {len(answer.data) // 1000} KB")
        assert taken < 1.0
    assert len(client.get("/jobs").json["jobs"]) == 140 - 1 + 1


# -- the model


def test_what_fails_is_told_with_a_button_for_the_built_in_model(app):
    client, house = app.test_client(), app.extensions["house"]
    job = draw(client, steps="2")
    eventually(lambda: house.workers.model.state == "failed", 60)
    page = client.get("/").text
    assert "Use the built-in model instead" in page and "Waits for the model" in page
    assert client.post("/model", data={"name": "/etc"}, headers={"Accept": "application/json"}).status_code == 400
    assert client.get("/model").status_code == 405
    answer = client.post("/model", data={"name": "builtin"})
    assert (answer.status_code, answer.location) == (303, "/")
    eventually(lambda: client.get(f"/jobs/{job['id']}", headers={"Accept": "application/json"}).json["state"] == "done", 120)
    assert 'id="starting" data-state="ready"' in client.get("/").text


def test_guests_see_what_fails_but_only_the_host_changes_it(tmp_path):
    app = create_app(Settings(host="0.0.0.0", data=tmp_path, model=str(tmp_path / "none")))
    house = app.extensions["house"]
    try:
        guest = app.test_client()
        guest.get(f"/?token={house.settings.token}")
        eventually(lambda: house.workers.model.state == "failed", 60)
        page = guest.get("/").text
        assert "instead</button>" not in page and house.workers.model.sentence.replace("'", "&#39;") in page
        assert guest.post("/model", data={"name": "builtin"}).status_code == 403
        assert house.workers.model.state == "failed"
    finally:
        house.close()


def test_a_download_tells_its_bytes_and_then_the_model_draws(serve, tmp_path, monkeypatch):
    model = tiny.folder(tmp_path / "model")
    tiny.vocabulary(model / "tokenizer")
    hub = FakeHub({"x/model": model})
    answer = hub.answer
    hub.answer = lambda path: (time.sleep(1.5 if "unet/diff" in path else 0), answer(path))[1]
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    begin = time.monotonic()
    ann = Visitor(serve(model="x/model").address)
    assert ann.ask("/")[0] == 200
    print(f"the page is there after {time.monotonic() - begin:.1f} s")
    seen: list[dict] = []
    with ann.open(urllib.request.Request(ann.address + "/events"), timeout=60) as stream:
        for line in stream:
            if line.startswith(b"data: "):
                seen.append(json.loads(line[6:]))
                if seen[-1]["state"] != "loading":
                    break
    print([(each["sentence"], each["done"], each["total"]) for each in seen])
    assert any(0 < each["done"] <= each["total"] for each in seen)
    assert any(each["sentence"].startswith("Fetching x/model") for each in seen)
    assert (seen[-1]["state"], seen[-1]["total"]) == ("ready", 0)
    hub.close()


def test_what_the_library_has_for_prompts_is_offered_as_one_asks_for_it(app, tmp_path, monkeypatch):
    monkeypatch.setattr("webapp.library.SHIPPED", tmp_path / "shipped")
    page = app.test_client().get("/").text
    assert 'id="brought"' not in page
    library = app.extensions["house"].library
    for file in (
        "loras/animals/snail.safetensors",
        "embeddings/silent.safetensors",
        "embeddings/deep/never-read.safetensors",
        "wildcards/<b>.txt",
        "vaes/soft.safetensors",
    ):
        path = library.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    page = app.test_client().get("/").text
    chips = re.findall(r'<a href="([^"]*)">([^<]*)</a>', page[page.index('id="brought"') : page.index('class="try"')])
    words = ["<lora:animals/snail:1>", "silent", "__<b>__"]
    assert [html.unescape(said) for _, said in chips] == words
    assert [parse_qs(urlsplit(html.unescape(link)).query)["prompt"] for link, _ in chips] == [[word] for word in words]
    spanish = app.test_client().get("/", headers={"Accept-Language": "es"}).text
    assert "LoRA, embeddings, comodines" in spanish and "Comodines" in spanish


def test_what_ships_with_the_built_in_model_is_offered_for_that_alone(app, tmp_path, monkeypatch):
    monkeypatch.setattr("webapp.library.SHIPPED", tmp_path / "shipped")
    for file in ("loras/snail.safetensors", "embeddings/silentnight.safetensors", "controlnets/canny/config.json"):
        (tmp_path / "shipped" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "shipped" / file).touch()
    workers = app.extensions["house"].workers
    for name, offered in (("builtin", True), ("builtin-turbo", True), ("sd-2.1", False)):
        monkeypatch.setattr(workers, "model", workers.model.model_copy(update={"name": name}))
        page = app.test_client().get("/").text
        nets = re.findall(r"<option>(.*?)</option>", page.partition('name="control_model"')[2].partition("</select>")[0])
        assert nets == ["canny"] * offered
        assert all((f">{word}</a>" in page) == offered for word in ("&lt;lora:snail:1&gt;", "silentnight"))


@pytest.mark.parametrize("file", ["castle.webp", "city.webp"])
def test_an_empty_table_has_examples_that_this_model_drew(app, file):
    page = app.test_client().get("/").text
    assert page.count("data:image/webp;base64,") == len(live.examples_drawn()) == 6
    assert sum(len(each["src"]) for each in live.examples_drawn()) < 60_000
    assert any(each["file"] == file and f"/?prompt={each['prompt'].replace(' ', '+')}" in page for each in live.examples_drawn())
