"""From the images somebody hands in to the pixels a model paints, and from those to the picture that is handed back: sizes, masks,
crops and seams. Apart from the latents because none of it needs a model: Pillow and numpy alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from webapp.engine import images
from webapp.errors import InvalidRequest
from webapp.schema import RANGES, GenerationRequest

_LOW, _HIGH = (int(limit) for limit in RANGES["width"])
_GRAIN = 12  # standard deviation of the noise that outpainted sides are filled with, in levels of 255

Box = tuple[int, int, int, int]  # left, top, right, bottom
Size = tuple[int, int]  # width, height


def size_for(image_size: Size, native_width: int, native_height: int) -> Size:
    """The size to draw an image at when nobody says: its aspect ratio, about the model's native area (small ones grow, large ones
    shrink), sides within a request's range; a multiple of 64 where one is within 8 pixels, else of 8."""
    width, height = image_size
    scale = math.sqrt(native_width * native_height / (width * height))
    return _side(width * scale), _side(height * scale)


@dataclass(frozen=True, eq=False)
class Canvas:
    """What one request paints on. `start` goes through the autoencoder; `mask` (L, 0 or 255) is white where it is to be drawn anew.

    The rest is the way back: what is drawn lands in `box` of `whole`, through `weight` (L, the box's size; 0 keeps, 255 replaces).
    """

    start: Image.Image
    mask: Image.Image | None
    whole: Image.Image
    box: Box
    weight: Image.Image | None

    @classmethod
    def of(cls, request: GenerationRequest, image: Image.Image, mask: Image.Image | None = None) -> Canvas:
        """The canvas of a request with `width` and `height`. The image is fitted into them, aspect kept and centre cut, and the mask
        with it; a mask of another size is first stretched over the image.

        With `only_masked` the mask's surroundings alone are drawn, at full size, and the image keeps its own size. Outpainting adds
        its sides to the fitted image, rounded up to a multiple of 8 in all, and takes no notice of `only_masked`. Raises
        InvalidRequest.
        """
        size = (request.width, request.height)
        picture = images.rgb(image)
        if mask is None:
            fitted = _fit(picture, size)
            return _extended(request, fitted, None) if request.outpaints else cls(fitted, None, fitted, (0, 0, *size), None)
        painted = _some(_stretch(images.painted(mask), picture.size))
        if request.only_masked and not request.outpaints:
            return _detail(request, picture, painted)
        fitted, painted = _fit(picture, size), _some(_at(ImageOps.fit(_as_mask(painted), size, Image.Resampling.BILINEAR)))
        if request.outpaints:
            return _extended(request, fitted, painted)
        return cls(fitted, _as_mask(painted), fitted, (0, 0, *size), feather(painted, request.mask_blur))

    @property
    def size(self) -> Size:
        """(width, height) of what the model draws, in pixels, multiples of 8."""
        return self.start.size

    def finish(self, drawn: Image.Image) -> Image.Image:
        """The picture to hand back. Without a mask `drawn` itself; with one every pixel outside of it is the image's own, exactly."""
        if self.weight is None:
            return drawn
        result = self.whole.copy()
        result.paste(_resized(drawn.convert("RGB"), self.weight.size), self.box[:2], self.weight)
        return result


def _detail(request: GenerationRequest, picture: Image.Image, painted: np.ndarray) -> Canvas:
    """The canvas of a masked part alone. Stretched a little where the image is too small for the part to have the canvas's shape."""
    size = (request.width, request.height)
    box = crop_box(_bounds(painted), picture.size, size, request.padding)
    left, top, right, bottom = box
    mask = _as_mask(_some(_stretch(painted[top:bottom, left:right], size)))
    return Canvas(_resized(picture.crop(box), size), mask, picture, box, feather(painted, request.mask_blur).crop(box))


