"""Reads a picture of flat shapes by arithmetic alone: background, and each shape's colour, outline and place.

Nothing here is trained, so nothing here can be flattered by a blob of about the right look: an outline has to cover that
of a drawn shape, where nothing lies in front of it.
"""

import functools
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from PIL import Image
from scipy import ndimage

from training.pen import COLOURS, Pen
from training.things import SHAPES

SIDE = 128  # pictures are looked at this small
EDGE = 6  # pixels of border from which the background is read
APART = 40.0  # distance in RGB from the background at which a pixel belongs to a shape
SMALLEST = 60  # pixels; less is a speck
LARGEST = 0.55  # of the picture; more is no shape on a background
OVERLAP = 0.75  # intersection over union below which an outline is no shape we know
SURE = 0.9  # ... and from which on nothing better is looked for
VISIBLE = 0.55  # of a shape must be seen, whatever lies in front of it
FEW = 3  # patches; where there are more, nothing is a shape with another in front of it
COARSE = 2000  # pixels; larger patches are compared at half the size
REACH = 1.3  # a template shows a shape from -REACH to REACH
FINE = 128  # pixels a side of a template


@dataclass(frozen=True)
class Blob:
    """One connected patch of a colour: its colour's name, its shape's name or "", its centre (0..1, y down), its area in pixels."""

    colour: str
    shape: str
    x: float
    y: float
    area: int
    mask: np.ndarray = field(repr=False, compare=False)

    def touches(self, other: "Blob") -> bool:
        """Whether the two patches meet."""
        return bool((ndimage.binary_dilation(self.mask, iterations=4) & other.mask).any())


@dataclass(frozen=True)
class Reading:
    """What is seen: the background's colour and the patches on it, the largest first."""

    background: str
    blobs: tuple[Blob, ...]


def read(image: Image.Image) -> Reading:
    """Look at an RGB picture of shapes on one plain colour. Patches of different colours may touch."""
    pixels, ground, apart = _apart(image)
    palette = np.array(list(COLOURS.values()), float)
    nearest = np.linalg.norm(pixels[:, :, None] - palette, axis=3).argmin(axis=2)
    patches = []
    for index, name in enumerate(COLOURS):
        opened = ndimage.binary_opening(apart & (nearest == index))  # no colours between two others, where they meet
        labels, count = ndimage.label(ndimage.binary_dilation(opened, iterations=1) & apart)
        for label in range(1, count + 1):
            mask = labels == label
            if mask.sum() >= SMALLEST and mask.mean() <= LARGEST:
                patches.append((name, mask))
    patches.sort(key=lambda patch: -int(patch[1].sum()))
    everything = np.zeros_like(apart)
    for _, mask in patches:
        everything |= mask
    blobs = []
    for name, mask in patches:
        rows, columns = np.nonzero(mask)
        x, y = (float(axis.min() + axis.max() + 1) / 2 / SIDE for axis in (columns, rows))
        hidden = everything & ~mask if len(patches) <= FEW else np.zeros_like(mask)
        blobs.append(Blob(name, _shape(mask, hidden), x, y, int(mask.sum()), mask))
    return Reading(name_colour(ground), tuple(blobs))


def count(image: Image.Image) -> int:
    """How many connected patches stand out from the background, each at least a fifth as large as the largest."""
    labels, number = ndimage.label(ndimage.binary_closing(_apart(image)[2]))
    areas = [int((labels == index).sum()) for index in range(1, number + 1)]
    return sum(area >= max(SMALLEST, max(areas) / 5) for area in areas) if areas else 0


def figure(image: Image.Image) -> np.ndarray:
    """(H, W) of bool: what is not background."""
    return _apart(image, small=False)[2]


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


def _apart(image: Image.Image, small: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pixels (H, W, 3), the background (3,), and what stands out from it, (H, W) of bool; `small`: at SIDE x SIDE."""
    image = image.convert("RGB")
    pixels = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX) if small else image, float)
    border = np.ones(pixels.shape[:2], bool)
    edge = EDGE * pixels.shape[0] // SIDE
    border[edge:-edge, edge:-edge] = False
    ground = np.median(pixels[border], axis=0)
    return pixels, ground, np.linalg.norm(pixels - ground, axis=2) > APART


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / max(1, (one | other).sum()))


def _shape(mask: np.ndarray, hidden: np.ndarray) -> str:
    """The shape whose outline, moved and sized freely, covers the patch best; what is `hidden` by other patches is not compared."""
    grain = 2 if mask.sum() > COARSE else 1
    mask, hidden = mask[::grain, ::grain], hidden[::grain, ::grain]
    rows, columns = np.nonzero(mask)
    box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], float)
    near = max((_fit(mask, np.zeros_like(mask), box, shape, (0.95, 1, 1.05), np.arange(-1, 1.1, 1)), shape) for shape in SHAPES)
    if near[0] < SURE and (ndimage.binary_dilation(mask, iterations=3) & hidden).any():  # a part of it may lie behind
        wide = np.arange(-8, 8.1, 2)
        near = max((_fit(mask, hidden, box, shape, (1, 1.1, 1.2, 1.3, 1.4), wide), shape) for shape in SHAPES)
    return near[1] if near[0] >= OVERLAP else ""


def _fit(mask: np.ndarray, hidden: np.ndarray, box: np.ndarray, shape: str, scales: Iterable[float], moves: np.ndarray) -> float:
    """The best intersection over union of the shape's outline, about as large as the patch's box (left, top, right, bottom), with the patch."""
    template, size, centre = _templates()[shape]
    extent, middle = box[2:] - box[:2], (box[2:] + box[:2]) / 2
    best = 0.0
    for scale in scales:
        radius = float((extent / size).max()) * scale
        for across, down in itertools.product(moves, moves):
            drawn = _placed(template, *(middle - centre * radius + (across, down)), radius, mask.shape)
            seen = int((drawn & mask).sum())
            if seen >= VISIBLE * drawn.sum():
                best = max(best, seen / max(1, int(((drawn | mask) & ~hidden).sum())))
    return best


def _placed(template: np.ndarray, x: float, y: float, size: float, shape: tuple[int, int]) -> np.ndarray:
    """The template around (x, y), `size` pixels for a unit, on a page of `shape`."""
    rows, columns = (((np.arange(length) + 0.5 - at) / size / REACH + 1) / 2 * FINE for length, at in zip(shape, (y, x)))
    inside_rows, inside_columns = ((place >= 0) & (place < FINE) for place in (rows, columns))
    out = np.zeros(shape, bool)
    out[np.ix_(inside_rows, inside_columns)] = template[np.ix_(rows[inside_rows].astype(int), columns[inside_columns].astype(int))]
    return out


@functools.cache
def _templates() -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Each shape's outline from -REACH to REACH, (FINE, FINE) bool; its bounding box's sides and middle, (2,) each, for a radius of 1."""
    outlines = {}
    for name, draw in SHAPES.items():
        pen = Pen(FINE, FINE)
        draw(pen.at(0.5, 0.5, 0.5 / REACH), (255, 255, 255), (0, 0, 0))
        mask = np.asarray(pen.finish())[..., 0] > 127
        rows, columns = np.nonzero(mask)
        corners = np.array([[columns.min(), rows.min()], [columns.max() + 1, rows.max() + 1]])
        outlines[name] = mask, (corners[1] - corners[0]) * 2 * REACH / FINE, (corners.mean(0) / FINE * 2 - 1) * REACH
    return outlines
