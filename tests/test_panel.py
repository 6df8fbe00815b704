"""The panel of the inline notebook: its controls as they are, and in JupyterLab in real Chromium."""

from __future__ import annotations

import io
import json
import os
import re
import secrets
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator

import ipywidgets
import nbformat
import numpy as np
import pytest
from conftest import NATIVE, ROOT, eventually
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright
from test_browser import chromium_path

from webapp import metadata
from webapp.engine import checkpoint
from webapp.engine.engine import Engine
from webapp.panel import MASK, NOTHING, PICTURE, RECTANGLE, Panel

SOON = 90_000  # milliseconds
RED = "a red circle on a blue background"
WIDE = NATIVE * 3 // 2


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = Engine(checkpoint.load("builtin"), max_batch=2, preview_interval=0)
    yield engine
    engine.close()


@pytest.fixture
def panel(engine, tmp_path) -> Panel:
    return Panel(engine, tmp_path / "kept")


def drawn(panel: Panel, **values: object) -> list:
    """The new tiles, finished."""
    for name, value in values.items():
        getattr(panel, name).value = value
    before = set(panel.tiles)
    panel.draw.click()
    panel.wait()
    return [tile for tile in panel.tiles if tile not in before]


def said(panel: Panel) -> str:
    return re.sub("<.*?>", "", panel.message.value)


def png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def upload(control: ipywidgets.FileUpload, data: bytes) -> None:
    """As the browser's side tells it, ipywidgets 7's or 8's."""
    facts = {"name": "mine.png", "type": "image/png", "size": len(data), "last_modified": 0}
    if hasattr(control, "metadata"):
        control.set_state({"metadata": [facts], "data": [memoryview(data)], "_counter": 1})
    else:
        control.set_state({"value": [{**facts, "content": memoryview(data)}]})


def test_it_begins_with_what_the_model_draws_best_with(panel, engine):
    own = engine.checkpoint.defaults
    assert (panel.steps.value, panel.guidance.value, panel.sampler.value) == (own.steps, own.guidance, own.sampler)
    assert panel.size.options[0][0].endswith(f"{NATIVE} x {NATIVE}") and ("Watercolour", "Watercolour") in panel.style.options
    assert panel.cancel.disabled and not panel.draw.disabled


def test_it_draws_what_its_controls_say(panel):
    tiles = drawn(panel, prompt=RED, negative="a star", style="Line art", count=2, steps=4, guidance=3, sampler="Euler", seed="7",
                  size=(WIDE, NATIVE))  # fmt: skip
    first, second = (tile.receipt.request for tile in tiles)
    assert first.prompt.startswith(RED + ", line art") and first.negative_prompt.startswith("a star, ")
    assert (first.steps, first.guidance, first.sampler, first.seed, second.seed) == (4, 3, "Euler", 7, 8)
    assert [tile.image.size for tile in tiles] == [(WIDE, NATIVE)] * 2
    assert said(panel) == "Done. Seed 7." and (panel.bar.value, panel.bar.max) == (8, 8)
    assert "data:image/webp" in tiles[0].widget.children[0].value and f'alt="{RED}' in tiles[0].widget.children[0].value


def test_a_seed_is_kept_on_request(panel):
    (one,), (other,) = drawn(panel, prompt=RED, steps=2), drawn(panel)
    assert one.receipt.request.seed != other.receipt.request.seed
    panel.lock.value = True
    assert panel.seed.value == str(other.receipt.request.seed)
    (same,) = drawn(panel)
    assert np.array_equal(np.asarray(same.image), np.asarray(other.image))
    panel.lock.value = False
    assert panel.seed.value == ""
    panel.seed.value = "5"
    assert panel.lock.value, "who types a seed means to keep it"


def test_a_mistake_is_told_in_words(panel):
    assert drawn(panel, prompt=" ") == []
    assert 'role="alert"' in panel.message.value and "prompt" in said(panel)
    assert drawn(panel, prompt=RED, seed="many") == [] and "seed" in said(panel)
    assert drawn(panel, seed="", start=PICTURE) == [] and said(panel) == "Please choose a picture to start from."
    upload(panel.picture, b"no picture")
    assert "not a picture" in said(panel)
    assert drawn(panel) == [] and "not a picture" in said(panel)
    assert drawn(panel, start=NOTHING, steps=2), "and it goes on"


