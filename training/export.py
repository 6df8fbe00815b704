"""From checkpoints, finished or not, to a diffusers folder in half precision that StableDiffusionPipeline loads."""

import json
import os
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from transformers import CLIPTokenizer

from training import autoencoder, card, contact, diffusion, parallel, tokenizer
from training.plan import Plan

DEFAULTS = {"steps": 20, "guidance": 2.5, "sampler": "DPM++ 2M", "strength": 0.5, "hires_strength": 0.3}


def pipeline(plan: Plan, stage: str = "") -> StableDiffusionPipeline:
    """The model as `stage` has it, else the last of its training, from averaged weights. Raises FileNotFoundError before that stage's first save."""
    both = load_both(plan, stage)
    return StableDiffusionPipeline(
        vae=load_autoencoder(plan),
        text_encoder=both.text_encoder,
        tokenizer=CLIPTokenizer.from_pretrained(plan.work / "tokenizer"),
        unet=both.unet,
        scheduler=diffusion.make_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        image_encoder=None,
        requires_safety_checker=False,
    )


def load_both(plan: Plan, stage: str = "") -> diffusion.Both:
    """The text encoder and the UNet with the averaged weights of `stage`, finished or not, else of the last of its training."""
    words = CLIPTokenizer.from_pretrained(plan.work / "tokenizer")
    return parallel.restore(diffusion.Both(plan, words), plan.checkpoint(stage or f"diffusion-{plan.size}")).eval()


def load_autoencoder(plan: Plan) -> AutoencoderKL:
    """The autoencoder, with the decoder of the last stage once that has begun."""
    model = AutoencoderKL.from_pretrained(plan.work / "autoencoder").eval()
    model.register_to_config(sample_size=plan.size)
    checkpoint = plan.checkpoint("decoder")
    if checkpoint.exists():
        parallel.restore(autoencoder.without_encoder(model), checkpoint)
    return model


def write(plan: Plan) -> None:
    """Replace the model in `plan.out` (other files there stay), then draw the contact sheets beside it."""
    save(pipeline(plan), DEFAULTS, plan.out)
    card.write(plan)
    contact.draw(plan.out)


def save(pipe: StableDiffusionPipeline, defaults: dict[str, object], out: Path) -> None:
    """Replace the model in `out` (other files there stay) by `pipe` in half precision and what it draws best with, its own size added."""
    side = pipe.unet.config.sample_size * pipe.vae_scale_factor
    draft = out.with_name(out.name + ".part")
    shutil.rmtree(draft, ignore_errors=True)
    pipe.to(torch.float16).save_pretrained(draft, safe_serialization=True)
    tokenizer.save(pipe.tokenizer, draft / "tokenizer")
    _say_float32(draft / "text_encoder" / "config.json")
    (draft / "defaults.json").write_text(json.dumps({"width": side, "height": side, **defaults}, indent=2) + "\n")
    out.mkdir(parents=True, exist_ok=True)
    for part in draft.iterdir():
        target = out / part.name
        if target.is_dir():
            shutil.rmtree(target)
        os.replace(part, target)
    draft.rmdir()


def _say_float32(path: Path) -> None:
    """Half precision on disk, single in memory unless asked: transformers takes the type it reads here, diffusers float32."""
    path.write_text(json.dumps({**json.loads(path.read_text()), "dtype": "float32"}, indent=2) + "\n")
