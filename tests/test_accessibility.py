"""For everyone: axe-core finds nothing on any page in dark and light, keys alone reach everything, and nothing breaks when it is narrow or
zoomed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import eventually
from playwright.sync_api import Browser, BrowserContext, Page, expect

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


@pytest.fixture(scope="module")
def visit(chromium: Browser, site) -> Iterator[tuple[BrowserContext, dict[str, str]]]:
    """Somebody's browser, and the addresses of every kind of page, with pictures of theirs on them."""
    context = chromium.new_context()
    context.set_default_timeout(60_000)

    def ask(path: str, form: dict | None = None) -> dict:
        headers = {"Accept": "application/json"}
        asked = context.request.get if form is None else context.request.post
        answer = asked(site.address + path, headers=headers, **({"form": form} if form is not None else {}))
        assert answer.ok, answer.text()
        return answer.json()

    form = {"prompt": "a red circle on a blue background\na castle on a hill", "steps": "2", "negative_prompt": "snow"}
    job = ask("/generate", form)["id"]
    view = eventually(lambda: (view := ask(f"/jobs/{job}"))["state"] == "done" and view, 300)
    first, second = (picture["id"] for picture in view["pictures"])
    word = ask(f"/pictures/{first}/share", {})["link"]
    addresses = {
        "create": "/",
        "create, wrong": "/?steps=x",
        "create, painting over": f"/?start={first}#mask",
        "job": f"/jobs/{job}",
        "gallery": "/gallery",
        "gallery, nothing found": "/gallery?q=zebra",
        "picture": f"/pictures/{first}",
        "compare": f"/compare?a={first}&b={second}",
        "shared": word,
        "host": "/host",
        "error": "/none",
    }
    yield context, {name: path if path.startswith("http") else site.address + path for name, path in addresses.items()}
    context.close()


PAGES = [
    "create",
    "create, wrong",
    "create, painting over",
    "job",
    "gallery",
    "gallery, nothing found",
    "picture",
    "compare",
    "shared",
    "host",
    "error",
]


def opened(visit: tuple[BrowserContext, dict[str, str]], name: str, scheme: str = "light", width: int = 1280) -> Page:
    context, addresses = visit
    page = context.new_page()
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(addresses[name])
    if name == "create, painting over":  # its folds close once the stage is there
        expect(page.locator("#brush")).to_have_attribute("aria-pressed", "true")
    return page


