"""Submitted requests seen from outside: their events as they come, and a way to take them back. Stands between two threads, the
engine's that tells and the caller's that listens."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterable, Iterator, Mapping
from queue import SimpleQueue

from PIL import Image

from webapp.engine.events import LAST, Event


class Drawing:
    """Iterate once, from one thread; the iteration ends when each picture is finished, failed or cancelled.

    `images` are those that the requests are drawn from, by the SHA-256 that the requests name; `owner` is whoever it is for.
    """

    def __init__(self, indices: Iterable[int], images: Mapping[str, Image.Image], owner: Hashable = None) -> None:
        self.images, self.owner = images, owner
        self._open = set(indices)
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._cancelled = threading.Event()

    def __iter__(self) -> Iterator[Event]:
        while self._open:
            event = self._events.get()
            if isinstance(event, LAST):
                self._open.discard(event.index)
            yield event

    def cancel(self) -> None:
        """Take back the pictures that are not finished; each leaves at the next step. May be called from any thread, repeatedly."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    def tell(self, event: Event) -> None:
        """For the engine: pass an event to whoever listens."""
        self._events.put(event)
