"""How long it will take: from what the steps of this model and size took lately, and from who goes when. Plain Python."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from webapp.engine.batcher import place
from webapp.schema import Defaults, GenerationRequest, enlarged

RECENT = 0.1  # how much the latest step counts at least against those before it
ROOM = 16  # pictures that the engine has begun at once
FAR = 500  # pictures; what comes after them is not foreseen
Kind = tuple[str, int, int, bool]  # model, width, height in pixels, guided


@dataclass
class Work:
    """A job as estimates see it: whose it is, what is left of its pictures, and whether it is being drawn."""

    owner: str
    pieces: list[Piece]
    begun: bool = False


@dataclass
class Piece:
    """What is left of one picture: for each pass its kind and how many steps, and the seconds of all that comes after the steps."""

    passes: list[tuple[Kind, int]]
    rest: float


class Mean:
    """Of what was noted, the latest counting most."""

    def __init__(self) -> None:
        self.value, self._count = 0.0, 0

    def note(self, value: float) -> None:
        self._count += 1
        self.value += max(RECENT, 1 / self._count) * (value - self.value)


class Pace:
    """What things took: a step by its kind and by how many shared it; what comes before and after the steps; a sampler's calls."""

    def __init__(self) -> None:
        self._steps: dict[Kind, dict[int, Mean]] = defaultdict(lambda: defaultdict(Mean))
        self._rests: dict[tuple, Mean] = defaultdict(Mean)
        self._calls: dict[str, float] = {}

    def note_step(self, kind: Kind, together: int, seconds: float) -> None:
        """A step that so many pictures shared took so many seconds."""
        self._steps[kind][together].note(seconds)

    def note_rest(self, request: GenerationRequest, seconds: float) -> None:
        """All but the steps of this picture, a request with every field filled in, took so many seconds."""
        self._rests[_rest(request)].note(seconds)

    def note_calls(self, request: GenerationRequest, steps: int) -> None:
        """The engine makes so many steps of this picture's, a request with every field filled in. Of one that goes on to an upscaler's
        steps nothing is learnt."""
        if request.sampler and request.upscaler == "lanczos" and (planned := sum(count for _, count in self._passes(request, 1.0))):
            self._calls[request.sampler] = steps / planned

    def step(self, kind: Kind, together: int = 1) -> float | None:
        """Seconds of a step that so many share; of a kind not drawn yet by its area, from the nearest one of the same model. None when
        nothing is known."""
        if kind not in self._steps:
            model, width, height, guided = kind
            near = [(abs(w * h - width * height), (w, h, g)) for m, w, h, g in self._steps if m == model]
            if not near:
                return None
            w, h, g = min(near)[1]
            found = self.step((model, w, h, g), together)
            return found and found * (width * height) / (w * h) * ((1 + guided) / (1 + g))
        known = self._steps[kind]
        nearest = min(list(known), key=lambda count: abs(count - together))
        return known[nearest].value * together / nearest

    def piece(self, asked: GenerationRequest, defaults: Defaults, step: int = 0, steps: int = 0) -> Piece | None:
        """What is left of a picture after `step` of its `steps`; before these are known, as many as it asks for. None when nothing is
        known of the like."""
        request = asked.filled(defaults)
        passes = self._passes(request, self._calls.get(request.sampler or "", 1.0))
        if any(self.step(kind) is None for kind, _ in passes):
            return None
        if steps:
            passes[-1] = passes[-1][0], max(1, passes[-1][1] + steps - sum(count for _, count in passes))
        left = []
        for kind, count in passes:
            left.append((kind, max(0, count - step)))
            step = max(0, step - count)
        rest = self._rests.get(_rest(request))
        return Piece([each for each in left if each[1]], rest.value if rest else self._like(request))

    def _like(self, request: GenerationRequest) -> float:
        """The rest of a picture of a size not drawn yet, by its area from the nearest one; 0 when nothing is known."""
        assert request.width and request.height
        area = request.width * request.height
        near = [(abs(key[1] * key[2] - area), key) for key in list(self._rests) if key[0] == request.model]
        if not near:
            return 0.0
        key = min(near)[1]
        return self._rests[key].value * area / (key[1] * key[2])

    def _passes(self, request: GenerationRequest, calls: float) -> list[tuple[Kind, int]]:
        """The passes of a request with every field filled in, and their steps."""
        assert request.width and request.height and request.steps and request.guidance is not None
        guided = request.guidance > 1
        width = request.width + request.outpaint_left + request.outpaint_right
        height = request.height + request.outpaint_up + request.outpaint_down
        strength = request.strength if request.image and request.strength is not None else 1.0
        passes = [((request.model, width, height, guided), _some(request.steps * strength * calls))]
        if request.hires_scale > 1 and not (request.mask or request.outpaints):
            larger = (enlarged(side, request.hires_scale) for side in (width, height))
            steps = (request.hires_steps or request.steps) * (request.hires_strength or 0)
            passes.append(((request.model, *larger, guided), _some(steps * calls)))
        return passes

    def seconds_per_step(self) -> dict[str, float]:
        """Of one picture alone, by model and size, for people to read."""
        return {
            f"{model} {width} x {height}".strip(): self.step((model, width, height, g)) or 0
            for model, width, height, g in list(self._steps)
        }