def test_what_is_typed_is_text_and_no_markup(panel):
    (tile,) = drawn(panel, prompt='"><script>alert(1)</script>', steps=1)
    assert all("<script" not in part.value for part in tile.widget.children[:2])


def test_cancelled_it_leaves_nothing_and_draws_on(panel):
    panel.prompt.value, panel.steps.value, panel.count.value = RED, 150, 2
    panel.draw.click()
    assert panel.draw.disabled and not panel.cancel.disabled and len(panel.tiles) == 2
    eventually(lambda: panel.look.click() or said(panel).startswith("Picture"), 60)
    panel.cancel.click()
    assert panel.tiles == [] and said(panel) == "Cancelled." and not panel.draw.disabled and panel.cancel.disabled
    assert len(drawn(panel, steps=2, count=1)) == 1


def test_nothing_is_shown_but_in_answer_to_the_browser(panel):
    """On Colab what another thread changes never reaches the page."""
    threads = set()
    for control in (panel.message, panel.bar, panel.draw, panel._gallery):
        control.observe(lambda change: threads.add(threading.current_thread()))
    panel.prompt.value, panel.steps.value = RED, 4
    panel.draw.click()
    drawing, waiting = panel._events, panel.message.value
    eventually(lambda: drawing.qsize() > 4, 60)
    assert panel.message.value == waiting and "onerror" in panel._clock.value
    eventually(lambda: panel.look.click() or not panel.draw.disabled, 60)
    assert said(panel).startswith("Done.") and panel._clock.value == "", "the browser asks no more"
    assert threads == {threading.current_thread()}


def test_saving_overwrites_nothing(panel, tmp_path):
    (tile,) = drawn(panel, prompt=RED, steps=2, seed="7")
    tile.save.click()
    (again,) = drawn(panel)
    panel.save_all.click()
    panel.save_all.click()
    files = sorted((tmp_path / "kept").iterdir())
    assert [file.name for file in files] == ["a-red-circle-on-a-blue-background-7-2.png", "a-red-circle-on-a-blue-background-7.png"]
    for file in files:
        assert metadata.read(file.read_bytes()).request.prompt == RED
    assert tile.save.disabled and again.save.disabled
    (tmp_path / "file").write_text("")
    (third,) = drawn(panel, folder=str(tmp_path / "file" / "below"))
    third.save.click()
    assert "cannot be written to" in said(panel) and not third.save.disabled


def test_from_a_picture(panel):
    blue = Image.new("RGB", (96, 64), "blue")
    panel.start.value = PICTURE
    upload(panel.picture, png(blue))
    (tile,) = drawn(panel, prompt=RED, steps=4, strength=0.3, seed="7")
    request = tile.receipt.request
    assert request.image and not request.mask and request.strength == 0.3
    assert tile.image.width > tile.image.height, "the start picture's shape"
    assert np.asarray(tile.image).mean((0, 1))[2] > 150, "still mostly blue"


@pytest.mark.parametrize("start", [RECTANGLE, MASK])
def test_a_part_drawn_anew_leaves_the_rest(panel, start):
    """The left half is drawn anew: by a rectangle, and by a mask that is white there."""
    green, middle = Image.new("RGB", (NATIVE, NATIVE), (0, 128, 0)), NATIVE // 2
    mask = Image.new("L", green.size)
    mask.paste(255, (0, 0, middle, NATIVE))
    panel.start.value = start
    upload(panel.picture, png(green))
    if start == MASK:
        assert drawn(panel, prompt=RED) == [] and "choose a mask" in said(panel)
        upload(panel.mask, png(mask))
    panel.across.value, panel.down.value = (0, 50), (0, 100)
    assert "data:image/webp" in panel._shown.value, "the part is shown"
    (tile,) = drawn(panel, prompt=RED, steps=8, strength=1, seed="7")
    pixels = np.asarray(tile.image).astype(int)
    assert tile.receipt.request.mask
    assert (pixels[:, middle + 16 :] == (0, 128, 0)).all(), "the right is as it was"
    assert abs(pixels[:, : middle - 16] - (0, 128, 0)).mean() > 20, "the left is another"


def test_an_empty_rectangle_is_told(panel):
    panel.start.value = RECTANGLE
    upload(panel.picture, png(Image.new("RGB", (64, 64))))
    assert drawn(panel, prompt=RED, across=(50, 50)) == []
    assert said(panel) == "The rectangle is empty. Please make it larger."


