"""From the name of a model or upscaler in a request to itself, on the engine's device. A name is looked up here and nowhere else."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import torch

from webapp.catalogue import PREDICTIONS, Catalogue
from webapp.engine import checkpoint, upscale
from webapp.engine.checkpoint import Checkpoint
from webapp.engine.latents import LatentSpace
from webapp.engine.model import Model
from webapp.engine.upscale import Upscaler
from webapp.errors import InvalidRequest
from webapp.library import Library

PRECISE = "\0float32"  # ends the key of a model in higher precision, for pictures that overflowed in half of it; no name has a NUL


class Sources:
    """`own` is the checkpoint an engine was started with, here without its weights; its key is "". `catalogue` has the others. `stop`, once
    set, ends what is being fetched."""

    def __init__(self, own: Checkpoint, library: Library, catalogue: Catalogue | None) -> None:
        self.own = replace(own, unet=None, vae=None, text_encoder=None, space=None)
        self._library, self._catalogue = library, catalogue
        self.stop = threading.Event()

    def key(self, name: str) -> str:
        """One for all the names of a model. A name that nobody knows is its own key, and `load` says so."""
        if name.casefold() in ("", self.own.name.casefold()):
            return ""
        try:
            key, source, _ = self._find(name)
        except InvalidRequest:
            return name
        return "" if _place(source) == _place(self.own.source) else key

    def load(self, key: str) -> Model | Upscaler:
        """The model of that key, in the precision of the engine's own, or in float32 if the key ends in PRECISE; or the upscaler, if it
        begins with `upscale.KEY`. Raises AppError.

        It is read on the CPU in float32 and then converted: to read it in another, the libraries change torch's default for the
        whole process, and who draws meanwhile would get other noise.
        """
        if key.startswith(upscale.KEY):
            folder = upscale.find(key.removeprefix(upscale.KEY), self._library, self._catalogue, stop=self.stop)
            return Upscaler.load(folder, self.own.device, self.own.dtype)
        plain = key.removesuffix(PRECISE)
        _, source, prediction = self._find(plain)
        read = checkpoint.load(source, "cpu", torch.float32, prediction=prediction, stop=self.stop)
        dtype = self.own.dtype if plain == key else torch.float32
        unet, vae, text_encoder = (part.to(self.own.device, dtype) for part in (read.unet, read.vae, read.text_encoder))
        parts = {"unet": unet, "vae": vae, "text_encoder": text_encoder, "space": LatentSpace(vae)}
        return Model(replace(read, device=self.own.device, dtype=dtype, **parts), self._library)

    def _find(self, name: str) -> tuple[str, str, str]:
        """Key, source and prediction."""
        if name == "":
            return "", self.own.source, self.own.prediction if self.own.prediction in PREDICTIONS else ""
        if self._catalogue is None:
            raise InvalidRequest({"model": f"There is no model called {name[:80]} here."})
        entry = self._catalogue.find(name, listed_only=True)
        return entry.name, entry.source, entry.prediction


def higher(dtype: torch.dtype) -> bool:
    """Whether there is a higher precision than `dtype` to draw in."""
    return dtype in (torch.float16, torch.bfloat16)


def _place(source: str) -> Path:
    """The same for all ways to write a path; a name on the hub becomes some path, of its own."""
    return Path(source).expanduser().resolve()
