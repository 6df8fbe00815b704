"""Reads a picture of flat shapes by arithmetic alone: background, and each shape's colour, outline and place.

Nothing here is trained, so nothing here can be flattered by a blob of about the right look: an outline has to cover that
of a drawn shape.
"""

import functools
import random
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from training import scenes
from training.pen import COLOURS
from training.things import SHAPES

EDGE = 6  # pixels of border from which the background is read
APART = 40.0  # distance in RGB from the background at which a pixel belongs to a shape
SMALLEST = 60  # pixels; less is a speck
LARGEST = 0.55  # of the picture; more is no shape on a background
GRID = 32  # side of a normalised outline
OVERLAP = 0.7  # intersection over union below which an outline is no shape we know


@dataclass(frozen=True)
class Blob:
    """One connected patch: its colour's name, its shape's name or "", its centre (0..1, y down), its area in pixels."""

    colour: str
    shape: str
    x: float
    y: float
    area: int


@dataclass(frozen=True)
class Reading:
    """What is seen: the background's colour and the patches on it, the largest first."""

    background: str
    blobs: tuple[Blob, ...]


def read(image: Image.Image) -> Reading:
    """Look at an RGB picture of shapes on one plain colour."""
    pixels, ground, patches = _patches(image)
    blobs = []
    for mask in patches:
        outline = _outline(mask)
        overlaps = {name: _overlap(outline, known) for name, known in _templates().items()}
        best = max(overlaps, key=overlaps.__getitem__)
        rows, columns = np.nonzero(mask)
        size = len(mask)
        blobs.append(
            Blob(
                colour=name_colour(np.median(pixels[mask], axis=0)),
                shape=best if overlaps[best] >= OVERLAP else "",
                x=float(columns.min() + columns.max() + 1) / 2 / size,
                y=float(rows.min() + rows.max() + 1) / 2 / size,
                area=int(mask.sum()),
            )
        )
    return Reading(name_colour(ground), tuple(blobs))


def figure(image: Image.Image) -> np.ndarray:
    """(H, W) of bool: what is not background."""
    return _apart(image)[2]


def overlap(one: Image.Image, other: Image.Image) -> float:
    """How far two pictures of one size have their figures in the same place: intersection over union, 0 to 1."""
    return _overlap(figure(one), figure(other))


def share(image: Image.Image, colour: str) -> float:
    """The share of the pixels, 0 to 1, that the palette has no nearer colour for than `colour`."""
    pixels, palette = np.asarray(image.convert("RGB"), float), np.array(list(COLOURS.values()), float)
    nearest = np.linalg.norm(pixels[:, :, None] - palette, axis=3).argmin(axis=2)  # (H, W)
    return float((nearest == list(COLOURS).index(colour)).mean())


def name_colour(rgb: np.ndarray) -> str:
    """The palette's nearest colour to (3,) RGB in 0..255."""
    return min(COLOURS, key=lambda name: float(np.linalg.norm(np.asarray(COLOURS[name], float) - rgb)))


def _apart(image: Image.Image) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pixels (H, W, 3), the background (3,), and what stands out from it, (H, W) of bool."""
    pixels = np.asarray(image.convert("RGB"), float)
    border = np.ones(pixels.shape[:2], bool)
    border[EDGE:-EDGE, EDGE:-EDGE] = False
    ground = np.median(pixels[border], axis=0)
    return pixels, ground, np.linalg.norm(pixels - ground, axis=2) > APART


def _patches(image: Image.Image) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """The pixels (H, W, 3), the background (3,), and a mask (H, W) for each patch, the largest first."""
    pixels, ground, apart = _apart(image)
    labels, count = ndimage.label(apart)
    masks = [labels == index for index in range(1, count + 1)]
    large = [mask for mask in masks if mask.sum() >= SMALLEST and mask.mean() <= LARGEST]
    return pixels, ground, sorted(large, key=lambda mask: -int(mask.sum()))


def _outline(mask: np.ndarray) -> np.ndarray:
    """The patch in a square of its longer side, scaled to (GRID, GRID) bool."""
    rows, columns = np.nonzero(mask)
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    side = max(height, width)
    square = np.zeros((side, side), bool)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = mask[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    scaled = Image.fromarray(square.astype(np.uint8) * 255).resize((GRID, GRID), Image.Resampling.BOX)
    return np.asarray(scaled) > 127


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / max(1, (one | other).sum()))


@functools.cache
def _templates() -> dict[str, np.ndarray]:
    """Each shape's outline, from a large drawing of it in black on white."""
    outlines = {}
    for name in SHAPES:
        thing = {"shape": name, "colour": "black", "size": "large", "spot": ""}
        picture = scenes.draw({"kind": "shape", "background": "white", "objects": [thing]}, random.Random(0))
        outlines[name] = _outline(_patches(picture)[2][0])
    return outlines
