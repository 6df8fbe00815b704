"""Who wants to know what changed. A listener is told which jobs of theirs changed, never how: whoever reads asks for the state as it
is then. So a slow reader skips what is outdated, nobody's backlog grows, and whoever comes back asks what changed since."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

REMEMBERED = 10_000  # jobs of whose latest change it is known when it was


class Listener:
    """One tab's ear. `tab` is its name for itself, empty if it has none."""

    def __init__(self, tab: str = "") -> None:
        self.tab = tab
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
    """Fan-out of changes to the listeners of each owner, and a memory of when each job changed last."""

    def __init__(self) -> None:
        self._listeners: dict[str, set[Listener]] = defaultdict(set)
        self._lock = threading.Lock()
        self._closed = False
        self._run = secrets.token_hex(3)  # the numbers below begin anew with each
        self._number, self._forgotten = 0, 0
        self._latest: OrderedDict[str, tuple[str, int]] = OrderedDict()  # job -> owner and number of its latest change

    @property
    def now(self) -> str:
        """A name for this moment, for `since`."""
        return f"{self._run}-{self._number}"

    def since(self, owner: str, moment: str) -> list[str] | None:
        """The owner's jobs that changed after that `moment`, the latest last; None when that is not known any more."""
        run, _, number = moment.partition("-")
        with self._lock:
            known = run == self._run and number.isdecimal() and len(number) < 20
            if not known or not self._forgotten <= int(number) <= self._number:
                return None
            found = []
            for job, (whose, changed) in reversed(self._latest.items()):
                if changed <= int(number):
                    break
                if whose == owner:
                    found.append(job)
            return found[::-1]

    def changed(self, owner: str, job: str) -> None:
        with self._lock:
            self._number += 1
            self._latest[job] = owner, self._number
            self._latest.move_to_end(job)
            if len(self._latest) > REMEMBERED:
                _, (_, self._forgotten) = self._latest.popitem(last=False)
            for listener in self._listeners.get(owner, ()):
                listener.tell(job)

    @contextmanager
    def listen(self, owner: str, tab: str = "") -> Iterator[Listener]:
        """A listener of its own. A tab that comes again ends the one it had: it lost that, though the server may not know yet."""
        listener = Listener(tab)
        with self._lock:
            for other in self._listeners[owner]:
                if tab and other.tab == tab:
                    other.close()
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

    def count(self, owner: str | None = None, besides: str = "") -> int:
        """How many listeners this owner has, or (None) everybody together, `besides` those of that tab."""
        with self._lock:
            all = [listener for whose, theirs in self._listeners.items() if owner in (None, whose) for listener in theirs]
            return sum(not besides or listener.tab != besides for listener in all)

    def hang_up(self) -> None:
        """Ends every listener's wait; whoever may still come in comes back."""
        with self._lock:
            for listeners in self._listeners.values():
                for listener in listeners:
                    listener.close()

    def close(self) -> None:
        """Ends every listener's wait, now and later."""
        with self._lock:
            self._closed = True
            for listeners in self._listeners.values():
                for listener in listeners:
                    listener.close()
