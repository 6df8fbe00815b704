"""Other autoencoders: from a folder or a file, in either layout of names."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import tiny
import tiny_addons
import torch
from safetensors.torch import load_file, save_file

from webapp.engine.autoencoder import load_vae
from webapp.engine.checkpoint import Checkpoint
from webapp.errors import ModelError


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return tiny_addons.checkpoint(tmp_path_factory.mktemp("model") / "tiny")


LATENTS = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
WEIGHTS = "diffusion_pytorch_model.safetensors"


@torch.inference_mode()
@pytest.mark.parametrize("source", ["folder", "whole model", "file", "original file", "whole model's original file"])
def test_another_autoencoder_is_read(checkpoint: Checkpoint, tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    other = tiny_addons.vae(tmp_path / "other" / "vae")
    path = {
        "folder": tmp_path / "other" / "vae",
        "whole model": tmp_path / "other",
        "file": tmp_path / "other" / "vae" / WEIGHTS,
        "original file": tmp_path / "original.safetensors",
        "whole model's original file": tmp_path / "model.safetensors",
    }[source]
    original = tiny_addons.original_vae(tmp_path / "original.safetensors", other)
    save_file({f"first_stage_model.{name}": value for name, value in load_file(original).items()}, tmp_path / "model.safetensors")

    vae = load_vae(path, checkpoint)
    assert not vae.training
    torch.testing.assert_close(vae.decode(LATENTS).sample, other.decode(LATENTS).sample, atol=1e-6, rtol=0)
    assert (vae.decode(LATENTS).sample - checkpoint.vae.decode(LATENTS).sample).abs().max() > 0.1


def test_it_comes_in_the_models_precision(checkpoint: Checkpoint, tmp_path: Path) -> None:
    other = tiny_addons.vae(tmp_path / "vae")
    other.half().save_pretrained(tmp_path / "half", variant="fp16")
    half = tiny_addons.upcast(checkpoint, torch.bfloat16)
    for path in (tmp_path / "half", tmp_path / "vae" / WEIGHTS):
        vae = load_vae(path, half)
        assert {parameter.dtype for parameter in vae.parameters()} == {torch.bfloat16}


MISFITS = {
    "wide": {"latent_channels": 16},
    "scaled": {"scaling_factor": 0.13025},
    "shallow": {
        "block_out_channels": (8, 16),
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
    },
}


@pytest.mark.parametrize("name", MISFITS)
def test_one_for_another_model_is_told_apart(checkpoint: Checkpoint, tmp_path: Path, name: str) -> None:
    tiny_addons.vae(tmp_path / name, **MISFITS[name])
    with pytest.raises(ModelError, match=f"^{name} is an autoencoder for another kind of model"):
        load_vae(tmp_path / name, checkpoint)
    if name != "scaled":  # which a file does not say
        with pytest.raises(ModelError, match="another shape"):
            load_vae(tmp_path / name / WEIGHTS, checkpoint)


def test_what_is_no_autoencoder_is_told_apart(checkpoint: Checkpoint, tmp_path: Path) -> None:
    vae = tiny_addons.vae(tmp_path / "vae")
    weights = {name: value.contiguous() for name, value in vae.state_dict().items()}
    (tmp_path / "pickle.safetensors").write_bytes(pickle.dumps({}))
    (tmp_path / "old.ckpt").write_bytes(pickle.dumps({}))
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "vae" / WEIGHTS).read_bytes()[:-9])
    tiny_addons.kohya(tmp_path / "lora.safetensors", tiny_addons.pairs())
    save_file({name: value for name, value in weights.items() if name.startswith("decoder")}, tmp_path / "decoder.safetensors")
    (tmp_path / "empty").mkdir()
    tiny.pipeline().unet.save_pretrained(tmp_path / "unet")
    for name, words in {
        "pickle.safetensors": "pickle",
        "old.ckpt": r"not a \.safetensors file",
        "cut.safetensors": "cut off",
        "lora.safetensors": "not an autoencoder",
        "decoder.safetensors": "another shape",
        "gone.safetensors": "no file gone",
        "empty": r"no \.safetensors file",
        "unet": "not the folder of an autoencoder",
    }.items():
        with pytest.raises(ModelError, match=words) as caught:
            load_vae(tmp_path / name, checkpoint)
        assert str(tmp_path) not in caught.value.sentence
