"""Who shares the next step. Plain Python: a line of items, each with a `shape`, and the rule that takes the next group out of it.

Only the first `room` of the line are in play, so what is begun stays bounded however long the line grows. Among these the shapes
take turns, and of the shape whose turn it is the first `cap(shape)` go, in the order they came. So nobody starves: a shape is
served within as many ticks as there are shapes in play, and within it the oldest always goes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar


class Shaped(Protocol):
    @property
    def shape(self) -> Hashable: ...


T = TypeVar("T", bound=Shaped)


class Batcher(Generic[T]):
    """`cap` says of a shape how many may share one step; `room` how many of the line may be begun at once."""

    def __init__(self, cap: Callable[[Hashable], int], room: int) -> None:
        self.line: list[T] = []
        self._cap = cap
        self._room = room
        self._turns: list[Hashable] = []  # the shapes in play, next first

    def add(self, item: T) -> None:
        self.line.append(item)

    def remove(self, item: T) -> None:
        self.line.remove(item)

    def next(self) -> list[T]:
        """The items that go now, all of one shape; empty when nobody is in line."""
        groups: dict[Hashable, list[T]] = {}
        for item in self.line[: self._room]:
            groups.setdefault(item.shape, []).append(item)
        if not groups:
            return []
        known = [shape for shape in self._turns if shape in groups]
        shape, *others = known + [shape for shape in groups if shape not in known]
        self._turns = [*others, shape]
        return groups[shape][: self._cap(shape)]
