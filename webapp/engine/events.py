"""What happens to a picture on its way, told as it happens. No torch here, so that every wing may import it.

For each picture: `Waiting` any number of times, `Step` 1 to n with `Preview`s between, then one of `Finished`, `Failed`, `Cancelled`.
`index` is the picture's place in its request's `count`, from 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from PIL import Image

from webapp.schema import Receipt


@dataclass(frozen=True)
class Waiting:
    """`ahead` pictures are in line before this one, those being drawn included."""

    index: int
    ahead: int


@dataclass(frozen=True)
class Step:
    """`step` of `steps` calls of the UNet are done. Heun makes nearly two to a step asked for, PNDM one more in all. This one took
    `seconds`, for `together` pictures of `size`, width and height in pixels; 0 in an upscaler."""

    index: int
    step: int
    steps: int
    seconds: float = field(default=0.0, compare=False)
    together: int = field(default=1, compare=False)
    size: tuple[int, int] = field(default=(0, 0), compare=False)


@dataclass(frozen=True)
class Preview:
    """What the model believes the picture will be, after `step`. Small: one pixel a latent, an eighth of the picture's sides."""

    index: int
    step: int
    image: Image.Image


@dataclass(frozen=True)
class Finished:
    """`receipt.request` draws this very picture again, alone: every field filled in, `count` 1. `seconds` of the engine's time went
    into it: its beginning, its share of each step, its decoding."""

    index: int
    image: Image.Image
    receipt: Receipt
    seconds: float


@dataclass(frozen=True)
class Failed:
    """`sentence` is what the user is told."""

    index: int
    sentence: str


@dataclass(frozen=True)
class Cancelled:
    """The picture was taken back, or the engine closed before it was done."""

    index: int


Event = Waiting | Step | Preview | Finished | Failed | Cancelled
LAST = (Finished, Failed, Cancelled)  # after one of these a picture tells no more
