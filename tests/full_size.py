"""Models of Stable Diffusion's true size with random weights: the honest stand-in for the real ones in speed and memory."""

from __future__ import annotations

from pathlib import Path

import tiny
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel


def save(folder: Path) -> None:
    """Stable Diffusion 2.1's shape in fp16 files; made without ever initialising it, which would take minutes."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(
            sample_size=96,
            block_out_channels=(320, 640, 1280, 1280),
            attention_head_dim=(5, 10, 20, 20),
            cross_attention_dim=1024,
            use_linear_projection=True,
            upcast_attention=True,
        )
        vae = AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            sample_size=768,
        )
        text = CLIPTextModel(
            CLIPTextConfig(
                hidden_size=1024, intermediate_size=4096, num_hidden_layers=23, num_attention_heads=16, hidden_act="gelu", vocab_size=49408
            )
        )
    small = tiny.pipeline(tiny.schedule("v_prediction"))
    StableDiffusionPipeline(
        vae=fill(vae),
        text_encoder=fill(text),
        tokenizer=small.tokenizer,
        unet=fill(unet),
        scheduler=small.scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder, variant="fp16")


def fill(module: torch.nn.Module) -> torch.nn.Module:
    """Weights as an initialisation would have them in size: matrices of noise by their fan-in, scales one, the rest zero."""
    module = module.half().to_empty(device="cpu")
    noise = torch.randn(1 << 20, generator=torch.Generator().manual_seed(0)).half()
    with torch.no_grad():
        for name, value in module.named_parameters():
            if value.ndim > 1:
                copies = -(-value.numel() // noise.numel())
                value.copy_(noise.repeat(copies)[: value.numel()].view(value.shape) / value[0].numel() ** 0.5)
            else:
                value.fill_(1 if "norm" in name and name.endswith("weight") else 0)
        for name, buffer in module.named_buffers():
            buffer.copy_(torch.arange(buffer.numel()).view(buffer.shape) if "position_ids" in name else torch.zeros_like(buffer))
    return module
