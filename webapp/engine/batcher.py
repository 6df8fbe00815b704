"""Who goes next. Plain Python: a line of items, each somebody's, wanting a model and, once it is begun, having a `shape`.

The line goes round between owners: everybody's first item comes before anybody's second, and one owner's are in the order they came. As
nobody's first is passed by what comes later, nobody starves, and who asks for one waits for one of each of the others at most.

Items of one shape share a step. Of those in play the shapes take turns, and of the shape whose turn it is the first `cap(shape)` in line
go: a shape is served within as many ticks as there are shapes in play, and within it the first always goes. In play is whatever is
begun; only `room` items may be, so what is held stays bounded however long the line grows.

Items whose model is not at hand wait for it. Those that came after them go first for `patience` seconds; then nobody who came later is
begun, so the others run dry and their models can make room. Whenever a model has come, everybody's patience begins anew: where there is
room for one model only, each has its turn of that length, and is not sent away before it was of use.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Sequence
from typing import Generic, Protocol, TypeVar


class Item(Protocol):
    model: str

    @property
    def owner(self) -> Hashable: ...

    @property
    def shape(self) -> Hashable | None: ...  # None until it is begun


T = TypeVar("T", bound=Item)


def place(line: Sequence[Hashable], owner: Hashable) -> int:
    """Where in a line, given by the owners of what is in it, the next of this `owner` goes: before the first that is its own owner's
    later one."""
    turn, rounds = line.count(owner) + 1, Counter[Hashable]()
    for at, other in enumerate(line):
        rounds[other] += 1
        if rounds[other] > turn:
            return at
    return len(line)


class Batcher(Generic[T]):
    """`cap` says of a shape how many may share one step; `clock` tells seconds. `ready` are always the models at hand."""

    def __init__(
        self, cap: Callable[[Hashable], int], room: int, patience: float = 30.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.line: list[T] = []
        self.room, self.patience = room, patience
        self._cap, self._clock = cap, clock
        self._turns: list[Hashable] = []  # the shapes in play, next first
        self._ready: set[str] = set()
        self._missed: dict[str, float] = {}  # models that are waited for, and since when

    def add(self, item: T) -> None:
        """May be called while another thread goes through the line, which is therefore replaced."""
        at = place([other.owner for other in self.line], item.owner)
        self.line = [*self.line[:at], item, *self.line[at:]]

    def remove(self, item: T) -> None:
        self.line.remove(item)
        self._forget()

    def next(self) -> list[T]:
        """The items that go now, all of one shape; empty when nothing is begun."""
        groups: dict[Hashable, list[T]] = {}
        for item in self.line:
            if item.shape is not None:
                groups.setdefault(item.shape, []).append(item)
        known = [shape for shape in self._turns if shape in groups]
        self._turns = known + [shape for shape in groups if shape not in known]
        if not groups:
            return []
        shape, *others = self._turns
        self._turns = [*others, shape]
        return groups[shape][: self._cap(shape)]

    def newcomers(self, ready: Collection[str], coming: str | None = None) -> list[T]:
        """Who may be begun now, in the order of the line. Nobody stands back for the model that is `coming`: it is being loaded already."""
        self._watch(ready)
        begun = sum(item.shape is not None for item in self.line)
        found: list[T] = []
        for item in self.line:
            if item.model not in ready:
                if item.model != coming and self._waited(item.model) > self.patience:
                    break
            elif item.shape is None:
                found.append(item)
        return found[: max(0, self.room - begun)]

    def wanted(self, ready: Collection[str]) -> str | None:
        """The model to have next: that of the first in line whose own is not at hand."""
        return next((item.model for item in self.line if item.model not in ready), None)

    def busy(self, ready: Collection[str], coming: str | None = None) -> set[str]:
        """The models of what is begun, or may be now. The others may leave: nothing here holds on to them."""
        self._forget()
        return {item.model for item in self.line if item.shape is not None} | {item.model for item in self.newcomers(ready, coming)}

    def _forget(self) -> None:
        """The shapes that nobody in line has: a shape holds on to its model, which is large."""
        shapes = {item.shape for item in self.line}
        self._turns = [shape for shape in self._turns if shape in shapes]

    def _waited(self, model: str) -> float:
        """Seconds that somebody has waited for it; none for who came just now."""
        now = self._clock()
        return now - self._missed.get(model, now)

    def _watch(self, ready: Collection[str]) -> None:
        if not self._ready.issuperset(ready):
            self._missed = {}
        self._ready = set(ready)
        missing = [item.model for item in self.line if item.model not in ready]
        self._missed = {model: self._missed.get(model, self._clock()) for model in missing}