def _some(steps: float) -> int:
    return max(1, int(steps + 1e-6))


def _rest(request: GenerationRequest) -> tuple:
    return request.model, request.width, request.height, request.hires_scale, request.upscale, request.upscaler, bool(request.controls)


def finish_times(
    work: Sequence[Work],
    served: Mapping[str, float],
    slots: int,
    cost: Callable[[Kind, int], float],
    together: Callable[[Kind], int],
) -> list[tuple[float, float]]:
    """When each job begins and ends, in seconds from now. Of `work` those come first that are begun; then each person's in their order.

    The queue's turns, and the engine's loop without drawing. `slots` jobs are drawn at once; the next is of whoever has the least in
    work, then of whoever was `served` longest ago. The sizes take turns step by step, and of one size as many as go `together` share a
    step, the owners in turn. `cost` gives the seconds of a step that so many share.
    """
    times = [(0.0, 0.0)] * len(work)
    missing = [len(job.pieces) for job in work]
    waiting: dict[str, deque[int]] = defaultdict(deque)
    for job, each in enumerate(work):
        waiting[each.owner].append(job)
    order, in_work = dict(served), Counter[str]()
    line: list[tuple[int, list[list], float]] = []  # of each picture its job, its passes, what comes after them
    now = 0.0

    def begin(job: int) -> None:
        owner = work[job].owner
        waiting[owner].remove(job)
        order[owner] = max(order.values(), default=0.0) + 1
        times[job] = (now, now)
        for piece in work[job].pieces:
            at = place([work[other].owner for other, *_ in line], owner)
            line.insert(at, (job, [list(each) for each in piece.passes], piece.rest))
        in_work[owner] += bool(missing[job])

    for job in [job for job, each in enumerate(work) if each.begun]:
        begin(job)
    while True:
        while in_work.total() < slots and (least := [owner for owner, theirs in waiting.items() if theirs]):
            begin(waiting[min(least, key=lambda owner: (in_work[owner], order.get(owner, 0.0), waiting[owner][0]))][0])
        if not line:
            return times
        now += _advance(line[:ROOM], cost, together)
        for picture in [picture for picture in line[:ROOM] if not picture[1]]:
            job, _, rest = picture
            now += rest
            line.remove(picture)
            missing[job] -= 1
            if not missing[job]:
                times[job] = (times[job][0], now)
                in_work[work[job].owner] -= 1


def _advance(begun: Sequence[tuple[int, list[list], float]], cost: Callable[[Kind, int], float], together: Callable[[Kind], int]) -> float:
    """Takes the pictures that are `begun` to the next end of a pass; how many seconds that takes. At once if one has no steps left."""
    if not all(passes for _, passes, _ in begun):
        return 0.0
    groups: dict[tuple, list[list[list]]] = defaultdict(list)
    for _, passes, _ in begun:
        kind = passes[0][0]
        if len(groups[kind[:3]]) < together(kind):
            groups[kind[:3]].append(passes)
    steps = min(passes[0][1] for group in groups.values() for passes in group)
    seconds = steps * sum(cost(group[0][0][0], len(group)) for group in groups.values())
    for passes in (passes for group in groups.values() for passes in group):
        passes[0][1] -= steps
        if not passes[0][1]:
            del passes[0]
    return seconds
