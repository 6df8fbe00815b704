"""Weights in the layout of the original Stable Diffusion files: diffusers' names turned back into those of CompVis' code (SD 1) and
of Stability AI's (SD 2, whose text encoder is OpenCLIP's). The other way round from what the app's loader has diffusers do."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextModel

Weights = dict[str, torch.Tensor]
_UNET = {"conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2"}
_UNET |= {"time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2"}
_UNET |= {"mid_block.resnets.0": "middle_block.0", "mid_block.attentions.0": "middle_block.1", "mid_block.resnets.1": "middle_block.2"}
_RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0", "conv2": "out_layers.3"}
_RESNET |= {"time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection"}
_VAE = {
    "conv_norm_out": "norm_out",
    "conv_shortcut": "nin_shortcut",
    "mid_block.resnets.0": "mid.block_1",
    "mid_block.resnets.1": "mid.block_2",
}
_VAE |= {"mid_block.attentions.0": "mid.attn_1", "group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
_VAE |= {"downsamplers.0": "downsample", "upsamplers.0": "upsample"}
_OPENCLIP = {"embeddings.token_embedding": "token_embedding", "embeddings.position_embedding.weight": "positional_embedding"}
_OPENCLIP |= {"final_layer_norm": "ln_final", "encoder.layers": "transformer.resblocks", "layer_norm1": "ln_1", "layer_norm2": "ln_2"}
_OPENCLIP |= {"fc1": "c_fc", "fc2": "c_proj", "self_attn": "attn"}


def weights(pipe: StableDiffusionPipeline, family: int) -> Weights:
    """All weights of a pipeline as a file of SD 1 or SD 2 holds them."""
    text = _clip(pipe.text_encoder) if family == 1 else _openclip(pipe.text_encoder)
    return {
        **{f"model.diffusion_model.{name}": value for name, value in _unet(pipe.unet).items()},
        **{f"first_stage_model.{name}": value for name, value in _vae(pipe.vae).items()},
        **{f"cond_stage_model.{name}": value for name, value in text.items()},
    }


def _renamed(name: str, words: Mapping[str, str]) -> str:
    """`name` with whole dotted words exchanged."""
    for old, new in words.items():
        name = re.sub(rf"(?<![^.]){re.escape(old)}(?![^.])", new, name)
    return name


def _unet(unet: UNet2DConditionModel) -> Weights:
    row = unet.config.layers_per_block + 1
    attending = {block for block, kind in enumerate(unet.config.up_block_types) if "Attn" in kind}
    return {_unet_name(name, row, attending): value for name, value in unet.state_dict().items()}


def _unet_name(name: str, row: int, attending: set[int]) -> str:
    """`row` is how many of the original's blocks one of diffusers' makes; `attending` are the upward ones that have attention."""
    if ".resnets." in name:
        name = _renamed(name, _RESNET)
    if found := re.match(r"down_blocks\.(\d+)\.(resnets|attentions|downsamplers)\.(\d+)\.(.*)", name):
        block, kind, layer, rest = int(found[1]), found[2], int(found[3]), found[4]
        if kind == "downsamplers":
            return f"input_blocks.{(block + 1) * row}.0.op.{rest.removeprefix('conv.')}"
        return f"input_blocks.{1 + block * row + layer}.{int(kind == 'attentions')}.{rest}"
    if found := re.match(r"up_blocks\.(\d+)\.(resnets|attentions|upsamplers)\.(\d+)\.(.*)", name):
        block, kind, layer, rest = int(found[1]), found[2], int(found[3]), found[4]
        if kind == "upsamplers":
            return f"output_blocks.{block * row + row - 1}.{1 + (block in attending)}.{rest}"
        return f"output_blocks.{block * row + layer}.{int(kind == 'attentions')}.{rest}"
    return _renamed(name, _UNET)


def _vae(vae: AutoencoderKL) -> Weights:
    last = len(vae.config.block_out_channels) - 1
    found = {}
    for name, value in vae.state_dict().items():
        name = re.sub(r"down_blocks\.(\d+)\.", r"down.\1.", name)
        name = re.sub(r"up_blocks\.(\d+)\.", lambda match: f"up.{last - int(match[1])}.", name)
        if ".mid_block." not in name:
            name = name.replace(".resnets.", ".block.")
        name = _renamed(name, _VAE)
        found[name] = value[:, :, None, None] if ".attn_1." in name and value.ndim == 2 else value
    return found


def _plain(text: CLIPTextModel) -> Weights:
    """transformers before 5.6 put `text_model.` before each name."""
    return {name.removeprefix("text_model."): value for name, value in text.state_dict().items()}


def _clip(text: CLIPTextModel) -> Weights:
    found = {f"transformer.text_model.{name}": value for name, value in _plain(text).items()}
    length = text.config.max_position_embeddings
    return found | {"transformer.text_model.embeddings.position_ids": torch.arange(length)[None]}  # old files have it


def _openclip(text: CLIPTextModel) -> Weights:
    """Queries, keys and values are one matrix there; and there is one layer more, whose work SD 2 does not use."""
    plain, found = _plain(text), {}
    for name, value in plain.items():
        if ".q_proj." in name:
            rows = torch.cat([plain[name.replace("q_proj", part)] for part in ("q_proj", "k_proj", "v_proj")])
            found[_renamed(name, _OPENCLIP).replace(".q_proj.", ".in_proj_")] = rows
        elif ".k_proj." not in name and ".v_proj." not in name:
            found[_renamed(name, _OPENCLIP)] = value
    found = {f"model.{name}": value for name, value in found.items()}
    width = text.config.hidden_size
    return found | {"model.text_projection": torch.ones(width, width), "model.logit_scale": torch.tensor(4.6)}
