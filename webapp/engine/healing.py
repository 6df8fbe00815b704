"""From latents to an image, and what is done on the way when memory does not suffice or half precision overflows. The step's own
troubles, which concern more than one picture, are the engine's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from PIL import Image

from webapp.engine.latents import Blank, LatentSpace, finished
from webapp.engine.memory import out_of_memory, tidy
from webapp.engine.model import Model
from webapp.engine.picture import Picture
from webapp.engine.sources import PRECISE, higher
from webapp.engine.task import Start, Task
from webapp.engine.upscale import Upscaler

DECODED_AGAIN = "It came out blank at first, and was decoded again in float32."
DRAWN_AGAIN = "It came out blank at first, and was drawn again in float32."
IN_TILES = "Memory was short: the autoencoder worked in tiles, which can be seen in places."
T = TypeVar("T")


def begin(picture: Picture, model: Model | Upscaler) -> None:
    """The first pass with `model`; if memory is short, what it starts from is encoded in tiles. Of a drawn picture, its upscaler's.
    Raises AppError."""
    if picture.drawn:
        picture.enlarge(model)
    elif picture.request.image:
        tiled_if_short(picture, model.space(picture.request.vae), lambda: picture.begin(model))
    else:
        picture.begin(model)


def overflowed(picture: Picture) -> bool:
    """Whether its latents hold what is no number, and no autoencoder can save it."""
    return not picture.task.latents.isfinite().all()


def draw_again(picture: Picture) -> None:
    """Sends an overflowed picture back to the line, to be drawn in float32. Raises Blank if it was."""
    if not higher(picture.task.model.checkpoint.dtype):
        raise Blank
    picture.again(picture.model + PRECISE)
    _note(picture, DRAWN_AGAIN)


def decode_together(pictures: Sequence[Picture]) -> dict[Picture, torch.Tensor]:
    """The pixels of pictures of one size, model and autoencoder, (3, H, W) each, in one call; none if memory does not suffice."""
    try:
        pixels = _space(pictures[0]).decode(torch.cat([picture.task.latents for picture in pictures]))
        return dict(zip(pictures, pixels, strict=True))
    except Exception as error:
        if not out_of_memory(error):
            raise
    return {}


def image(picture: Picture, pixels: torch.Tensor | None = None) -> Image.Image:
    """What is drawn, from its `pixels` or else its latents; in tiles if memory is short, in float32 if it would be blank. Raises Blank."""
    latents, space = picture.task.latents, _space(picture)
    try:
        return finished(tiled_if_short(picture, space, lambda: space.decode(latents)[0]) if pixels is None else pixels)
    except Blank:
        if not higher(space.vae.dtype):
            raise
    whole = finished(tiled_if_short(picture, space, lambda: space.decode_precisely(latents)[0]))
    _note(picture, DECODED_AGAIN)
    return whole


def tiled_if_short(picture: Picture, space: LatentSpace, work: Callable[[], T]) -> T:
    """What `work` gives; if memory runs out, it is done again with the autoencoder in tiles."""
    try:
        return work()
    except Exception as error:
        if not out_of_memory(error):
            raise
    tidy()  # only here, where the failed call's tensors are gone
    with space.tiled():
        result = work()
    _note(picture, IN_TILES)
    return result


def fits(task: Task, width: int, height: int) -> bool:
    """Whether a step like that of `task` and the decoding after it work at another size."""
    request = task.request.model_copy(update={"width": width, "height": height, "controls": ()})
    try:
        probe = Task(request, Start(width, height, request.steps), task.model)
        task.model.predict([probe])
        space = task.model.space(request.vae)
        with space.tiled():
            space.decode(probe.latents)
    except Exception as error:
        if not out_of_memory(error):
            raise
        return False
    finally:
        tidy()
    return True


def _space(picture: Picture) -> LatentSpace:
    return picture.task.model.space(picture.request.vae)


def _note(picture: Picture, sentence: str) -> None:
    if sentence not in picture.notes:
        picture.notes.append(sentence)
