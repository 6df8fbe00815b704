"""The stages of a run in their order; each finds what earlier ones left in the work folder and skips itself when done."""

import functools
import json
from dataclasses import replace
from pathlib import Path

from transformers import CLIPTokenizer

from training import autoencoder, diffusion, export, parallel, pictures, tokenizer, turbo
from training.plan import Plan


def run(plan: Plan) -> None:
    """Make the whole model; after a kill, the same call goes on where it was."""
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
    """Train it, whiten its latents, measure it on held-out pictures, and encode the whole set."""
    checkpoint = plan.work / "autoencoder.pt"
    parallel.train(functools.partial(autoencoder.Whole, plan), _settings(plan, "autoencoder", checkpoint, plan.autoencoder_share))
    folder = plan.work / "autoencoder"
    if not (folder / "config.json").exists():
        model = parallel.restore(autoencoder.make(plan), checkpoint).eval().to(plan.device)
        held_out = pictures.pixels(plan.work, "held_out")
        autoencoder.whiten(model, pictures.pixels(plan.work, "train")[:2000], plan.device)
        _note(plan, autoencoder_db=autoencoder.decibels(model, held_out, plan.device))
        model.save_pretrained(folder)
    autoencoder.cache(folder, plan.work, plan.device, plan.workers)


def train_diffusion(plan: Plan) -> None:
    """Train the text encoder and the UNet together."""
    checkpoint = plan.work / "diffusion.pt"
    parallel.train(functools.partial(diffusion.Denoising, plan), _settings(plan, "diffusion", checkpoint, plan.diffusion_share))


def train_decoder(plan: Plan) -> None:
    """Train the decoder alone for the rest of the time."""
    checkpoint, folder = plan.work / "decoder.pt", plan.work / "autoencoder"
    task = functools.partial(autoencoder.DecoderOnly, plan, folder)
    parallel.train(task, _settings(plan, "decoder", checkpoint, plan.decoder_share))
    held_out = pictures.pixels(plan.work, "held_out")
    model = export.load_autoencoder(plan).to(plan.device)
    _note(plan, decoder_db=autoencoder.decibels(model, held_out, plan.device))


def train_turbo(plan: Plan) -> None:
    """Record the finished model's ways and teach its turbo to walk them."""
    turbo.record(plan)
    settings = _settings(plan, "turbo", plan.work / "turbo.pt", plan.turbo_share)
    parallel.train(functools.partial(turbo.Distilling, plan), replace(settings, rate=turbo.RATE))


def _settings(plan: Plan, name: str, checkpoint: Path, share: float) -> parallel.Settings:
    return parallel.Settings(
        name=name,
        checkpoint=checkpoint,
        seconds=plan.seconds(share),
        seed=plan.seed,
        workers=plan.workers,
        device=plan.device,
        save_seconds=plan.save_seconds,
    )


def _note(plan: Plan, **numbers: float) -> None:
    """Keep a measurement in the work folder, for the model card, and say it."""
    path = plan.work / "numbers.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**known, **{name: round(value, 3) for name, value in numbers.items()}}, indent=1))
    print(*(f"{name} {value:.3f}" for name, value in numbers.items()), flush=True)
