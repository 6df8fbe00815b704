"""A contact sheet: one picture for each of a fixed list of hand-written prompts, with the words underneath.

The prompts and seeds were chosen before the model was trained, and every one is shown.
"""

import textwrap
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from PIL import Image, ImageDraw, ImageFont

from training.plan import mixed

PROMPTS = (
    "a red circle on a blue background",
    "a large yellow star on a purple background",
    "a small green heart in the top left corner on a white background",
    "a blue square left of an orange triangle on a grey background",
    "a pink ring above a black diamond on a yellow background",
    "a white cross on a red background",
    "a white elephant on the beach",
    "an elephant in new york at night",
    "a realistic image of an elephant in the snow",
    "a black cat on an island in a storm",
    "an orange cat in the garden",
    "a purple cat facing right on the grass",
    "a brown dog in the desert at sunset",
    "a dog in the city in the rain",
    "a blue bird in the forest",
    "a red bird on a snowy hill",
    "a yellow fish in the sea",
    "a green fish under water at night",
    "edinburgh castle",
    "edinburgh castle at sunset",
    "Edinburgh castle at night in the snow",
    "New York at night",
    "the skyline of new york at sunset",
    "a tropical island in a storm",
    "a lighthouse at sea at night",
    "a red boat on the ocean at sunset",
    "a house in the mountains in winter",
    "a castle in the forest at night",
    "a tree on a hill in the rain",
    "mountains at sunset",
    "a desert under the moon",
    "a green house by the beach on a sunny day",
    "elephant",
    "a beautiful sunset over the ocean, highly detailed",
    "a photo of a cute cat",
    "snowy mountains by night",
)
COLUMNS = 6
CELL, LINE, LETTERS = 144, 12, 24  # pixels, pixels, letters a line


def draw(folder: Path, target: Path) -> None:
    """Draw PROMPTS with the model in `folder`, the k-th with seed k, and write the sheet as a PNG of 256 colours."""
    pipe = load(folder)
    images = [one(pipe, prompt, seed) for seed, prompt in enumerate(PROMPTS)]
    sheet(images, list(PROMPTS)).quantize(256).save(target, optimize=True)


def load(folder: Path) -> StableDiffusionPipeline:
    """The pipeline, in single precision, without its progress bar."""
    pipe = StableDiffusionPipeline.from_pretrained(folder, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def one(pipe: StableDiffusionPipeline, prompt: str, seed: int, steps: int = 20, guidance: float = 2.5) -> Image.Image:
    """One 128x128 picture."""
    generator = torch.Generator().manual_seed(seed)
    with mixed("cpu"):
        return pipe(prompt, num_inference_steps=steps, guidance_scale=guidance, generator=generator).images[0]


def sheet(images: list[Image.Image], captions: list[str]) -> Image.Image:
    """A grid of pictures, each with its caption wrapped in three lines below it."""
    font = ImageFont.load_default(10)
    height = CELL + 3 * LINE
    rows = -(-len(images) // COLUMNS)
    page = Image.new("RGB", (COLUMNS * CELL, rows * height), "white")
    pen = ImageDraw.Draw(page)
    for index, (image, caption) in enumerate(zip(images, captions)):
        x, y = index % COLUMNS * CELL, index // COLUMNS * height
        page.paste(image, (x + (CELL - image.width) // 2, y + (CELL - image.height) // 2))
        for row, text in enumerate(textwrap.wrap(caption, LETTERS)[:3]):
            pen.text((x + 8, y + CELL - 6 + row * LINE), text, fill="black", font=font)
    return page
