"""The images that somebody hands in: opened safely, whatever their bytes, and brought from any mode to RGB or a mask. Apart from the
canvas because everything that takes an image needs it, and because it meets strangers' bytes."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageOps

from webapp.errors import InvalidRequest

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")  # Pillow's many other readers see no stranger's bytes
MAX_PIXELS = 40_000_000


def open_image(data: bytes, field: str) -> Image.Image:
    """The picture in a file's bytes, upright, in whatever mode it has; an animation's first frame.

    Raises InvalidRequest at `field` for what is no picture, of another format, damaged, or above MAX_PIXELS.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        _bounded(image, field)  # before anything is unpacked
        image.load()
    except InvalidRequest:
        raise
    except Image.DecompressionBombError:
        raise _too_large(field) from None
    except Image.UnidentifiedImageError:
        raise InvalidRequest({field: f"The {field} is not a picture that I can read: PNG, JPEG, WebP, GIF or BMP."}) from None
    except Exception:  # a decoder given hostile bytes raises nearly anything: OSError, SyntaxError, struct.error, IndexError
        raise InvalidRequest({field: f"The {field} is damaged or incomplete. Please save it anew."}) from None
    return _upright(image)


def rgb(image: Image.Image, field: str = "image") -> Image.Image:
    """A picture of any mode as RGB: upright, what is transparent on white, 16 bits rounded to 8. Raises InvalidRequest."""
    _bounded(image, field)
    image = _eight_bits(_upright(image))
    return _on(image, "white") if image.has_transparency_data else image.convert("RGB")


def painted(mask: Image.Image) -> np.ndarray:
    """(h, w) of bool: what is half white at least. On a transparent layer painted in one colour, as brushes leave it, all that is
    painted at all. Raises InvalidRequest."""
    mask = _eight_bits(_upright(mask))
    if not mask.has_transparency_data:
        return np.asarray(rgb(mask, "mask").convert("L")) >= 128
    _bounded(mask, "mask")
    layer = np.asarray(mask.convert("RGBA"))  # (h, w, 4)
    alpha = layer[..., 3]
    if alpha.min() == 0 < alpha.max():
        firm = layer[alpha >= alpha.max() / 2, :3]  # at a brush's faint edges colours are rounded
        if np.ptp(firm, axis=0).max() <= 8:
            return alpha > 0
    return np.asarray(_on(mask, "black").convert("L")) >= 128


def _on(image: Image.Image, colour: str) -> Image.Image:
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, colour), image).convert("RGB")


def _upright(image: Image.Image) -> Image.Image:
    """Turned as its Exif says. A camera's broken notes do not spoil the picture."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # Pillow's reader of Exif raises nearly anything, as its decoders do
        return image


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit and float greys as L; other modes as they are."""
    if image.mode != "F" and not image.mode.startswith("I"):
        return image
    values = np.asarray(image).astype(np.float64)
    if image.mode.startswith("I;16") or (image.mode == "I" and values.max() > 255):
        values = values / 257
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def _bounded(image: Image.Image, field: str) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(field)


def _too_large(field: str) -> InvalidRequest:
    return InvalidRequest({field: f"The {field} is larger than {MAX_PIXELS // 1_000_000} megapixels. Please make it smaller."})
