"""The gallery in real Chromium: scrolled, chosen, deleted and brought back, by keys, by touch, without JavaScript."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import eventually
from flask import Flask
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, expect
from test_access import cookie_of
from test_gallery_pages import draw, many, owner

from webapp.web.server import Server

WORDS = ("a cat", "a dog", "a blue cat", "a ship", "a tower <img src=x onerror=alert(1)>", "a tree")
Visit = Callable[..., Page]


@pytest.fixture
def address(app: Flask) -> Iterator[str]:
    server = Server(app, "127.0.0.1", 0)
    server.start()
    yield server.address
    server.stop()


@pytest.fixture
def visit(chromium: Browser, app: Flask, address: str) -> Iterator[Visit]:
    """Opens a browser, of the person whose pictures `made` makes; fails on errors of its scripts."""
    contexts: list[BrowserContext] = []
    problems: list[str] = []

    def open(made: Callable[[str], object], path: str = "/gallery", **options: object) -> Page:
        client = app.test_client()
        made(owner(client))
        context = chromium.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(30_000)
        context.add_cookies([{"name": app.config["SESSION_COOKIE_NAME"], "value": cookie_of(client), "url": address}])
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: (problems.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("console", lambda line: "Content Security Policy" in line.text and problems.append(line.text))
        page.goto(address + path)
        return page

    yield open
    for context in contexts:
        context.close()
    assert not problems


@pytest.fixture
def six(visit: Visit, app: Flask) -> Page:
    """The gallery of somebody who has drawn WORDS, the last one first."""
    return visit(lambda who: draw(app, who, *WORDS))


def shows(page: Page, alts: list[str]) -> None:
    """These pictures and no others, in this order; waits for them."""
    shown = page.locator("#cells > li:not([hidden]) img")
    expect(shown).to_have_count(len(alts))
    assert shown.evaluate_all("all => all.map((each) => each.alt)") == alts


def focused(page: Page) -> str:
    return page.evaluate("document.activeElement.querySelector('img')?.alt ?? document.activeElement.id")


def newest(number: int) -> str:
    return WORDS[len(WORDS) - 1 - number]


# -- scrolling


def scroll(page: Page, until: Callable[[], bool]) -> None:
    def there() -> bool:
        page.mouse.wheel(0, 1500)
        return until()

    eventually(there, 60)


def test_older_pictures_come_while_one_scrolls(visit, app):
    page = visit(lambda who: draw(app, who, *(f"picture {number}" for number in range(150))))
    expect(page.locator("#cells > li")).to_have_count(60)
    page.mouse.move(600, 400)
    scroll(page, lambda: page.locator("#older").count() == 0)
    shows(page, [f"picture {number}" for number in range(149, -1, -1)])


@pytest.mark.alone
def test_a_thousand_are_scrolled_through_without_a_long_task(visit, app, chromium):
    """A task is long by the time that its thread worked: on a machine that does other things too, the clock also counts those."""
    page = visit(lambda who: many(app, who, 1100), viewport={"width": 1280, "height": 800})
    chromium.start_tracing(page=page, categories=["toplevel", "devtools.timeline", "blink.user_timing"])
    told = page.evaluate("""async () => {
        const cells = document.getElementById('cells'), end = performance.now() + 60000, long = [];
        new PerformanceObserver((list) => long.push(...list.getEntries().map((each) => Math.round(each.duration)))).observe({type: 'longtask'});
        const thousandth = () => cells.children[999]?.getBoundingClientRect().bottom;
        while (performance.now() < end && !(thousandth() < innerHeight)) {
            scrollBy(0, 120);
            await new Promise(requestAnimationFrame);
        }
        return {seen: cells.children.length, top: scrollY, long};
    }""")
    events = json.loads(chromium.stop_tracing())["traceEvents"]
    threads = {(e["pid"], e["tid"]) for e in events if e["name"] == "thread_name" and e["args"]["name"] == "CrRendererMain"}
    tasks = [e for e in events if e["name"].endswith("RunTask") and (e["pid"], e["tid"]) in threads]
    longest = max(tasks, key=lambda task: task.get("tdur", 0))["tdur"] / 1000
    print(
        f"longest task {longest:.0f} ms of {len(tasks)}; long ones by the clock: {sorted(told['long'])[-5:]} ms; scrolled {told['top']} pixels"
    )
    assert told["seen"] >= 1000 and told["top"] > 20_000 and len(tasks) > 500
    assert longest <= 100


def test_coming_back_does_not_ask_on_where_older_pictures_are_refused(visit, app):
    page = visit(lambda who: many(app, who, 200))
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(page.locator("#cells > li")).to_have_count(120)
    page.locator("#cells a").nth(100).click()
    page.wait_for_url("**/pictures/*")
    refused: list[str] = []
    page.route("**/gallery?after=*", lambda route: (refused.append(route.request.url), route.fulfill(status=403)))
    page.go_back()
    expect(page.locator("#toasts p").first).to_have_text("The server did not answer.")
    page.wait_for_timeout(1000)
    assert 1 <= len(refused) <= 2
    page.unroute_all()
    page.locator("#older").click()
    expect(page.locator("#cells > li").first).to_be_visible()


def test_without_single_keys_the_arrows_still_reach_every_print(six):
    six.evaluate("localStorage.setItem('single-keys', 'off')")
    six.locator("#cells a").first.focus()
    for key, now in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1)):
        six.keyboard.press(key)
        assert focused(six) == newest(now), key
    six.keyboard.press("x")
    expect(six.locator("#cells input:checked")).to_have_count(0)


def test_coming_back_from_a_picture_it_lies_as_it_was_left(visit, app):
    page = visit(lambda who: many(app, who, 300))
    scroll(page, lambda: page.locator("#p-p000150").count() == 1)
    page.locator("#p-p000150").scroll_into_view_if_needed()
    top = page.evaluate("scrollY")
    page.locator("#p-p000150").click()
    page.wait_for_url("**/pictures/p000150")
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**/pictures/p000149")
    page.keyboard.press("Escape")
    page.wait_for_url("**/gallery")
    expect(page.locator("#p-p000150")).to_be_in_viewport()
    assert abs(page.evaluate("scrollY") - top) < 300
    assert focused(page) == "a lighthouse 150"


# -- choosing and changing


def test_many_are_chosen_deleted_and_brought_back(six):
    toolbar = six.locator(".toolbar")
    expect(toolbar).not_to_be_visible()
    boxes = six.locator("#cells input")
    boxes.nth(1).check()
    boxes.nth(3).click(modifiers=["Shift"])
    expect(toolbar).to_be_visible()
    expect(toolbar.locator(".said")).to_have_text("3 chosen")
    expect(six.get_by_role("button", name="Compare two")).to_be_disabled()
    six.get_by_role("button", name="Delete").click()
    expect(six.locator("#toasts")).to_contain_text("3 pictures were deleted.")
    shows(six, [newest(0), newest(4), newest(5)])
    six.get_by_role("button", name="Undo").click()
    expect(six.locator("#cells > li:not([hidden])")).to_have_count(6)
    six.reload()
    shows(six, list(reversed(WORDS)))
    six.locator("#cells input").first.check()
    six.get_by_role("button", name="Choose all shown").click()
    expect(toolbar.locator(".said")).to_have_text("6 chosen")
    six.get_by_role("button", name="Delete").click()
    expect(six.locator("#empty")).to_be_visible()
    six.reload()
    expect(six.locator("#cells")).to_have_count(0)


def test_favourites_are_marked_and_searched(six):
    six.locator("#cells input").nth(3).check()
    six.get_by_role("button", name="Favourite", exact=True).click()
    expect(six.locator(".mark:visible")).to_have_count(1)
    six.get_by_label("Favourites only").check()
    six.wait_for_url("**/gallery?favourites=1")
    shows(six, [newest(3)])
    six.get_by_label("Favourites only").uncheck()
    six.wait_for_url(lambda url: url.rstrip("?").endswith("/gallery"))
    six.keyboard.press("/")
    six.keyboard.type("cat")
    six.keyboard.press("Enter")
    six.wait_for_url("**/gallery?q=cat")
    shows(six, ["a blue cat", "a cat"])


def test_two_are_compared_side_by_side_and_over_each_other(six):
    six.locator("#cells input").nth(0).check()
    six.locator("#cells input").nth(2).check()
    six.get_by_role("button", name="Compare two").click()
    six.wait_for_url("**/compare?**")
    left, right = (six.locator(".wipe img").nth(number).bounding_box() for number in (0, 1))
    assert left["x"] + left["width"] < right["x"] and left["y"] == right["y"]
    expect(six.locator("table")).to_contain_text("a tree")
    six.get_by_role("button", name="One over the other").click()
    left, right = (six.locator(".wipe img").nth(number).bounding_box() for number in (0, 1))
    assert left == right
    slider = six.locator(".wipe [type=range]")
    slider.focus()
    clip = lambda: six.locator(".wipe img").nth(1).evaluate("e => getComputedStyle(e).clipPath")  # noqa: E731
    assert "50%" in clip()
    for _ in range(5):
        six.keyboard.press("ArrowLeft")
    assert "45%" in clip() and "/compare" in six.url


def test_a_zip_comes_with_the_chosen_ones(six):
    six.locator("#cells input").nth(1).check()
    six.locator("#cells input").nth(5).check()
    with six.expect_download() as download:
        six.get_by_role("button", name="Download", exact=True).click()
    with zipfile.ZipFile(download.value.path()) as file:
        assert file.namelist() == ["a-tower-img-src-x-onerror-alert-1-7.png", "a-cat-7.png"]
    six.get_by_text("Download all").click()
    with six.expect_download() as download:
        six.get_by_role("button", name="Without them").click()
    with zipfile.ZipFile(download.value.path()) as file:
        assert len(file.namelist()) == 6


def test_keys_alone_are_enough(six):
    six.keyboard.press("ArrowRight")
    assert focused(six) == newest(0)
    for key, now in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("End", 5), ("Home", 0), ("ArrowDown", 5), ("ArrowUp", 0)):
        six.keyboard.press(key)
        assert focused(six) == newest(now), key
    six.keyboard.press("x")
    six.keyboard.press("ArrowRight")
    six.keyboard.press("Space")
    expect(six.locator("#cells input:checked")).to_have_count(2)
    six.keyboard.press("Escape")
    expect(six.locator("#cells input:checked")).to_have_count(0)
    six.keyboard.press("f")
    expect(six.locator(".mark:visible")).to_have_count(1)
    six.keyboard.press("f")
    expect(six.locator(".mark:visible")).to_have_count(0)
    six.keyboard.press("Delete")
    expect(six.locator("#cells > li:not([hidden])")).to_have_count(5)
    assert focused(six) == newest(2)
    six.keyboard.press("Enter")
    six.wait_for_url("**/pictures/*")
    expect(six.locator("main img").first).to_have_attribute("alt", newest(2))


# -- one picture


def test_from_picture_to_picture_by_keys_and_back(six):
    six.locator("#cells a").nth(2).click()
    six.wait_for_url("**/pictures/*")
    shown = six.locator("#mount > img")
    for key, now in (("ArrowRight", 3), ("ArrowRight", 4), ("ArrowLeft", 3)):
        six.keyboard.press(key)
        expect(shown).to_have_attribute("alt", newest(now))
    expect(six).to_have_title(newest(3))
    six.keyboard.press("f")
    expect(six.locator("#favourite")).to_contain_text("Not a favourite")
    six.keyboard.press("w")
    expect(six.locator(":fullscreen")).to_have_count(1)
    six.keyboard.press("ArrowRight")
    expect(shown).to_have_attribute("alt", newest(4))
    assert six.locator(":fullscreen").count() == 1, "the whole screen stays from picture to picture"
    six.keyboard.press("w")
    expect(six.locator(":fullscreen")).to_have_count(0)
    six.keyboard.press("Delete")
    expect(six.get_by_role("status").filter(has_text="One picture was deleted.")).to_be_visible()
    shows(six, [newest(number) for number in (0, 1, 2, 3, 5)])
    six.get_by_role("button", name="Undo").click()
    expect(six.locator("#cells > li")).to_have_count(6)


def test_a_link_is_made_opened_by_a_stranger_and_withdrawn(six, chromium):
    six.locator("#cells a").nth(5).click()
    six.get_by_role("button", name="Make a link").click()
    link = six.locator("#link").input_value()
    assert re.fullmatch(six.url.split("/pictures")[0] + r"/shared/[\w-]{22}", link)
    context = chromium.new_context()
    stranger = context.new_page()
    stranger.goto(link)
    expect(stranger.locator("h1")).to_have_text(newest(5))
    expect(stranger.locator("main img")).not_to_have_js_property("naturalWidth", 0)
    with stranger.expect_download() as download:
        stranger.get_by_role("link", name="Save").click()
    assert download.value.suggested_filename == "a-cat.png"
    six.get_by_role("button", name="Withdraw the link").click()
    expect(six.get_by_role("button", name="Make a link")).to_be_visible()
    stranger.reload()
    expect(stranger.locator("h1")).to_contain_text("withdrawn")
    context.close()


def test_a_swipe_leads_on(visit, app):
    page = visit(lambda who: draw(app, who, *WORDS), viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    page.locator("#cells a").nth(1).tap()
    page.wait_for_url("**/pictures/*")
    touch = page.context.new_cdp_session(page)

    def swipe(start: int, end: int) -> None:
        touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": start, "y": 250}]})
        for part in range(1, 5):
            x = start + (end - start) * part / 4
            touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x, "y": 250 + part}]})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    swipe(330, 80)
    expect(page.locator("#mount > img")).to_have_attribute("alt", newest(2))
    swipe(80, 330)
    expect(page.locator("#mount > img")).to_have_attribute("alt", newest(1))


@pytest.fixture
def started(app: Flask) -> Callable[[str], list[str]]:
    """Makes a picture that was started from another."""

    def make(who: str) -> list[str]:
        out = io.BytesIO()
        Image.new("RGB", (64, 64), "red").save(out, "PNG")
        name = app.extensions["house"].queue.take_in(who, out.getvalue())
        return draw(app, who, "a house", image=name, strength=0.5)

    return make


def test_before_and_after_lie_over_each_other(visit, started):
    page = visit(started)
    page.locator("#cells a").first.click()
    expect(page.locator(".wipe img")).to_have_count(2)
    expect(page.locator(".wipe [type=range]")).to_be_visible()
    page.locator(".wipe").scroll_into_view_if_needed()
    for number in (0, 1):
        expect(page.locator(".wipe img").nth(number)).to_have_js_property("naturalWidth", 64)
    before, after = (page.locator(".wipe img").nth(number).bounding_box() for number in (0, 1))
    assert before == after
    expect(page.locator(".receipt").first).to_contain_text("50%")


# -- without JavaScript, for everyone


def test_without_javascript_everything_has_its_way(visit, app):
    page = visit(lambda who: draw(app, who, *(f"picture {n}" for n in range(70))), java_script_enabled=False)
    page.get_by_role("link", name="Older pictures").click()
    expect(page.locator("#cells img")).to_have_count(10)
    page.get_by_role("link", name="Gallery").first.click()
    for number in (0, 2):
        page.locator("#cells input").nth(number).check()
    page.get_by_role("button", name="Favourite", exact=True).click()
    expect(page.locator(".mark:visible")).to_have_count(2)
    page.locator("#cells input").nth(1).check()
    page.get_by_role("button", name="Delete").click()
    expect(page.locator(".notice")).to_contain_text("One picture was deleted.")
    expect(page.locator("#cells img[alt='picture 68']")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#cells img[alt='picture 68']")).to_have_count(1)
    page.locator("#cells input").nth(1).check()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download", exact=True).click()
    assert zipfile.ZipFile(download.value.path()).namelist() == ["picture-68-7.png"]
    page.fill("#q", "picture 42")
    page.get_by_role("button", name="Search").click()
    page.locator("#cells a").click()
    expect(page.locator("h1")).to_have_text("picture 42")
    page.get_by_role("button", name="Favourite", exact=True).click()
    page.get_by_role("button", name="Make a link").click()
    link = page.locator("#link").input_value()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Undo").click()
    shows(page, ["picture 42"])
    expect(page.locator(".mark:visible")).to_have_count(1)
    page.goto(link)
    expect(page.locator("h1")).to_contain_text("withdrawn")  # with the picture its link was thrown away


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_while_pictures_are_chosen_compared_and_wiped(visit, started, app, scheme):
    ids: list[str] = []
    page = visit(lambda who: ids.extend([*draw(app, who, *WORDS), *started(who)]), color_scheme=scheme)
    page.locator("#cells input").nth(0).check()
    page.locator("#cells input").nth(1).check()
    page.get_by_text("Download all").click()
    where = page.url.removesuffix("/gallery")
    for path in ("", f"/compare?a={ids[0]}&b={ids[-1]}", f"/pictures/{ids[-1]}", f"/pictures/{ids[0]}", "/gallery?after=none"):
        if path:
            page.goto(where + path)
        if "compare" in path:
            page.get_by_role("button", name="One over the other").click()
        found = Axe().run(page).response["violations"]
        assert [(path, each["id"], [node["html"][:150] for node in each["nodes"][:3]]) for each in found] == []


@pytest.mark.parametrize("width", [320, 640])
def test_nothing_is_wider_than_a_narrow_or_zoomed_page(visit, started, app, width):
    ids: list[str] = []
    page = visit(lambda who: ids.extend([*draw(app, who, "w" * 3000, *WORDS), *started(who)]), viewport={"width": width, "height": 700})
    page.locator("#cells input").nth(0).check(force=True)
    page.get_by_text("Download all").click()
    where = page.url.removesuffix("/gallery")
    for path in ("", f"/pictures/{ids[0]}", f"/pictures/{ids[-1]}", f"/compare?a={ids[0]}&b={ids[1]}"):
        if path:
            page.goto(where + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
