"""What a style does to a finished picture, as arithmetic on its pixels: the same for whatever it shows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

Pixels = np.ndarray  # (H, W, 3) float, 0 to 255

BLOCK = 8  # pixels a side of pixel art's squares
FACET = 16  # pixels a side of two of abstract art's triangles
REACH = 7  # pixels from which realism's light is blocked


def _blurred(pixels: Pixels, radius: float) -> Pixels:
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(image, np.float32)


def _edges(pixels: Pixels) -> np.ndarray:
    """(H, W, 1), 0 to 1: how much the colour changes here."""
    soft = _blurred(pixels, 1)
    across, down = np.abs(np.gradient(soft, axis=1)).sum(2), np.abs(np.gradient(soft, axis=0)).sum(2)
    return np.clip((across + down) / 90, 0, 1)[..., None]


def _grey(pixels: Pixels) -> np.ndarray:
    return (pixels @ np.array([0.3, 0.59, 0.11], np.float32))[..., None]


def pixel_art(pixels: Pixels) -> Pixels:
    """Squares of one colour each, of a small palette."""
    height, width, _ = pixels.shape
    image = Image.fromarray(pixels.astype(np.uint8)).resize((width // BLOCK, height // BLOCK), Image.Resampling.BOX)
    few = np.asarray(image, np.float32) // 32 * 32 + 16
    return few.repeat(BLOCK, 0).repeat(BLOCK, 1)


def pencil(pixels: Pixels) -> Pixels:
    """Dark outlines and pale grey tones on warm paper."""
    paper = np.array([250, 247, 240], np.float32)
    tone = 0.62 + 0.38 * _blurred(pixels, 1.5) @ np.array([0.3, 0.59, 0.11], np.float32) / 255
    return paper * tone[..., None] * (1 - 0.8 * _edges(pixels))


def watercolour(pixels: Pixels) -> Pixels:
    """Pale washes that run into each other, darker where they end, in large soft blotches."""
    height, width, _ = pixels.shape
    soft = _blurred(pixels, 2)
    y, x = np.mgrid[:height, :width] / 256.0
    blotch = (np.sin(9 * x + 4 * np.sin(5 * y)) + np.sin(11 * y + 3 * np.sin(7 * x)))[..., None]
    rim = _edges(soft)
    return 255 - (255 - soft) * (0.66 + 0.09 * blotch + 0.4 * rim)


def neon(pixels: Pixels) -> Pixels:
    """All is dark, violet and blue; the outlines glow magenta and cyan."""
    height, _, _ = pixels.shape
    edge = _edges(pixels)
    glow = np.clip(1.3 * edge + 1.1 * _blurred(255 * edge.repeat(3, 2), 4)[..., :1] / 255, 0, 1.2)
    share = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    light = (1 - share) * np.array([40, 230, 255], np.float32) + share * np.array([255, 50, 200], np.float32)
    dark = 0.26 * pixels + np.array([24, 4, 52], np.float32)
    return dark * (1 - 0.5 * edge) + light * glow


def fantasy(pixels: Pixels) -> Pixels:
    """Dreamy violet and teal, a glow from above, large stars that twinkle."""
    height, width, _ = pixels.shape
    grey = _grey(pixels) / 255
    dream = grey * np.array([255, 200, 250], np.float32) + (1 - grey) * np.array([58, 28, 120], np.float32)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    shine = np.exp(-(((x - width / 2) / (0.5 * width)) ** 2 + (y / (0.55 * height)) ** 2))[..., None]
    out = 0.5 * pixels + 0.5 * dream - 22 + shine * np.array([20, 60, 60], np.float32)
    for u, v, size in ((0.12, 0.3, 9), (0.3, 0.12, 7), (0.66, 0.08, 8), (0.9, 0.34, 9), (0.8, 0.62, 7), (0.1, 0.68, 8)):
        a, b = np.abs(x - u * width), np.abs(y - v * height)
        star = np.clip(1.6 - np.sqrt(a / size) - np.sqrt(b / size), 0, 0.7)[..., None] / 0.7
        out = out * (1 - star) + star * np.array([255, 250, 215], np.float32)
    return out


def abstract(pixels: Pixels) -> Pixels:
    """Facets: each triangle of a coarse grid in one colour, stronger than it was, in turns lighter and darker."""
    height, width, _ = pixels.shape
    side = FACET
    y, x = np.mgrid[:height, :width]
    column, row = x // side, y // side
    inner_x, inner_y = x % side, y % side
    rising = (column + row) % 2 == 1
    half = np.where(rising, inner_x + inner_y >= side, inner_x >= inner_y)
    cell = ((row * (width // side) + column) * 2 + half).ravel()
    counts = np.bincount(cell)
    means = np.stack([np.bincount(cell, pixels[..., c].ravel()) / counts for c in range(3)], 1)
    strong = (means - means.mean(1, keepdims=True)) * 1.5 + means.mean(1, keepdims=True)
    strong *= np.where(np.arange(len(counts)) % 2, 1.14, 0.86)[:, None]
    return strong[cell].reshape(height, width, 3)


def realism(pixels: Pixels) -> Pixels:
    """Light from the upper left: what stands out is rounded by it and casts a soft shadow; the corners are darker."""
    height, width, _ = pixels.shape
    form = _blurred(np.abs(pixels - _blurred(pixels, 24)).sum(2, keepdims=True).repeat(3, 2) * 0.8, 5)[..., :1]
    wide = np.pad(form, ((REACH, REACH), (REACH, REACH), (0, 0)), "edge")
    relief = wide[2 * REACH :, 2 * REACH :] - wide[: -2 * REACH, : -2 * REACH]
    y, x = np.mgrid[:height, :width] / np.array([height, width], np.float32)[:, None, None]
    around = (((x - 0.45) ** 2 + (y - 0.42) ** 2) * 0.9)[..., None]
    soft = _blurred(pixels, 1.2)
    return soft * np.clip(1.1 + relief / 150 - around, 0.35, 1.45)


STYLES: dict[str, Callable[[Pixels], Pixels]] = {
    "pixel art": pixel_art,
    "pencil": pencil,
    "watercolour": watercolour,
    "neon": neon,
    "fantasy": fantasy,
    "abstract": abstract,
    "realism": realism,
}


def apply(image: Image.Image, style: str) -> Image.Image:
    """The picture in a style of STYLES, or as it is for any other name."""
    if style not in STYLES:
        return image
    pixels = STYLES[style](np.asarray(image.convert("RGB"), np.float32))
    return Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8))
