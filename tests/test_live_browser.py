"""The light table in real Chromium: what it costs to watch a picture, and that nothing is missed behind another tab, without a
network, or while the server is away."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from conftest import Visitor, free_port
from playwright.sync_api import Browser, Page, expect
from test_access import host_of, house, start
from test_browser import draw, finished, page  # noqa: F401

from webapp.web.server import Server

MOST_REQUESTS, MOST_BYTES = 6, 250_000  # from Draw to the finished picture
HIDE = """(hidden) => {
    Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});
    document.dispatchEvent(new Event('visibilitychange'));
}"""


def options(page: Page, **values: str) -> None:  # noqa: F811
    """Fills in fields of the form, folded away or not."""
    for name, value in values.items():
        page.evaluate(
            """([name, value]) => {
                const box = document.getElementById('form').elements[name];
                box.value = value;
                box.dispatchEvent(new Event('input', {bubbles: true}));
            }""",
            [name, value],
        )


class Wire:
    """Counts what goes over the network for a page: `requests` (addresses), `bytes` of answers with their heads, and of what is sent."""

    def __init__(self, page: Page) -> None:  # noqa: F811
        self.requests: list[str] = []
        self.bytes = 0
        session = page.context.new_cdp_session(page)
        session.send("Network.enable")
        session.on("Network.requestWillBeSent", self._asked)
        session.on("Network.responseReceivedExtraInfo", lambda e: self._add(len(e.get("headersText", "")) or sum(len(k) + len(v) + 4 for k, v in e["headers"].items())))  # fmt: skip
        session.on("Network.dataReceived", lambda e: self._add(max(e["encodedDataLength"], e["dataLength"])))

    def _asked(self, event: dict) -> None:
        if not event["request"]["url"].startswith("data:"):
            self.requests.append(event["request"]["url"].split("/", 3)[3])
            self._add(sum(len(each.get("bytes", "")) for each in event["request"].get("postDataEntries", [])))

    def _add(self, count: int) -> None:
        self.bytes += count


def test_one_picture_costs_few_requests_and_bytes(page):  # noqa: F811
    wire = Wire(page)
    page.reload()  # the stream is counted from its beginning
    options(page, steps="12", width="768", height="768")
    page.evaluate("""() => {
        window.previews = new Set();
        new MutationObserver(() => {
            for (const image of document.querySelectorAll('.print img')) if (image.src.startsWith('data:image/webp')) window.previews.add(image.src);
        }).observe(document.getElementById('table'), {subtree: true, childList: true, attributes: true});
    }""")
    page.wait_for_timeout(1500)  # what the form asks while it is filled in
    page.fill("#prompt", "a castle on a hill at sunset")
    page.wait_for_timeout(1500)
    assert any(request.startswith("events") for request in wire.requests)
    wire.requests, wire.bytes = [], 0
    page.click(".draw")
    expect(finished(page)).to_have_count(1)
    expect(page.locator(".print img")).to_have_js_property("naturalWidth", 512)
    page.wait_for_timeout(1000)
    previews = page.evaluate("window.previews.size")
    print(f"{len(wire.requests)} requests, {wire.bytes:,} bytes, {previews} previews: {wire.requests}")
    assert 1 <= previews <= 12
    assert 2 <= len(wire.requests) <= MOST_REQUESTS
    assert 10_000 < wire.bytes <= MOST_BYTES


def test_title_and_live_region_tell_the_beginning_and_the_end(page):  # noqa: F811
    page.evaluate("""() => {
        window.said = []; window.titles = new Set();
        new MutationObserver(() => window.said.push(document.getElementById('live').textContent)).observe(document.getElementById('live'), {childList: true});
        new MutationObserver(() => window.titles.add(document.title)).observe(document.querySelector('title'), {childList: true});
    }""")
    options(page, steps="60", count="2")
    draw(page, "a house in the snow")
    expect(finished(page)).to_have_count(2)
    assert set(page.evaluate("window.said")) <= {
        "Started: a house in the snow",
        "1 of 2 finished: a house in the snow",
        "Finished: a house in the snow",
    }
    assert page.evaluate("window.said").count("Finished: a house in the snow") == 1 and len(page.evaluate("window.said")) <= 3
    assert sum("%" in title for title in page.evaluate("[...window.titles]")) >= 3
    expect(page).not_to_have_title(re.compile("%"))


def test_a_finished_print_offers_what_one_does_next(page):  # noqa: F811
    options(page, steps="2")
    draw(page, "a boat")
    expect(finished(page)).to_have_count(1)
    id = page.locator(".print .paper").get_attribute("href").removeprefix("/pictures/")
    links = {link.inner_text().strip(): link.get_attribute("href") for link in page.locator(".print .actions a").all()}
    assert links == {
        "Save": f"/pictures/{id}.png",
        "More like this": f"/?like={id}",
        "Change it": f"/?start={id}",
        "Bigger": f"/?bigger={id}",
        "Use these settings": f"/?settings={id}",
    }
    opacity = "getComputedStyle(document.querySelector('.print .actions')).opacity"
    page.mouse.move(0, 0)
    assert page.evaluate(opacity) == "0"
    page.locator(".print .save").focus()
    assert page.evaluate(opacity) == "1"
    assert page.locator(".print .save").bounding_box()["width"] >= 24
    page.click(".print .settings")
    expect(page.locator("#prompt")).to_have_value("a boat")
    expect(page.locator("[name=steps]")).to_have_value("2")


@pytest.mark.parametrize("width", [320, 390])
def test_on_a_touch_screen_they_are_there_at_once_and_fit(chromium: Browser, site, width):
    context = chromium.new_context(viewport={"width": width, "height": 800}, has_touch=True, is_mobile=True)
    page = context.new_page()  # noqa: F811
    page.goto(site.address)
    options(page, steps="2", count="2")
    draw(page, "a boat")
    expect(finished(page)).to_have_count(2)
    box = page.locator(".print .actions").first.bounding_box()
    paper = page.locator(".print .paper").first.bounding_box()
    assert page.evaluate("getComputedStyle(document.querySelector('.print .actions')).opacity") == "1"
    assert all(link.bounding_box()["width"] >= 24 for link in page.locator(".print .actions a").all())
    assert box["x"] + box["width"] <= paper["x"] + paper["width"] + 6
    assert len({link.bounding_box()["y"] for link in page.locator(".print").first.locator(".actions a").all()}) == 1, "one row"
    context.close()


def test_a_hidden_tab_is_told_nothing_and_knows_all_when_it_is_looked_at(page, site):  # noqa: F811
    options(page, steps="2")
    draw(page, "a fish")
    expect(finished(page)).to_have_count(1)
    wire = Wire(page)
    with page.expect_event("requestfailed", lambda request: "/events" in request.url):
        page.evaluate(HIDE, True)
    second = page.context.new_page()
    second.goto(site.address)
    options(second, steps="2")
    draw(second, "a bird")
    expect(finished(second)).to_have_count(2)
    second.close()
    assert wire.requests == []
    assert finished(page).count() == 1
    page.evaluate(HIDE, False)
    expect(finished(page)).to_have_count(2)
    streams = [request for request in wire.requests if request.startswith("events")]
    assert len(streams) == 1 and "after=&" not in streams[0]


def test_a_hidden_tab_with_work_keeps_its_title_without_previews(page):  # noqa: F811
    options(page, steps="150", width="1024", height="1024", count="2")  # not finished in time
    draw(page, "an island at night")
    expect(page.locator(".said").first).to_contain_text("Step")
    wire = Wire(page)
    page.evaluate(HIDE, True)
    page.wait_for_timeout(11_000)
    quiet, title = wire.bytes, page.title()
    expect(page).not_to_have_title(title)
    assert [request for request in wire.requests if request.startswith("events")][-1].endswith("quiet=1")
    assert wire.bytes - quiet < 5000 and "%" in page.title()
    page.evaluate(HIDE, False)
    page.locator(".cancel button:visible").last.click()
    expect(page.locator(".print[data-state=cancelled]").last).to_be_visible()


def test_it_goes_on_by_itself_after_the_network_was_away(page):  # noqa: F811
    options(page, steps="100", count="2")
    draw(page, "a forest")
    expect(page.locator(".said", has_text="Step")).not_to_have_count(0)
    page.context.set_offline(True)
    page.wait_for_timeout(3000)
    page.context.set_offline(False)
    expect(finished(page)).to_have_count(2)


def test_it_goes_on_by_itself_after_the_server_was_killed(chromium: Browser, serve):
    port = str(free_port())
    first = serve("--port", port)
    context = chromium.new_context()
    page = context.new_page()  # noqa: F811
    page.goto(first.address)
    options(page, steps="100", count="2")
    draw(page, "a castle on a hill at sunset")
    expect(page.locator(".said").first).to_contain_text("Step")
    first.kill()
    page.wait_for_timeout(2000)
    serve("--port", port)
    expect(finished(page)).to_have_count(2)
    assert len(Visitor(first.address).json("/jobs")["jobs"]) == 0, "nobody else sees it"
    context.close()


def test_while_the_model_is_away_the_page_says_so_and_a_button_brings_another(chromium: Browser, serve, tmp_path):
    context = chromium.new_context()
    page = context.new_page()  # noqa: F811
    page.goto(serve(model=str(tmp_path / "none")).address)
    expect(page.locator("#starting .sentence")).to_contain_text("none")
    draw(page, "a house")
    expect(page.locator(".said").first).to_have_text("Waits for the model")
    page.get_by_text("Use the built-in model instead").click()
    expect(finished(page)).to_have_count(1)
    expect(page.locator("#starting")).to_be_hidden()
    expect(page.locator("#length")).to_contain_text("tokens")  # what was typed before there was a model to read it
    context.close()


def asks(page: Page) -> list[str]:  # noqa: F811
    """What the page asks from now on to follow its table; the list grows."""
    found: list[str] = []
    page.on("request", lambda request: re.search(r"/events|/jobs\?", request.url) and found.append(request.url))
    return found


@pytest.fixture
def server(tmp_path) -> Iterator[Server]:
    """One for guests with a link, without a model."""
    server = Server(start(tmp_path), "127.0.0.1", 0)
    server.start()
    yield server
    server.stop()


def test_who_is_let_in_no_more_is_told_and_asks_seldom(chromium: Browser, server):
    app = server.app
    host = host_of(app)
    context = chromium.new_context()
    page = context.new_page()  # noqa: F811
    page.clock.install()
    page.goto(f"{server.address}/?token={house(app).people.rules.link}")
    draw(page, "a house")
    expect(page.locator(".said").first).to_have_text("Waits for the model")
    asked = asks(page)
    host.post("/host/pause", data={"paused": "yes"})
    expect(page.locator("#toasts")).to_contain_text("closed this page for a while")
    told = page.evaluate("Date.now()")
    page.locator(".cancel button").first.click()
    expect(page.locator("#toasts p")).to_have_count(2)
    asked.clear()
    page.clock.run_for(told + 290_000 - page.evaluate("Date.now()"))
    page.wait_for_timeout(1000)
    assert asked == [] and page.locator("#toasts p").count() == 1, "its sentence stays as long as it holds"
    page.evaluate(HIDE, True)
    page.clock.run_for(60_000)
    page.wait_for_timeout(1000)
    assert asked == [], "nobody looks"
    host.post("/host/pause", data={"paused": "no"})
    page.evaluate(HIDE, False)
    page.clock.run_for(1000)
    page.locator(".cancel button").first.click()
    expect(page.locator(".print").first).to_have_attribute("data-state", "cancelled")
    assert len(asked) == 1
    house(app).people.rules.rotate()
    house(app).events.hang_up()
    expect(page.locator("#toasts")).to_contain_text("The host has changed the link to this page.")
    asked.clear()
    page.clock.run_for(50_000)
    page.wait_for_timeout(500)
    assert asked == []
    for seconds in (12, 120, 241):  # each time it waits longer
        with page.expect_response(re.compile("/events")):
            page.clock.run_for(seconds * 1000)
        page.wait_for_timeout(500)
    assert len(asked) == 3
    context.close()


def test_who_was_kept_out_and_draws_again_is_told_at_once(chromium: Browser, server):
    app = server.app
    host, context = host_of(app), chromium.new_context()
    page = context.new_page()  # noqa: F811
    page.goto(f"{server.address}/?token={house(app).people.rules.link}")
    draw(page, "a house")
    expect(page.locator(".said").first).to_have_text("Waits for the model")
    host.post("/host/pause", data={"paused": "yes"})
    expect(page.locator("#toasts")).to_contain_text("closed this page for a while")
    host.post("/host/pause", data={"paused": "no"})
    with page.expect_request(re.compile("/events")):  # and not in five minutes, when it was to ask again
        draw(page, "a tree")
    context.close()


def test_what_a_proxy_says_is_not_the_hosts_word(chromium: Browser, server):
    app = server.app
    context = chromium.new_context()
    page = context.new_page()  # noqa: F811
    page.clock.install()
    for path in ("**/events*", "**/jobs*"):
        page.route(path, lambda route: route.fulfill(status=503, content_type="text/html", body="<h1>no healthy upstream</h1>"))
    asked = asks(page)
    page.goto(f"{server.address}/?token={house(app).people.rules.link}")
    for _ in range(8):
        page.clock.run_for(4000)
        page.wait_for_timeout(100)
    assert len(asked) > 2, "it asks again as after any broken line"
    context.close()


def test_who_cancels_by_key_is_told_and_keeps_the_place(page):  # noqa: F811
    options(page, steps="150", count="2")
    draw(page, "a slow house")
    page.locator(".cancel button").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".print .prompt a").first).to_be_focused()
    expect(page.locator("#live")).to_have_text("Cancelled: a slow house")


def test_a_jobs_page_follows_it_without_being_loaded_again_and_again(page, site):  # noqa: F811
    options(page, steps="100", width="256", height="256", negative_prompt="fog")
    page.evaluate("fetch('/jobs')")
    draw(page, "a lighthouse in a storm at night")
    page.locator(".print .prompt a").first.click()
    page.wait_for_url("**/jobs/*")
    page.evaluate("window.here = true")
    loads: list[str] = []
    page.on("request", lambda request: request.is_navigation_request() and loads.append(request.url))
    expect(page.locator(".said")).to_contain_text("Step")
    first = page.locator(".said").inner_text()
    expect(page.locator(".said")).not_to_have_text(first)
    assert page.evaluate("window.here") and loads == []
    expect(page.locator("h2")).to_have_text("How it was made")
    expect(page.locator("dl")).to_contain_text("fog")
    page.wait_for_timeout(3000)
    assert len(loads) == 1, "once, to show the rest"


@pytest.fixture(autouse=True)
def _patient() -> Iterator[None]:
    expect.set_options(timeout=120_000)
    yield
