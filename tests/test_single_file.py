"""Models in one file: the same weights come out that went in, whatever the family, and nobody is asked for what a file lacks."""

from __future__ import annotations

import hashlib
import shutil
import time
from pathlib import Path

import full_size
import ldm
import pytest
import tiny
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

from webapp.engine import checkpoint, hub, single_file
from webapp.engine.checkpoint import Checkpoint
from webapp.engine.header import Original
from webapp.errors import ModelError

PARTS = ("unet", "vae", "text_encoder")


def same(model: Checkpoint, pipe: StableDiffusionPipeline) -> bool:
    """Whether all weights are equal to the last bit, and none is missing."""
    for part in PARTS:
        before, after = getattr(pipe, part).state_dict(), getattr(model, part).state_dict()
        if before.keys() != after.keys() or not all(torch.equal(value, after[name]) for name, value in before.items()):
            return False
    return True


@pytest.mark.parametrize("family", [1, 2])
def test_the_weights_come_out_as_they_went_in(tmp_path: Path, family: int) -> None:
    pipe = tiny.pipeline(width=48)
    file = tiny.single_file(tmp_path / "little-512.safetensors", pipe, family)
    model = checkpoint.load(file, "cpu", torch.float32)
    assert same(model, pipe)
    assert (model.name, model.source, model.kind, model.prediction) == ("little-512", str(file), "text", "epsilon")
    assert model.hash == hashlib.sha256(file.read_bytes()).hexdigest()
    assert model.tokenizer("a cat!").input_ids == pipe.tokenizer("a cat!").input_ids
    with torch.no_grad():
        pipe.unet.conv_in.weight[0] += 1
    assert not same(model, pipe)


def test_a_file_and_a_folder_are_drawn_with_alike(tmp_path: Path) -> None:
    """The same words, noise schedule and shapes: all that a picture depends on beside the weights."""
    pipe = tiny.pipeline(tiny.schedule("v_prediction"))
    folder = checkpoint.load(tiny.save(pipe, tmp_path / "folder"), "cpu", torch.float32)
    file = checkpoint.load(tiny.single_file(tmp_path / "file-768-v.safetensors", pipe), "cpu", torch.float32)
    assert file.prediction == folder.prediction == "v_prediction"
    names = (
        "beta_start",
        "beta_end",
        "beta_schedule",
        "num_train_timesteps",
        "steps_offset",
        "clip_sample",
        "set_alpha_to_one",
        "_class_name",
    )
    assert {name: file.scheduler_config[name] for name in names} == {name: folder.scheduler_config[name] for name in names}
    assert file.defaults == folder.defaults
    latents, words = torch.ones(1, 4, 8, 8), file.tokenizer("a cat", return_tensors="pt").input_ids
    with torch.inference_mode():
        said = [model.unet(latents, 500, model.text_encoder(words)[0]).sample for model in (file, folder)]
    torch.testing.assert_close(
        *said, atol=1e-5, rtol=0
    )  # the weights lie elsewhere in memory, by which a CPU without AVX-512 rounds otherwise
    for part in ("unet", "text_encoder", "vae"):
        ours, theirs = (getattr(model, part).state_dict() for model in (file, folder))
        assert ours.keys() == theirs.keys() and all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_a_file_for_inpainting(tmp_path: Path) -> None:
    file = tiny.single_file(tmp_path / "x.safetensors", tiny.pipeline(inputs=9))
    model = checkpoint.load(file, "cpu")
    assert (model.kind, model.prediction) == ("inpainting", "epsilon")


def test_turbo_in_one_file(tmp_path: Path) -> None:
    model = checkpoint.load(tiny.single_file(tmp_path / "sd_turbo.safetensors", tiny.pipeline()), "cpu")
    assert (model.defaults.steps, model.defaults.guidance, model.prediction) == (2, 0, "epsilon")
    assert model.scheduler_config["timestep_spacing"] == "trailing"
    first = checkpoint.load(tiny.single_file(tmp_path / "turbo_mix.safetensors", tiny.pipeline(), 1), "cpu")
    assert first.defaults.steps == 25


def test_what_it_predicts_can_be_said(tmp_path: Path) -> None:
    file = tiny.single_file(tmp_path / "mix.safetensors", tiny.pipeline())
    with pytest.raises(ModelError, match="--prediction v"):
        checkpoint.load(file, "cpu")
    assert checkpoint.load(file, "cpu", prediction="v").prediction == "v_prediction"
    assert checkpoint.load(file, "cpu", prediction="epsilon").prediction == "epsilon"
    beside = tiny.single_file(tmp_path / "told.safetensors", tiny.pipeline(tiny.schedule("v_prediction")), said="v_prediction")
    assert checkpoint.load(beside, "cpu").prediction == "v_prediction"


