"""Names become what lies in the library, and never anything outside of it."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from webapp.errors import InvalidRequest
from webapp.library import KINDS, Library, Style


@pytest.fixture(autouse=True)
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What ships with the built-in model: here nothing, until a test puts something there."""
    monkeypatch.setattr("webapp.library.SHIPPED", tmp_path / "shipped")
    return tmp_path / "shipped"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "loras/Fox.v1.safetensors",
        "loras/people/old/ada.safetensors",
        "loras/people/config.txt",
        "loras/saved/pytorch_lora_weights.safetensors",
        "loras/unsafe.pt",
        "loras/.hidden.safetensors",
        "vaes/soft/config.json",
        "vaes/soft/diffusion_pytorch_model.safetensors",
        "secret.safetensors",
    ):
        path = tmp_path / "library" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "outside.safetensors").write_bytes(b"x")
    (tmp_path / "library/wildcards/animals").mkdir(parents=True)
    (tmp_path / "library/wildcards/colour.txt").write_text("\ufeff# colours\nred\n\n  blue  # not a comment\n", "utf-8")
    (tmp_path / "library/wildcards/animals/birds.txt").write_bytes(b"f\xffnch\r\nowl")
    (tmp_path / "library/wildcards/empty.txt").write_text("# nothing\n")
    return tmp_path / "library"


def test_names_are_stems_and_folders_with_their_sub_folders(folder):
    library = Library(folder)
    assert library.names("loras") == ["Fox.v1", "people/old/ada", "saved"]
    assert library.names("vaes") == ["soft"]
    assert library.names("wildcards") == ["animals/birds", "colour", "empty"]
    assert library.names("controlnets") == []


@pytest.mark.parametrize(
    ("kind", "name", "where"),
    [
        ("loras", "Fox.v1", "loras/Fox.v1.safetensors"),
        ("loras", " fOX.V1 ", "loras/Fox.v1.safetensors"),
        ("loras", "ada", "loras/people/old/ada.safetensors"),
        ("loras", "people/old/ADA", "loras/people/old/ada.safetensors"),
        ("loras", "saved", "loras/saved"),
        ("vaes", "Soft", "vaes/soft"),
    ],
)
def test_a_name_is_found_in_any_case_with_or_without_its_sub_folders(folder, kind, name, where):
    assert Library(folder).path(kind, name) == folder / where


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name",
    ["x", "", "..", "../secret", "../../outside", "/etc/passwd", "C:\\x", "a\0b", ".", "people", ".hidden", "unsafe", "x" * 9999, "*"],
)
def test_a_name_that_is_not_there_gets_a_sentence_and_never_leaves_its_folder(folder, kind, name):
    with pytest.raises(InvalidRequest) as caught:
        Library(folder).path(kind, name)
    noun, field = KINDS[kind]
    assert caught.value.fields[field].startswith(f"There is no {noun} called ")
    assert str(folder) not in caught.value.sentence and len(caught.value.sentence) < 300


def test_the_sentence_says_what_there_is(folder):
    with pytest.raises(InvalidRequest, match=r"^There is no LoRA called x\. There are: Fox\.v1, people/old/ada, saved\.$"):
        Library(folder).path("loras", "x")
    for number in range(40):
        (folder / "vaes" / f"v{number:02}.safetensors").write_bytes(b"")
    with pytest.raises(InvalidRequest, match=r"v18 and 21 more\.$"):
        Library(folder).path("vaes", "x")


def test_links_that_lead_outside_are_not_followed(folder):
    (folder / "loras/link.safetensors").symlink_to(folder.parent / "outside.safetensors")
    (folder / "loras/up").symlink_to(folder.parent)
    (folder / "loras/round").symlink_to(folder / "loras/round")
    (folder / "loras/same.safetensors").symlink_to(folder / "loras/Fox.v1.safetensors")
    assert Library(folder).names("loras") == ["Fox.v1", "people/old/ada", "same", "saved"]


def test_wildcards_are_lines_without_comments_and_read_anew(folder):
    library = Library(folder)
    assert library.wildcard("Colour") == ("red", "blue  # not a comment")
    assert library.wildcard("animals/birds") == library.wildcard("birds") == ("f\ufffdnch", "owl")
    (folder / "wildcards/colour.txt").write_text("green")
    (folder / "wildcards/new.txt").write_text("here")
    assert library.wildcard("colour") == ("green",) and library.wildcard("new") == ("here",)
    with pytest.raises(InvalidRequest, match="empty has no lines"):
        library.wildcard("empty")
    with pytest.raises(InvalidRequest, match="There are: animals/birds, colour, empty, new"):
        library.wildcard("../../etc/passwd")


