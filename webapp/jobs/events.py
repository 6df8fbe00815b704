"""Who wants to know what changed. A listener is told which jobs of theirs changed, never how: whoever reads asks for the state as it
is then. So a slow reader skips what is outdated, nobody's backlog grows, and to resume is simply to look again."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Listener:
    def __init__(self) -> None:
        self._changed: dict[str, None] = {}  # in the order of the first change
        self._closed = False
        self._condition = threading.Condition()

    def tell(self, job: str) -> None:
        with self._condition:
            self._changed[job] = None
            self._condition.notify()

    def close(self) -> None:
        with self._condition:
            self._closed = True
            self._condition.notify()

    def wait(self, timeout: float) -> list[str] | None:
        """The jobs that changed since the last call; [] after `timeout` seconds without any; None when all is over."""
        with self._condition:
            self._condition.wait_for(lambda: self._changed or self._closed, timeout)
            if self._closed:
                return None
            changed, self._changed = list(self._changed), {}
            return changed


class Events:
    """Fan-out of changes to the listeners of each owner."""

    def __init__(self) -> None:
        self._listeners: dict[str, set[Listener]] = defaultdict(set)
        self._lock = threading.Lock()
        self._closed = False

    def changed(self, owner: str, job: str) -> None:
        with self._lock:
            for listener in self._listeners.get(owner, ()):
                listener.tell(job)

    @contextmanager
    def listen(self, owner: str) -> Iterator[Listener]:
        listener = Listener()
        with self._lock:
            self._listeners[owner].add(listener)
            if self._closed:
                listener.close()
        try:
            yield listener
        finally:
            with self._lock:
                self._listeners[owner].discard(listener)
                if not self._listeners[owner]:
                    del self._listeners[owner]

    def count(self, owner: str | None = None) -> int:
        """How many listeners this owner has, or (None) everybody together."""
        with self._lock:
            return sum(len(theirs) for whose, theirs in self._listeners.items() if owner in (None, whose))

    def close(self) -> None:
        """Ends every listener's wait, now and later."""
        with self._lock:
            self._closed = True
            for listeners in self._listeners.values():
                for listener in listeners:
                    listener.close()
