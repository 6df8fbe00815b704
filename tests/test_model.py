"""A checkpoint with its add-ons: what they change and what they do not, and that a receipt says which were used."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny
import tiny_addons
import torch
from PIL import Image
from safetensors.torch import save_file
from studio import Studio, differing, distance, ends, name_of, photo, wish

from webapp.engine import checkpoint
from webapp.engine.checkpoint import Checkpoint
from webapp.engine.events import Failed, Finished, Step
from webapp.engine.latents import LatentSpace, finished
from webapp.engine.model import Model
from webapp.library import Library
from webapp.schema import Control, GenerationRequest, Receipt

PHOTO = photo(1)
IMAGES = {name_of(PHOTO): PHOTO}
CONTROL = Control(model="edges", image=name_of(PHOTO))


@pytest.fixture(autouse=True)
def nothing_ships(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the built-in model, which is not the one here."""
    monkeypatch.setattr("webapp.library.SHIPPED", tmp_path / "shipped")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    folder = tmp_path_factory.mktemp("library")
    for kind in ("loras/animals", "loras/saved", "embeddings", "controlnets", "vaes"):
        (folder / kind).mkdir(parents=True)
    tiny_addons.kohya(folder / "loras/ink.safetensors", tiny_addons.pairs(1))
    tiny_addons.kohya(folder / "loras/animals/birds.safetensors", tiny_addons.pairs(2))
    tiny_addons.diffusers(folder / "loras/saved/pytorch_lora_weights.safetensors", tiny_addons.pairs(1))
    key = "lora_te_text_model_encoder_layers_0_self_attn_q_proj"
    strange = "lora_unet_of_another_model"
    layers = {
        f"{name}.lora_{way}.weight": torch.ones(shape) for name in (key, strange) for way, shape in (("down", (4, 32)), ("up", (32, 4)))
    }
    save_file(layers, folder / "loras/partly.safetensors")
    tiny_addons.embedding(folder / "embeddings/art.safetensors")
    tiny_addons.controlnet(folder / "controlnets/edges")
    tiny_addons.vae(folder / "vaes/other")
    tiny_addons.vae(folder / "vaes/whole/vae")
    (folder / "vaes/whole/model_index.json").write_text("{}")
    return Library(folder)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return checkpoint.load(tiny.folder(tmp_path_factory.mktemp("model") / "tiny"), "cpu", torch.float32)


@pytest.fixture
def studio(model: Checkpoint, library: Library) -> Iterator[Studio]:
    studio = Studio(model, library=library)
    yield studio
    studio.close()


def draw(studio: Studio, **changes: object) -> tuple[Image.Image, Receipt]:
    (end,) = ends(studio.draw(wish(steps=4, **changes), images=IMAGES))
    assert isinstance(end, Finished), end
    return end.image, end.receipt


def test_a_word_that_ships_is_the_built_in_models_alone(model: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "shipped/embeddings").mkdir(parents=True)
    builtin = checkpoint.load("builtin")
    tiny_addons.embedding(tmp_path / "shipped/embeddings/glimmer.safetensors", width=builtin.text_encoder.config.hidden_size)
    for library in (Library(), Library(tmp_path / "own")):
        assert Model(builtin, library).embeddings.keys() == {"glimmer"}
        other = Model(model, library)
        assert (other.embeddings, other.notices) == ({}, [])


def test_a_lora_that_was_replaced_is_read_anew_in_both_halves(model: Checkpoint, tmp_path: Path) -> None:
    path, request = tmp_path / "loras/ink.safetensors", wish(prompt="a cat <lora:ink:1>", steps=4)
    path.parent.mkdir()
    studio, words = Studio(model, library=Library(tmp_path)), []
    for seed in (1, 2):
        tiny_addons.kohya(path, tiny_addons.pairs(seed))
        studio.draw(request)
        words.append(studio.calls[-1].words)
    studio.close()
    fresh = Studio(model, library=Library(tmp_path))
    fresh.draw(request)
    fresh.close()
    assert not torch.equal(words[0], words[1])
    assert torch.equal(words[1], fresh.calls[-1].words) and torch.equal(studio.latents[request], fresh.latents[request])


UNKNOWN = {
    "LoRA": ({"prompt": "a cat <lora:nobody:1>"}, "There is no LoRA called nobody. There are: animals/birds, ink, partly, saved."),
    "ControlNet": ({"controls": (CONTROL.model_copy(update={"model": "nobody"}),)}, "There is no ControlNet called nobody. There are: edges."),
    "autoencoder": ({"vae": "nobody"}, "There is no autoencoder called nobody. There are: other, whole."),
}  # fmt: skip


