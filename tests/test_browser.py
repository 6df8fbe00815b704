"""The page in real Chromium: type, watch it develop, have it; by keyboard, without JavaScript, without a stream, in both themes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Visitor, chromium_path
from PIL import Image
from playwright.sync_api import Browser, Page, expect

SLOW = "80"  # steps, so that there is something to watch
expect.set_options(timeout=300_000)  # milliseconds


@pytest.fixture
def page(chromium: Browser, site) -> Iterator[Page]:
    context = chromium.new_context()
    context.set_default_timeout(120_000)
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
    for fold in (page.locator(".more"), page.locator(".pick:has([name=width])")):  # the tray lies over the other one's handle
        if fold.get_attribute("open") is None:
            fold.locator("summary").click()
    for name, value in values.items():
        page.locator(f"[name={name}]").fill(value)


def draw(page: Page, prompt: str) -> None:
    page.fill("#prompt", prompt)
    page.click(".draw")


def finished(page: Page):
    return page.locator(".print[data-state=done]")


def test_type_watch_it_develop_and_have_it(page):
    page.wait_for_selector("#model[data-state=ready]")  # else the sentence about its loading goes meanwhile
    options(page, steps=SLOW, width="192", height="192")
    page.evaluate("""() => {
        window.said = new Set(); window.previews = new Set();
        new MutationObserver(() => {
            for (const line of document.querySelectorAll('.said')) window.said.add(line.textContent.trim());
            for (const image of document.querySelectorAll('.print img')) if (image.src.startsWith('data:image/webp')) window.previews.add(image.src);
        }).observe(document.getElementById('table'), {subtree: true, childList: true, characterData: true, attributes: true});
    }""")
    draw(page, "a castle on a hill at sunset")
    before = page.locator("#table .paper").first.bounding_box()
    expect(finished(page)).to_have_count(1)
    steps = [line for line in page.evaluate("[...window.said]") if line.startswith("Step ")]
    assert len(steps) >= 3, page.evaluate("[...window.said]")
    assert page.evaluate("window.previews.size") >= 1
    image = finished(page).locator("img")
    expect(image).to_have_attribute("alt", "a castle on a hill at sunset")
    expect(image).to_have_js_property("naturalWidth", 192)
    assert page.locator("#table .paper").first.bounding_box() == before, "nothing jumps when it is done"
    expect(page.locator("#live")).to_have_text("Finished: a castle on a hill at sunset")
    with page.expect_download() as download:
        page.locator(".print .save").first.click()
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
    options(page, steps=SLOW, width="192", height="192")
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
    page.click(".draw")
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
    page.route("**/events*", lambda route: route.abort())
    page.reload()
    options(page, steps="4")
    draw(page, "a bird")
    expect(finished(page)).to_have_count(1)


def test_a_server_that_is_gone_is_told_and_the_words_stay(page):
    page.route("**/generate", lambda route: route.abort())
    draw(page, "a dog")
    expect(page.locator("#error-form")).to_contain_text("did not answer")
    assert page.input_value("#prompt") == "a dog"


def test_an_answer_that_was_lost_is_asked_for_again_and_another_wish_is_another(page):
    def asked() -> list[str]:
        return [job["prompt"] for job in page.request.get(page.url + "jobs", headers={"Accept": "application/json"}).json()["jobs"]]

    def lost(route):
        route.fetch()
        route.abort()

    def by_the_proxy(route):
        route.fetch()
        route.fulfill(status=502, content_type="text/html", body="<h1>Bad gateway</h1>")

    for way, words in ((lost, "a cat"), (by_the_proxy, "a bird")):
        page.route("**/generate", way)
        draw(page, words)
        expect(page.locator("#error-form")).to_contain_text("press Draw to try again")
        page.unroute("**/generate")
        page.click(".draw")
        expect(page.locator(f".print .prompt:has-text('{words}')")).to_have_count(1)
        assert asked().count(words) == 1
    page.route("**/generate", lost)
    draw(page, "a dog")
    expect(page.locator("#error-form")).to_contain_text("press Draw to try again")
    page.unroute("**/generate")
    draw(page, "a house")
    expect(page.locator(".print .prompt:has-text('a house')")).to_have_count(1)
    assert {"a dog", "a house"} <= set(asked())


def test_without_javascript_create_watch_and_cancel_work(chromium, site):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site.address)
    page.fill("#prompt", "a white elephant by the beach")
    page.click(".draw")
    page.wait_for_selector(".print[data-state=done]", timeout=300_000)
    expect(page.locator(".print img")).to_have_attribute("alt", "a white elephant by the beach")
    page.click("text=Use these settings")
    expect(page.locator("#prompt")).to_have_value("a white elephant by the beach")
    page.click(".more > summary")
    page.fill("[name=steps]", "150")
    page.fill("[name=count]", "8")
    page.click(".draw")
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
    page.click(".draw")
    page.wait_for_selector(".print[data-state=done]", timeout=300_000)
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
    page.click(".more > summary")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(int(part) for part in back[4:-1].split(",")) < 200) == (scheme == "dark")
    context.close()


# -- from a picture, and several at once


@pytest.fixture(scope="module")
def picture(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "a start.png"
    image = Image.new("RGB", (128, 128), "#3060c0")
    image.paste("#30a040", (0, 80, 128, 128))
    image.save(path)
    return path


def choose(page: Page, name: str, file: Path) -> None:
    options(page)
    page.set_input_files(f"[name={name}][type=file]", file)


def colours(page: Page) -> list[int]:
    """Red, green and blue of the newest picture as it is shown, in the middle of its top and of its bottom."""
    return page.evaluate("""async () => {
        const image = document.querySelector('.print[data-state=done] img');
        await image.decode();
        const canvas = Object.assign(document.createElement('canvas'), {width: image.naturalWidth, height: image.naturalHeight});
        const pen = canvas.getContext('2d');
        pen.drawImage(image, 0, 0);
        return [8, canvas.height - 8].flatMap((y) => [...pen.getImageData(canvas.width / 2, y, 1, 1).data.slice(0, 3)]);
    }""")


def test_choose_a_picture_draw_from_it_and_see_it(page, picture):
    choose(page, "image", picture)
    options(page, strength="0.2", steps="10", seed="7")
    draw(page, "a house in a field")
    expect(finished(page)).to_have_count(1)
    red, _, blue, low_red, green, low_blue = colours(page)
    assert blue > 120 > red and green > low_red and green > low_blue, "it still has the colours of what it came from"


def test_what_is_no_picture_is_told_at_its_box_and_the_choice_can_be_mended(page, picture, tmp_path):
    wrong = tmp_path / "notes.png"
    wrong.write_text("not a picture")
    choose(page, "image", wrong)
    options(page, steps="2")
    draw(page, "a house by the sea")
    expect(page.locator("#error-image")).to_contain_text("not a picture")
    expect(page.locator("[name=image]")).to_be_focused()
    assert page.locator("[name=image]").get_attribute("aria-invalid") == "true"
    assert page.locator("[name=image]").get_attribute("aria-describedby") == "error-image"
    assert page.input_value("#prompt") == "a house by the sea" and page.input_value("[name=steps]") == "2"
    choose(page, "image", picture)
    page.click(".draw")
    expect(finished(page)).to_have_count(1)
    expect(page.locator(".problem:visible")).to_have_count(0)


def test_a_picture_that_is_too_large_is_told_at_its_box_and_not_sent(page, tmp_path):
    sent: list[str] = []
    page.on("request", lambda request: request.method == "POST" and sent.append(request.url))
    large = tmp_path / "large.png"
    large.write_bytes(bytes(40 << 20))
    choose(page, "image", large)
    draw(page, "a house")
    expect(page.locator("#error-image")).to_contain_text("32 MB")
    assert not sent


def test_errors_of_grids_and_masks_stand_at_theirs(page, picture, tmp_path):
    mask = tmp_path / "mask.png"
    Image.new("L", (128, 128), 255).save(mask)
    options(page, x_values="lots")
    page.select_option("[name=x_field]", "steps")
    choose(page, "mask", mask)
    draw(page, "a cat")
    expect(page.locator("#error-image")).to_contain_text("needs a picture")
    choose(page, "image", picture)
    page.click(".draw")
    expect(page.locator("#error-x")).to_contain_text("lots")
    expect(page.locator("[name=x_values]")).to_be_focused()
    options(page, x_values="1, 2")
    page.click(".draw")
    expect(finished(page)).to_have_count(2)
    expect(page.locator(".problem:visible")).to_have_count(0)
    page.goto(f"{page.url}jobs/{page.locator('.print').first.get_attribute('data-job')}")
    sheet = page.locator(".sheet")
    expect(sheet).not_to_have_js_property("naturalWidth", 0)
    assert sheet.evaluate("e => e.naturalWidth") > 256
    assert sheet.bounding_box()["width"] <= page.viewport_size["width"]


def test_each_of_several_has_its_own_words_and_notes(page):
    options(page, steps="1")
    draw(page, "a {red|blue} zyzzyva")
    expect(finished(page)).to_have_count(2)
    assert page.locator(".print .prompt").all_inner_texts() == ["a red zyzzyva", "a blue zyzzyva"]
    expect(page.locator(".print .notes").first).to_have_text("This model does not know the word: zyzzyva.")
    assert [image.get_attribute("alt") for image in page.locator(".print img").all()] == ["a red zyzzyva", "a blue zyzzyva"]


def test_without_javascript_a_picture_is_handed_in_kept_and_taken_away(chromium, site, picture, tmp_path):
    wrong = tmp_path / "mask.png"
    wrong.write_text("not a picture")
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site.address)
    page.click(".more > summary")
    page.set_input_files("[name=image]", picture)
    page.set_input_files("[name=mask]", wrong)
    page.fill("[name=steps]", "4")
    page.fill("#prompt", "a house by the sea")
    page.click(".draw")
    expect(page.locator("#error-mask")).to_contain_text("not a picture")
    expect(page.locator("#prompt")).to_have_value("a house by the sea")
    expect(page.locator("[name=steps]")).to_have_value("4")
    kept = page.locator("[name=image][type=checkbox]")
    expect(kept).to_be_checked()
    page.click(".draw")
    page.wait_for_selector(".print[data-state=done]", timeout=300_000)
    expect(page.locator(".receipt")).to_contain_text("Strength")
    page.click("text=Start from this picture")
    expect(page.locator("[name=strength]")).to_be_visible()
    expect(page.locator("[name=image][type=checkbox]")).to_be_checked()
    page.locator("[name=image][type=checkbox]").uncheck()
    page.fill("[name=steps]", "2")
    page.click(".draw")
    page.wait_for_selector(".print[data-state=done]", timeout=300_000)
    expect(page.locator(".receipt")).not_to_contain_text("Strength")
    context.close()


def test_without_javascript_too_much_is_told_in_words(chromium, site, tmp_path):
    large = tmp_path / "large.png"
    large.write_bytes(bytes(40 << 20))
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site.address)
    page.click(".more > summary")
    page.set_input_files("[name=image]", large)
    page.fill("#prompt", "a house")
    page.click(".draw")
    expect(page.locator("h1")).to_contain_text("Please send less")
    page.go_back()
    expect(page.locator("#prompt")).to_have_value("a house")
    context.close()


@pytest.mark.parametrize("width", [320, 390])
def test_with_everything_open_nothing_is_wider_than_the_screen(chromium, site, picture, width):
    context = chromium.new_context(viewport={"width": width, "height": 800}, java_script_enabled=False)
    page = context.new_page()
    page.goto(site.address)
    page.click(".more > summary")
    page.set_input_files("[name=image]", picture)
    page.click(".pick:has([name=width]) > summary")
    for name in ("width", "steps", "strength", "mask_blur"):
        page.fill(f"[name={name}]", "-1")
    page.fill("[name=x_values]", "x" * 300)
    page.select_option("[name=x_field]", "steps")
    page.fill("#prompt", "w" * 200)
    page.click(".draw")
    expect(page.locator(".problem:visible")).not_to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    wide = page.evaluate("(width) => [...document.querySelectorAll('#form *')].filter((one) => one.getBoundingClientRect().right > width + 1 && !one.closest('.try, .row')).map((one) => one.outerHTML.slice(0, 80))", width)  # fmt: skip
    assert not wide
    context.close()


def test_every_box_has_a_name_that_is_read_aloud(page):
    options(page)
    nameless = page.evaluate("""() => [...document.querySelectorAll('#form input, #form select, #form textarea')]
        .filter((box) => !box.labels.length || !box.labels[0].textContent.trim()).map((box) => box.name)""")
    assert not nameless
    lost = page.evaluate("""() => [...document.querySelectorAll('[aria-describedby]')]
        .filter((box) => !document.getElementById(box.getAttribute('aria-describedby'))).map((box) => box.name)""")
    assert not lost
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((one) => one.id)")
    assert len(ids) == len(set(ids))
