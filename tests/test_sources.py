"""From names to models: one key for all the names of a model, and the model itself in the right precision, changing nothing for others."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import tiny
import torch

from webapp.catalogue import Catalogue
from webapp.engine import checkpoint
from webapp.engine.autoencoder import load_vae
from webapp.engine.sources import PRECISE, Sources, higher
from webapp.errors import InvalidRequest, ModelError
from webapp.library import Library


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    for name in ("epsilon", "v_prediction"):
        tiny.folder(home / name, name)
    return home


@pytest.fixture
def catalogue(home: Path, tmp_path: Path) -> Catalogue:
    catalogue = Catalogue(tmp_path)
    catalogue.add("Own", str(home / "epsilon"))
    catalogue.add("Other one", str(home / "v_prediction"))
    catalogue.add("Gone", str(home / "nowhere"))
    return catalogue


def sources(home: Path, catalogue: Catalogue | None, dtype: torch.dtype = torch.float32) -> Sources:
    return Sources(checkpoint.load(home / "epsilon", "cpu", dtype), Library(), catalogue)


def test_all_names_of_a_model_are_one_key(home: Path, catalogue: Catalogue) -> None:
    found = sources(home, catalogue)
    for name in ("", "epsilon", "EPSILON", "Own", "own"):
        assert found.key(name) == ""
    for name in ("Other one", "other one", "OTHER ONE"):
        assert found.key(name) == "Other one"
    assert found.key("builtin") == "builtin"


def test_a_path_written_otherwise_is_the_same(home: Path, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    found = Sources(checkpoint.load("./epsilon", "cpu", torch.float32), Library(), catalogue)
    assert found.key("Own") == ""
    assert found.key("Other one") == "Other one"


@pytest.mark.parametrize("name", ["no such model", "/etc/passwd", "v_prediction", "x4-upscaler"])
def test_a_name_that_nobody_knows_gets_its_sentence_when_it_is_loaded(home: Path, catalogue: Catalogue, name: str) -> None:
    for found in (sources(home, catalogue), sources(home, None)):
        key = found.key(name)
        with pytest.raises(InvalidRequest, match="There is no model called"):
            found.load(key)


def test_a_model_that_is_gone_gets_its_sentence(home: Path, catalogue: Catalogue) -> None:
    found = sources(home, catalogue)
    with pytest.raises(ModelError):
        found.load(found.key("gone"))


def test_what_is_kept_of_the_own_model_holds_no_weights(home: Path) -> None:
    own = sources(home, None).own
    assert (own.name, own.dtype, own.device.type) == ("epsilon", torch.float32, "cpu")
    assert not any(isinstance(value, torch.nn.Module | torch.Tensor) for value in vars(own).values())
    assert own.space is None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_models_come_as_they_would_from_their_source(home: Path, catalogue: Catalogue, dtype: torch.dtype) -> None:
    found = sources(home, catalogue, dtype)
    for key, folder in (("", "epsilon"), ("Other one", "v_prediction")):
        for suffix, wanted in (("", dtype), (PRECISE, torch.float32)):
            model = found.load(key + suffix)
            direct = checkpoint.load(home / folder, "cpu", wanted)
            assert model.checkpoint.dtype == model.checkpoint.unet.dtype == model.checkpoint.vae.dtype == wanted
            assert model.checkpoint.space.vae is model.checkpoint.vae
            assert (model.checkpoint.hash, model.checkpoint.prediction, model.checkpoint.name) == (direct.hash, direct.prediction, folder)
            for part in ("unet", "vae", "text_encoder"):
                pairs = zip(getattr(model.checkpoint, part).state_dict().values(), getattr(direct, part).state_dict().values(), strict=True)
                assert all(torch.equal(ours, theirs) for ours, theirs in pairs)


def test_a_prediction_that_the_owner_told_is_kept(home: Path, tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path)
    catalogue.add("told", str(home / "v_prediction"), "epsilon")
    own = checkpoint.load(home / "epsilon", "cpu", torch.float32, prediction="v")
    found = Sources(own, Library(), catalogue)
    assert found.load(found.key("told")).checkpoint.prediction == "epsilon"
    assert found.load("").checkpoint.prediction == "v_prediction"


def test_loading_changes_nothing_for_who_draws_meanwhile(home: Path) -> None:
    """diffusers and transformers set torch's default precision for the whole process while they read a model in another."""
    found = sources(home, None, torch.bfloat16)
    seen: set[torch.dtype] = set()
    loader = threading.Thread(target=lambda: [found.load("") for _ in range(5)])
    loader.start()
    while loader.is_alive():
        seen.add(torch.randn(1).dtype)
    assert seen == {torch.float32}


def test_models_built_in_two_threads_at_once_have_their_weights(home: Path) -> None:
    """Without `building` their modules come without, and all that are made in this process from then on."""
    found = sources(home, None, torch.bfloat16)
    built: list[torch.device] = []

    def build() -> None:
        for _ in range(4):
            built.append(found.load("").checkpoint.unet.conv_in.weight.device)
            built.append(load_vae(home / "epsilon", own).quant_conv.weight.device)

    own = checkpoint.load(home / "epsilon", "cpu", torch.float32)
    threads = [threading.Thread(target=build) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [device.type for device in built] == ["cpu"] * 24
    assert torch.nn.Linear(2, 2).weight.device.type == "cpu"


def test_half_precision_has_a_higher_one() -> None:
    assert [higher(dtype) for dtype in (torch.float16, torch.bfloat16, torch.float32)] == [True, True, False]
