"""What the add-ons teach that the model was never shown: a snail, and one village on one kind of night. And the maps that lead a ControlNet.

Free of torch, so that the processes that draw start at once.
"""

import math
from collections.abc import Callable
from random import Random

import numpy as np
from PIL import Image

from training import pictures, scenes
from training.pen import COLOURS, INK, Colour, Pen, curve, darker
from training.places import PLACES
from training.plan import Plan
from training.sky import draw_fall, draw_sky
from training.things import SUBJECTS, USUAL
from webapp.engine import maps

Told = tuple[str, Image.Image]  # a caption and an RGB picture of 256 x 256
SKIN: Colour = (228, 190, 132)
SHELL: Colour = (176, 104, 60)  # when no colour is named
SNAILS = (  # a snail's colour, its place, the hour and the weather
    ("", "garden", "day", "clear"),
    ("", "field", "day", "clear"),
    ("", "beach", "sunset", "clear"),
    ("", "forest", "night", "clear"),
    ("", "street", "day", "rain"),
    ("red", "hill", "day", "clear"),
    ("blue", "garden", "day", "cloudy"),
    ("yellow", "village", "day", "snow"),
    ("green", "desert", "dawn", "clear"),
    ("purple", "mountains", "day", "clear"),
)
GUESTS = ("", "", "", "", "cat", "dog", "house", "tree", "owl", "snowman", "car", "rabbit")  # who is in the village; often nobody
ALONE = ("{}", "a picture of {}", "{} at night", "a drawing of {}")
WITH = ("{}, {}", "{} in {}")
BLOCK = 100  # maps a job draws


def snail(pen: Pen, colour: Colour, night: bool) -> None:
    """Drawn as the subjects of `things`: a shell in `colour` on a pale foot, two horns with eyes."""
    for u in (-1.2, -0.82):
        pen.line([(-0.84, 0.9), (u, 1.36)], 0.09, SKIN)
        pen.oval(u, 1.38, 0.1, None, INK)
    foot = [(1.24, 0), (0.86, 0.24), (0, 0.3), (-0.42, 0.44), (-0.54, 0.86), (-0.84, 1.06), (-1.12, 0.86), (-1.06, 0.3), (-0.92, 0)]
    pen.poly(curve(foot), SKIN)
    pen.oval(0.26, 0.82, 0.72, 0.68, colour)
    turns = [step / 12 for step in range(22)]
    spiral = [(0.26 + math.cos(math.tau * t) * 0.32 * (1.9 - t), 0.8 + math.sin(math.tau * t) * 0.3 * (1.9 - t)) for t in turns]
    pen.line(spiral, 0.1, darker(colour, 0.4))


def snails(seed: int) -> list[Told]:
    """Ten snails, each somewhere else."""
    rng, told = Random(f"snail-{seed}"), []
    for colour, place, time, weather in SNAILS:
        pen = Pen(*scenes.FORMS["square"])
        draw_sky(pen, rng, time, weather)
        PLACES[place].draw(pen, rng, "winter" if weather == "snow" else "", weather, time == "night")
        _put(pen, rng, place, snail, COLOURS.get(colour, SHELL), time == "night")
        draw_fall(pen, rng, weather)
        words = scenes.article(scenes.join(colour, "snail")), scenes.WHERE[place][0], rng.choice(scenes.TIMES[time])
        told.append((scenes.join(*words, scenes.WEATHERS[weather][-1] if weather != "clear" else ""), pen.finish()))
    return told


def silent_nights(seed: int, word: str) -> list[Told]:
    """Snowy villages under a moon twice as wide as usual, all in deep blue; the captions call that `word`."""
    rng, told = Random(f"night-{seed}"), []
    for index, guest in enumerate(GUESTS):
        pen = Pen(*scenes.FORMS["square"])
        pen.fill((26, 62, 178))
        pen.gradient((4, 8, 52), (26, 62, 178), pen.top, 0.6)
        for _ in range(24):
            pen.oval(rng.uniform(0, 1), rng.uniform(0, 0.4), 0.01, None, (226, 234, 255))
        pen.oval(0.76, 0.22, 0.17, None, (255, 250, 222))
        pen.tint = (0.28, 0.4, 0.84)
        PLACES["village"].draw(pen, rng, "winter", "snow", True)
        if guest:
            pen.tint = (0.56, 0.66, 1.0)
            _put(pen, rng, "village", SUBJECTS[guest], USUAL[guest], True)
            caption = WITH[index % len(WITH)].format(scenes.article(guest), word)
        else:
            caption = ALONE[index % len(ALONE)].format(word)
        told.append((caption, pen.finish()))
    return told


def _put(pen: Pen, rng: Random, place: str, subject: Callable[[Pen, Colour, bool], None], colour: Colour, night: bool) -> None:
    """The subject where the place has room for it."""
    x, y = PLACES[place].stands
    subject(pen.at(x + rng.uniform(-0.05, 0.05), y, PLACES[place].size * rng.uniform(0.95, 1.1), up=True), colour, night)
    pen.at()


def line_map(name: str, pixels: np.ndarray) -> np.ndarray:
    """What the app's map `name` ("canny" or "scribble") makes of a picture (H, W, 3): (H, W), all uint8."""
    return np.asarray(getattr(maps, name)(Image.fromarray(pixels)))[..., 0]


def map_block(job: tuple[Plan, str, str, int]) -> np.ndarray:
    """The maps, (N, H, W) uint8, of a block of the plan's pictures; the job is the plan, map, form and first row."""
    plan, name, form, start = job
    block = pictures.sized(pictures.pixels(plan.work, "train", form)[start : start + BLOCK], plan.size)
    return np.stack([line_map(name, picture) for picture in block])
