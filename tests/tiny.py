"""Models of Stable Diffusion's shape, small enough to build and run in a test: random weights, a byte-level tokenizer made on the
spot, and the three noise schedules that matter."""

from __future__ import annotations

import json
from pathlib import Path

import ldm
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
    SchedulerMixin,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

torch.set_num_threads(1)  # these models are too small to share
SIDE = 64  # pixels; eight latents
_SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1}


def schedule(name: str) -> SchedulerMixin:
    """The scheduler a checkpoint comes with: SD 2.1 base's (and SD 1's), SD 2.1's, SD Turbo's, the built-in model's, or that with its
    last noise pure."""
    match name:
        case "epsilon":
            return PNDMScheduler(**_SD, prediction_type="epsilon", skip_prk_steps=True, set_alpha_to_one=False)
        case "v_prediction":
            return DDIMScheduler(**_SD, prediction_type="v_prediction", clip_sample=False, set_alpha_to_one=False)
        case "turbo":
            return EulerDiscreteScheduler(**_SD, prediction_type="epsilon", timestep_spacing="trailing")
        case "builtin" | "zero terminal SNR":
            changes = {"beta_end": 0.025, "prediction_type": "v_prediction", "timestep_spacing": "trailing"}
            changes["rescale_betas_zero_snr"] = name != "builtin"
            return DPMSolverMultistepScheduler(**_SD | changes)
    raise ValueError(name)


def pipeline(
    scheduler: SchedulerMixin | None = None, channels: int = 4, inputs: int | None = None, width: int = 32
) -> StableDiffusionPipeline:
    """A pipeline whose latents have `channels`; the same weights each time. Its UNet takes `inputs` channels, as many as the latents'
    when not given; an embedding of a word has `width` numbers, by which SD 1 and SD 2 differ."""
    torch.manual_seed(0)
    alphabet = sorted(ByteLevel.alphabet())
    words = [*alphabet, *(f"{letter}</w>" for letter in alphabet), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=77)
    text = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=width,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        bos_token_id=len(words) - 2,
        eos_token_id=len(words) - 1,
    )
    unet = UNet2DConditionModel(
        sample_size=SIDE // 8,
        in_channels=inputs or channels,
        out_channels=channels,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=width,
        attention_head_dim=2,
        norm_num_groups=8,
    )
    vae = AutoencoderKL(
        latent_channels=channels,
        block_out_channels=(8, 8, 8, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=4,
    )
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(text),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler or schedule("epsilon"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def inpainting(scheduler: SchedulerMixin | None = None) -> StableDiffusionInpaintPipeline:
    """One whose UNet takes, beside the latents, a mask and the latents under it: nine channels."""
    parts = pipeline(scheduler, inputs=9).components
    return StableDiffusionInpaintPipeline(**parts, requires_safety_checker=False)


def folder(path: Path, name: str = "epsilon", variant: str | None = None, channels: int = 4) -> Path:
    """A model saved at `path`, with the noise schedule `name`."""
    return save(pipeline(schedule(name), channels), path, variant)


def save(pipe: StableDiffusionPipeline | StableDiffusionInpaintPipeline, path: Path, variant: str | None = None) -> Path:
    """A pipeline saved at `path`. Its noise schedule's file says only what `schedule` does, as the old ones on the hub: what is left
    out each scheduler fills in its own way, with timesteps that are no whole numbers for one."""
    pipe.save_pretrained(path, variant=variant)
    file = path / "scheduler/scheduler_config.json"
    unsaid = pipe.scheduler.config["_use_default_values"]
    file.write_text(json.dumps({key: value for key, value in json.loads(file.read_text()).items() if key not in unsaid}))
    return path


def single_file(path: Path, pipe: StableDiffusionPipeline, family: int = 2, words: dict[str, str] | None = None, said: str = "") -> Path:
    """A pipeline as one file in Stable Diffusion 1's or 2's original layout, with `words` in its header. The folder beside it says the
    shapes, which are not Stable Diffusion's, and has the tokenizer; of the noise schedule it says something only if that is `said`."""
    beside = save(pipe, path.with_suffix(""))
    for file in (*beside.glob("*/*.safetensors"), beside / "model_index.json"):
        file.unlink()
    if not said:
        (beside / "scheduler/scheduler_config.json").unlink()
    weights = {name: value.contiguous() for name, value in ldm.weights(pipe, family).items()}
    save_file(weights, path, metadata={"format": "pt", **(words or {})})
    return path


def vocabulary(path: Path) -> list[Path]:
    """The tokenizer's words and their merges (none) as files in `path`, as repositories keep them."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "vocab.json").write_text(json.dumps(pipeline().tokenizer.get_vocab()))
    (path / "merges.txt").write_text("#version: 0.2\n")
    return [path / "vocab.json", path / "merges.txt"]
