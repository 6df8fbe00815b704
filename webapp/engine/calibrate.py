"""How many pictures share a step: the knee of a curve that is measured, for this device, size and precision.

Where a larger batch costs less for each of its rows, sharing makes everybody faster. Where the hardware is full already (large
latents, a CPU in fp32), a shared step takes as long as its parts one after the other, and whoever shares it waits for all of them.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping

import torch

from webapp.engine.checkpoint import Checkpoint
from webapp.engine.memory import out_of_memory
from webapp.engine.model import Model

COUNTS = (1, 2, 4, 8)
ROUNDS = 3
NEAR = 0.95  # of the best rate is as good as the best
WORTH = 1.2  # times the rate of one alone is what sharing must bring, or waiting for each other costs more than it gives
AT_START, LATER = 3.0, 1.0  # seconds that measuring may take
log = logging.getLogger(__name__)


class Sharing:
    """Says of a shape how many share a step: what was measured of it or, if `given`, so many of the model's own size, and of larger
    ones fewer. In `Model.knees` it keeps what is known."""

    def __init__(self, given: int | None) -> None:
        self.given = given

    def cap(self, shape: Hashable) -> int:
        match shape:
            case (Model() as model, _, int(height), int(width), _):
                usual = model.checkpoint.defaults.width * model.checkpoint.defaults.height * (self.given or 1)
                guess = usual // (height * width * model.checkpoint.space.factor**2)
                return model.knees.get((height, width)) or max(1, min(self.given or 1, guess))
        return 1  # an upscaler's run

    def learn_own(self, model: Model) -> None:
        """Measures the model's own size, unless a number was given. What the time did not suffice for is left to `learn_crowded`."""
        defaults, factor = model.checkpoint.defaults, model.checkpoint.space.factor
        if self.given is None:
            self._learn(model, defaults.height // factor, defaults.width // factor, AT_START, least=2)

    def learn_crowded(self, shapes: Iterable[Hashable]) -> None:
        """Measures what two or more of these shapes are, if it is not known yet."""
        for shape, count in Counter(shapes).items():
            match shape:
                case (Model() as model, _, int(height), int(width), _) if (
                    count > 1 and self.given is None and (height, width) not in model.knees
                ):
                    self._learn(model, height, width, LATER)

    def fewer(self, shape: Hashable, count: int) -> None:
        """From now on `count` of this shape share a step: memory does not suffice for more."""
        match shape:
            case (Model() as model, _, int(height), int(width), _):
                model.knees[height, width] = count

    def _learn(self, model: Model, height: int, width: int, budget: float, least: int = 1) -> None:
        seconds = measure(unet_step(model.checkpoint, height, width), budget)
        if len(seconds) >= least:
            model.knees[height, width] = knee(seconds)
        log.info("%d share a step of %d x %d latents: %s", knee(seconds), width, height, seconds)


def knee(seconds: Mapping[int, float]) -> int:
    """The smallest number of tasks that comes within 5 % of the best rate, given the `seconds` a step of each number takes.

    One, if the best rate is less than 1.2 times that of one alone: drawing in turn, the first is done early; sharing, all are done
    late. With tasks of equal length at a load L, a task in turn takes 1 + L / (2 - 2 L) times as long as on an empty machine, one
    that shares at a gain G takes 1 / (1 - L / G): at a load of 0.8 they are even at 1.2.
    """
    rates = {count: count / taken for count, taken in seconds.items()}
    best = max(rates.values(), default=0.0)
    if best < WORTH * rates.get(1, 0.0) or not rates:
        return 1
    return min(count for count, rate in rates.items() if rate >= NEAR * best)


def measure(step: Callable[[int], object], budget: float, clock: Callable[[], float] = time.perf_counter) -> dict[int, float]:
    """The seconds that a step of 1, 2, 4, 8 tasks takes, each the best of three; they take turns, so that what else the machine does
    meanwhile hits all alike. Numbers that would go over `budget` seconds in all, or need more memory than there is, are left out:
    so long a step fills the hardware alone."""
    seconds: dict[int, float] = {}
    counts = [1, *COUNTS]  # the first step is slower: memory is found, kernels are chosen
    end = clock() + budget
    for _ in range(ROUNDS):
        for count in counts:
            expected = seconds.get(count) or 2 * max(seconds.values(), default=0.0)
            if clock() + expected > end:
                return seconds
            start = clock()
            try:
                step(count)
            except Exception as error:
                if not out_of_memory(error):
                    raise
                seconds = {fewer: taken for fewer, taken in seconds.items() if fewer < count}
                break
            seconds[count] = min(clock() - start, seconds.get(count, float("inf")))
        counts = [count for count in COUNTS if count in seconds]
    return seconds


def unet_step(checkpoint: Checkpoint, height: int, width: int) -> Callable[[int], object]:
    """A step of the UNet with guidance for a number of pictures, latents of `height` x `width`, as the loop would make it."""
    unet, device, dtype = checkpoint.unet, checkpoint.device, checkpoint.dtype
    generator = torch.Generator("cpu").manual_seed(0)
    sample = torch.randn(1, unet.config.in_channels, height, width, generator=generator).to(device, dtype)
    words = torch.randn(1, 77, unet.config.cross_attention_dim, generator=generator).to(device, dtype)
    timestep = torch.tensor([500.0], device=device)

    @torch.inference_mode()
    def step(count: int) -> None:
        rows = 2 * count
        latents = sample.repeat(rows, 1, 1, 1)  # (rows, channels, h, w), not views of one row
        unet(latents, timestep.expand(rows), encoder_hidden_states=words.repeat(rows, 1, 1), return_dict=False)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if device.type == "mps":
            torch.mps.synchronize()

    return step
