"""A whole Stable Diffusion model in one `.safetensors` file, as they are mostly passed on, read without asking anybody on the net.

Such a file holds weights alone. diffusers would fetch what else it takes, for SD 2 from a repository that is gone; here the shapes
come from below, and CLIP's vocabulary from whichever Stable Diffusion repository is on the disk already. A folder of the file's name
beside it, in diffusers' form without weights, goes before all that: for models of other shapes, or without any net.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from diffusers import StableDiffusionPipeline

from webapp.engine import header, hub
from webapp.engine.header import Original

_CLIP = {"vocab_size": 49408, "max_position_embeddings": 77, "model_type": "clip_text_model"}
_NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000, "steps_offset": 1}
_CLASSES = {
    "unet": ("diffusers", "UNet2DConditionModel"),
    "vae": ("diffusers", "AutoencoderKL"),
    "text_encoder": ("transformers", "CLIPTextModel"),
    "tokenizer": ("transformers", "CLIPTokenizer"),
}


def beside(path: Path) -> Path:
    """The folder that may say more of a model's file."""
    return path.with_suffix("")


def vocabulary(path: Path, report: Callable[[str], None]) -> list[Path]:
    """The files of CLIP's words that the model at `path` needs, fetched if they must be; none if the folder beside it has its own.
    Raises ModelError."""
    if any((beside(path) / file).is_file() for file in hub.VOCABULARY):
        return []
    return hub.vocabulary(path.name, report)


def read(path: Path, prediction: str, report: Callable[[str], None], **options: Any) -> StableDiffusionPipeline:
    """The model in the file at `path`; `options` go to diffusers. `prediction` goes before what the file says. Raises ModelError."""
    scheduler = beside(path) / "scheduler/scheduler_config.json"
    if not prediction and scheduler.is_file():
        prediction = json.loads(scheduler.read_text("utf-8")).get("prediction_type", "epsilon")
    model = header.original(header.read(path), path.name, prediction)
    with TemporaryDirectory() as place:
        _describe(Path(place), model, path, report)
        return StableDiffusionPipeline.from_single_file(
            str(path), config=place, local_files_only=True, safety_checker=None, requires_safety_checker=False, **options
        )


def _describe(place: Path, model: Original, path: Path, report: Callable[[str], None]) -> None:
    """Fill `place` with what a diffusers folder says of its parts."""
    for file, config in _configs(model, turbo="turbo" in path.name.casefold()).items():
        (place / file).parent.mkdir()
        own = beside(path) / file
        text = own.read_text("utf-8") if own.is_file() else json.dumps(config)
        (place / file).write_text(text, "utf-8")
    tokenizer = place / "tokenizer"
    words = vocabulary(path, report)
    if not words:
        shutil.copytree(beside(path) / "tokenizer", tokenizer)
    else:
        tokenizer.mkdir()
        for file in words:
            shutil.copy(file, tokenizer)
        padding = "!" if model.family == 2 else "<|endoftext|>"
        (tokenizer / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 77, "pad_token": padding}))
    scheduler = json.loads((place / "scheduler/scheduler_config.json").read_text("utf-8"))["_class_name"]
    index = {"_class_name": "StableDiffusionPipeline", "scheduler": ("diffusers", scheduler), **_CLASSES}
    (place / hub.INDEX).write_text(json.dumps(index))


def _configs(model: Original, turbo: bool = False) -> dict[str, dict[str, Any]]:
    """The shapes of the published models, by the file that says them; what is left out, diffusers fills in as it is in Stable Diffusion."""
    velocity = model.prediction == "v_prediction"
    unet: dict[str, Any] = {"in_channels": model.channels, "sample_size": 96 if velocity and model.family == 2 else 64}
    unet["layers_per_block"] = 2  # the default, but the conversion looks for it here
    if model.family == 1:
        unet |= {"cross_attention_dim": 768, "attention_head_dim": 8}
        text = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
        text |= {"hidden_act": "quick_gelu", "projection_dim": 768}
    else:
        unet |= {"cross_attention_dim": 1024, "attention_head_dim": [5, 10, 20, 20]}  # counts of heads, whatever the name says
        unet |= {"use_linear_projection": True, "upcast_attention": velocity}
        text = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23, "num_attention_heads": 16}
        text |= {"hidden_act": "gelu", "projection_dim": 512}
    vae = {
        "block_out_channels": [128, 256, 512, 512],
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "layers_per_block": 2,
        "sample_size": unet["sample_size"] * 8,
    }
    return {
        "unet/config.json": unet,
        "vae/config.json": vae,
        "text_encoder/config.json": _CLIP | text,
        "scheduler/scheduler_config.json": _NOISE | {"prediction_type": model.prediction} | _sampler(velocity, turbo and model.family == 2),
    }


def _sampler(velocity: bool, turbo: bool) -> dict[str, Any]:
    """The schedulers that the models were published with."""
    if turbo:
        return {"_class_name": "EulerDiscreteScheduler", "timestep_spacing": "trailing"}
    if velocity:
        return {"_class_name": "DDIMScheduler", "clip_sample": False, "set_alpha_to_one": False}
    return {"_class_name": "PNDMScheduler", "skip_prk_steps": True, "set_alpha_to_one": False}
