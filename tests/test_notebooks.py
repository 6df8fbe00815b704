"""Both notebooks are stored clean; the inline one runs from top to bottom with the built-in model. The app one runs in test_colab."""

from __future__ import annotations

import re
import time
from pathlib import Path

import fake_colab
import nbformat
import pytest
import tiny
from books import Book
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from PIL import Image

from webapp import craft, metadata, notebook
from webapp.place import Stop

ROOT = Path(__file__).parent.parent
NOTEBOOKS = ("text_to_image_generator.ipynb", "text_to_image_generator_app.ipynb")


@pytest.fixture
def run(tmp_path):
    """Runs the inline notebook in a folder that looks like a clone, up to the cell that holds the text `until`, with texts replaced and
    cells added at its end; gives the executed cells."""
    for name in ("webapp", "templates", "static", "locales", "requirements.txt", "requirements-notebook.txt"):
        (tmp_path / name).symlink_to(ROOT / name)

    def execute(*more: str, until: str = "", replaced: dict[str, str] | None = None) -> list:
        book = nbformat.read(ROOT / NOTEBOOKS[0], as_version=4)
        last = next(place for place, cell in enumerate(book.cells) if until in cell.source) if until else len(book.cells)
        book.cells = [cell for cell in book.cells[: last + 1] if cell.cell_type == "code"]
        for old, new in (replaced or {}).items():
            assert sum(old in cell.source for cell in book.cells) == 1, old
            for cell in book.cells:
                cell.source = cell.source.replace(old, new)
        book.cells += [nbformat.v4.new_code_cell(source) for source in more]
        NotebookClient(
            book, timeout=600, iopub_timeout=60, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
        ).execute()
        return book.cells

    return execute


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_is_stored_clean(name):
    for cell in nbformat.read(ROOT / name, as_version=4).cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None


def test_what_it_offers_can_be_drawn():
    book = (ROOT / NOTEBOOKS[0]).read_text()
    offered = re.search(r"SAMPLER = .*?#@param \[(.*?)\]", book)[1].replace('\\"', "").split(", ")
    compared = re.search(r'NAMES = \\"(.*?)\\"', book)[1].split(", ")
    assert len(offered) > 3 and len(compared) > 3
    for name in (*offered, *compared):
        craft.check(craft.sampler(name), "")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_installs_what_its_place_lacks(name):
    first = next(cell.source for cell in nbformat.read(ROOT / name, as_version=4).cells if "git" in cell.source)
    assert "place.install()" in first and "pip" not in first


def test_the_inline_one_runs_from_top_to_bottom(run, tmp_path):
    panel = """
panel.prompt.value, panel.seed.value = "a castle on a hill at sunset", "7"
panel.draw.click()
panel.wait()
panel.save_all.click()
print(panel.message.value)
"""
    start = time.monotonic()
    *cells, last = run(panel)
    assert time.monotonic() - start < 300, "under five minutes"
    outputs = {cell.source: cell.outputs for cell in cells}
    shown = [output for each in outputs.values() for output in each if {"image/png", "image/gif"} & set(output.get("data", {}))]
    assert len(shown) >= 15, "each part shows something"
    inside = list(outputs)[next(place for place, source in enumerate(outputs) if "PROMPT = " in source) :]
    for source in inside:
        assert "#@param" in source or "GUIDANCE = " in source or "plots.strip" in source, "there is something to play with"
        assert any({"image/png", "image/gif"} & set(output.get("data", {})) for output in outputs[source]), source
    assert not any(output.get("name") == "stderr" and "Traceback" in output.text for each in outputs.values() for output in each)
    assert "Saved as" in last.outputs[0].text
    (kept,) = (metadata.read(path.read_bytes()) for path in (tmp_path / "pictures").glob("*.png"))
    assert (kept.request.prompt, kept.request.seed, kept.model) == ("a castle on a hill at sunset", 7, "builtin")
    assert kept.model_hash and kept.request.steps, "the whole receipt"