def test_what_ships_is_there_too_and_makes_way_for_ones_own(folder, shipped):
    (shipped / "loras/people").mkdir(parents=True)
    for name in ("snail", "fox.V1", "people/ada"):
        (shipped / f"loras/{name}.safetensors").touch()
    library = Library(folder)
    assert library.names("loras") == ["Fox.v1", "people/ada", "people/old/ada", "saved", "snail"]
    assert library.names("loras", shipped=False) == ["Fox.v1", "people/old/ada", "saved"] and Library().names("loras", shipped=False) == []
    assert library.path("loras", "Snail") == shipped / "loras/snail.safetensors"
    assert library.path("loras", "fox.V1") == folder / "loras/Fox.v1.safetensors"
    assert Library().names("loras") == ["fox.V1", "people/ada", "snail"]
    assert library.folders("loras") == [folder / "loras", shipped / "loras"]
    assert library.folders("loras", shipped=False) == [folder / "loras"] and Library().folders("loras", shipped=False) == []


def test_without_a_folder_there_is_what_ships(tmp_path):
    for library in (Library(), Library(tmp_path / "nowhere")):
        assert {"Realism", "Cartoon", "Abstract", "Fantasy", "Cyberpunk"} <= set(library.styles)
        assert not any(library.names(kind) or [*library.folder(kind).glob("*")] for kind in KINDS)
        with pytest.raises(InvalidRequest, match="none yet"):
            library.wildcard("colour")
    with pytest.raises(InvalidRequest, match="no library"):
        Library().add_style(Style(name="x"))


def test_shipped_styles_are_whole():
    styles = Library().styles
    assert len(styles) >= 17
    assert all(style.prompt.count("{prompt}") == 1 and style.negative_prompt and name == style.name for name, style in styles.items())


def test_own_styles_are_kept_replaced_and_removed(tmp_path):
    library = Library(tmp_path / "new")
    library.add_style(Style(name="  My   own ", prompt="{prompt}!"))
    library.add_style(Style(name="realism", prompt="mine {prompt}"))
    library.add_style(Style(name="MY OWN", prompt="{prompt}?"))
    again = Library(tmp_path / "new")
    assert again.style("my own").prompt == "{prompt}?" and again.style(" REALISM ").prompt == "mine {prompt}"
    assert list(again.styles)[-2:] == ["realism", "MY OWN"] and "Realism" not in again.styles
    again.remove_style("Realism")
    assert again.style("realism") == Library().style("Realism")
    with pytest.raises(InvalidRequest, match="no style of your own called Realism"):
        again.remove_style("Realism")
    assert os.listdir(tmp_path / "new") == ["styles.json"]  # nothing half-written is left


@pytest.mark.parametrize("name", ["", " ", "a, b", "a\0", "x" * 201])
def test_a_style_needs_a_name_that_a_request_can_hold(name):
    with pytest.raises(ValueError):
        Style(name=name)


def test_an_unknown_style_is_told_with_those_there_are():
    with pytest.raises(InvalidRequest, match=r"There is no style called Baroque\. There are: Realism, Cartoon") as caught:
        Library().style("Baroque")
    assert list(caught.value.fields) == ["styles"]


@pytest.mark.parametrize("damage", ["", "{", "[1]", '[{"prompt": "x"}]', '{"name": "x"}', "\xff", '[{"name": "a,b"}]'])
def test_a_damaged_file_is_told_and_left_alone_while_shipped_styles_work(tmp_path, damage):
    (tmp_path / "styles.json").write_text(damage, "latin-1")
    library = Library(tmp_path)
    assert library.styles == Library().styles
    assert library.trouble.startswith("Your own styles cannot be read")
    with pytest.raises(InvalidRequest, match="damaged"):
        library.style("mine")
    for change in (lambda: library.add_style(Style(name="x")), lambda: library.remove_style("x")):
        with pytest.raises(InvalidRequest, match="damaged"):
            change()
    assert (tmp_path / "styles.json").read_text("latin-1") == damage


def test_styles_added_at_once_are_all_kept(tmp_path):
    library = Library(tmp_path)
    threads = [threading.Thread(target=library.add_style, args=[Style(name=f"s{number}")]) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {entry["name"] for entry in json.loads((tmp_path / "styles.json").read_text())} == {f"s{number}" for number in range(12)}
