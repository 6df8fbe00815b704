"""Who shares a step: shapes take turns, the oldest of a shape go first, and no more are in play than there is room for."""

from __future__ import annotations

import random
from dataclasses import dataclass

from webapp.engine.batcher import Batcher


@dataclass(eq=False)
class Item:
    name: str
    shape: str
    left: int = 3


def line(*items: Item, cap: int = 4, room: int = 8) -> Batcher[Item]:
    batcher: Batcher[Item] = Batcher(lambda shape: cap, room)
    for item in items:
        batcher.add(item)
    return batcher


def names(group: list[Item]) -> str:
    return "".join(item.name for item in group)


def test_nobody_in_line_is_nobody_to_go() -> None:
    assert line().next() == []


def test_one_shape_goes_together_up_to_the_cap_in_order_of_arrival() -> None:
    batcher = line(*(Item(name, "s") for name in "abcdef"), cap=4)
    assert names(batcher.next()) == "abcd"
    assert names(batcher.next()) == "abcd"
    batcher.remove(batcher.line[1])
    assert names(batcher.next()) == "acde"


def test_shapes_take_turns_and_never_mix() -> None:
    batcher = line(Item("a", "s"), Item("b", "m"), Item("c", "s"), Item("d", "l"))
    assert [names(batcher.next()) for _ in range(6)] == ["ac", "b", "d", "ac", "b", "d"]


def test_a_newcomer_of_a_shape_on_its_way_joins_the_next_step() -> None:
    batcher = line(Item("a", "s"))
    batcher.next()
    batcher.add(Item("b", "s"))
    assert names(batcher.next()) == "ab"


def test_a_new_shape_waits_for_the_others_turns_once() -> None:
    batcher = line(Item("a", "s"), Item("b", "m"))
    batcher.next()  # s; m is next
    batcher.add(Item("c", "l"))
    assert [names(batcher.next()) for _ in range(4)] == ["b", "a", "c", "b"]


def test_a_cap_may_differ_by_shape() -> None:
    batcher: Batcher[Item] = Batcher({"s": 3, "l": 1}.__getitem__, room=8)
    for name, shape in ["as", "bl", "cs", "dl", "es"]:
        batcher.add(Item(name, shape))
    assert [names(batcher.next()) for _ in range(2)] == ["ace", "b"]


def test_beyond_the_room_nobody_is_in_play() -> None:
    batcher = line(*(Item(name, "s") for name in "abc"), Item("z", "l"), cap=2, room=3)
    assert {names(batcher.next()) for _ in range(4)} == {"ab"}
    batcher.remove(batcher.line[0])
    assert {names(batcher.next()) for _ in range(4)} == {"bc", "z"}


def test_under_a_stream_of_new_shapes_nobody_starves() -> None:
    """Whatever arrives, an item among the first `room` goes within `room` ticks of having the oldest place of its shape."""
    rng = random.Random(0)
    batcher: Batcher[Item] = Batcher(lambda shape: 2, room=4)
    patient = Item("p", "patient", left=10)
    batcher.add(patient)
    waited = longest = 0
    for tick in range(200):
        batcher.add(Item(str(tick), rng.choice([f"new{tick}", "s", "m"]), left=1))
        group = batcher.next()
        waited = 0 if patient in group else waited + 1
        longest = max(longest, waited)
        for item in group:
            item.left -= 1
            if item.left == 0:
                batcher.remove(item)
        if patient.left == 0:
            break
    assert patient.left == 0
    assert longest < 4


def test_everybody_gets_done_in_the_order_of_their_shape() -> None:
    batcher = line(*(Item(name, shape) for name, shape in zip("abcdefgh", "smsmsllm", strict=True)), cap=2, room=5)
    done: list[Item] = []
    while group := batcher.next():
        for item in group:
            item.left -= 1
            if item.left == 0:
                batcher.remove(item)
                done.append(item)
    for shape in "sml":
        assert names([item for item in done if item.shape == shape]) == {"s": "ace", "m": "bdh", "l": "fg"}[shape]
