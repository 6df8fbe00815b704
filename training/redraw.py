"""A second judge, which nothing taught: the renderer draws the scene again, each time with one fact changed, and the picture is taken for
the drawing whose plain statistics it is nearest to."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image, ImageFilter

from training import judge, scenes, styles
from training.pen import COLOURS

SIDE, CELL = 64, 8  # pixels a side at which it looks, and of the squares it sums up
DRAWINGS = 2  # of each candidate, for clouds and rain lie elsewhere each time
RIVALS = 11  # subjects beside the right one; every other fact has all its values
PERIOD = 2 * styles.BLOCK  # pixels after which pixel art's squares and abstract art's facets have both come round
SOFT = 1.5  # pixels by which a drawing is blurred before its texture is compared: models draw hardly sharper
TEXTURE = 0.5  # what it counts for, beside 1 for what lies where
OPEN = {"time": list(scenes.TIMES), "weather": list(scenes.WEATHERS), "style": ["", *styles.STYLES], "colour": list(COLOURS)}


def verdicts(facts: dict, images: Sequence[Image.Image], number: int = 0) -> list[dict[str, bool]]:
    """Each point of an item, a scene or a duo, and whether each picture has it, named as `judge.verdict` does. `number` picks the rivals."""
    points = {point: _nearest(facts, images, point, number) for point in judge.labels(facts) if point != "place"}
    points["all of it"] = np.all([*points.values()], axis=0)
    return [{f"{facts['kind']}: {point}": bool(right[at]) for point, right in points.items()} for at in range(len(images))]


def _nearest(facts: dict, images: Sequence[Image.Image], point: str, number: int) -> np.ndarray:
    """(images,) bool: whether no other value of this fact gives a drawing that is nearer to the picture looked at."""
    drawn = [list(_drawings(changed)) for changed in [facts, *_others(facts, point, number)]]
    away = _away([[_look(image) for image in some] for some in drawn], [_look(image) for image in images])
    if point == "style":
        soft = ImageFilter.GaussianBlur(SOFT)
        textures = _away([[_texture(image.filter(soft)) for image in some] for some in drawn], [_texture(image) for image in images])
        away = away / away.mean(0) + TEXTURE * textures / textures.mean(0)
    return np.argmin(away, axis=0) == 0


def _away(drawn: list[list[np.ndarray]], seen: list[np.ndarray]) -> np.ndarray:
    """(values, images): how far what was seen of each picture is from the nearest drawing of each value."""
    return np.array([np.min([np.abs(one - seen).mean(axis=(1, 2)) for one in some], axis=0) for some in drawn])


def _others(facts: dict, point: str, number: int) -> Iterator[dict]:
    """The facts with each other value of one of them; of a subject, with some of the others."""
    things = facts.get("things", [])
    at = things.index(judge.from_left(facts)[point.startswith("right")]) if facts["kind"] == "duo" and point not in OPEN else 0
    which = "colour" if point.endswith("colour") else "subject" if point in ("subject", "left", "right") else point
    alone = facts["kind"] == "scene" and not things
    right = things[at][which] if things and which in things[at] else facts[which]
    pool = OPEN.get(which, list(scenes.ALONE if alone else scenes.SUBJECTS))
    values = [value for value in pool if value != right]
    for value in random.Random(f"rivals-{number}").sample(values, RIVALS) if which == "subject" else values:
        changed = {**facts, which: value}
        if alone and which == "subject":
            changed["place"] = value
        if things and which in things[at]:
            changed["things"] = [*things[:at], {**things[at], which: value}, *things[at + 1 :]]
        yield changed


def _drawings(facts: dict) -> Iterator[Image.Image]:
    """In every place where the picture may be."""
    for place in facts["places"] if len(facts["places"]) > 1 else [facts.get("place")]:
        for seed in range(DRAWINGS):
            yield scenes.draw({**facts, "place": place}, random.Random(f"redraw-{seed}"))


def _look(image: Image.Image) -> np.ndarray:
    """(cells, 6): the mean of each colour over each square of the picture, and how much it varies there."""
    pixels = np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX), np.float32)
    cells = pixels.reshape(SIDE // CELL, CELL, SIDE // CELL, CELL, 3).swapaxes(1, 2).reshape(-1, CELL * CELL, 3)
    return np.concatenate([cells.mean(1), cells.std(1)], 1)


def _texture(image: Image.Image) -> np.ndarray:
    """(4, PERIOD): where in a period colours change: along columns, rows and both diagonals; 1 where they do as much as on average."""
    pixels = np.asarray(image.convert("RGB"), np.float32)
    across, down = np.abs(np.diff(pixels, axis=1)).sum(2)[:-1], np.abs(np.diff(pixels, axis=0)).sum(2)[:, :-1]
    y, x = np.indices(across.shape)
    sums = [
        np.bincount((at % PERIOD).ravel(), changes.ravel(), PERIOD)
        for at, changes in ((x, across), (y, down), (x - y, across + down), (x + y, across + down))
    ]
    return np.array([PERIOD * one / max(one.sum(), 1e-6) for one in sums])
