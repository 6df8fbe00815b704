"""Who goes next. Plain Python: a line of items, first come first served, each wanting a model and, once it is begun, having a `shape`.

Items of one shape share a step. Of those in play the shapes take turns, and of the shape whose turn it is the first `cap(shape)` go,
in the order they came; so nobody starves: a shape is served within as many ticks as there are shapes in play, and within it the
oldest always goes. In play is whatever is begun; only `room` items may be, so what is held stays bounded however long the line grows.

Items whose model is not at hand wait for it to be loaded. Those that came after them go first for `patience` seconds; then nobody
who came later is begun, so the others run dry and make room.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Hashable
from typing import Generic, Protocol, TypeVar


class Item(Protocol):
    model: str
    came: float  # by time.monotonic

    @property
    def shape(self) -> Hashable | None: ...  # None until it is begun


T = TypeVar("T", bound=Item)


class Batcher(Generic[T]):
    """`cap` says of a shape how many may share one step."""

    def __init__(self, cap: Callable[[Hashable], int], room: int, patience: float = 30.0) -> None:
        self.line: list[T] = []
        self.room, self.patience = room, patience
        self._cap = cap
        self._turns: list[Hashable] = []  # the shapes in play, next first

    def add(self, item: T) -> None:
        self.line.append(item)

    def remove(self, item: T) -> None:
        self.line.remove(item)

    def next(self) -> list[T]:
        """The items that go now, all of one shape; empty when nothing is begun."""
        groups: dict[Hashable, list[T]] = {}
        for item in self.line:
            if item.shape is not None:
                groups.setdefault(item.shape, []).append(item)
        if not groups:
            return []
        known = [shape for shape in self._turns if shape in groups]
        shape, *others = known + [shape for shape in groups if shape not in known]
        self._turns = [*others, shape]
        return groups[shape][: self._cap(shape)]

    def newcomers(self, ready: Collection[str]) -> list[T]:
        """Who may be begun now, the models that are `ready` given, in the order they came."""
        begun = sum(item.shape is not None for item in self.line)
        found: list[T] = []
        for item in self.line:
            if item.model not in ready and time.monotonic() - item.came > self.patience:
                break
            if item.shape is None and item.model in ready:
                found.append(item)
        return found[: max(0, self.room - begun)]

    def wanted(self, ready: Collection[str]) -> str | None:
        """The model that whoever waits longest for one waits for."""
        return next((item.model for item in self.line if item.model not in ready), None)

    def busy(self) -> set[str]:
        """The models of what is begun."""
        return {item.model for item in self.line if item.shape is not None}