@pytest.mark.parametrize("sampler", ["DDIM", "Heun", "Euler a"])
def test_the_loop_by_hand_equals_the_engines_picture(run, sampler):
    """Stops at the assertion if it does not. The default sampler is the whole notebook's."""
    *_, loop = run(until="np.array_equal", replaced={'SAMPLER = "DPM++ 2M"': f'SAMPLER = "{sampler}"'})
    assert re.search(r"^assert excuse or np\.array_equal\(np\.asarray\(by_hand\), np\.asarray\(picture\)\)", loop.source, re.M)
    assert "engine" not in re.sub(r'".*?"|#.*', "", loop.source), "by hand"
    assert "are to draw the same picture" in loop.outputs[-1].text, "without an excuse"


def test_so_it_is_without_guidance_and_with_any_seed(run, tmp_path):
    """As SD Turbo; and a prompt that the engine reads otherwise does not end the run."""
    turbo = tiny.folder(tmp_path / "turbo", "turbo")
    replaced = {'MODEL = ""': f'MODEL = "{turbo}"', "SEED = 7": "SEED = -1"}
    *_, loop, asked = run("GUIDANCE, len(words)", until="np.array_equal", replaced=replaced)
    assert "are to draw the same picture" in loop.outputs[-1].text and asked.outputs[0].data["text/plain"] == "(0.0, 1)"
    *_, loop = run(until="np.array_equal", replaced={'PROMPT = "a red': 'PROMPT = "a (red:1.3)'})
    assert "prompts are read plainly" in loop.outputs[-1].text


@pytest.mark.parametrize(
    "change",
    [("GUIDANCE = request.guidance", "GUIDANCE = request.guidance + 0.5"), ("on_the_way.append(latents)", "latents = latents * 1.02")],
)
def test_another_loop_is_found_out(run, change):
    with pytest.raises(CellExecutionError, match="drew different pictures"):
        run(until="np.array_equal", replaced=dict([change]))


def test_on_colab_its_pictures_go_to_drive(tmp_path):
    (tmp_path / "clone").mkdir()
    with Book(NOTEBOOKS[0], tmp_path / "clone", fake_colab.put(tmp_path / "colab"), KEEP_IN="Google Drive") as book:
        for cell in book.book.cells:
            cell.source = cell.source.replace("keep_in(KEEP_IN)", f"keep_in(KEEP_IN, {str(tmp_path / 'drive')!r})")
        book.run(until="Panel(engine")
        assert "Place:     colab" in book.said
        book.cell("panel.prompt.value = 'a cat'; panel.draw.click(); panel.wait(); panel.save_all.click()")
        [kept] = (tmp_path / "drive/MyDrive/text-to-image-generator").iterdir()
        assert metadata.read(kept.read_bytes()).request.prompt == "a cat"
        fake_colab.put(tmp_path / "colab", refused=True)
        assert book.stopped("notebook.keep_in('Google Drive')") == (
            "Google Drive was not opened. Please run this cell again, and allow it when Colab asks."
        )


def test_a_picture_of_ones_own(tmp_path):
    Image.new("RGB", (300, 100), "white").save(tmp_path / "mine.png")
    assert notebook.own_picture(str(tmp_path / "mine.png"), 64, 128).size == (64, 128)
    (tmp_path / "words.txt").write_text("words")
    for name, words in (("none.png", "cannot be read: No such file"), ("words.txt", "not a picture")):
        with pytest.raises(Stop, match=words):
            notebook.own_picture(str(tmp_path / name), 64, 64)


def test_drive_is_there_on_colab_only():
    assert notebook.keep_in("pictures") == Path("pictures")
    with pytest.raises(Stop, match="on Colab only"):
        notebook.keep_in(notebook.GOOGLE_DRIVE)


def test_what_goes_wrong_is_said_in_words(run):
    *_, failed = run(
        "try:\n    notebook.draw(engine, 'a cat', steps=1000)\nexcept cells.Stop as stop:\n    print(stop)", until="open_model"
    )
    assert "steps" in failed.outputs[-1].text and "Traceback" not in failed.outputs[-1].text
    *_, again = run("print(notebook.open_model(MODEL) is engine)", until="open_model")
    assert again.outputs[-1].text.strip() == "True", "nothing is loaded twice"