def violations(page: Page) -> list[str]:
    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": RULES["runOnly"]}}).response["violations"]
    return [f"{each['id']}: {each['help']}: {[node['html'][:160] for node in each['nodes'][:3]]}" for each in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(visit, name: str, scheme: str):
    page = opened(visit, name, scheme)
    assert violations(page) == []
    for fold in page.locator("main details:visible, form details:visible").all():  # one at a time, as a click elsewhere closes a tray
        was = fold.evaluate("fold => { const was = fold.open; fold.open = true; return was; }")
        assert violations(page) == []
        fold.evaluate("(fold, was) => fold.open = was", was)
    page.close()


def test_axe_would_find_something(visit):
    page = opened(visit, "create")
    page.evaluate("document.querySelector('main').append(document.createElement('img'))")
    assert any(found.startswith("image-alt") for found in violations(page))
    page.close()


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [320, 640])
def test_nothing_is_wider_than_a_narrow_or_zoomed_page(visit, name: str, width: int):
    """640 pixels is what a window of 1,280 has at a zoom of 200 %."""
    page = opened(visit, name, width=width)
    for fold in page.locator("main details, form details").all():
        fold.evaluate("fold => fold.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


@pytest.mark.parametrize("name", PAGES)
def test_tab_reaches_everything_and_it_is_seen(visit, name: str):
    """Every control is reached by Tab, in turn, and the one that has the focus is marked."""
    page = opened(visit, name)
    # one of several radio buttons of a name stands for all: arrows reach the others
    reachable = """[...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex="0"]')].filter((e) =>
        !e.disabled && e.tabIndex >= 0 && e.checkVisibility({visibilityProperty: true}) && !e.closest('[inert]') && e.type !== 'hidden'
        && !(e.type === 'radio' && !e.checked))"""
    page.evaluate(f"window.left = new Set({reachable})")
    total = page.evaluate("left.size")
    assert total >= 3
    unmarked = []
    for _ in range(total + 20):
        page.keyboard.press("Tab")
        seen = page.evaluate(
            """() => { const e = document.activeElement; left.delete(e); const s = getComputedStyle(e), around = e.closest('.ask, label');
            const marked = s.outlineStyle !== 'none' && s.outlineWidth !== '0px' || s.boxShadow !== 'none' || around && e.matches(':focus');
            return marked || e === document.body ? '' : e.outerHTML.slice(0, 120); }"""
        )
        if seen:
            unmarked.append(seen)
        if not page.evaluate("left.size"):
            break
    assert page.evaluate("[...left].map((e) => e.outerHTML.slice(0, 120))") == []
    assert unmarked == []
    page.close()


def test_the_sheet_of_keys_opens_closes_and_is_clean(visit):
    page = opened(visit, "gallery")
    page.keyboard.press("?")
    sheet = page.locator("#key-sheet")
    expect(sheet).to_be_visible()
    expect(sheet).to_contain_text("Gallery")
    assert violations(page) == []
    page.keyboard.press("Escape")
    expect(sheet).to_have_count(0)
    page.close()


def test_single_keys_can_be_turned_off(visit):
    """Who speaks to the computer, or shakes, sets keys off by chance (WCAG 2.1.4)."""
    page = opened(visit, "gallery")
    page.keyboard.press("?")
    page.get_by_label("Use single keys").uncheck()
    page.keyboard.press("Escape")
    page.reload()
    page.keyboard.press("d")
    page.wait_for_timeout(500)
    assert page.url.endswith("/gallery")
    page.click("#keys")
    page.get_by_label("Use single keys").check()
    page.keyboard.press("Escape")
    page.keyboard.press("d")
    page.wait_for_url(lambda url: url.rstrip("/").endswith(str(url.split("/")[2])))
    page.close()


def test_keys_alone_draw_open_and_come_back(visit):
    page = opened(visit, "create")
    page.wait_for_selector("#model[data-state=ready]")
    count = page.locator(".print[data-state=done]").count()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.locator("#prompt")).to_be_focused()
    page.keyboard.press("Control+A")
    page.keyboard.type("a blue star on a white background")
    page.keyboard.press("Enter")
    expect(page.locator(".print[data-state=done]")).to_have_count(count + 1, timeout=120_000)
    print_link = page.locator(".print[data-state=done] a.paper").first
    for _ in range(120):
        if print_link.evaluate("e => e === document.activeElement"):
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/pictures/*")
    expect(page.locator("main img").first).to_have_attribute("alt", "a blue star on a white background")
    page.keyboard.press("ArrowRight")
    page.wait_for_url(lambda url: "/pictures/" in url)
    page.keyboard.press("Escape")
    page.wait_for_url("**/gallery**")
    page.close()


def test_nothing_moves_for_those_who_want_it_still(visit):
    page = opened(visit, "create")
    page.emulate_media(reduced_motion="reduce")
    moving = page.evaluate(
        "[...document.querySelectorAll('*')].filter((e) => { const s = getComputedStyle(e);"
        " return parseFloat(s.transitionDuration) > 0 || parseFloat(s.animationDuration) > 0; }).map((e) => e.outerHTML.slice(0, 80))"
    )
    assert moving == []
    page.close()


def test_the_look_changes_in_place_and_the_language_when_it_is_said(visit, chromium: Browser, site):
    """Nothing that is chosen with the arrow keys takes the page away, or what lies in its form (WCAG 3.2.2)."""
    context = chromium.new_context(locale="en-GB")
    page = context.new_page()
    page.goto(site.address)
    page.evaluate("window.here = true")
    page.locator("[name=theme]").focus()
    ink = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ink)
    with page.expect_response("**/preferences") as told:
        page.select_option("[name=theme]", "dark")
    assert told.value.status == 200
    assert page.evaluate(ink) != light and page.evaluate("window.here")
    page.locator("[name=language]").focus()
    page.keyboard.press("ArrowDown")
    page.select_option("[name=language]", "es")
    page.wait_for_timeout(500)
    assert page.evaluate("window.here") and page.evaluate("document.documentElement.lang") == "en"
    page.get_by_role("button", name="Change", exact=True).click()
    expect(page.locator("html")).to_have_attribute("lang", "es")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    context.close()


def test_the_page_speaks_spanish(visit, chromium: Browser, site):
    context = chromium.new_context(locale="es-ES")
    page = context.new_page()
    page.goto(site.address)
    assert page.locator("html").get_attribute("lang") == "es"
    page.wait_for_selector("#model[data-state=ready]")
    expect(page.locator("#model span")).to_have_text("El modelo está listo.")
    page.fill("#prompt", "a red circle")
    page.locator("[name=steps]").evaluate("e => e.value = 200000")
    page.keyboard.press("Enter")
    page.click("button.draw")
    expect(page.locator("#error-steps")).to_contain_text("debe estar entre")
    assert violations(page) == []
    context.close()
