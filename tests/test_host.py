"""The host's page: what it shows and does, by forms alone and live; and what it never shows."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import eventually
from playwright.sync_api import Page
from sqlalchemy import update
from test_access import guest, host_of, house, person_of, start
from test_storage import drawn

from webapp.jobs.people import DAY, PEOPLE, name
from webapp.jobs.store import JOBS
from webapp.web.host import size
from webapp.web.server import Server

SECRET = "a quiet secret"


@pytest.fixture
def shared(tmp_path):
    app = start(tmp_path)
    yield app
    house(app).close()


@pytest.fixture
def page(chromium, shared) -> Iterator[Page]:
    """The host's page of a shared run, in a browser."""
    server = Server(shared, "127.0.0.1", 0)
    server.start()
    context = chromium.new_context()
    context.set_default_timeout(20_000)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: "Content Security Policy" in line.text and problems.append(line.text))
    page.goto(f"{server.address}/host?token={house(shared).host_key}")
    yield page
    context.close()
    server.stop()
    assert not problems


def text(answer) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", answer.text).split())


@pytest.mark.parametrize(("number", "words"), [(0, "0 B"), (999, "999 B"), (1234, "1.2 KB"), (56_789_000, "57 MB"), (2.5e9, "2.5 GB")])
def test_sizes_are_told_as_people_read_them(number, words):
    assert size(number) == words


def test_it_shows_who_is_here_and_counts_but_no_words_and_no_pictures(shared):
    ann, host = guest(shared), host_of(shared)
    queue, person = house(shared).queue, person_of(ann)
    picture = drawn(queue, person, prompt=SECRET)
    ann.post("/generate", data={"prompt": SECRET, "count": "3"})
    for path in ("/host", "/host/now"):
        answer = host.get(path)
        shown = text(answer)
        assert f"{name(person)} the link just now 3 0 1" in shown and "Here (2)" in shown
        assert "Pictures waiting 3" in shown
        for hidden in (SECRET, picture, person, house(shared).host_key):
            assert hidden not in answer.text
    with queue.store.database.begin() as db:
        db.execute(update(PEOPLE).where(PEOPLE.c.id == person).values(seen=time.time() - 3 * 3600))
    assert "Earlier today (1)" in text(host.get("/host")) and "3 h ago" in text(host.get("/host"))
    with queue.store.database.begin() as db:
        db.execute(update(PEOPLE).where(PEOPLE.c.id == person).values(seen=time.time() - 2 * DAY))
    assert "Not seen today: 1" in text(host.get("/host")) and name(person) not in host.get("/host").text


def test_whoever_keeps_a_stream_open_is_here(shared):
    ann, host = guest(shared), host_of(shared)
    ann.get("/")
    with house(shared).store.database.begin() as db:
        db.execute(update(PEOPLE).values(seen=time.time() - 600))
    assert name(person_of(ann)) in text(host.get("/host")).split("Earlier today")[1]
    with house(shared).events.listen(person_of(ann)):
        assert name(person_of(ann)) in text(host.get("/host")).split("Earlier today")[0]


def test_the_budget_counts_what_went_through_the_tunnel(shared):
    host = host_of(shared)
    host.get("/jobs")
    assert house(shared).meter.requests == 0
    shared.config["PUBLIC_URL"] = "http://localhost"
    for _ in range(7):
        host.get("/jobs")
    assert house(shared).meter.requests == 7
    shown = text(host.get("/host"))
    assert "Requests 8 of 20,000" in shown and "of 1.0 GB" in shown and "One picture" not in shown
    drawn(house(shared).queue, "ann")
    assert re.search(r"One picture, on average 1\d\.0 requests, \d+ KB counted over 1 pictures", text(host.get("/host")))


def test_an_invitations_link_is_shown_once_and_works(shared):
    host = host_of(shared)
    answer = host.post("/host/invites", data={"label": "<b>Grandma</b>", "quota": "5", "days": "3"})
    token = re.search(r"/\?token=([\w-]{43})", answer.text.split("shown only now")[1])[1]
    assert "<b>Grandma" not in answer.text and "0 of 5 pictures" in text(answer)
    assert token not in host.get("/host").text
    guest(shared, token).post("/generate", data={"prompt": "a", "count": "2"})
    assert "2 of 5 pictures" in text(host.get("/host"))
    for wrong in ({"quota": "x"}, {"quota": "0"}, {"days": "400"}, {"label": " "}, {"quota": "9" * 5000}):
        assert host.post("/host/invites", data={"label": "a", "quota": "5", "days": "3"} | wrong).status_code == 400, wrong
    assert len(house(shared).people.invites()) == 1
    assert host.post("/host/invites/none/revoke").status_code == 404


def test_links_for_guests_bear_the_public_address(shared):
    host = host_of(shared)
    assert f'value="http://localhost/?token={house(shared).people.rules.link}"' in host.get("/host").text
    shared.config["ADDRESS"] = "http://192.168.1.5:7860"  # of the server, which then runs
    assert f'value="http://192.168.1.5:7860/?token={house(shared).people.rules.link}"' in host.get("/host").text, (
        "not the guest's own machine"
    )
    shared.config["PUBLIC_URL"] = "https://cats.example"
    assert f'value="https://cats.example/?token={house(shared).people.rules.link}"' in host.get("/host").text
    answer = host.post("/host/invites", data={"label": "Bob", "quota": "5", "days": "3"})
    assert re.search(r'value="https://cats\.example/\?token=[\w-]{43}"', answer.text.split("shown only now")[1])