@pytest.mark.parametrize("kind", UNKNOWN)
def test_an_unknown_name_fails_its_picture_alone_and_at_once(studio: Studio, kind: str) -> None:
    changes, sentence = UNKNOWN[kind]
    events = studio.draw([wish(seed=1), wish(seed=2, **changes), wish(seed=3)], images=IMAGES)
    (failed,) = [event for event in ends(events) if isinstance(event, Failed)]
    assert (failed.index, failed.sentence) == (1, sentence)
    assert not any(isinstance(event, Step) and event.index == 1 for event in events)
    for request in (wish(seed=1), wish(seed=3)):
        together = studio.latents[request]
        studio.draw(request)
        assert distance(together, studio.latents[request]) < 1e-5


@pytest.mark.parametrize("name", ["other", "whole"])
def test_another_autoencoder_changes_the_decoding_alone(studio: Studio, library: Library, name: str) -> None:
    plain, _ = draw(studio)
    image, _ = draw(studio, vae=name)
    latents = studio.latents[wish(steps=4, vae=name)]
    assert torch.equal(latents, studio.latents[wish(steps=4)])
    assert differing(image, plain) > 8
    with torch.inference_mode():
        theirs = LatentSpace(tiny_addons.vae(library.folder("vaes") / name / ("vae" if name == "whole" else "")))
        assert image.tobytes() == finished(theirs.decode(latents)[0]).tobytes()


def test_two_autoencoders_beside_each_other(studio: Studio) -> None:
    kinds = [wish(seed=1), wish(seed=1, vae="other"), wish(seed=1, vae="whole"), wish(seed=2, vae="other")]
    together = {end.index: end.image for end in ends(studio.draw(kinds))}
    for index, request in enumerate(kinds):
        assert differing(together[index], ends(studio.draw(request))[0].image) <= 1


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_receipt_says_what_was_used(studio: Studio, library: Library) -> None:
    weights = "diffusion_pytorch_model.safetensors"
    files = {
        "ink": "loras/ink.safetensors",
        "birds": "loras/animals/birds.safetensors",
        "saved": "loras/saved/pytorch_lora_weights.safetensors",
        "art": "embeddings/art.safetensors",
        "edges": f"controlnets/edges/{weights}",
        "other": f"vaes/other/{weights}",
    }
    prompt = "Art of birds <lora:ink:0.3> <lora:animals/birds> <lora:saved:0.2>"
    _, receipt = draw(studio, prompt=prompt, controls=(CONTROL,), vae="other")
    assert receipt.add_ons == {name: sha256(library.root / path) for name, path in files.items()}
    assert receipt.request.prompt == prompt
    assert draw(studio, vae="whole")[1].add_ons == {"whole": sha256(library.root / "vaes/whole/vae" / weights)}
    assert draw(studio, prompt="a cat", negative_prompt="bad art")[1].add_ons == {"art": sha256(library.root / files["art"])}


def test_a_receipt_does_not_say_what_was_not_used(studio: Studio, library: Library) -> None:
    assert draw(studio, prompt="a party")[1].add_ons == {}  # though "art" is in it


def test_a_folder_and_a_file_hold_the_same_lora(studio: Studio) -> None:
    file, _ = draw(studio, prompt="a cat <lora:ink:0.8>")
    folder, _ = draw(studio, prompt="a cat <lora:saved:0.8>")
    assert differing(file, folder) <= 1
    assert differing(file, draw(studio)[0]) > 8


def test_layers_that_were_left_out_are_told(studio: Studio) -> None:
    said = "1 of the 2 layers of partly are not in this model and were left out."
    assert said in draw(studio, prompt="a cat <lora:partly:0.1>")[1].notes
    assert said not in draw(studio)[1].notes


def test_a_request_is_drawn_again_from_its_receipt(studio: Studio) -> None:
    image, receipt = draw(studio, prompt="art <lora:ink:0.5>", controls=(CONTROL,), vae="other", image=name_of(PHOTO), strength=0.7)
    request = GenerationRequest.model_validate_json(receipt.request.model_dump_json())
    (end,) = ends(studio.draw(request, images=IMAGES))
    assert end.image.tobytes() == image.tobytes()
    assert end.receipt == receipt
