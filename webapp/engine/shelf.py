"""Which models are loaded: as many as memory allows, the least recently used leaving first. Loading happens beside the drawing."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable, Collection
from queue import Empty, SimpleQueue

import psutil
import torch

from webapp.engine.model import Model
from webapp.errors import AppError

log = logging.getLogger(__name__)


class Shelf:
    """`load` gives the model of a name, in a thread of its own, or raises AppError; `changed` is called when that has ended.

    All methods are for the engine's thread. `models` holds what is ready, the most recently used last.
    """

    def __init__(self, load: Callable[[str], Model], changed: Callable[[], None]) -> None:
        self.models: dict[str, Model] = {}
        self.loading = ""
        self._load, self._changed = load, changed
        self._ended: SimpleQueue[tuple[str, Model | str]] = SimpleQueue()

    def get(self, name: str) -> Model:
        self.models[name] = self.models.pop(name)
        return self.models[name]

    def settle(self) -> dict[str, str]:
        """Puts up what was loaded meanwhile. The names of what could not be, with the sentence about it."""
        failed: dict[str, str] = {}
        while True:
            try:
                name, result = self._ended.get_nowait()
            except Empty:
                return failed
            self.loading = ""
            if isinstance(result, Model):
                self.models[name] = result
            else:
                failed[name] = result

    def want(self, name: str, busy: Collection[str]) -> None:
        """Begin loading `name`, unless something is being loaded. Where memory is short, models that are not `busy` leave first; as
        long as that does not suffice, it waits."""
        if self.loading:
            return
        while not self._fits():
            idle = [other for other in self.models if other not in busy]
            if not idle:
                return
            del self.models[idle[0]]
            tidy()
        self.loading = name
        threading.Thread(target=self._fetch, args=(name,), daemon=True, name="load").start()

    def _fetch(self, name: str) -> None:
        try:
            result: Model | str = self._load(name)
        except AppError as error:
            result = error.sentence
        except Exception:
            log.exception("%s could not be loaded", name)
            result = "The model could not be loaded; the program's log says why."
        self._ended.put((name, result))
        self._changed()

    def _fits(self) -> bool:
        """Whether a model like the largest here would find room. A guess: what the next one needs is known only when it is loaded."""
        if not self.models:
            return True
        largest = max(self.models.values(), key=_size)
        return free(largest.checkpoint.device) > 1.5 * _size(largest)


def _size(model: Model) -> int:
    """Of its weights, in bytes."""
    parts = (model.checkpoint.unet, model.checkpoint.vae, model.checkpoint.text_encoder)
    return sum(value.nbytes for part in parts for value in part.parameters())


def free(device: torch.device) -> int:
    """Bytes that are free on the device."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def tidy() -> None:
    """Gives memory back that nothing uses any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