def test_words_are_kept_out_at_the_form_and_for_guests_only(shared):
    ann, host = guest(shared), host_of(shared)
    assert host.post("/host/words", data={"words": "Nude\r\n\r\nred  car"}).headers["Location"] == "/host#words"
    assert "Nude\nred car</textarea>" in host.get("/host").text
    answer = ann.post("/generate", data={"prompt": "a nüde man"}, headers={"Accept": "application/json"})
    assert answer.status_code == 400 and "host's wish" in answer.json["fields"]["prompt"] and "nude" not in answer.text.lower()
    assert ann.post("/generate", data={"prompt": "a castle"}).status_code == 303
    assert host.post("/generate", data={"prompt": "a nude"}).status_code == 303
    assert host.post("/host/words", data={"words": "x" * 20_001}).status_code == 400


def test_the_model_is_changed_to_one_of_the_list_only(shared):
    host, workers = host_of(shared), house(shared).workers
    eventually(lambda: workers.model.state == "failed", 60)
    for foreign in ("/etc/passwd", "someone/else", ""):
        assert host.post("/host/model", data={"name": foreign}).status_code == 400
    assert host.post("/host/model", data={"name": "builtin"}).status_code == 303
    assert workers.model.name == "builtin"
    eventually(lambda: workers.model.state == "ready", 120)
    shown = text(host.get("/host/now"))
    assert "builtin" in shown and re.search(r"Memory [\d.]+ [MG]B of [\d.]+ [MG]B", shown)


def test_clearing_away_asks_first_where_it_hurts(shared):
    ann, host = guest(shared), host_of(shared)
    ann.get("/")
    drawn(house(shared).queue, person_of(ann))
    with house(shared).store.database.begin() as db:
        db.execute(update(PEOPLE).where(PEOPLE.c.id == person_of(ann)).values(seen=time.time() - 31 * DAY))
        db.execute(update(JOBS).values(created=time.time() - 31 * DAY))
    asked = host.post("/host/forget", data={"days": "30"})
    assert "not seen for 30 days: 1. Their pictures: 1." in text(asked) and house(shared).storage.absent(30) == (1, 1)
    assert "everything of 1 people" in text(host.post("/host/forget", data={"days": "30", "sure": "yes"}))
    assert house(shared).store.jobs_of(person_of(ann), 9) == []
    for days in ("0", "-1", "1.5", "", "99999"):
        assert host.post("/host/forget", data={"days": days, "sure": "yes"}).status_code == 400, days
    assert "Cleared away: 0 deleted pictures, 0 unused files." in text(host.post("/host/clean"))


def test_alone_on_this_machine_there_is_nobody_to_let_in(app):
    shown = text(app.test_client().get("/host"))
    assert "Only this machine can open this page" in shown and "Invitations" not in shown and "of 20,000" not in shown


def test_the_page_follows_by_itself_and_by_forms(page, shared):
    ann = guest(shared)
    ann.post("/generate", data={"prompt": SECRET, "count": "3"})
    row = page.locator("tr", has_text=name(person_of(ann)))
    row.wait_for()  # it was not there when the page was loaded
    assert row.locator("td").nth(3).inner_text() == "3"
    page.fill("#label", "Bob")
    page.click("button:text-is('Invite')")
    link = page.input_value("#invitation")
    assert house(shared).people.invited(token=link.split("token=")[1]).label == "Bob"
    page.click("button:text-is('Pause')")
    page.locator("text=Guests are kept out now").wait_for()
    assert ann.get("/").status_code == 503
    page.click("button:text-is('Let guests in again')")
    page.locator("button:text-is('Pause')").wait_for()
    assert ann.get("/").status_code == 200


def test_nothing_is_asked_while_nobody_looks(page):
    asked: list[str] = []
    page.on("request", lambda request: "/static/" in request.url or asked.append(request.url))
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    page.wait_for_timeout(6000)
    assert asked == []
    page.evaluate("Object.defineProperty(document, 'hidden', {value: false, configurable: true})")
    page.wait_for_timeout(6000)
    assert len(asked) in (1, 2) and all(url.endswith("/host/now") for url in asked)


def test_through_a_tunnel_it_looks_less_often(shared):
    host = host_of(shared)
    assert 'data-seconds="5"' in host.get("/host").text
    assert 'data-seconds="30"' in host.get("/host", headers={"X-Forwarded-For": "198.51.100.7"}).text


def test_it_is_accessible_in_both_looks_narrow_and_by_keys(page, shared):
    house(shared).people.invite("A reading group with quite a long name", 5, 1)
    guest(shared).get("/")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.reload()
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
    page.set_viewport_size({"width": 320, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    reached = set()
    page.evaluate("document.activeElement.blur()")
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim().slice(0, 30)"))
    assert {
        "name",
        "link",
        "Change the link",
        "Pause",
        "label",
        "quota",
        "days",
        "Invite",
        "Withdraw",
        "blocked",
        "Keep",
        "absent",
    } <= reached
    small = page.evaluate("""[...document.querySelectorAll('main :is(button, input, select, textarea)')]
        .filter((each) => each.checkVisibility() && Math.min(each.offsetWidth, each.offsetHeight) < 24).map((each) => each.outerHTML)""")
    assert small == []
