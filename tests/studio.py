"""An engine on a tiny model, watched from within: for the tests of the loop, of parity, and of whatever else is drawn step by step."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageChops

from webapp.engine.checkpoint import Checkpoint
from webapp.engine.drawing import Drawing
from webapp.engine.engine import Engine
from webapp.engine.events import Cancelled, Event, Failed, Finished
from webapp.schema import GenerationRequest

WISH = GenerationRequest(
    prompt="a cat", negative_prompt="blurry", seed=7, width=64, height=64, steps=8, guidance=6, sampler="DDIM", hires_strength=0.5
)


def wish(**changes: object) -> GenerationRequest:
    return WISH.model_copy(update=changes)


class Call(NamedTuple):
    """What one call of the UNet was given."""

    shape: torch.Size  # (rows, channels, h, w)
    timesteps: torch.Tensor  # (rows,)
    words: torch.Tensor  # (rows, 77 * chunks, width)


class Studio:
    """`passes` has for each request the latents that its passes ended in, `latents` the last of them; `calls` are the UNet's.

    `at[n]` is done before the n-th call of the UNet, from 0, on the engine's thread: so tests interfere at a known step. Eight
    pictures of the model's own size share a step unless `options` of the engine say otherwise.
    """

    def __init__(self, model: Checkpoint, **options: Any) -> None:
        self.passes: dict[GenerationRequest, list[torch.Tensor]] = {}
        self.calls: list[Call] = []
        self.at: dict[int, Callable[[], object]] = {}
        self.hook = model.unet.register_forward_pre_hook(self._before, with_kwargs=True)
        self.engine = Engine(model, **{"max_batch": 8, **options})
        self._deliver, self.engine._deliver = self.engine._deliver, self._watch

    @property
    def latents(self) -> dict[GenerationRequest, torch.Tensor]:
        return {request: passes[-1] for request, passes in self.passes.items()}

    def draw(
        self,
        request: GenerationRequest | Sequence[GenerationRequest],
        indices: Iterable[int] | None = None,
        images: Mapping[str, Image.Image] | None = None,
    ) -> list[Event]:
        return events_of(self.engine.submit(request, indices, images))

    def close(self) -> None:
        self.engine.close()
        self.hook.remove()

    def _before(self, unet: torch.nn.Module, inputs: tuple[torch.Tensor, torch.Tensor], more: dict[str, Any]) -> None:
        self.calls.append(Call(inputs[0].shape, inputs[1], more["encoder_hidden_states"]))
        self.at.get(len(self.calls) - 1, lambda: None)()

    def _watch(self, pictures: list) -> None:
        for picture in pictures:
            if picture.task:
                self.passes.setdefault(picture.request, []).append(picture.task.latents)
        self._deliver(pictures)


def events_of(drawing: Drawing) -> list[Event]:
    """All of them; fails when they do not come to an end."""
    events: list[Event] = []
    listener = threading.Thread(target=lambda: events.extend(drawing), daemon=True)
    listener.start()
    listener.join(60)
    assert not listener.is_alive(), "the drawing does not end"
    return events


def ends(events: list[Event]) -> list[Event]:
    return [event for event in events if isinstance(event, (Finished, Failed, Cancelled))]


def distance(latents: torch.Tensor, wanted: torch.Tensor) -> float:
    """The largest difference, as a share of the largest latent."""
    return ((latents.float() - wanted.float()).abs().max() / wanted.float().abs().max()).item()


def differing(image: Image.Image, other: Image.Image) -> int:
    """The largest difference of two pictures, of 255."""
    return max(high for _, high in ImageChops.difference(image, other).getextrema())


def photo(seed: int, width: int = 64, height: int = 64) -> Image.Image:
    """Some picture of smooth colours, as photographs have them."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def name_of(image: Image.Image) -> str:
    """As requests name images: 64 hexadecimal digits."""
    return hashlib.sha256(image.tobytes()).hexdigest()
