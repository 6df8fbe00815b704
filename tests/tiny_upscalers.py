"""Stability AI's two upscalers in small: the x4 one, whose UNet sees pixels and a noise level, and the latent x2 one with its K-blocks
and its condition on the time. Random weights, the same each time."""

from __future__ import annotations

from pathlib import Path

import tiny
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    DiffusionPipeline,
    EulerDiscreteScheduler,
    StableDiffusionLatentUpscalePipeline,
    StableDiffusionUpscalePipeline,
    UNet2DConditionModel,
)


def x4() -> StableDiffusionUpscalePipeline:
    words = tiny.pipeline()
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        in_channels=7,
        out_channels=4,
        block_out_channels=(8, 16, 16, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        only_cross_attention=(True, True, True, False),
        cross_attention_dim=32,
        attention_head_dim=2,
        norm_num_groups=4,
        num_class_embeds=1000,
        use_linear_projection=True,
    )
    beta = {"beta_schedule": "scaled_linear", "beta_start": 0.0001, "beta_end": 0.02}
    return StableDiffusionUpscalePipeline(
        vae=_vae(3, 0.08333),
        text_encoder=words.text_encoder,
        tokenizer=words.tokenizer,
        unet=unet,
        low_res_scheduler=DDPMScheduler(**beta),
        scheduler=DDIMScheduler(**beta, prediction_type="v_prediction", clip_sample=False, set_alpha_to_one=False, steps_offset=1),
    )


def x2() -> StableDiffusionLatentUpscalePipeline:
    words = tiny.pipeline()
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        act_fn="gelu",
        attention_head_dim=8,
        norm_num_groups=None,
        block_out_channels=(32, 32, 64, 64),
        layers_per_block=2,
        time_cond_proj_dim=128 + 32,
        conv_in_kernel=1,
        conv_out_kernel=1,
        cross_attention_dim=32,
        down_block_types=("KDownBlock2D", "KCrossAttnDownBlock2D", "KCrossAttnDownBlock2D", "KCrossAttnDownBlock2D"),
        up_block_types=("KCrossAttnUpBlock2D", "KCrossAttnUpBlock2D", "KCrossAttnUpBlock2D", "KUpBlock2D"),
        in_channels=8,
        out_channels=5,
        mid_block_type=None,
        only_cross_attention=False,
        resnet_time_scale_shift="scale_shift",
        time_embedding_type="fourier",
        timestep_post_act="gelu",
    )
    return StableDiffusionLatentUpscalePipeline(
        vae=_vae(4, 0.18215),
        text_encoder=words.text_encoder,
        tokenizer=words.tokenizer,
        unet=unet,
        scheduler=EulerDiscreteScheduler(
            beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, prediction_type="original_sample"
        ),
    )


def folder(pipe: DiffusionPipeline, path: Path, variant: str | None = None) -> Path:
    pipe.save_pretrained(path, variant=variant)
    return path


def _vae(depth: int, scaling: float) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8,) * (depth - 1) + (16,),
        down_block_types=("DownEncoderBlock2D",) * depth,
        up_block_types=("UpDecoderBlock2D",) * depth,
        norm_num_groups=4,
        sample_size=256,
        scaling_factor=scaling,
    )
