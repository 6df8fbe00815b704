"""A second judge, which nothing taught: the renderer draws the scene again, each time with one fact changed, and the picture is taken for
the drawing whose plain statistics it is nearest to."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from training import judge, scenes, styles
from training.pen import COLOURS

SIDE, CELL = 64, 8  # pixels a side at which it looks, and of the squares it sums up
DRAWINGS = 2  # of each candidate, for clouds and rain lie elsewhere each time
RIVALS = 11  # subjects beside the right one; every other fact has all its values
OPEN = {"time": list(scenes.TIMES), "weather": list(scenes.WEATHERS), "style": ["", *styles.STYLES], "colour": list(COLOURS)}


def verdicts(facts: dict, images: Sequence[Image.Image], number: int = 0) -> list[dict[str, bool]]:
    """Each point of an item or a scene, and whether each picture has it, named as `judge.verdict` does. `number` picks the rivals."""
    seen = np.stack([_look(image) for image in images])
    points = {f"{facts['kind']}: {point}": _nearest(facts, seen, point, number) for point in judge.labels(facts) if point != "place"}
    return [{point: bool(right[at]) for point, right in points.items()} for at in range(len(images))]


def _nearest(facts: dict, seen: np.ndarray, point: str, number: int) -> np.ndarray:
    """(images,) bool: whether no other value of this fact gives a drawing that is nearer to the picture looked at."""
    values, away = [], []
    for value, changed in _others(facts, point, number):
        values.append(value)
        away.append(np.min([np.abs(_look(drawn) - seen).mean(axis=(1, 2)) for drawn in _drawings(changed)], axis=0))
    return np.argmin(away, axis=0) == values.index(facts[point])


def _others(facts: dict, point: str, number: int) -> Iterator[tuple[str, dict]]:
    """The right value and its rivals, each with the facts as they would be."""
    if point == "subject":
        chooser = random.Random(f"rivals-{number}")
        alone = facts["kind"] == "scene" and not facts["things"]
        pool = [name for name in (scenes.ALONE if alone else scenes.SUBJECTS) if name != facts["subject"]]
        values = [facts["subject"], *chooser.sample(pool, RIVALS)]
    else:
        alone, values = False, OPEN[point]
    for value in values:
        changed = {**facts, point: value}
        if alone:
            changed["place"] = value
        if facts.get("things") and point in ("subject", "colour"):
            changed["things"] = [{**facts["things"][0], point: value}]
        yield value, changed


def _drawings(facts: dict) -> Iterator[Image.Image]:
    for seed in range(DRAWINGS):
        yield scenes.draw(facts, random.Random(f"redraw-{seed}"))


def _look(image: Image.Image) -> np.ndarray:
    """(cells, 6): the mean of each colour over each square of the picture, and how much it varies there."""
    pixels = np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX), np.float32)
    cells = pixels.reshape(SIDE // CELL, CELL, SIDE // CELL, CELL, 3).swapaxes(1, 2).reshape(-1, CELL * CELL, 3)
    return np.concatenate([cells.mean(1), cells.std(1)], 1)
