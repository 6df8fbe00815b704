"""How long it will take: from the seconds that a step of this model and size took lately, and from who goes when. Plain Python."""

from __future__ import annotations

from collections.abc import Sequence

from webapp.schema import Defaults, GenerationRequest

RECENT = 0.3  # how much the latest picture counts against those before it
Kind = tuple[str, int, int, bool]  # model, width, height in pixels, guided


class Pace:
    """The engine's seconds for a step of one picture, everything counted in: its share of each step, its beginning and its decoding."""

    def __init__(self) -> None:
        self._seconds: dict[Kind, float] = {}

    def note(self, kind: Kind, steps: int, seconds: float) -> None:
        """A picture of this kind took so many seconds of the engine's time."""
        known = self._seconds.get(kind)
        latest = seconds / max(1, steps)
        self._seconds[kind] = latest if known is None else (1 - RECENT) * known + RECENT * latest

    def left(self, request: GenerationRequest, defaults: Defaults, step: int = 0, steps: int = 0) -> float | None:
        """The seconds a picture still needs after `step` of its `steps`; before these are known, as many as it asks for."""
        request = request.model_copy(update={name: value for name, value in defaults if getattr(request, name) is None})
        a_step = self.step(kind(request))
        if a_step is None:
            return None
        assert request.steps
        asked = request.steps if not request.image or request.strength is None else max(1, int(request.steps * request.strength))
        return a_step * max(0, (steps or asked) - step)

    def step(self, kind: Kind) -> float | None:
        """Seconds; of a size not drawn yet by its area, from the nearest one of the same model. None when nothing is known."""
        if kind in self._seconds:
            return self._seconds[kind]
        model, width, height, guided = kind
        near = [(abs(w * h - width * height), (w, h, g)) for m, w, h, g in self._seconds if m == model]
        if not near:
            return None
        w, h, g = min(near)[1]
        return self._seconds[model, w, h, g] * (width * height) / (w * h) * ((1 + guided) / (1 + g))


def kind(request: GenerationRequest) -> Kind:
    """Of a request with every field filled in."""
    assert request.width and request.height and request.guidance is not None
    return request.model, request.width, request.height, request.guidance > 1


def finish_times(work: Sequence[tuple[float, int]], slots: int) -> list[tuple[float, float]]:
    """When each job begins and ends, in seconds from now. `work` in the order of turns: the engine's seconds that a job still needs,
    and how many pictures share them. `slots` jobs are drawn at once, each picture getting an equal share of the engine."""
    times = [(0.0, 0.0)] * len(work)
    left = [max(0.0, seconds) for seconds, _ in work]
    running: list[int] = []
    now, following = 0.0, 0
    while running or following < len(work):
        while following < len(work) and len(running) < slots:
            times[following] = (now, now)
            running.append(following)
            following += 1
        shares = {job: max(1, work[job][1]) for job in running}
        whole = sum(shares.values())
        passed = min(left[job] * whole / shares[job] for job in running)  # until the next one ends
        now += passed
        for job in running:
            left[job] -= passed * shares[job] / whole
        for job in [job for job in running if left[job] <= 1e-9]:
            times[job] = (times[job][0], now)
            running.remove(job)
    return times
