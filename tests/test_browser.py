"""The page in real Chromium: type, watch it develop, have it; by keyboard, without JavaScript, without a stream, in both themes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from conftest import Visitor
from playwright.sync_api import Browser, Page, expect, sync_playwright

SLOW = "80"  # steps, so that there is something to watch
expect.set_options(timeout=60_000)  # milliseconds


def chromium_path() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert found, "the browser tests need Chromium"
    return found


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=["--no-sandbox", "--disable-background-networking"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser, site) -> Iterator[Page]:
    context = chromium.new_context()
    context.set_default_timeout(30_000)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: (problems.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("console", lambda line: "Content Security Policy" in line.text and problems.append(line.text))
    page.goto(site.address)
    yield page
    context.close()
    assert not problems


def options(page: Page, **values: str) -> None:
    if page.locator("details").get_attribute("open") is None:
        page.click("summary")
    for name, value in values.items():
        page.locator(f"[name={name}]").fill(value)


def draw(page: Page, prompt: str) -> None:
    page.fill("#prompt", prompt)
    page.click("text=Draw")


def finished(page: Page):
    return page.locator(".print[data-state=done]")


def test_type_watch_it_develop_and_have_it(page):
    options(page, steps=SLOW, width="192", height="192")
    page.evaluate("""() => {
        window.said = new Set(); window.previews = new Set();
        new MutationObserver(() => {
            for (const line of document.querySelectorAll('.said')) window.said.add(line.textContent.trim());
            for (const image of document.querySelectorAll('.print img')) if (image.src.startsWith('data:image/webp')) window.previews.add(image.src);
        }).observe(document.getElementById('table'), {subtree: true, childList: true, characterData: true, attributes: true});
    }""")
    draw(page, "a castle on a hill at sunset")
    before = page.locator(".paper").first.bounding_box()
    expect(finished(page)).to_have_count(1)
    steps = [line for line in page.evaluate("[...window.said]") if line.startswith("Step ")]
    assert len(steps) >= 3, page.evaluate("[...window.said]")
    assert page.evaluate("window.previews.size") >= 1
    image = finished(page).locator("img")
    expect(image).to_have_attribute("alt", "a castle on a hill at sunset")
    page.wait_for_function("document.querySelector('.print img').naturalWidth === 192")
    assert page.locator(".paper").first.bounding_box() == before, "nothing jumps when it is done"
    expect(page.locator("#live")).to_have_text("Finished: a castle on a hill at sunset")
    with page.expect_download() as download:
        page.click("text=Save")
    assert download.value.suggested_filename.endswith(".png")
    page.reload()
    expect(finished(page)).to_have_count(1)


def test_several_wait_and_each_can_be_cancelled(page):
    options(page, steps="150", width="256", height="256")
    for prompt in ("the sea", "a desert", "a forest"):
        draw(page, prompt)
    expect(page.locator(".print")).to_have_count(3)
    for prompt in ("a forest", "the sea", "a desert"):
        page.locator(".print", has_text=prompt).get_by_text("Cancel").click()
        expect(page.locator(".print", has_text=prompt)).to_have_attribute("data-state", "cancelled")
    options(page, steps="2", width="", height="")
    draw(page, "a fish")
    expect(finished(page)).to_have_count(1)


def test_a_reload_in_the_middle_loses_nothing(page):
    options(page, steps=SLOW)
    draw(page, "an island at night")
    expect(page.locator(".said")).to_contain_text("Step")
    page.reload()
    expect(finished(page)).to_have_count(1)


def test_an_error_stands_at_its_field_and_the_words_stay(page):
    draw(page, "")
    expect(page.locator("#error-prompt")).to_contain_text("empty")
    expect(page.locator("#prompt")).to_be_focused()
    options(page, width="100", steps="0")
    draw(page, 'a lighthouse 🦄 # "quoted"')
    expect(page.locator("#error-width")).to_contain_text("nearest is 96")
    expect(page.locator("#error-steps")).to_contain_text("1 to 150")
    assert page.input_value("#prompt") == 'a lighthouse 🦄 # "quoted"'
    options(page, width="", steps="1")
    page.click("text=Draw")
    expect(finished(page)).to_have_count(1)
    expect(page.locator(".problem:visible")).to_have_count(0)


def test_markup_in_a_prompt_is_only_text(page):
    options(page, steps="1")
    prompt = "</textarea><img src=x onerror=alert(1)><script>alert(2)</script>"
    draw(page, prompt)
    expect(finished(page)).to_have_count(1)
    page.reload()
    expect(page.locator(".print .prompt")).to_have_text(prompt)
    page.locator(".paper").click()
    expect(page.locator("h1")).to_have_text(prompt)


def test_keys_alone_are_enough(page):
    expect(page.locator("#prompt")).to_be_focused()
    page.keyboard.type("a red circle")
    page.keyboard.press("Enter")
    expect(finished(page)).to_have_count(1)
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('save')"):
            break
    else:
        pytest.fail("Save was not reached with the Tab key")


def test_when_the_stream_is_blocked_the_page_asks_instead(page):
    page.route("**/events", lambda route: route.abort())
    page.reload()
    options(page, steps="4")
    draw(page, "a bird")
    expect(finished(page)).to_have_count(1)


def test_a_server_that_is_gone_is_told_and_the_words_stay(page):
    page.route("**/generate", lambda route: route.abort())
    draw(page, "a dog")
    expect(page.locator("#error-form")).to_contain_text("did not answer")
    assert page.input_value("#prompt") == "a dog"


def test_without_javascript_create_watch_and_cancel_work(chromium, site):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site.address)
    page.fill("#prompt", "a white elephant by the beach")
    page.click("text=Draw")
    page.wait_for_selector(".print[data-state=done]", timeout=60_000)
    expect(page.locator(".print img")).to_have_attribute("alt", "a white elephant by the beach")
    page.click("text=Use these settings")
    expect(page.locator("#prompt")).to_have_value("a white elephant by the beach")
    page.click("summary")
    page.fill("[name=steps]", "150")
    page.fill("[name=count]", "8")
    page.click("text=Draw")
    page.locator("text=Cancel").first.click()
    expect(page.locator(".print[data-state=cancelled]").first).to_be_visible()
    context.close()


def test_over_plain_http_the_link_and_the_form_work_without_javascript(chromium, serve):
    """There browsers send no Sec-Fetch-Site, so that the form passes by its Origin."""
    running = serve("--host", "0.0.0.0")
    port, token = running.address.rsplit(":", 1)[1], running.link.split("token=")[1]
    context = chromium.browser_type.launch(
        executable_path=chromium_path(), args=["--no-sandbox", "--host-resolver-rules=MAP studio.example 127.0.0.1"]
    ).new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"http://studio.example:{port}/?token={token}")
    assert page.url == f"http://studio.example:{port}/"
    page.fill("#prompt", "a boat")
    page.click("text=Draw")
    page.wait_for_selector(".print[data-state=done]", timeout=60_000)
    context.browser.close()


def test_two_people_see_only_their_own(page, site):
    options(page, steps="1")
    draw(page, "my own garden")
    expect(finished(page)).to_have_count(1)
    assert b"my own garden" not in Visitor(site.address).ask("/")[1]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_it_fits_every_screen(chromium, site, scheme, width):
    context = chromium.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
    page = context.new_page()
    page.goto(site.address)
    page.click("summary")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(int(part) for part in back[4:-1].split(",")) < 200) == (scheme == "dark")
    context.close()
