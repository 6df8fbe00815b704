"""Add-ons that fit tests/tiny.py's model: LoRAs in the layouts that are about, ControlNets, an embedding, another autoencoder."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import ldm
import tiny
import torch
from diffusers import AutoencoderKL, ControlNetModel, StableDiffusionPipeline
from safetensors.torch import save_file
from torch import nn

from webapp.engine.checkpoint import Checkpoint, load
from webapp.engine.latents import LatentSpace

Pair = tuple[torch.Tensor, torch.Tensor, float]  # down (r, in, ..), up (out, r, ..), alpha


def checkpoint(path: Path) -> Checkpoint:
    """The tiny model, loaded as the app loads one, in fp32."""
    return load(tiny.folder(path), "cpu", torch.float32)


def upcast(model: Checkpoint, dtype: torch.dtype) -> Checkpoint:
    """A whole copy in another precision."""
    parts = {part: copy.deepcopy(getattr(model, part)).to(dtype) for part in ("unet", "vae", "text_encoder")}
    return replace(model, **parts, dtype=dtype, space=LatentSpace(parts["vae"]))


def pairs(seed: int = 0, varied: bool = False, convolutions: bool = True) -> dict[str, dict[str, Pair]]:
    """A LoRA for the tiny model, by part and layer: rank 4 and alpha 2, or `varied` from layer to layer."""
    layers = list(_layers(convolutions))  # builds the model, which seeds by itself
    torch.manual_seed(seed)
    chance = random.Random(seed)
    found: dict[str, dict[str, Pair]] = {"unet": {}, "text_encoder": {}}
    for part, name, module in layers:
        rank = chance.choice([2, 3, 5]) if varied else 4
        down = torch.randn(rank, *module.weight.shape[1:]) / 5
        up = torch.randn(module.weight.shape[0], rank, *(1 for _ in module.weight.shape[2:])) / 5
        found[part][name] = (down, up, chance.choice([1.0, 2.0, 4.0]) if varied else 2.0)
    return found


def _layers(convolutions: bool) -> Iterator[tuple[str, str, nn.Module]]:
    pipe = tiny.pipeline()
    for part in ("unet", "text_encoder"):
        for name, module in getattr(pipe, part).named_modules():
            attention = isinstance(module, nn.Linear) and any(word in name for word in ("attn", "mlp", "ff.", "time_emb_proj"))
            other = isinstance(module, nn.Conv2d) and any(word in name for word in ("conv1", "proj_in", "conv_shortcut", "samplers"))
            if attention or (convolutions and other):
                yield part, name, module


def kohya(path: Path, lora: dict[str, dict[str, Pair]]) -> Path:
    """As sd-scripts writes them: names with underscores, an alpha beside each layer."""
    tensors = {}
    for part, beginning in (("unet", "lora_unet_"), ("text_encoder", "lora_te_")):
        for name, (down, up, alpha) in lora[part].items():
            key = beginning + (_old(name) if part == "text_encoder" else name).replace(".", "_")
            tensors |= {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up, f"{key}.alpha": torch.tensor(alpha)}
    save_file(tensors, path)
    return path


def diffusers(path: Path, lora: dict[str, dict[str, Pair]]) -> Path:
    """As `save_lora_weights` writes them, with peft's configuration in the header; alpha must be the same everywhere."""
    weights: dict[str, dict[str, torch.Tensor]] = {"unet": {}, "text_encoder": {}}
    told: dict[str, dict] = {}
    for part, layers in lora.items():
        for name, (down, up, alpha) in layers.items():
            weights[part] |= {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up}
            told[part] = {"r": down.shape[0], "lora_alpha": alpha, "target_modules": sorted(layers)}
    StableDiffusionPipeline.save_lora_weights(
        path.parent,
        unet_lora_layers=weights["unet"],
        text_encoder_lora_layers=weights["text_encoder"],
        weight_name=path.name,
        unet_lora_adapter_metadata=told["unet"],
        text_encoder_lora_adapter_metadata=told["text_encoder"],
    )
    return path


def old_diffusers(path: Path, lora: dict[str, dict[str, Pair]]) -> Path:
    """As diffusers wrote them before peft, with alpha worked into the matrices."""
    tensors = {}
    for part, layers in lora.items():
        for name, (down, up, alpha) in layers.items():
            if ".attn" in name:
                block, _, layer = name.rpartition(".to_")
                key = f"{block}.processor.to_{layer.removesuffix('.0')}_lora"
            elif part == "text_encoder":
                key = f"{_old(name)}.lora_linear_layer"
            else:
                key = f"{name}.lora"
            tensors |= {f"{part}.{key}.down.weight": down * alpha / down.shape[0], f"{part}.{key}.up.weight": up}
    save_file(tensors, path)
    return path


def _old(name: str) -> str:
    """A text encoder's layer as it was called before transformers 5.6, and is in files still."""
    return name if name.startswith("text_model.") else f"text_model.{name}"


def merged(pipe: StableDiffusionPipeline, lora: dict[str, dict[str, Pair]], weight: float) -> None:
    """Work a LoRA into a pipeline's own matrices, by the definition: W + weight * alpha / r * up @ down."""
    for part, layers in lora.items():
        for name, (down, up, alpha) in layers.items():
            matrix = getattr(pipe, part).get_submodule(name).weight
            change = up.flatten(1) @ down.flatten(1) * (weight * alpha / down.shape[0])
            matrix.data += change.view_as(matrix)


def controlnet(path: Path, seed: int = 0, width: int = 32, **changes: object) -> Path:
    """A ControlNet's folder; with weights, where a new one's are zero."""
    torch.manual_seed(seed)
    net = ControlNetModel(
        **{
            "block_out_channels": (16, 32),
            "layers_per_block": 1,
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
            "cross_attention_dim": width,
            "attention_head_dim": 2,
            "norm_num_groups": 8,
            "conditioning_embedding_out_channels": (4, 8, 8, 8),
            **changes,
        }
    )
    for block in (*net.controlnet_down_blocks, net.controlnet_mid_block, net.controlnet_cond_embedding.conv_out):
        nn.init.normal_(block.weight, std=0.2)
    net.save_pretrained(path)
    return path


def embedding(path: Path, vectors: int = 1, width: int = 32, name: str = "emb_params") -> Path:
    save_file({name: torch.randn(vectors, width, generator=torch.Generator().manual_seed(vectors))}, path)
    return path


def vae(path: Path, **changes: object) -> AutoencoderKL:
    """Another autoencoder, saved in the folder `path`."""
    config = {**tiny.pipeline().vae.config, **changes, "_use_default_values": []}  # or diffusers passes over what is in there
    torch.manual_seed(7)
    other = AutoencoderKL.from_config(config)
    other.save_pretrained(path)
    return other.eval()


def original_vae(path: Path, other: AutoencoderKL) -> Path:
    """In one file, with the names of the original Stable Diffusion."""
    pipe = tiny.pipeline()
    pipe.vae = other
    part = "first_stage_model."
    tensors = {name.removeprefix(part): value.contiguous() for name, value in ldm.weights(pipe, 1).items() if name.startswith(part)}
    save_file(tensors, path)
    return path


def header(path: Path) -> dict:
    """What a `.safetensors` file begins with."""
    data = path.read_bytes()
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
