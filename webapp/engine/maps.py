"""Maps for ControlNets, made from any picture: its edges, or strokes as if someone had sketched it."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

_BLACK, _WHITE = 48, 207  # up to here a pixel is ink, from here it is paper


def canny(image: Image.Image, low: float = 100, high: float = 200) -> Image.Image:
    """The edges, white on black, one pixel thin, of the picture's size (Canny 1986, IEEE PAMI 8-6).

    `low` and `high` are strengths on OpenCV's scale, the sum of both Sobel derivatives of 8-bit values: an edge is where `high` is
    passed, and follows on from there as long as `low` is.
    """
    return _rgb(_edges(_pixels(image), 1.0, low, high))


def scribble(image: Image.Image) -> Image.Image:
    """Thick soft strokes, white on black, of the picture's size. A line drawing is taken as it is, turned if it is black on white."""
    pixels = _pixels(image)
    drawing = _drawing(pixels)
    if drawing is not None:
        return _rgb(drawing)
    side = min(image.size)
    edges = _edges(pixels, max(1.5, side / 200), 25, 50)
    labels, count = ndimage.label(edges, np.ones((3, 3)))
    sizes = ndimage.sum_labels(edges, labels, np.arange(count + 1))
    strokes = edges & (sizes >= side / 12)[labels]  # a hand leaves out the specks
    thick = ndimage.distance_transform_edt(~strokes) <= max(1.0, side / 170) if strokes.any() else strokes
    return _rgb(ndimage.gaussian_filter(thick.astype(np.float32), max(0.7, side / 512)))


def _pixels(image: Image.Image) -> np.ndarray:
    """(h, w, 3), 0 to 255; what is transparent is white paper."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image)
    return np.asarray(image.convert("RGB"), np.float32)


def _rgb(values: np.ndarray) -> Image.Image:
    """From (h, w), 0 to 1."""
    return Image.fromarray((values * 255).round().astype(np.uint8)).convert("RGB")


def _edges(pixels: np.ndarray, sigma: float, low: float, high: float) -> np.ndarray:
    """(h, w) of bool. `sigma` is the Gaussian's, in pixels."""
    smooth = ndimage.gaussian_filter(pixels, (sigma, sigma, 0), mode="nearest")
    dx, dy = _slope(smooth, 1), _slope(smooth, 0)  # (h, w, 3)
    strongest = (abs(dx) + abs(dy)).argmax(-1, keepdims=True)  # of the three colours, as in OpenCV
    dx, dy = (np.take_along_axis(slope, strongest, -1)[..., 0] for slope in (dx, dy))  # (h, w)
    strength = abs(dx) + abs(dy)
    ridge = _ridge(strength, dx, dy)
    labels, count = ndimage.label(ridge & (strength > low), np.ones((3, 3)))
    firm = np.zeros(count + 1, bool)
    firm[labels[ridge & (strength > high)]] = True
    firm[0] = False
    return firm[labels]


def _slope(pixels: np.ndarray, axis: int) -> np.ndarray:
    """Sobel's derivative of each colour for itself; `ndimage.sobel` would mix them."""
    return ndimage.correlate1d(ndimage.correlate1d(pixels, [-1, 0, 1], axis, mode="nearest"), [1, 2, 1], 1 - axis, mode="nearest")


def _ridge(strength: np.ndarray, dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Where the slope is steepest along its own direction, rounded to 45 degrees: (h, w) of bool."""
    padded = np.pad(strength, 1)
    height, width = strength.shape

    def neighbour(right: int, down: int) -> np.ndarray:
        return padded[1 + down : 1 + down + height, 1 + right : 1 + right + width]

    turns = np.round(np.arctan2(dy, dx) / (np.pi / 4)).astype(int) % 4
    ridge = np.zeros(strength.shape, bool)
    for turn, (right, down) in enumerate(((1, 0), (1, 1), (0, 1), (-1, 1))):
        steepest = (strength >= neighbour(right, down)) & (strength > neighbour(-right, -down))
        ridge |= (turns == turn) & steepest
    return ridge


def _drawing(pixels: np.ndarray) -> np.ndarray | None:
    """The strokes of a line drawing, (h, w), 0 to 1; None if the picture is not one: nearly all black or white, and thin strokes."""
    dark, light = pixels.max(-1) <= _BLACK, pixels.min(-1) >= _WHITE
    if dark.mean() + light.mean() < 0.9 or not dark.any() or not light.any():
        return None
    inked = dark.mean() < light.mean()
    strokes = dark if inked else light
    depth = ndimage.distance_transform_edt(strokes)
    if depth.max() > max(4, min(strokes.shape) / 32):  # half a stroke's width
        return None
    grey = pixels.mean(-1) / 255
    return 1 - grey if inked else grey
