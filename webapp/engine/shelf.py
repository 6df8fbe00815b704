"""Which models and upscalers are loaded: as many as memory allows, the least recently used leaving first. Loading happens beside the drawing."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from queue import Empty, SimpleQueue

import torch

from webapp.engine.memory import free, tidy
from webapp.engine.model import Model
from webapp.engine.sources import PRECISE
from webapp.engine.upscale import Upscaler
from webapp.errors import AppError

Loaded = Model | Upscaler
log = logging.getLogger(__name__)


class Shelf:
    """`load` gives the model of a key, in a thread of its own, or raises AppError; `changed` is called when that has ended.

    All methods are for the engine's thread. `models` holds what is ready, the most recently used last; nobody else may hold on to
    them, or their memory stays taken when they leave. `loading` is the key of what is on its way.
    """

    def __init__(self, load: Callable[[str], Loaded], changed: Callable[[], None]) -> None:
        self.models: dict[str, Loaded] = {}
        self.loading: str | None = None
        self._load, self._changed = load, changed
        self._ended: SimpleQueue[tuple[str, Loaded | str]] = SimpleQueue()

    def get(self, key: str) -> Loaded:
        self.models[key] = self.models.pop(key)
        return self.models[key]

    def settle(self) -> dict[str, str]:
        """Puts up what was loaded meanwhile. The keys of what could not be, with the sentence about it."""
        try:
            key, result = self._ended.get_nowait()
        except Empty:
            return {}
        self.loading = None
        if isinstance(result, str):
            return {key: result}
        self.models[key] = result
        return {}

    def want(self, key: str, busy: Collection[str]) -> None:
        """Begin loading `key`, unless something is being loaded. Where memory is short, models that are not `busy` leave first; as
        long as that does not suffice, nothing is loaded."""
        if self.loading is not None:
            return
        while not self._fits():
            idle = [other for other in self.models if other not in busy]
            if not idle:
                return
            self._leave(idle[:1])
        self.loading = key
        threading.Thread(target=self._fetch, args=(key,), daemon=True, name="load").start()

    def spare(self, busy: Collection[str]) -> bool:
        """Sends away whatever is not `busy`; False if that is nothing."""
        return self._leave([key for key in self.models if key not in busy])

    def clear(self) -> None:
        """Sends all away, once the engine's thread has ended."""
        self._leave(list(self.models))

    def keep_precise(self, wanted: Collection[str]) -> None:
        """Sends away the models in higher precision that are not `wanted`: they are large, and seldom needed."""
        self._leave([key for key in self.models if key.endswith(PRECISE) and key not in wanted])

    def _leave(self, keys: list[str]) -> bool:
        for key in keys:
            log.info("The model %r leaves memory", key)
            del self.models[key]
        if keys:
            tidy()
        return bool(keys)

    def _fetch(self, key: str) -> None:
        try:
            result: Loaded | str = self._load(key)
        except AppError as error:
            result = error.sentence
        except Exception:
            log.exception("The model %r could not be loaded", key)
            result = "The model could not be loaded; the program's log says why."
        self._ended.put((key, result))
        self._changed()

    def _fits(self) -> bool:
        """Whether a model as large as the largest here would find room, in float32 as it is read, and a quarter more to draw in. A
        guess: what the next one needs is known only when it is loaded. Where nothing is loaded it is tried in any case."""
        largest = max(self.models.values(), key=_numbers, default=None)
        return largest is None or free(_parts(largest)[0].device) > 5 * _numbers(largest)


def _numbers(loaded: Loaded) -> int:
    """How many its weights are."""
    return sum(weight.numel() for part in _parts(loaded) for weight in part.parameters())


def _parts(loaded: Loaded) -> tuple[torch.nn.Module, ...]:
    whole = loaded.checkpoint if isinstance(loaded, Model) else loaded.pipe
    return whole.unet, whole.vae, whole.text_encoder
