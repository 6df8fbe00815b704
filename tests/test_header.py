"""Files told from their headers: the two families, each way of not being one of them, and what a model predicts."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import save_file

from webapp.engine import header
from webapp.engine.header import Header, Original
from webapp.errors import ModelError


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.single_file(tmp_path_factory.mktemp("files") / "model.safetensors", tiny.pipeline())


def sentence(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        header.original(header.read(path), path.name)
    assert caught.value.sentence.startswith(path.name)
    assert str(path.parent) not in caught.value.sentence
    return caught.value.sentence


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (pickle.dumps({"a": 1}), "do not open those: they can run programs"),
        (b"PK\x03\x04 and so on", "do not open those: they can run programs"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "not the model but a page about it"),
        (b"\n<!doctype html><title>Sign in</title>", "not the model but a page about it"),
        (b"\xff" * 100, "cut off or damaged"),
        (b"\0\0\0", "cut off or damaged"),
    ],
)
def test_what_is_no_safetensors_file(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    assert words in sentence(tmp_path / "model.safetensors")


@pytest.mark.parametrize("share", [0.999, 0.5, 0.001])
def test_half_a_file(file: Path, tmp_path: Path, share: float) -> None:
    (tmp_path / "half.safetensors").write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    assert "cut off or damaged" in sentence(tmp_path / "half.safetensors")


def test_files_that_say_they_are_something_else_are_not_looked_into(tmp_path: Path, file: Path) -> None:
    for name in ("model.ckpt", "model.bin", "model"):
        (tmp_path / name).write_bytes(file.read_bytes())
        assert "not a .safetensors file" in sentence(tmp_path / name)


def test_a_pickle_of_pytorchs_is_never_opened(tmp_path: Path) -> None:
    for archive in (True, False):
        torch.save({"a": torch.zeros(1)}, tmp_path / "model.safetensors", _use_new_zipfile_serialization=archive)
        assert "they can run programs" in sentence(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["conditioner.embedders.1.model.ln_final.weight", "model.diffusion_model.label_emb.0.0.weight"], "a Stable Diffusion XL model"),
        (["model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight"], "a Stable Diffusion 3 model"),
        (["double_blocks.0.img_attn.norm.key_norm.scale"], "a Flux model"),
        (["lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight"], "a LoRA: an add-on"),
        (["unet.down_blocks.0.attentions.0.to_q.lora_A.weight"], "a LoRA: an add-on"),
        (["unet.down_blocks.0.attentions.0.processor.to_q_lora.down.weight", "x.lora.up.weight"], "a LoRA: an add-on"),
        (["lora_unet_mid_block.hada_w1_a"], "a LoRA: an add-on"),
        (["control_model.input_blocks.0.0.weight"], "a ControlNet: an add-on"),
        (["controlnet_cond_embedding.conv_in.weight", "down_blocks.0.resnets.0.conv1.weight"], "a ControlNet: an add-on"),
        (["emb_params"], "an embedding (textual inversion): an add-on"),
        (["<my-cat>"], "an embedding (textual inversion): an add-on"),
        (["my-cat"], "probably an embedding"),
        (["encoder.conv_in.weight", "decoder.conv_in.weight"], "an autoencoder (VAE) alone"),
        (["first_stage_model.decoder.conv_in.weight"], "an autoencoder (VAE) alone"),
        (["down_blocks.0.resnets.0.conv1.weight", "conv_in.weight"], "a UNet alone"),
        (["text_model.encoder.layers.0.mlp.fc1.weight", "a"], "a text encoder alone"),
        (["a", "b"], "a model of an unknown kind"),
    ],
)
def test_files_of_other_kinds_are_named(tmp_path: Path, names: list[str], words: str) -> None:
    save_file({name: torch.zeros(2, 2) for name in names}, tmp_path / "x.safetensors")
    assert words in sentence(tmp_path / "x.safetensors")


def shapes(family: int = 2, channels: int = 4, leave_out: str = "nothing") -> dict[str, tuple[int, ...]]:
    text = header.CLIP if family == 1 else header.OPENCLIP
    names = {f"{header.UNET}input_blocks.0.0.weight": (320, channels, 3, 3), f"{header.VAE}encoder.conv_in.weight": (1,), f"{text}x": (1,)}
    return {name: shape for name, shape in names.items() if not name.startswith(leave_out)}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (shapes(channels=7), "a Stable Diffusion upscaler"),
        (shapes(channels=8), "edits pictures"),
        (shapes(channels=5), "by a depth map"),
        (shapes(channels=6), "an unknown kind"),
        (shapes(leave_out=header.VAE), "lacks its autoencoder"),
        (shapes(leave_out=header.OPENCLIP), "lacks its text encoder"),
    ],
)
def test_models_that_are_near_but_not_it(given: dict[str, tuple[int, ...]], words: str) -> None:
    with pytest.raises(ModelError, match=words.replace("(", r"\(")):
        header.original(Header(given, {}), "x.safetensors", "epsilon")


@pytest.mark.parametrize(
    ("name", "words", "prediction"),
    [
        ("v2-1_768-ema-pruned", {}, "v_prediction"),
        ("768-v-ema", {}, "v_prediction"),
        ("my_mix_vpred", {}, "v_prediction"),
        ("v2-1_512-ema-pruned", {}, "epsilon"),
        ("512-base-ema", {}, "epsilon"),
        ("sd_turbo", {}, "epsilon"),
        ("anything", {"modelspec.prediction_type": "v"}, "v_prediction"),
        ("model-768", {"modelspec.prediction_type": "epsilon"}, "epsilon"),
        ("anything", {"modelspec.architecture": "stable-diffusion-v2-768-v"}, "v_prediction"),
        ("anything", {"modelspec.architecture": "stable-diffusion-v2-512"}, "epsilon"),
    ],
)
def test_what_a_second_generation_model_predicts(name: str, words: dict[str, str], prediction: str) -> None:
    assert header.original(Header(shapes(2), words), f"{name}.safetensors") == Original(2, 4, prediction)


@pytest.mark.parametrize("name", ["my_mix", "v2-1", "768-v-base", "every_vision"])
def test_it_is_asked_when_it_cannot_be_told(name: str) -> None:
    with pytest.raises(ModelError, match=r"models add NAME FILE --prediction v .* --prediction epsilon"):
        header.original(Header(shapes(2), {}), f"{name}.safetensors")
    assert header.original(Header(shapes(2), {}), f"{name}.safetensors", "v").prediction == "v_prediction"
    assert header.original(Header(shapes(2), {}), f"{name}.safetensors", "epsilon").prediction == "epsilon"


def test_first_generation_and_inpainting_models_predict_noise() -> None:
    assert header.original(Header(shapes(1), {}), "model-768.safetensors") == Original(1, 4, "epsilon")
    assert header.original(Header(shapes(1), {"modelspec.prediction_type": "v"}), "x").prediction == "v_prediction"
    assert header.original(Header(shapes(1, 9), {}), "x.safetensors") == Original(1, 9, "epsilon")
    assert header.original(Header(shapes(2, 9), {}), "x.safetensors") == Original(2, 9, "epsilon")


def test_a_real_file_is_told(file: Path) -> None:
    found = header.read(file)
    assert found.words == {"format": "pt"}
    assert header.original(found, "x-512.safetensors") == Original(2, 4, "epsilon")
