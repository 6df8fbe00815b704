"""Who shares a step: shapes take turns, within a shape owners do and of each the oldest goes first, no more are in play than there is room for, and who waits for a
model is waited for in turn."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from webapp.engine.batcher import Batcher


@dataclass(eq=False)
class Item:
    name: str
    wish: str  # the shape it has once it is begun
    model: str = ""
    left: int = 3
    shape: str | None = None
    owner: str = ""


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def line(*items: Item, cap: Callable[[Hashable], int] = lambda shape: 4, room: int = 8, clock: Clock | None = None) -> Batcher[Item]:
    batcher: Batcher[Item] = Batcher(cap, room, patience=30, clock=clock or Clock())
    for item in items:
        batcher.add(item)
    return batcher


def begin(batcher: Batcher[Item], *ready: str) -> str:
    """Begins whoever may be, and tells who."""
    new = batcher.newcomers(ready or ("",))
    for item in new:
        item.shape = item.wish
    return names(new)


def tick(batcher: Batcher[Item]) -> str:
    begin(batcher)
    return names(batcher.next())


def names(group: list[Item]) -> str:
    return "".join(item.name for item in group)


def test_nobody_in_line_is_nobody_to_go() -> None:
    batcher = line()
    assert batcher.next() == batcher.newcomers([""]) == []
    assert batcher.wanted([""]) is None
    assert batcher.busy([""]) == set()


def test_who_is_not_begun_does_not_go() -> None:
    batcher = line(Item("a", "s"))
    assert batcher.next() == []
    assert begin(batcher) == "a"
    assert begin(batcher) == ""
    assert names(batcher.next()) == "a"


def test_one_shape_goes_together_up_to_the_cap_in_order_of_arrival() -> None:
    batcher = line(*(Item(name, "s") for name in "abcdef"))
    assert tick(batcher) == "abcd"
    assert tick(batcher) == "abcd"
    batcher.remove(batcher.line[1])
    assert tick(batcher) == "acde"


def test_at_a_cap_of_one_the_first_is_done_first() -> None:
    batcher = line(*(Item(name, "s") for name in "abc"), cap=lambda shape: 1)
    done = ""
    while batcher.line:
        (item,) = batcher.next() or batcher.newcomers([""])[:1]
        item.shape = "s"
        item.left -= 1
        if not item.left:
            batcher.remove(item)
            done += item.name
    assert done == "abc"


def test_shapes_take_turns_and_never_mix() -> None:
    batcher = line(Item("a", "s"), Item("b", "m"), Item("c", "s"), Item("d", "l"))
    assert [tick(batcher) for _ in range(6)] == ["ac", "b", "d", "ac", "b", "d"]


def test_a_newcomer_of_a_shape_on_its_way_joins_the_next_step() -> None:
    batcher = line(Item("a", "s"))
    tick(batcher)
    batcher.add(Item("b", "s"))
    assert tick(batcher) == "ab"


def test_a_new_shape_waits_for_the_others_turns_once() -> None:
    batcher = line(Item("a", "s"), Item("b", "m"))
    tick(batcher)  # s; m is next
    batcher.add(Item("c", "l"))
    assert [tick(batcher) for _ in range(4)] == ["b", "a", "c", "b"]


def test_a_cap_may_differ_by_shape() -> None:
    batcher = line(*(Item(name, shape) for name, shape in ["as", "bl", "cs", "dl", "es"]), cap={"s": 3, "l": 1}.__getitem__)
    assert [tick(batcher) for _ in range(2)] == ["ace", "b"]


def test_no_more_are_begun_than_there_is_room_for() -> None:
    batcher = line(*(Item(name, "s") for name in "abc"), Item("z", "l"), cap=lambda shape: 2, room=3)
    assert begin(batcher) == "abc"
    assert {tick(batcher) for _ in range(4)} == {"ab"}
    batcher.remove(batcher.line[0])
    assert begin(batcher) == "z"
    assert {tick(batcher) for _ in range(4)} == {"bc", "z"}


def test_a_shape_is_not_remembered_when_nobody_has_it() -> None:
    """A shape holds on to its model, which is large."""
    batcher = line(Item("a", "s"), Item("b", "m"))
    tick(batcher)
    batcher.remove(batcher.line[0])
    assert batcher._turns == ["m"]
    for forgets in (batcher.next, lambda: batcher.busy([])):
        assert names(batcher.next()) == "b" and batcher._turns == ["m"]
        batcher.line[0].shape = None  # back to the line, to wait for another model
        assert not forgets() and batcher._turns == []
        batcher.line[0].shape = "m"


def test_owners_take_turns_and_one_owners_items_keep_their_order() -> None:
    batcher = line(*(Item(f"a{n} ", "s", owner="ann") for n in range(1, 5)))
    for name, owner in (("b1 ", "bob"), ("c1 ", "cem"), ("b2 ", "bob"), ("a5 ", "ann")):
        batcher.add(Item(name, "s", owner=owner))
    assert names(batcher.line) == "a1 b1 c1 a2 b2 a3 a4 a5 "
    batcher.remove(batcher.line[0])
    batcher.add(Item("d1 ", "s", owner="dan"))
    assert names(batcher.line) == "b1 c1 a2 d1 b2 a3 a4 a5 ", "nobody's first is passed"


def test_who_asks_for_one_waits_for_one_of_another_though_all_room_is_taken() -> None:
    batcher = line(*(Item("a", "s", owner="ann") for _ in range(24)), cap=lambda shape: 1, room=16)
    assert begin(batcher) == "a" * 16
    (first,) = batcher.next()
    batcher.add(bobs := Item("b", "s", owner="bob"))
    assert batcher.next() == [first], "who is being drawn goes on"
    batcher.remove(first)
    assert tick(batcher) == "b"
    batcher.remove(bobs)
    assert tick(batcher) == "a"


def test_owners_share_a_step() -> None:
    batcher = line(*(Item("a", "s", owner="ann") for _ in range(8)), Item("b", "s", owner="bob"))
    assert sorted(tick(batcher)) == ["a", "a", "a", "b"]


def test_an_owner_who_always_comes_again_starves_nobody() -> None:
    batcher = line(*(Item("a", "s", owner="ann", left=1) for _ in range(5)), cap=lambda shape: 1)
    done = ""
    while len(done) < 9:
        if "b" not in names(batcher.line):
            batcher.add(Item("b", "s", owner="bob", left=1))
        begin(batcher)
        (item,) = batcher.next()
        batcher.remove(item)
        done += item.name
    assert done == "ababababa"


def test_under_a_stream_of_new_shapes_nobody_starves() -> None:
    """Whatever arrives, an item among the first `room` goes within `room` ticks of having the oldest place of its shape."""
    rng = random.Random(0)
    batcher = line(patient := Item("p", "patient", left=10), cap=lambda shape: 2, room=4)
    waited = longest = 0
    for place in range(200):
        batcher.add(Item(str(place), rng.choice([f"new{place}", "s", "m"]), left=1))
        begin(batcher)
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
    batcher = line(*(Item(name, shape) for name, shape in zip("abcdefgh", "smsmsllm", strict=True)), cap=lambda shape: 2, room=5)
    done: list[Item] = []
    while batcher.line:
        begin(batcher)
        for item in batcher.next():
            item.left -= 1
            if item.left == 0:
                batcher.remove(item)
                done.append(item)
    for shape in "sml":
        assert names([item for item in done if item.wish == shape]) == {"s": "ace", "m": "bdh", "l": "fg"}[shape]


def test_later_ones_go_first_for_a_while_and_then_nobody_who_came_later() -> None:
    clock = Clock()
    batcher = line(Item("a", "s"), Item("b", "s", "B"), Item("c", "s"), clock=clock)
    assert begin(batcher, "") == "ac"
    clock.now = 30
    batcher.add(Item("d", "s"))
    assert begin(batcher, "") == "d"
    clock.now = 30.1
    batcher.add(Item("e", "s"))
    batcher.line.insert(0, Item("0", "s"))  # who came before goes on
    assert begin(batcher, "") == "0"
    assert batcher.wanted([""]) == "B"
    assert begin(batcher, "", "B") == "be"


def test_wanted_is_the_model_of_whoever_waits_longest() -> None:
    batcher = line(Item("a", "s"), Item("c", "s", "C"), Item("b", "s", "B"), Item("d", "s", "C"))
    assert batcher.wanted([""]) == "C"
    assert batcher.wanted(["", "C"]) == "B"
    assert batcher.wanted(["", "B", "C"]) is None


def test_busy_are_the_models_of_those_begun_and_of_those_who_may_be() -> None:
    clock = Clock()
    batcher = line(Item("a", "s"), Item("b", "s", "B"), Item("c", "s", "C"), room=1, clock=clock)
    assert batcher.busy(["", "C"]) == {""}  # there is no room to begin c
    begin(batcher)
    batcher.room = 8
    assert batcher.busy(["", "C"]) == {"", "C"}
    clock.now = 31
    assert batcher.busy(["", "C"]) == {""}  # c came after b
    assert batcher.busy([]) == {""}


def test_when_a_model_has_come_everybodys_patience_begins_anew() -> None:
    """Loading took longer than patience lasts; without this the model would leave as soon as it is there."""
    clock = Clock()
    batcher = line(Item("b", "s", "B"), Item("a", "s", "A"), Item("c", "s", "B"), clock=clock)
    assert begin(batcher, "other") == ""
    clock.now = 50
    assert begin(batcher, "B") == "bc"
    clock.now = 79
    batcher.add(Item("d", "s", "B"))
    assert begin(batcher, "B") == "d"
    clock.now = 81
    batcher.add(Item("e", "s", "B"))
    assert begin(batcher, "B") == ""


def test_where_one_model_has_room_two_streams_take_turns() -> None:
    """Somebody comes for either model every second; a picture takes two, loading five. Both get half, in turns of about `patience`."""
    clock = Clock()
    batcher = line(cap=lambda shape: 4, clock=clock)
    ready, loaded_at, switches = {"A"}, 0.0, 0
    done = {"A": 0, "B": 0}
    waited: list[float] = []
    came: dict[Item, float] = {}
    for second in range(600):
        clock.now = second
        for model in "AB":
            batcher.add(item := Item("x", model, model, left=2))
            came[item] = second
        busy = batcher.busy(ready)
        wanted = batcher.wanted(ready)
        if wanted and not busy:
            ready, loaded_at, switches = {wanted}, second + 5, switches + 1
        if second < loaded_at:
            continue
        begin(batcher, *ready)
        for item in batcher.next():
            item.left -= 1
            if not item.left:
                batcher.remove(item)
                done[item.model] += 1
                waited.append(second - came[item])
    assert 10 <= switches <= 25  # not one for every picture
    assert 0.7 < done["A"] / done["B"] < 1.4
    assert max(waited) < 200


def test_nobody_stands_back_for_a_model_that_is_being_loaded() -> None:
    clock, other, mine = Clock(), Item("other", "x", model="b"), Item("mine", "x", model="a")
    batcher = line(other, mine, clock=clock)
    assert batcher.newcomers({"a"}) == [mine]
    clock.now = 300.0
    assert batcher.newcomers({"a"}) == []
    assert batcher.newcomers({"a"}, coming="b") == [mine]


def test_who_comes_while_the_line_is_looked_through_waits_like_the_others() -> None:
    """Another thread may add at any moment; here it does when the clock is read."""

    def clock() -> float:
        if len(batcher.line) == 1:
            batcher.add(Item("c", "s", "C"))
        return 0.0

    batcher: Batcher[Item] = Batcher(lambda shape: 4, room=8, clock=clock)
    batcher.add(Item("b", "s", "B"))
    assert batcher.newcomers([""]) == [] and names(batcher.line) == "bc"
