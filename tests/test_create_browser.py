"""The page on which pictures are asked for, in real Chromium: read along, sized, remembered, started from a picture, painted over, grown,
filled in from a picture's settings; on a phone, by keys, and without JavaScript."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import NATIVE, PLACES, Visitor, eventually
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from webapp import metadata
from webapp.schema import GenerationRequest, Receipt

expect.set_options(timeout=60_000)  # milliseconds
MADE = {"prompt": "a castle on a hill", "seed": 77, "steps": 7, "guidance": 3.5, "width": 192, "height": 128, "sampler": "Euler a"}


@pytest.fixture
def page(chromium: Browser, site) -> Iterator[Page]:
    context = chromium.new_context()
    context.set_default_timeout(30_000)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: "Content Security Policy" in line.text and problems.append(line.text))
    opened(page, site.address)
    yield page
    context.close()
    assert not problems


def opened(page: Page, address: str) -> None:
    """With the model loaded, so that nothing moves any more."""
    page.goto(address)
    expect(page.locator("[data-state=ready]").first).to_be_attached()


@pytest.fixture(scope="module")
def start() -> Image.Image:
    image = Image.new("RGB", (NATIVE, NATIVE), "#3060c0")
    image.paste("#30a040", (0, NATIVE * 5 // 8, NATIVE, NATIVE))
    return image


@pytest.fixture(scope="module")
def plain(start, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "start.png"
    start.save(path)
    return path


@pytest.fixture(scope="module")
def speaking(start, tmp_path_factory) -> Path:
    """A picture that says how it was made."""
    path = tmp_path_factory.mktemp("pictures") / "made.png"
    path.write_bytes(metadata.to_png(start, Receipt(request=GenerationRequest.read(MADE), model="builtin")))
    return path


def fold(page: Page, which: str) -> None:
    """Opens "more", or the tray that holds a field."""
    for tray in page.locator(".pick[open]").all():
        tray.locator("summary").click()
    found = page.locator(".more" if which == "more" else f".pick:has([name={which}])")
    if found.get_attribute("open") is None:
        found.locator("summary").click()
        expect(page.locator("#sizer[hidden]")).to_have_count(0)  # what the folds need has come


def bring(page: Page, file: Path, how: str) -> None:
    """The file dropped onto the page, or pasted."""
    page.evaluate(
        """([data, how]) => {
        const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
        const carrier = new DataTransfer();
        carrier.items.add(new File([bytes], 'brought.png', {type: 'image/png'}));
        const options = {bubbles: true, cancelable: true};
        const event = how === 'drop' ? new DragEvent('drop', {...options, dataTransfer: carrier})
                                     : new ClipboardEvent('paste', {...options, clipboardData: carrier});
        document.body.dispatchEvent(event);
    }""",
        [base64.b64encode(file.read_bytes()).decode(), how],
    )


def chosen(page: Page, name: str) -> bytes | None:
    """The file that is in the box."""
    told = page.evaluate(
        """async (name) => {
        const file = document.querySelector(`[type=file][name=${name}]`).files[0];
        return file ? btoa(String.fromCharCode(...new Uint8Array(await file.arrayBuffer()))) : null;
    }""",
        name,
    )
    return base64.b64decode(told) if told else None


def drawn(page: Page) -> Image.Image:
    """Draws, and gives the picture."""
    with page.expect_response("**/generate") as answer:
        page.click(".draw")
    job = answer.value.json()["id"]
    done = page.locator(f".print[data-job='{job}'][data-state=done]")
    expect(done).to_have_count(1)
    answer = page.request.get(page.url.split("?")[0].split("#")[0] + done.locator(".save").get_attribute("href").lstrip("/"))
    return Image.open(io.BytesIO(answer.body())).convert("RGB")


def stroke(page: Page, *points: tuple[float, float]) -> None:
    """One stroke of the brush through points of the picture, 0 to 1."""
    box = page.locator("#start-mask").bounding_box()
    on_screen = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*on_screen[0])
    page.mouse.down()
    for point in on_screen[1:]:
        page.mouse.move(*point, steps=5)
    page.mouse.up()


# -- words


def test_tokens_unknown_words_and_the_number_of_pictures_are_told_while_one_types(page):
    page.add_init_script("document.addEventListener('model', () => (document.documentElement.dataset.told = 'yes'))")
    page.reload()
    expect(page.locator("html[data-told]")).to_be_attached()  # which model it is: that is a reason to read again
    asked: list[str] = []
    page.on("request", lambda request: request.url.endswith("/reading") and asked.append(request.post_data))
    typed = (
        "(box, words) => { for (const letter of words) box.value += letter, box.dispatchEvent(new InputEvent('input', {bubbles: true})); }"
    )
    page.locator("#prompt").evaluate(typed, "a zyzzyva on a hill")
    expect(page.locator("#unknown")).to_have_text("This model does not know: zyzzyva. Stable Diffusion 2.1 knows this.")
    expect(page.locator("#length")).to_contain_text(f"of {PLACES} tokens")
    expect(page.locator("#underlay mark")).to_have_text("zyzzyva")
    assert len(asked) == 1 and "zyzzyva+on+a+hill" in asked[0], "asked once, after the typing stopped"
    mark, text = page.locator("#underlay mark").bounding_box(), page.locator("#prompt").bounding_box()
    assert text["x"] < mark["x"] and text["y"] < mark["y"] + mark["height"] < text["y"] + text["height"]
    page.fill("#prompt", "a {red|blue} house\na cat")
    expect(page.locator("#makes")).to_have_text("This makes 3 pictures.")
    expect(page.locator("#unknown")).to_be_empty()
    page.fill("[name=count]", "16")
    expect(page.locator("#makes")).to_have_text("This makes 48 pictures.")
    page.fill("#prompt", "a {red|blue} {house|cat} {at night|}")
    expect(page.locator("#makes")).to_contain_text("at most 64")
    page.fill("#prompt", "")
    expect(page.locator("#length")).to_be_empty()


def test_chips_fill_the_bar_and_words_it_knows_are_added(page):
    page.locator(".try .chip").first.click()
    assert page.input_value("#prompt") == page.locator(".try .chip").first.inner_text()
    page.fill("#prompt", "a castle")
    page.click("#known summary")
    page.click("#known a >> text=at sunset")
    assert page.input_value("#prompt") == "a castle at sunset"
    expect(page.locator("#prompt")).to_be_focused()


def test_every_word_that_it_is_said_to_know_is_one_that_it_knows(page):
    words = page.locator("#known a").all_text_contents()
    assert len(words) > 40
    told = page.request.post(page.url + "reading", form={"prompt": " ".join(words)}).json()
    assert told["unknown"] == [] and told["tokens"] >= len(words)


# -- size, seed, grid


def test_a_shape_and_a_slider_write_the_size(page):
    fold(page, "width")
    slider = page.locator("#side")
    assert (slider.get_attribute("min"), slider.get_attribute("max")) == (str(min(256, NATIVE)), "1024")
    expect(page.locator("#native-said")).to_contain_text(str(NATIVE))
    page.get_by_role("button", name="3:2").click()
    assert (page.input_value("[name=width]"), page.input_value("[name=height]")) == (str(NATIVE), str(round(NATIVE / 12) * 8))
    slider.focus()
    for _ in range((384 - NATIVE) // 64):
        page.keyboard.press("ArrowRight")
    assert (page.input_value("[name=width]"), page.input_value("[name=height]")) == ("384", "256")
    expect(page.locator("#size-said")).to_have_text("384 × 256")
    page.fill("[name=width]", "256")
    page.fill("[name=height]", "256")
    expect(page.get_by_role("button", name="1:1")).to_have_attribute("aria-pressed", "true")
    expect(slider).to_have_value("256")
    page.keyboard.press("Escape")
    expect(slider).not_to_be_visible()


@pytest.mark.parametrize("shape", ["1:1", "3:2", "2:3", "4:3", "3:4", "16:9", "9:16"])
def test_every_shape_and_size_is_one_that_can_be_asked_for(page, shape):
    fold(page, "width")
    page.get_by_role("button", name=shape, exact=True).click()
    across, down = map(int, shape.split(":"))
    for side in (NATIVE, 512, 768, 1024):
        page.fill("#side", str(side))
        size = {name: page.input_value(f"[name={name}]") for name in ("width", "height")}
        request = GenerationRequest.read({"prompt": "a", **size})
        assert max(request.width, request.height) == side
        assert abs(request.width / request.height / (across / down) - 1) < 0.06


def test_the_seed_is_kept_and_let_go(page):
    page.fill("#prompt", "a red circle")
    fold(page, "more")
    page.fill("[name=steps]", "2")
    first = drawn(page)
    page.click("#lock")
    assert page.input_value("[name=seed]").isdigit()
    assert drawn(page).tobytes() == first.tobytes(), "the same seed, the same picture"
    page.click("#lock")
    assert page.input_value("[name=seed]") == ""
    assert drawn(page).tobytes() != first.tobytes()


def test_a_grid_suggests_its_values_and_says_how_many_it_makes(page):
    page.fill("#prompt", "a red circle")
    fold(page, "more")
    page.select_option("[name=x_field]", "steps")
    assert page.input_value("[name=x_values]") == "10, 20, 30"
    page.select_option("[name=y_field]", "sampler")
    expect(page.locator("#y-suggested button").filter(has_text="Euler a")).to_be_visible()
    expect(page.locator("#grid-makes")).to_have_text("This makes 9 pictures.")
    page.get_by_role("group", name="Down").get_by_role("button", name="Euler a", exact=True).click()
    assert page.input_value("[name=y_values]").endswith(", Euler a")
    expect(page.locator("#grid-makes")).to_have_text("This makes 12 pictures.")
    page.fill("[name=x_values]", "1, 2")
    expect(page.locator("#x-suggested [aria-pressed=true]")).to_have_count(0)
    page.fill("[name=y_values]", "Euler, Heun")
    with page.expect_response("**/generate") as answer:
        page.click(".draw")
    assert len(answer.value.json()["pictures"]) == 4


# -- the draft


def test_the_form_remembers_itself_until_it_is_cleared(page):
    page.fill("#prompt", "a boat\nat night")
    fold(page, "styles")
    page.check("[name=styles][value=Cartoon]")
    fold(page, "more")
    page.fill("[name=steps]", "9")
    page.select_option("[name=sampler]", "Heun")
    page.reload()
    expect(page.locator("#prompt")).to_have_value("a boat\nat night")
    expect(page.locator("[name=steps]")).to_have_value("9")
    expect(page.locator("[name=sampler]")).to_have_value("Heun")
    expect(page.locator("#style-said")).to_have_text("Cartoon")
    page.click("#clear")
    expect(page.locator("#prompt")).to_have_value("")
    page.get_by_role("button", name="Undo").last.click()
    expect(page.locator("#prompt")).to_have_value("a boat\nat night")
    page.click("#clear")
    page.reload()
    expect(page.locator("#prompt")).to_have_value("")
    expect(page.locator("[name=steps]")).to_have_value("")


def test_what_the_address_says_goes_before_the_draft(page, site):
    page.fill("#prompt", "a boat")
    page.wait_for_timeout(500)
    page.goto(site.address + "/?prompt=a+cat")
    expect(page.locator("#prompt")).to_have_value("a cat")


def test_without_storage_the_form_still_draws(chromium, site):
    context = chromium.new_context()
    context.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('denied', 'SecurityError'); } })"
    )
    page = context.new_page()
    opened(page, site.address)
    page.fill("#prompt", "a red circle")
    fold(page, "more")
    page.fill("[name=steps]", "1")
    assert drawn(page).size == (NATIVE, NATIVE)
    context.close()


# -- from a picture


@pytest.mark.parametrize("how", ["drop", "paste"])
def test_a_picture_that_is_brought_is_started_from(page, plain, how):
    bring(page, plain, how)
    expect(page.locator("#stage")).to_be_visible()
    assert chosen(page, "image") == plain.read_bytes()
    expect(page.locator("#offer")).not_to_be_visible()
    page.fill("#change", "0.1")
    assert page.input_value("[name=strength]") == "0.1"
    page.fill("#prompt", "a house")
    picture = np.asarray(drawn(page), float)
    assert np.abs(picture - np.asarray(Image.open(plain), float)).mean() < 25, "it still looks like it"
    page.click("#remove")
    expect(page.locator("#stage")).not_to_be_visible()
    assert chosen(page, "image") is None


def test_words_with_a_picture_of_them_are_pasted_as_words(page, plain):
    """So spreadsheets copy their cells."""
    taken = page.evaluate(
        """([data]) => {
        const carrier = new DataTransfer();
        carrier.setData('text/plain', 'a cat');
        carrier.items.add(new File([Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0))], 'cells.png', {type: 'image/png'}));
        const event = new ClipboardEvent('paste', {bubbles: true, cancelable: true, clipboardData: carrier});
        return ['#prompt', 'body'].map((where) => !document.querySelector(where).dispatchEvent(event));
    }""",
        [base64.b64encode(plain.read_bytes()).decode()],
    )
    assert taken == [False, True]
    expect(page.locator("#stage")).to_be_visible()


def test_a_script_that_did_not_come_locks_nothing_and_may_come_later(page, plain):
    page.route("**/start.js*", lambda route: route.abort())
    page.set_input_files("[type=file][name=image]", plain)
    expect(page.locator("#toasts")).to_contain_text("The server did not answer.")
    page.fill("#prompt", "a red circle")
    fold(page, "more")
    page.fill("[name=steps]", "1")
    assert drawn(page).size == (NATIVE, NATIVE), "it is drawn from without a stage"
    expect(page.locator(".draw")).to_be_enabled()
    page.click("#clear")
    expect(page.locator("#prompt")).to_have_value("")
    assert chosen(page, "image") is None
    page.unroute_all()
    page.set_input_files("[type=file][name=image]", plain)
    expect(page.locator("#stage")).to_be_visible()


def test_what_is_brushed_is_drawn_anew_and_nothing_else_changes(page, plain, start):
    page.set_input_files("[type=file][name=image]", plain)
    page.fill("#prompt", "a red star")
    fold(page, "more")
    page.fill("[name=steps]", "6")
    page.locator(".more > summary").click()
    page.click("#brush")
    page.fill("#brush-size", "20")
    stroke(page, (0.25, 0.25), (0.25, 0.6), (0.4, 0.6))
    expect(page.locator("#change-said")).to_have_text("100 %")
    picture = drawn(page)
    mask = np.asarray(Image.open(io.BytesIO(chosen(page, "mask"))).convert("L")) >= 128
    assert 0.05 < mask.mean() < 0.3 and [bool(mask[NATIVE * y // 4, NATIVE * x // 4]) for y, x in ((1, 1), (2, 1), (3, 3))] == [
        True,
        True,
        False,
    ]
    changed = np.abs(np.asarray(picture, int) - np.asarray(start, int)).max(axis=2) > 0
    assert not (changed & ~mask).any(), "outside of the mask every pixel is as it was"
    assert changed[mask].mean() > 0.5


def test_a_stroke_is_undone_erased_and_cleared(page, plain):
    page.set_input_files("[type=file][name=image]", plain)
    page.click("#brush")

    def painted() -> float:
        data = chosen(page, "mask")
        return float((np.asarray(Image.open(io.BytesIO(data)).convert("L")) >= 128).mean()) if data else 0

    stroke(page, (0.2, 0.5), (0.8, 0.5))
    one = eventually(painted, 20)  # the mask comes a moment after the stroke
    stroke(page, (0.5, 0.2), (0.5, 0.8))
    eventually(lambda: painted() > one, 20)
    page.click("#undo")
    eventually(lambda: painted() == one, 20)
    page.click("#erase")
    stroke(page, (0.2, 0.5), (0.5, 0.5))
    eventually(lambda: 0 < painted() < one, 20)
    page.click("#wipe")
    eventually(lambda: painted() == 0, 20)


def test_touch_paints_too_by_one_finger_at_a_time(chromium, site, plain):
    context = chromium.new_context(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    page = context.new_page()
    opened(page, site.address)
    page.set_input_files("[type=file][name=image]", plain)
    page.click("#brush")
    page.locator("#start-mask").scroll_into_view_if_needed()
    box = page.locator("#start-mask").bounding_box()
    session = context.new_cdp_session(page)
    palm = (0.9, 0.1)
    for kind, *fingers in (
        ("touchStart", (0.3, 0.5)), ("touchMove", (0.4, 0.5)), ("touchStart", (0.4, 0.5), palm), ("touchMove", (0.7, 0.5), palm), ("touchEnd",),
    ):  # fmt: skip
        points = [{"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"], "id": id} for id, (x, y) in enumerate(fingers)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    mask = np.asarray(Image.open(io.BytesIO(eventually(lambda: chosen(page, "mask"), 10))).convert("L").resize((128, 128)))
    assert mask[64, 40] == mask[64, 64] == mask[64, 86] == 255 and mask[64, 5] == mask[13, 115] == mask[40, 80] == 0
    context.close()


def test_an_edge_is_pulled_by_mouse_and_by_keys(page, plain):
    page.set_input_files("[type=file][name=image]", plain)
    edge = page.get_by_role("slider", name="Grow right")
    box = edge.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + 100, box["y"], steps=5)
    page.mouse.up()
    right = int(page.input_value("[name=outpaint_right]"))
    assert right > 0 and right % 8 == 0
    expect(edge).to_have_attribute("aria-valuenow", str(right))
    page.get_by_role("slider", name="Grow left").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("PageUp")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert page.input_value("[name=outpaint_left]") == "72"
    page.keyboard.press("Home")
    assert page.input_value("[name=outpaint_left]") == ""
    page.get_by_role("slider", name="Grow down").focus()
    page.keyboard.press("PageUp")
    page.fill("#prompt", "a house")
    fold(page, "more")
    page.fill("[name=steps]", "2")
    assert drawn(page).size == (NATIVE + right, NATIVE + 64)


def test_what_is_no_picture_is_told(page, tmp_path):
    wrong = tmp_path / "wrong.png"
    wrong.write_text("words")
    bring(page, wrong, "drop")
    page.fill("#prompt", "a house")
    page.click(".draw")
    expect(page.locator("#error-image")).to_contain_text("not a picture")
    expect(page.locator("#stage")).not_to_be_visible()


def test_a_picture_of_the_gallery_opens_with_its_brush(page, site):
    page.fill("#prompt", "a red circle")
    fold(page, "more")
    page.fill("[name=steps]", "2")
    drawn(page)
    id = page.locator(".print[data-state=done] .save").first.get_attribute("href").split("/")[-1].split(".")[0]
    page.goto(f"{site.address}/?start={id}#mask")
    expect(page.locator("#brush")).to_have_attribute("aria-pressed", "true")
    assert page.evaluate("document.getElementById('start-picture').width") == NATIVE
    stroke(page, (0.4, 0.5), (0.6, 0.5))
    fold(page, "more")
    page.fill("[name=steps]", "2")
    assert drawn(page).size == (NATIVE, NATIVE)


# -- settings


def is_filled_in(page: Page) -> None:
    for name, value in MADE.items():
        expect(page.locator(f"[name={name}]")).to_have_value(str(value))


def test_a_dropped_pictures_settings_are_offered_and_used(page, speaking):
    page.fill("[name=count]", "3")
    sent: list[str] = []
    page.on("request", lambda request: request.url.endswith("/settings") and sent.append(request.url))
    bring(page, speaking, "drop")
    page.get_by_role("button", name="Use its settings").first.click()
    is_filled_in(page)
    assert page.input_value("[name=count]") == "1" and chosen(page, "image") is None
    expect(page.locator("#stage")).not_to_be_visible()
    expect(page.locator("#told")).to_contain_text("as that picture was made")
    assert len(sent) == 1


def test_or_it_is_started_from(page, speaking):
    page.fill("#prompt", "my own words")
    bring(page, speaking, "paste")
    page.get_by_role("button", name="Start from it").click()
    expect(page.locator("#offer")).not_to_be_visible()
    assert page.input_value("#prompt") == "my own words" and chosen(page, "image") == speaking.read_bytes()


def test_the_box_for_settings_says_when_there_are_none(page, speaking, plain):
    fold(page, "more")
    page.set_input_files("[name=picture]", plain)
    expect(page.locator("#error-picture")).to_have_text("This picture does not say how it was made.")
    page.set_input_files("[name=picture]", speaking)
    is_filled_in(page)
    expect(page.locator("#error-picture")).not_to_be_visible()


# -- keys, phone, no JavaScript, first load


def test_keys(page):
    page.locator("#keys").focus()
    page.keyboard.press("/")
    expect(page.locator("#prompt")).to_be_focused()
    page.keyboard.type("a red circle")
    fold(page, "more")
    page.fill("[name=steps]", "1")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".print[data-state=done]")).to_have_count(1)


@pytest.mark.parametrize("width", [320, 390])
def test_on_a_phone_the_bar_lies_at_the_thumb(chromium, site, plain, width):
    context = chromium.new_context(viewport={"width": width, "height": 700})
    page = context.new_page()
    opened(page, site.address)
    page.fill("#prompt", "a zyzzyva")
    box = page.locator(".draw").bounding_box()
    assert 350 < box["y"] < 700 - box["height"], "in the lower half, whole"
    for which in ("width", "styles", "more"):
        fold(page, which)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.set_input_files("[type=file][name=image]", plain)
    expect(page.locator("#stage")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    expect(page.locator(".draw")).to_be_in_viewport(ratio=1)
    context.close()


def test_on_a_short_screen_the_trays_are_within_reach(chromium, site):
    context = chromium.new_context(viewport={"width": 640, "height": 360})  # a phone on its side, or a page at 200 %
    page = context.new_page()
    opened(page, site.address)
    for which in ("styles", "width"):
        fold(page, which)
        page.locator(".pick[open] .tray").scroll_into_view_if_needed()
        expect(page.locator(".pick[open] .tray")).to_be_in_viewport(ratio=0.9)
    assert page.evaluate("document.documentElement.scrollWidth") <= 640
    context.close()


def test_without_javascript_a_pictures_settings_fill_the_page(chromium, site, speaking, plain):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site.address)
    page.fill("#prompt", "kept words")
    page.click(".more > summary")
    page.click("#restore")
    expect(page.locator("#error-picture")).to_have_text("Please choose a picture first.")
    expect(page.locator("#prompt")).to_have_value("kept words")
    page.set_input_files("[name=picture]", plain)
    page.click("#restore")
    expect(page.locator("#error-picture")).to_have_text("This picture does not say how it was made.")
    page.set_input_files("[name=picture]", speaking)
    page.click("#restore")
    is_filled_in(page)
    hidden = page.locator("#sizer, #stage, #lock, #x-suggested").all()
    assert len(hidden) == 4 and not any(each.is_visible() for each in hidden), "what needs JavaScript is not there"
    page.click("#clear")
    expect(page.locator("#prompt")).to_have_value("")
    context.close()


def test_the_first_load_is_small(chromium, site):
    context = chromium.new_context()
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    names: dict[str, str] = {}
    sizes: Counter[str] = Counter()
    session.on("Network.requestWillBeSent", lambda told: names.update({told["requestId"]: told["request"]["url"]}))
    session.on("Network.dataReceived", lambda told: sizes.update({names[told["requestId"]]: told["dataLength"]}))
    opened(page, site.address)
    page.wait_for_timeout(1500)
    asked = {url: size for url, size in sizes.items() if url.startswith("http")}
    pictures = sum(len(source) for source in page.evaluate("[...document.images].map((image) => image.getAttribute('src'))") if source)
    print(asked, pictures)
    assert len(asked) <= 8, asked
    assert sum(asked.values()) - pictures < 100_000, asked
    context.close()


def test_nobody_else_is_filled_in_from_ones_picture(page, site):
    page.fill("#prompt", "a private garden")
    fold(page, "more")
    page.fill("[name=steps]", "1")
    drawn(page)
    id = page.locator(".print[data-state=done] .save").first.get_attribute("href").split("/")[-1].split(".")[0]
    stranger = Visitor(site.address)
    for name in ("settings", "bigger", "like", "start"):
        page.goto(f"{site.address}/?{name}={id}")
        expect(page.locator("#prompt")).to_have_value("a private garden")
        assert stranger.ask(f"/?{name}={id}")[0] == 404
    page.goto(f"{site.address}/?settings={id}")
    assert page.input_value("[name=seed]").isdigit() and page.input_value("[name=steps]") == "1"
    page.goto(f"{site.address}/?bigger={id}")
    assert page.input_value("[name=upscale]") == "2.0" and page.input_value("[name=seed]").isdigit()