# -- in a browser


@pytest.fixture
def lab(tmp_path) -> Iterator[str]:
    """JupyterLab, closed by a token, in a folder that looks like a clone and holds the notebook up to its panel; the notebook's address."""
    for name in ("webapp", "templates", "static", "locales", "requirements.txt", "requirements-notebook.txt"):
        (tmp_path / name).symlink_to(ROOT / name)
    book = nbformat.read(ROOT / "text_to_image_generator.ipynb", as_version=4)
    end = next(place for place, cell in enumerate(book.cells) if "Panel(engine" in cell.source)
    book.cells = [cell for cell in book.cells[: end + 1] if cell.cell_type == "code"]
    nbformat.write(book, tmp_path / "book.ipynb")
    token = secrets.token_hex(16)
    own = {name: str(tmp_path / name.casefold()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "HOME")}
    flags = ["--port=0", "--ip=127.0.0.1", "--no-browser", "--allow-root", f"--IdentityProvider.token={token}",
             f"--ServerApp.root_dir={tmp_path}", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]  # fmt: skip
    environment = {key: value for key, value in os.environ.items() if not key.startswith("T2I_")} | own
    with (tmp_path / "lab.log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-m", "jupyterlab", *flags], cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        told = eventually(lambda: next((tmp_path / "jupyter_runtime_dir").glob("jpserver-*.json"), None), 120)
        address = f"http://127.0.0.1:{json.loads(told.read_text())['port']}"
        eventually(lambda: _answers(f"{address}/api?token={token}"), 120)
        yield f"{address}/lab/tree/book.ipynb?token={token}"
    finally:
        process.terminate()
        process.wait(timeout=30)


def _answers(address: str) -> bool:
    try:
        return urllib.request.urlopen(address, timeout=5).status == 200
    except (urllib.error.URLError, OSError):
        return False


def _type(page: Page, description: str, text: str) -> None:
    box = page.get_by_label(description, exact=True)
    box.fill(text)
    box.press("Tab")


def test_the_panel_works_in_jupyterlab(lab, tmp_path):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=["--no-sandbox", "--disable-background-networking"])
        page = browser.new_page(viewport={"width": 1400, "height": 1200})
        page.set_default_timeout(SOON)
        page.goto(lab)
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()  # before that, "Run All Cells" does nothing
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        draw, cancel = page.get_by_role("button", name="Draw", exact=True), page.get_by_role("button", name="Cancel", exact=True)
        expect(draw).to_be_visible(timeout=SOON)
        draw.scroll_into_view_if_needed()

        draw.click()
        expect(page.locator(".jp-OutputArea [role=alert]")).to_contain_text("prompt", timeout=SOON)

        _type(page, "Prompt", RED)
        _type(page, "Seed", "7")
        draw.click()
        expect(page.get_by_text("Done. Seed 7.")).to_be_visible(timeout=SOON)
        picture = page.get_by_alt_text(RED)
        expect(picture).to_be_visible(timeout=SOON)
        assert picture.evaluate("image => image.naturalWidth") == NATIVE, "the finished picture, no preview"
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_text("Saved as")).to_be_visible(timeout=SOON)
        (kept,) = (tmp_path / "pictures").glob("*.png")
        assert metadata.read(kept.read_bytes()).request.seed == 7
        pixels = np.asarray(Image.open(kept)).astype(int)
        assert tuple(pixels[5, 5] > 128) == (False, False, True), "on a blue background"

        _type(page, "Prompt", "a cat on a hill")
        _type(page, "Steps", "150")
        _type(page, "Pictures", "8")
        draw.click()
        expect(page.get_by_text(re.compile(r"Picture \d of \d: step \d+ of 150"))).to_be_visible(timeout=SOON)
        expect(page.get_by_alt_text("a cat on a hill").first).to_be_visible(timeout=SOON)
        cancel.click()
        expect(page.get_by_text("Cancelled.")).to_be_visible(timeout=SOON)
        expect(page.get_by_alt_text("a cat on a hill")).to_have_count(0, timeout=SOON)
        expect(page.get_by_alt_text(RED)).to_have_count(1, timeout=SOON)
        expect(draw).to_be_enabled(timeout=SOON)
        browser.close()
