"""Two contact sheets: a picture for each of a fixed list of prompts, and four for each prompt that a stranger would type, the words underneath.

The prompts and seeds were chosen before the model was trained, and every one is shown.
"""

import json
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
    "a white cross inside a red square on a black background",
    "a green circle in front of a yellow square on a white background",
    "three blue stars on a yellow background",
    "two red apples on a white background",
    "one purple fish on a white background",
    "a white elephant on the beach",
    "an elephant in new york at night",
    "a realistic image of an elephant in the snow",
    "a black cat on an island in a storm",
    "an orange cat in the garden",
    "a purple cat facing right on the grass",
    "a brown dog in the desert at sunset",
    "a dog in the city in the rain",
    "a blue bird in the forest",
    "a red rabbit on a snowy hill",
    "a yellow fish in the sea",
    "a penguin on an island in winter",
    "edinburgh castle",
    "edinburgh castle at sunset",
    "the eiffel tower at night",
    "mount fuji at dawn",
    "the pyramids at sunset",
    "big ben in the fog",
    "new york at night",
    "the skyline of new york at sunset",
    "a tropical island in a storm",
    "a lighthouse at sea at night",
    "a red boat on the ocean at sunset",
    "a house in the mountains in winter",
    "a castle in the forest at night",
    "a tree on a hill in autumn",
    "mountains at sunset",
    "a desert under the moon",
    "a green house by the beach on a sunny day",
    "a red car left of a blue bus in the street",
    "a white rabbit next to an orange pumpkin in the garden",
    "a yellow duck in front of a red barn on a farm",
    "a black cat and a white dog in a field",
    "a rocket in space",
    "a robot in the city at night",
    "a red balloon in the mountains at dawn",
    "a small pink pig on a farm",
    "a huge green frog in the jungle in the rain",
    "a purple umbrella on the beach",
    "a red chair in a room",
    "a snowman in the village at night",
    "pixel art of a castle on a hill",
    "a pencil sketch of a house by the lake",
    "a watercolour painting of a flower in the garden",
    "a car in the city at night in neon",
    "an owl in the forest, fantasy art",
    "an abstract painting of a cat",
    "a realistic image of a lighthouse at sunset",
    "a photo of a cute cat",
    "elephant",
    "windmill",
    "a beautiful sunset over the ocean, highly detailed",
    "snowy mountains by night",
    "a crown on a purple background",
)
STRANGERS = (  # as somebody types who has read nothing
    "cat",
    "a dog playing in the park",
    "red house",
    "my house by the sea",
    "big elephant in the rain",
    "penguin in the snow",
    "a castle on a hill at sunset, fantasy",
    "robot, neon city, cyberpunk",
    "a boat on the lake in the morning",
    "three red apples",
    "an apple on a table",
    "blue car",
    "the eiffel tower in the snow",
    "new york in the fog",
    "a rocket flying to the moon",
    "a yellow butterfly on a flower",
    "a happy pig on a farm",
    "a green dragon",
    "snowman wearing a red hat",
    "forest at night, watercolour",
    "pixel art tree",
    "a sketch of a bicycle",
    "a white cat and a black dog",
    "sunset over the mountains, realistic",
)
SEEDS = 4  # of each of the strangers' prompts
COLUMNS = 8
CELL, LINE, LETTERS = 168, 12, 28  # pixels, pixels, letters a line


def draw(folder: Path) -> None:
    """Draw PROMPTS with the model in `folder`, the k-th with seed k, and STRANGERS with seeds 0 to 3: `contact.webp`, `strangers.webp`."""
    pipe, settings = load(folder), json.loads((folder / "defaults.json").read_text())
    how = {"steps": settings["steps"], "guidance": settings["guidance"]}
    many = [(prompt, seed) for seed, prompt in enumerate(PROMPTS)]
    sheet([one(pipe, *asked, **how) for asked in many], list(PROMPTS)).save(folder / "contact.webp", quality=80, method=6)
    many = [(prompt, seed) for prompt in STRANGERS for seed in range(SEEDS)]
    sheet([one(pipe, *asked, **how) for asked in many], [prompt for prompt, _ in many]).save(
        folder / "strangers.webp", quality=80, method=6
    )


def load(folder: Path) -> StableDiffusionPipeline:
    """The pipeline, in single precision, without its progress bar."""
    pipe = StableDiffusionPipeline.from_pretrained(folder, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def one(pipe: StableDiffusionPipeline, prompt: str, seed: int, steps: int = 20, guidance: float = 2.5) -> Image.Image:
    """One picture of the model's own size."""
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
        page.paste(image.resize((CELL - 8, CELL - 8), Image.Resampling.LANCZOS), (x + 4, y + 4))
        for row, text in enumerate(textwrap.wrap(caption, LETTERS)[:3]):
            pen.text((x + 8, y + CELL - 2 + row * LINE), text, fill="black", font=font)
    return page
