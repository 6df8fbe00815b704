"""How long it will take: from what the steps of this model and size took lately, and from who goes when. Plain Python."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from webapp.schema import Defaults, GenerationRequest

RECENT = 0.1  # how much the latest step counts at least against those before it
ROOM = 16  # pictures that the engine has begun at once
FAR = 500  # pictures; what comes after them is not foreseen
Kind = tuple[str, int, int, bool]  # model, width, height in pixels, guided


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
        """The engine makes so many steps of this picture's."""
        if request.sampler and (planned := sum(count for _, count in self._passes(request, 1.0))):
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
        request = asked.model_copy(update={name: value for name, value in defaults if getattr(asked, name) is None})
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
        strength = 1.0 if not request.image or request.mask or request.strength is None else request.strength
        passes = [((request.model, width, height, guided), _some(request.steps * strength * calls))]
        if request.hires_scale > 1 and not request.mask:
            larger = (max(64, round(side * request.hires_scale / 8) * 8) for side in (width, height))
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
    work: Sequence[Sequence[Piece]], slots: int, cost: Callable[[Kind, int], float], together: Callable[[Kind], int]
) -> list[tuple[float, float]]:
    """When each job begins and ends, in seconds from now. `work` has the jobs in the order of turns, each with what is left of its
    pictures; `slots` jobs are drawn at once.

    The engine's own loop, without drawing: the sizes take turns step by step, and of one size as many as go `together` share a step,
    in the order they came. `cost` gives the seconds of a step that so many share.
    """
    times = [(0.0, 0.0)] * len(work)
    open_pictures = [len(pieces) for pieces in work]
    line: list[tuple[int, list[list], float]] = []  # job, passes, rest
    now, running, following = 0.0, 0, 0
    while True:
        while following < len(work) and running < slots:
            times[following] = (now, now)
            line += [(following, [list(each) for each in piece.passes], piece.rest) for piece in work[following]]
            running += bool(work[following])
            following += 1
        if not line:
            return times
        groups: dict[tuple, list[tuple[int, list[list], float]]] = {}
        for picture in line[:ROOM]:
            kind = picture[1][0][0] if picture[1] else None
            group = groups.setdefault(kind[:3] if kind else (), [])
            if kind is None or len(group) < together(kind):
                group.append(picture)
        done = groups.pop((), [])
        if not done:
            rounds = min(picture[1][0][1] for group in groups.values() for picture in group)
            now += rounds * sum(cost(group[0][1][0][0], len(group)) for group in groups.values())
            for picture in (picture for group in groups.values() for picture in group):
                picture[1][0][1] -= rounds
                if not picture[1][0][1]:
                    del picture[1][0]
            done = [picture for group in groups.values() for picture in group if not picture[1]]
        for picture in done:
            now += picture[2]
            line.remove(picture)
            open_pictures[picture[0]] -= 1
            if not open_pictures[picture[0]]:
                times[picture[0]] = (times[picture[0]][0], now)
                running -= 1
