"""How many tasks share a step: the knee of a curve that is measured, for this device, size and precision.

Where a larger batch costs less for each of its rows, sharing makes everybody faster. Where the hardware is full already (large
latents, a CPU in fp32), a shared step takes as long as its parts one after the other, and whoever shares it waits for all of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import torch

from webapp.engine.checkpoint import Checkpoint
from webapp.engine.healing import out_of_memory

COUNTS = (1, 2, 4, 8)
NEAR = 0.95  # of the best rate is as good as the best


def knee(seconds: Mapping[int, float]) -> int:
    """The smallest number of tasks that comes within 5 % of the best rate, given the `seconds` a step of each number takes."""
    best = max(count / taken for count, taken in seconds.items())
    return min(count for count, taken in seconds.items() if count / taken >= NEAR * best)


def measure(step: Callable[[int], object], budget: float) -> dict[int, float]:
    """The seconds that a step of 1, 2, 4, 8 tasks takes, the best of three. Numbers that would go over `budget` seconds in all are
    left out: so long a step fills the hardware alone."""
    seconds: dict[int, float] = {}
    end = time.monotonic() + budget
    step(1)  # the first is slower: memory is found, kernels are chosen
    for count in COUNTS:
        expected = 2 * max(seconds.values(), default=0.0)
        if time.monotonic() + 3 * expected > end:
            break
        try:
            seconds[count] = min(_timed(step, count) for _ in range(3))
        except Exception as error:
            if not out_of_memory(error):
                raise
            break
    return seconds


def _timed(step: Callable[[int], object], count: int) -> float:
    start = time.perf_counter()
    step(count)
    return time.perf_counter() - start


@torch.inference_mode()
def unet_step(checkpoint: Checkpoint, height: int, width: int) -> Callable[[int], object]:
    """A step of the UNet with guidance for a number of pictures, latents of `height` x `width`, as the loop would make it."""
    unet, device, dtype = checkpoint.unet, checkpoint.device, checkpoint.dtype
    generator = torch.Generator("cpu").manual_seed(0)
    sample = torch.randn(1, unet.config.in_channels, height, width, generator=generator).to(device, dtype)
    words = torch.randn(1, 77, unet.config.cross_attention_dim, generator=generator).to(device, dtype)
    timestep = torch.tensor([500], device=device)

    def step(count: int) -> None:
        rows = 2 * count
        unet(sample.expand(rows, -1, -1, -1), timestep.expand(rows), encoder_hidden_states=words.expand(rows, -1, -1), return_dict=False)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return step