def _extended(request: GenerationRequest, inner: Image.Image, painted: np.ndarray | None) -> Canvas:
    """The canvas that goes beyond the image. A strip of the old picture along each seam is drawn too, twice as broad as `mask_blur`
    (at most a quarter of its shorter side), and the drawn fades in over the half of it that lies farther in."""
    left, right = _growth(request, "outpaint_left", "outpaint_right", inner.width)
    up, down = _growth(request, "outpaint_up", "outpaint_down", inner.height)
    blur = min(request.mask_blur, min(inner.size) // 8)
    width, height = left + inner.width + right, up + inner.height + down
    anew = np.ones((height, width), bool)
    rows = slice(up and up + 2 * blur, height - (down and down + 2 * blur))
    columns = slice(left and left + 2 * blur, width - (right and right + 2 * blur))
    anew[rows, columns] = False
    if painted is not None:
        anew[up : up + inner.height, left : left + inner.width] |= painted
    start = _filled(inner, left, right, up, down, request.seed)
    return Canvas(start, _as_mask(anew), start, (0, 0, width, height), feather(anew, blur))


def feather(mask: np.ndarray, blur: int) -> Image.Image:
    """How much of the drawn each pixel takes, as L: nothing outside the mask (0), all of it (255) from `blur` pixels inside on.

    `mask` is (h, w) of bool, `blur` in its pixels. The mask is blurred by three box filters of that reach together, nearly a Gaussian
    with a sigma of a third of it, and the half of the ramp that lies inside is taken. It is measured against the largest value
    nearby, so that a stroke thinner than the blur is not washed away. Beyond the image's edge the mask goes on.
    """
    soft = _as_mask(mask)
    for radius in ((blur + i) // 3 for i in range(3)):
        soft = soft.filter(ImageFilter.BoxBlur(radius))
    soft = np.asarray(soft)
    peak = _largest(_largest(soft, blur).T, blur).T
    rising = 2 * (soft / np.maximum(peak, 1, dtype=np.float32)) - 1
    rising[peak == 0] = 1  # a dot so small that the blur's 8 bits lose it
    return Image.fromarray(np.rint(255 * np.clip(rising, 0, 1) * mask).astype(np.uint8))


def crop_box(bounds: Box, image_size: Size, shape: Size, padding: int) -> Box:
    """The part of an image that holds `bounds` and `padding` pixels around, in the proportions of `shape` as far as the image goes.

    The same idea as VaeImageProcessor.get_crop_region of diffusers: pad, then widen the side that is short and push it inside.
    """
    left, top, right, bottom = bounds
    width, height = image_size
    left, right = max(0, left - padding), min(width, right + padding)
    top, bottom = max(0, top - padding), min(height, bottom + padding)
    ratio = shape[0] / shape[1]
    left, right = _widen(left, right, round((bottom - top) * ratio), width)
    top, bottom = _widen(top, bottom, round((right - left) / ratio), height)
    return left, top, right, bottom


def _widen(start: int, stop: int, length: int, limit: int) -> tuple[int, int]:
    length = min(max(length, stop - start), limit)
    start = min(max(0, start - (length - (stop - start)) // 2), limit - length)
    return start, start + length


def _side(pixels: float) -> int:
    coarse = round(pixels / 64) * 64
    return min(max(coarse if abs(coarse - pixels) <= 8 else round(pixels / 8) * 8, _LOW), _HIGH)


def _growth(request: GenerationRequest, before: str, after: str, inner: int) -> tuple[int, int]:
    """How far the canvas grows before and after; what rounding up adds goes to a side that grows anyway."""
    low, high = getattr(request, before), getattr(request, after)
    rest = -(inner + low + high) % 8
    low, high = (low, high + rest) if high else (low + rest, high)
    if inner + low + high > _HIGH:
        name = "width" if before == "outpaint_left" else "height"
        sentence = f"The {name} would grow from {inner} to {inner + low + high} pixels, and {_HIGH} is the most. Please add less."
        raise InvalidRequest({before if low > high else after: sentence})
    return low, high


def _filled(inner: Image.Image, left: int, right: int, up: int, down: int, seed: int | None) -> Image.Image:
    """The image with new sides in the colours of its edges, blurred, and with some noise of the seed for the model to see things in."""
    spread = Image.fromarray(np.pad(np.asarray(inner), ((up, down), (left, right), (0, 0)), "edge"))
    blurred = spread.filter(ImageFilter.GaussianBlur(max(left, right, up, down) / 8))
    noise = np.random.default_rng(seed).normal(0, _GRAIN, (spread.height, spread.width, 3))
    filled = Image.fromarray(np.clip(np.rint(np.asarray(blurred) + noise), 0, 255).astype(np.uint8))
    filled.paste(inner, (left, up))
    return filled


def _fit(image: Image.Image, size: Size) -> Image.Image:
    return ImageOps.fit(image, size, Image.Resampling.LANCZOS) if image.size != size else image


def _resized(image: Image.Image, size: Size) -> Image.Image:
    return image.resize(size, Image.Resampling.LANCZOS) if image.size != size else image


def _stretch(painted: np.ndarray, size: Size) -> np.ndarray:
    return _at(_as_mask(painted).resize(size, Image.Resampling.BILINEAR))


def _as_mask(painted: np.ndarray) -> Image.Image:
    return Image.fromarray(np.where(painted, np.uint8(255), np.uint8(0)))


def _at(mask: Image.Image) -> np.ndarray:
    return np.asarray(mask) >= 128


def _some(painted: np.ndarray) -> np.ndarray:
    if not painted.any():
        raise InvalidRequest({"mask": "The mask is empty. Please paint over what is to be drawn anew."})
    return painted


def _bounds(painted: np.ndarray) -> Box:
    columns, rows = np.flatnonzero(painted.any(axis=0)), np.flatnonzero(painted.any(axis=1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _largest(rows: np.ndarray, radius: int) -> np.ndarray:
    """The largest of each value and its `radius` neighbours to either side, along the last axis, by windows that double."""
    rows, reach = np.pad(rows, ((0, 0), (radius, radius)), "edge"), 1
    while reach < 2 * radius + 1:
        step = min(reach, 2 * radius + 1 - reach)
        rows, reach = np.maximum(rows[:, :-step], rows[:, step:]), reach + step
    return rows