def test_half_size_weights_are_read_in_the_precision_asked_for(tmp_path: Path) -> None:
    pipe = tiny.pipeline().to(torch.float16)
    file = tiny.single_file(tmp_path / "half-512.safetensors", pipe)
    assert same(checkpoint.load(file, "cpu", torch.float32), pipe.to(torch.float32))
    assert checkpoint.load(file, "cpu", torch.bfloat16).unet.dtype == torch.bfloat16


def test_a_file_of_another_shape_gets_a_sentence(tmp_path: Path) -> None:
    file = tiny.single_file(tmp_path / "odd-512.safetensors", tiny.pipeline())
    (tmp_path / "odd-512/unet/config.json").unlink()
    with pytest.raises(ModelError, match="may not belong together"):
        checkpoint.load(file, "cpu")


@pytest.mark.parametrize(
    ("model", "sizes"),
    [
        (Original(1, 4, "epsilon"), (859_520_964, 83_653_863, 123_060_480)),
        (Original(1, 9, "epsilon"), (859_535_364, 83_653_863, 123_060_480)),
        (Original(2, 4, "v_prediction"), (865_910_724, 83_653_863, 340_387_840)),
        (Original(2, 9, "epsilon"), (865_925_124, 83_653_863, 340_387_840)),
    ],
)
def test_the_shapes_are_the_published_models(model: Original, sizes: tuple[int, int, int]) -> None:
    assert tuple(sum(value.numel() for value in part.parameters()) for part in built(model)) == sizes


def built(model: Original) -> tuple[UNet2DConditionModel, AutoencoderKL, CLIPTextModel]:
    """Without weights."""
    configs = single_file._configs(model)
    with torch.device("meta"):
        return (
            UNet2DConditionModel.from_config(configs["unet/config.json"]),
            AutoencoderKL.from_config(configs["vae/config.json"]),
            CLIPTextModel(CLIPTextConfig(**configs["text_encoder/config.json"])),
        )


@pytest.mark.parametrize(("family", "padding"), [(1, 513), (2, 0)])
def test_the_vocabulary_is_taken_from_wherever_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: int, padding: int) -> None:
    """Stable Diffusion 1 pads with its last token, 2 with "!", whichever repository the words come from."""
    pipe = tiny.pipeline()
    file = tiny.single_file(tmp_path / "m-512.safetensors", pipe, family)
    shutil.rmtree(tmp_path / "m-512/tokenizer")
    monkeypatch.setattr(hub, "vocabulary", lambda name, report: tiny.vocabulary(tmp_path))
    tokenizer = checkpoint.load(file, "cpu").tokenizer
    assert tokenizer.model_max_length == 77
    assert tokenizer.pad_token_id == padding
    assert tokenizer("cat").input_ids == pipe.tokenizer("cat").input_ids


@pytest.mark.slow
@pytest.mark.parametrize("model", [Original(1, 4, "epsilon"), Original(2, 4, "v_prediction")], ids=["SD 1", "SD 2"])
def test_files_of_the_true_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Original) -> None:
    """From one fp16 file of exactly the published shape, with the layer that OpenCLIP has more, to a step of the UNet."""
    monkeypatch.setattr(hub, "vocabulary", lambda name, report: tiny.vocabulary(tmp_path))
    words = tiny.pipeline().tokenizer
    unet, vae, text = (full_size.fill(part) for part in built(model))
    pipe = StableDiffusionPipeline(vae, text, words, unet, tiny.schedule("epsilon"), None, None, requires_safety_checker=False)
    weights = ldm.weights(pipe, model.family)
    if model.family == 2:
        last = "cond_stage_model.model.transformer.resblocks.22."
        weights |= {name.replace(".22.", ".23."): value.clone() for name, value in weights.items() if name.startswith(last)}
    file = tmp_path / f"v{model.family}-768-v.safetensors"
    try:
        save_file({name: value.contiguous() for name, value in weights.items()}, file)
        clock = time.monotonic()
        loaded = checkpoint.load(file, "cpu", torch.bfloat16)
        print(f"{file.stat().st_size / 1e9:.2f} GB loaded and hashed in {time.monotonic() - clock:.0f} s")
        assert (loaded.prediction, loaded.defaults.width) == (model.prediction, 768 if model.family == 2 else 512)
        for part, before in zip(PARTS, (unet, vae, text)):
            after = getattr(loaded, part).state_dict()
            assert all(torch.equal(value.bfloat16(), after[name]) for name, value in before.state_dict().items())
    finally:
        file.unlink(missing_ok=True)
