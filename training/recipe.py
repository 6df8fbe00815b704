"""The stages of a run in their order; each finds what earlier ones left in the work folder and skips itself when done."""

import functools
import json
from dataclasses import replace

import numpy as np
from diffusers import StableDiffusionPipeline
from transformers import CLIPTokenizer

from training import autoencoder, decoder, diffusion, export, parallel, pictures, tokenizer, turbo
from training.plan import NUMBERS, Plan


def run(plan: Plan) -> None:
    """Make the whole model; after a kill, the same call goes on where it was."""
    take(plan)
    prepare(plan)
    train_autoencoder(plan)
    train_diffusion(plan)
    train_decoder(plan)
    export.write(plan)
    print(f"the model is in {plan.out}")
    if plan.turbo_out:
        train_turbo(plan)
        turbo.write(plan, plan.turbo_out)
        print(f"its turbo is in {plan.turbo_out}")


def take(plan: Plan) -> None:
    """Put the model in `plan.begun`, if one is named, into the work folder, for the stages to go on from. Raises ValueError when it lacks words
    that the renderer has."""
    target = plan.checkpoint("begun")
    if not plan.begun or target.exists():
        return
    pipe = StableDiffusionPipeline.from_pretrained(plan.begun, local_files_only=True)
    if lacking := [word for word in pictures.scenes.vocabulary() if len(pipe.tokenizer(word).input_ids) != 3]:
        raise ValueError(f"{plan.begun} was made without the words {', '.join(lacking[:9])}")
    both = diffusion.Both(plan, pipe.tokenizer)
    both.text_encoder.load_state_dict(pipe.text_encoder.state_dict())
    both.unet.load_state_dict(pipe.unet.state_dict())
    tokenizer.save(pipe.tokenizer, plan.work / "tokenizer")
    pipe.vae.save_pretrained(plan.work / "autoencoder")
    (plan.work / NUMBERS).write_text((plan.begun / NUMBERS).read_text())
    parallel.keep(both, target)


def prepare(plan: Plan) -> None:
    """Pictures, captions and the tokenizer."""
    cores = 2 if plan.device == "cpu" else 8
    pictures.render(plan.work, "train", plan.pictures, plan.seed, workers=cores)
    pictures.render(plan.work, "held_out", plan.held_out, plan.seed, held_out=True, workers=cores)
    folder = plan.work / "tokenizer"
    if not (folder / "merges.txt").exists():
        tokenizer.save(tokenizer.build(pictures.scenes.vocabulary()), folder)
    CLIPTokenizer.from_pretrained(folder)


def train_autoencoder(plan: Plan) -> None:
    """Train it, whiten its latents and measure it on held-out pictures."""
    folder = plan.work / "autoencoder"
    if not (folder / "config.json").exists():
        settings = _settings(plan, "autoencoder", plan.autoencoder_share)
        parallel.train(functools.partial(autoencoder.Whole, plan), settings)
        model = parallel.restore(autoencoder.make(plan), settings.checkpoint).eval().to(plan.device)
        autoencoder.whiten(model, _square(plan, "train"), plan.device)
        _note(plan, autoencoder_db=autoencoder.decibels(model, _square(plan, "held_out"), plan.device))
        model.save_pretrained(folder)


def train_diffusion(plan: Plan) -> None:
    """Train the text encoder and the UNet together, on small pages first: what goes where is learnt there for a quarter of the work."""
    before = plan.checkpoint("begun") if plan.begun else None
    for size in plan.sizes:
        autoencoder.cache(plan.work / "autoencoder", plan.work, size, plan.device, plan.workers)
        settings = replace(_settings(plan, f"diffusion-{size}", plan.diffusion_share / len(plan.sizes)), start=before)
        parallel.train(functools.partial(diffusion.Denoising, plan, size), settings)
        before = settings.checkpoint


def train_decoder(plan: Plan) -> None:
    """Train the decoder alone for the rest of the time, with the UNet as it is by then."""
    parallel.train(functools.partial(decoder.DecoderOnly, plan), _settings(plan, "decoder", plan.decoder_share))
    model = export.load_autoencoder(plan).to(plan.device)
    _note(plan, decoder_db=autoencoder.decibels(model, _square(plan, "held_out"), plan.device))


def train_turbo(plan: Plan) -> None:
    """Record the finished model's ways and teach its turbo to walk them."""
    turbo.record(plan)
    settings = _settings(plan, "turbo", plan.turbo_share)
    parallel.train(functools.partial(turbo.Distilling, plan), replace(settings, rate=turbo.RATE))


def _square(plan: Plan, name: str) -> np.ndarray:
    """At most two thousand square pages of a set, of the size that the model is for."""
    return pictures.sized(pictures.pixels(plan.work, name)[:2000], plan.size)


def _settings(plan: Plan, name: str, share: float) -> parallel.Settings:
    return parallel.Settings(
        name=name,
        checkpoint=plan.checkpoint(name),
        seconds=plan.seconds(share),
        seed=plan.seed,
        workers=plan.workers,
        device=plan.device,
        save_seconds=plan.save_seconds,
    )


def _note(plan: Plan, **numbers: float) -> None:
    """Keep a measurement in the work folder, for the model card, and say it."""
    path = plan.work / NUMBERS
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**known, **{name: round(value, 3) for name, value in numbers.items()}}, indent=1))
    print(*(f"{name} {value:.3f}" for name, value in numbers.items()), flush=True)
