"""Both notebooks are stored clean; the inline one runs from top to bottom with the built-in model. The app one runs in test_colab."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from webapp import craft, metadata

ROOT = Path(__file__).parent.parent
NOTEBOOKS = ("text_to_image_generator.ipynb", "text_to_image_generator_app.ipynb")


@pytest.fixture
def run(tmp_path):
    """Runs a notebook in a folder that looks like a clone, with cells added at its end; gives the outputs of each cell."""
    for name in ("webapp", "templates", "static", "locales"):
        (tmp_path / name).symlink_to(ROOT / name)

    def execute(name: str, *more: str, **settings: object) -> list[list]:
        book = nbformat.read(ROOT / name, as_version=4)
        for cell in book.cells:
            for setting, value in settings.items():
                cell.source = re.sub(rf"^{setting} = .*?(?=  #@param)", f"{setting} = {value!r}", cell.source, flags=re.M)
        book.cells += [nbformat.v4.new_code_cell(source) for source in more]
        NotebookClient(book, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
        return [cell.get("outputs", []) for cell in book.cells if cell.cell_type == "code"]

    return execute


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_is_stored_clean(name):
    for cell in nbformat.read(ROOT / name, as_version=4).cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None


def test_the_samplers_it_offers_are_known():
    book = (ROOT / NOTEBOOKS[0]).read_text()
    offered = re.search(r"SAMPLER = .*?#@param \[(.*?)\]", book)[1].replace('\\"', "").split(", ")
    assert len(offered) > 3
    for name in filter(None, offered):
        craft.check(craft.sampler(craft.split(name)[0]), craft.split(name)[1])


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_installs_what_its_place_lacks(name):
    first = next(cell.source for cell in nbformat.read(ROOT / name, as_version=4).cells if "git" in cell.source)
    assert "place.install()" in first and "pip" not in first


def test_the_inline_one_draws_and_shows_the_steps(run, tmp_path):
    outputs = run(NOTEBOOKS[0])
    shown = [output for cell in outputs for output in cell if "image/png" in output.get("data", {})]
    assert len(shown) == 2, "the pictures, and the strip of steps"
    kept = metadata.read((tmp_path / "picture.png").read_bytes())
    assert (kept.request.prompt, kept.request.seed, kept.model) == ("a castle on a hill at sunset", 7, "builtin")
    assert kept.model_hash and kept.request.steps, "the whole receipt"
