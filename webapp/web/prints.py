"""Pictures made only to be looked at: at full size as WebP, and what one was started from. Beside the pages, for it handles pixels."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from webapp.engine import images
from webapp.engine.canvas import Canvas
from webapp.jobs.files import THUMBNAIL
from webapp.schema import GenerationRequest

BEFORE = 1024  # pixels, the longer side at most
_printing = ThreadPoolExecutor(1, "prints")  # one at a time: a picture may unpack to 160 MB


def size(png: bytes) -> tuple[int, int]:
    """Width and height in pixels, from the head of a PNG."""
    with Image.open(io.BytesIO(png)) as image:
        return image.size


def full(png: bytes) -> bytes:
    """The picture as WebP, every pixel of it, in about a tenth of the bytes."""
    return _printing.submit(_full, png).result()


def before(data: bytes, request: GenerationRequest) -> bytes:
    """As WebP, the file that was handed in, placed as the drawing began with it, so that it lies under the picture line for line."""
    return _printing.submit(_before, data, request).result()


def is_small(width: int, height: int) -> bool:
    """Whether the thumbnail has every pixel already."""
    return max(width, height) <= THUMBNAIL


def _full(png: bytes) -> bytes:
    with Image.open(io.BytesIO(png)) as image:
        return _webp(image)


def _before(data: bytes, request: GenerationRequest) -> bytes:
    image = images.open_image(data, "image")
    own_size = request.only_masked and not request.outpaints
    whole = images.rgb(image) if own_size else Canvas.of(request, image).whole
    whole.thumbnail((BEFORE, BEFORE))
    return _webp(whole)


def _webp(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "WEBP", quality=90, method=2)
    return out.getvalue()
