"""Pictures made only to be looked at: at full size as WebP, and what one was started from. Beside the pages, for it handles pixels."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache

from PIL import Image

from webapp.engine import images
from webapp.engine.canvas import Canvas
from webapp.errors import Busy
from webapp.jobs.files import THUMBNAIL
from webapp.schema import GenerationRequest

BEFORE = 1024  # pixels, the longer side at most
KEPT = 32  # pictures at full size, for a link that many follow
WAITING = 8  # pictures at most, behind the one that is made


class InTurn:
    """Does one thing after another in a thread of its own, for each may unpack to much; some may wait."""

    def __init__(self, name: str) -> None:
        self.thread = ThreadPoolExecutor(1, name)
        self._room = threading.BoundedSemaphore(WAITING + 1)

    def do(self, work: Callable[[], bytes]) -> Future[bytes]:
        """Raises Busy where too many wait."""
        if not self._room.acquire(blocking=False):
            raise Busy("Many pictures are wanted at full size just now. Please try again in a moment.", 5)
        coming = self.thread.submit(work)
        coming.add_done_callback(lambda _: self._room.release())
        return coming


_printing = InTurn("prints")  # a picture may unpack to 160 MB


def size(png: bytes) -> tuple[int, int]:
    """Width and height in pixels, from the head of a PNG."""
    with Image.open(io.BytesIO(png)) as image:
        return image.size


def full(id: str, read: Callable[[str], bytes]) -> bytes:
    """The picture of that id as WebP, every pixel of it, in about a tenth of the bytes; `read` gives its file. Raises Busy."""
    coming = _coming(id, read)
    try:
        return coming.result()
    except Exception:
        _coming.cache_clear()  # it may go well the next time
        raise


def before(data: bytes, request: GenerationRequest) -> bytes:
    """As WebP, the file that was handed in, placed as the drawing began with it, so that it lies under the picture line for line.
    Raises Busy."""
    return _printing.do(lambda: _before(data, request)).result()


def is_small(width: int, height: int) -> bool:
    """Whether the thumbnail has every pixel already."""
    return max(width, height) <= THUMBNAIL


@lru_cache(KEPT)
def _coming(id: str, read: Callable[[str], bytes]) -> Future[bytes]:
    png = read(f"{id}.png")
    return _printing.do(lambda: _full(png))


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
