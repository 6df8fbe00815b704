"""What sharing steps gains, and that it costs nothing where it gains nothing: the engine with the number of pictures a step that it
measured for itself, against the same engine drawing one picture at a time, on the built-in model, side by side in one run.

    scripts/bench                          some minutes
    scripts/bench --rounds 11 --threads 2  more rounds; torch's threads on a CPU

1. Steep: the model's own size in its own precision, where a step for eight costs far less than eight steps. 24 pictures are asked for
   at once. Claim: together they are done sooner.
2. Flat: 384 x 384 in float32, where on a CPU a step for two costs as much as two steps. People come at random (exponential gaps, the same
   for both sides) and keep the machine busy for 80 % of the time. Claim: the number chosen lets nobody wait longer on average.

The sides take turns at going first; a ratio is the median of each round's, above 1 where sharing is better. Exits with 1 if the first
ratio is not above 1, or the second more than MARGIN below it. With one thread on a CPU seconds are those that this process had the CPU
for, so that other programs hardly matter; else they are the wall's, and nothing else should run. Time in which nobody is there is
skipped.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean, median

import torch

from webapp.engine import calibrate, checkpoint
from webapp.engine.checkpoint import Checkpoint
from webapp.engine.engine import Engine
from webapp.engine.events import Finished
from webapp.schema import GenerationRequest

PICTURES, STEPS = 24, 10  # at once, of the model's own size
VISITORS, FLAT_STEPS, FLAT_SIDE, LOAD = 16, 6, 384, 0.8
MARGIN = 0.1  # a queue makes much of little: the same side against itself swings by half of that


class Clock:
    """Seconds that are worth comparing: the process's own where those say how long its one thread has worked, else the wall's."""

    def __init__(self, model: Checkpoint) -> None:
        self._read = time.process_time if model.device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
        self._skipped = 0.0

    def now(self) -> float:
        return self._read() + self._skipped

    def skip_to(self, moment: float) -> None:
        self._skipped += max(0.0, moment - self.now())


@dataclass
class Run:
    """What it took until all pictures were there, and from asking for each to having it, in seconds."""

    total: float
    latencies: list[float]

    @property
    def latency(self) -> float:
        return mean(self.latencies)


def draw(engine: Engine, requests: list[GenerationRequest], gaps: list[float]) -> Run:
    """Submits each request after its gap, in seconds. Raises RuntimeError when one is not drawn."""
    clock, latencies = Clock(engine.checkpoint), []

    def visit(request: GenerationRequest, came: float) -> None:
        ended = [event for event in engine.submit(request) if isinstance(event, Finished)]
        latencies.append(clock.now() - came if ended else float("nan"))

    start = due = clock.now()
    visitors: list[threading.Thread] = []
    for request, gap in zip(requests, gaps, strict=True):
        due += gap
        while clock.now() < due:
            if len(latencies) == len(visitors):
                clock.skip_to(due)
            time.sleep(0.005)
        visitors.append(threading.Thread(target=visit, args=(request, due)))
        visitors[-1].start()
    for visitor in visitors:
        visitor.join()
    if not math.isfinite(sum(latencies)):
        raise RuntimeError("Not all pictures were drawn.")
    return Run(clock.now() - start, latencies)


def compare(model: Checkpoint, requests: list[GenerationRequest], gaps: list[float], rounds: int) -> list[tuple[Run, Run]]:
    """A round's runs: sharing, and one at a time. Both engines have drawn two pictures before, so that all is measured and warm."""
    engines = Engine(model, preview_interval=3600), Engine(model, max_batch=1, preview_interval=3600)
    for engine in engines:
        draw(engine, requests[:2], [0.0, 0.0])
    print(f"  chosen by the engine: {engines[0]._shelf.models[''].knees} (latents' height and width)")
    pairs: list[tuple[Run, Run]] = []
    for number in range(rounds):
        order = (0, 1) if number % 2 == 0 else (1, 0)
        runs = {side: draw(engines[side], requests, gaps) for side in order}
        pairs.append((runs[0], runs[1]))
    for engine in engines:
        engine.close()
    return pairs


def curve(model: Checkpoint, side: int) -> None:
    """Prints the seconds a step takes by how many share it, and what is made of that."""
    latents = side // model.space.factor
    seconds = calibrate.measure(calibrate.unet_step(model, latents, latents), 2 * calibrate.AT_START, Clock(model).now)
    rates = ", ".join(f"{count}: {1000 * taken:.0f} ms (x {count * seconds[1] / taken:.2f})" for count, taken in seconds.items())
    print(f"  a step of 1, 2, 4, 8 pictures: {rates}; {calibrate.knee(seconds)} share one")


def report(pairs: list[tuple[Run, Run]], measure: Callable[[Run], float], words: str) -> float:
    """Prints a line, and gives the ratio: one at a time to sharing."""
    shared, alone = ([measure(run) for run in side] for side in zip(*pairs, strict=True))
    each = [b / a for a, b in zip(shared, alone, strict=True)]
    low, high = min(each), max(each)
    print(f"  {words:26}{median(shared):8.2f} s sharing{median(alone):8.2f} s in turn   ratio {median(each):.2f} ({low:.2f} to {high:.2f})")
    return median(each)


def steep(rounds: int) -> bool:
    model = checkpoint.load("builtin", report=lambda _: None)
    size = model.defaults.width
    print(f"\nSteep: {PICTURES} pictures of {size} x {size}, {STEPS} steps, at once; {model.device.type}, {str(model.dtype)[6:]}")
    curve(model, size)
    requests = [GenerationRequest(prompt="a red circle", seed=seed, steps=STEPS) for seed in range(PICTURES)]
    pairs = compare(model, requests, [0.0] * PICTURES, rounds)
    ratio = report(pairs, lambda run: run.total, "until all are there")
    report(pairs, lambda run: run.latency, "mean wait for a picture")
    return ratio > 1


def flat(rounds: int) -> bool:
    model = checkpoint.load("builtin", dtype=torch.float32, report=lambda _: None)
    wish = GenerationRequest(prompt="a red circle", width=FLAT_SIDE, height=FLAT_SIDE, steps=FLAT_STEPS)
    engine = Engine(model, max_batch=1, preview_interval=3600)
    alone = min(draw(engine, [wish], [0.0]).total for _ in range(4))
    engine.close()
    print(f"\nFlat: {VISITORS} pictures of {FLAT_SIDE} x {FLAT_SIDE}, {FLAT_STEPS} steps, one every {alone / LOAD:.2f} s at random")
    curve(model, FLAT_SIDE)
    requests = [wish.model_copy(update={"seed": seed}) for seed in range(VISITORS)]
    pairs = compare(model, requests, arrivals(alone / LOAD), rounds)
    report(pairs, lambda run: run.total, "until all are there")
    return report(pairs, lambda run: run.latency, "mean wait for a picture") > 1 - MARGIN


def arrivals(gap: float) -> list[float]:
    """Exponential gaps, in seconds, of mean `gap` to the digit; of a seed that brings crowds, or there would be nothing to see: drawn
    eight to a step on a flat curve, these visitors wait a fifth longer."""
    rng = random.Random(2)
    gaps = [rng.expovariate(1) for _ in range(VISITORS)]
    return [gap * VISITORS * one / sum(gaps) for one in gaps]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of torch on a CPU")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    claims = {"sharing is faster where the curve is steep": steep, "and costs nobody time where it is flat": flat}
    held = {claim: test(options.rounds) for claim, test in claims.items()}
    print()
    for claim, holds in held.items():
        print(f"{'holds' if holds else 'FAILS'}: {claim}")
    return 0 if all(held.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
