"""The model card, README.md beside the weights: what the model is, how it was made, how it scores."""

import json
import textwrap
from pathlib import Path

import torch

from training import parallel, pen, scenes, things
from training.plan import NUMBERS, Plan

BEGIN, END = "<!-- scores -->", "<!-- /scores -->"

TEXT = """---
library_name: diffusers
pipeline_tag: text-to-image
license: mit
tags: [stable-diffusion, from-scratch]
---
# The built-in model

A latent diffusion model of Stable Diffusion 2.1's shape, small: it draws flat illustrations of {forms} pixels on two
CPU cores, so that everything here works with no download and no GPU. It was made from nothing by `python -m training`:
{pictures} pictures from a renderer, {minutes:.0f} minutes of training on {device}, no pretrained weights and no one's data.
Like the program, it is under the MIT licence.

- Defaults: [defaults.json](defaults.json), DPM++ 2M. v-prediction; `scaled_linear` up to beta 0.025.
- Autoencoder, four numbers for 8x8 pixels; held-out pictures: {decibels:.1f} dB.

## What it knows

{known}

All its {count} words:

{words}

Other words do little, and the page marks them. It knows neither people nor writing, nor more than two things in one place; things of one kind are counted up to three.

## Any seed of these prompts, none chosen for its looks: the k-th picture has seed k

![64 prompts](contact.webp)

As a stranger would type, seeds 0 to 3 of each, good and bad alike:

![24 prompts, four seeds each](strangers.webp)

## Scores

Held-out combinations only: no caption like these was in the training set. Flat shapes, pairs and counts are read by arithmetic on pixels, the rest by
a small network trained on the renderer, and again by a judge without any training, for which the renderer draws the scene anew with one fact changed.
Two things in one scene are read by that second judge alone, and no place is asked for that the caption leaves open.
"Both there" asks for both shapes in both colours, "colours not swapped" for each colour on its shape. The last columns are controls that
must be low; *autoencoder* is a ceiling, real pictures decoded from their own latents. They flatter all the same: look at the pictures too.

{scores}
"""


def write(plan: Plan) -> None:
    """Write the card, its numbers and `phrases` beside the weights; a table that was there is dropped, for it scored other weights."""
    known = numbers(plan)
    (plan.out / "words.json").write_text(json.dumps(phrases(), indent=1) + "\n")
    (plan.out / NUMBERS).write_text(json.dumps(known, indent=1) + "\n")
    words = scenes.vocabulary()
    forms = [f"{width * plan.size // 256}x{height * plan.size // 256}" for width, height in scenes.FORMS.values()]
    text = TEXT.format(
        forms=f"{', '.join(forms[:-1])} or {forms[-1]}",
        pictures=f"{plan.pictures:,}",
        minutes=known["minutes"],
        device=device_name(plan.device),
        decibels=known.get("decoder_db", known.get("autoencoder_db", float("nan"))),
        known="\n".join(f"- {kind}: {', '.join(said)}." for kind, said in phrases().items()),
        count=len(words),
        words=textwrap.fill(", ".join(words), 150),
        scores=f"{BEGIN}\nNot scored yet: `python -m training.score FOLDER`.\n{END}",
    )
    (plan.out / "README.md").write_text(text)


def numbers(plan: Plan) -> dict[str, float]:
    """What was measured so far, and `minutes`: how long the stages took, those of the model gone on from among them."""
    path = plan.work / NUMBERS
    known = json.loads(path.read_text()) if path.exists() else {}
    stages = map(plan.checkpoint, ("autoencoder", *(f"diffusion-{size}" for size in plan.sizes), "decoder"))
    seconds = sum(parallel.load(stage)["elapsed"] for stage in stages if stage.exists())
    return known | {"minutes": round(known.get("minutes", 0) + seconds / 60, 1)}


def phrases() -> dict[str, list[str]]:
    """What it knows, by kind, as the card lists it and the page offers it to be put into a prompt: each thing said in one way."""
    return {
        "Colours": list(pen.COLOURS),
        "Shapes": list(things.SHAPES),
        "Animals": list(things.ANIMALS),
        "Buildings": list(things.BUILDINGS),
        "Vehicles": list(things.VEHICLES),
        "Plants": list(things.GROWN),
        "Things": list(things.OBJECTS),
        "Places": [said[0] for said in scenes.WHERE.values()],
        "Time": [said[0] or said[-1] for said in scenes.TIMES.values()],
        "Weather": [said[0] or said[-1] for said in scenes.WEATHERS.values()],
        "Seasons": [said[0] for season, said in scenes.SEASONS.items() if season],
        "How many and how large": ["two", "three", "small", "large"],
        "Where it is": [*filter(None, scenes.SPOTS), *scenes.RELATIONS],
        "Behind it": [f"on {scenes.article(colour)} background" for colour in pen.COLOURS],
        "Styles": [
            next(way[2:].strip(" ,") for way in said if way.startswith("{}") and way != "{}") for said in scenes.STYLE_WORDS.values()
        ],
    }


def device_name(device: str) -> str:
    """What the training ran on, in words."""
    return torch.cuda.get_device_name() if device.startswith("cuda") else "a CPU"


def write_table(path: Path, table: str) -> None:
    """Put `table` between the card's markers. Raises ValueError when the card has none."""
    text = path.read_text()
    if BEGIN not in text or END not in text:
        raise ValueError(f"{path.name} has no place for scores")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    path.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}")
