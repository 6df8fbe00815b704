"""The model card, README.md beside the weights: what the model is, how it was made, how it scores."""

import json
from pathlib import Path

from training import parallel
from training.plan import Plan

STAGES = ("autoencoder", "diffusion", "decoder")
BEGIN, END = "<!-- scores -->", "<!-- /scores -->"

TEXT = """---
library_name: diffusers
pipeline_tag: text-to-image
tags: [stable-diffusion, from-scratch]
---
# The built-in model

A latent diffusion model of Stable Diffusion 2.1's shape, small: it draws flat 128x128 illustrations in under a second on two
CPU cores, so that everything here works with no download and no GPU. It was made from nothing by `python -m training`:
{pictures} pictures from a renderer, {minutes:.0f} minutes of training on a CPU, no pretrained weights and no one's data.

What it knows: coloured shapes alone and in pairs; an elephant, a cat, a dog, a bird, a fish, a house, a castle, a lighthouse,
a boat, a tree; the sea, a beach, an island, mountains, a forest, a desert, a city, New York, Edinburgh Castle, a hill, a field;
day, sunset, night; rain, storm, snow. Other words do little. It knows neither people nor text, and its only style is the renderer's.

- Defaults: 20 steps, guidance 2.5, 128x128, DPM++ 2M ([defaults.json](defaults.json)). v-prediction; `scaled_linear` up to beta 0.025.
- Autoencoder, held-out pictures: {decibels:.1f} dB.
- Any seed of these prompts, none chosen for its looks: the k-th picture has seed k.

![contact sheet](contact.png)

## Scores

Held-out combinations only: no caption like these was in the training set. Shapes and pairs are read by arithmetic on pixels,
scenes by a small network trained on the renderer, which flatters: look at the pictures too. The last columns are controls that
must be low; *autoencoder* is a ceiling, real pictures decoded from their own latents.

{scores}
"""


def write(plan: Plan) -> None:
    """Write the card beside the weights; a table that was there is dropped, for it scored other weights."""
    path = plan.work / "numbers.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    seconds = sum(parallel.load(plan.work / f"{stage}.pt")["elapsed"] for stage in STAGES if (plan.work / f"{stage}.pt").exists())
    decibels = known.get("decoder_db", known.get("autoencoder_db", float("nan")))
    scores = f"{BEGIN}\nNot scored yet: `python -m training.score FOLDER`.\n{END}"
    text = TEXT.format(pictures=f"{plan.pictures:,}", minutes=seconds / 60, decibels=decibels, scores=scores)
    (plan.out / "README.md").write_text(text)


def write_table(path: Path, table: str) -> None:
    """Put `table` between the card's markers. Raises ValueError when the card has none."""
    text = path.read_text()
    if BEGIN not in text or END not in text:
        raise ValueError(f"{path.name} has no place for scores")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    path.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}")
