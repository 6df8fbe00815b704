"""Rows that share a call, each as if its task were alone. On a CPU a task's picture is then the same in company as alone, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import groupby
from typing import Any

import torch
from torch.nn.functional import conv2d, linear
from torch.overrides import TorchFunctionMode

_LONG = 256  # terms: measured, sums of 128 are added up alike however many rows there are, sums of 512 are not
_NARROW = 64  # results a row: LoRAs' ranks
_FEW = 16  # pixels or words a row: the innermost layers for small pictures
_MANY = 16  # rows: from so many on, torch on one thread has another 1x1 convolution


def apart(owners: Sequence[int], device: torch.device) -> AbstractContextManager:
    """While this lasts, a call whose row i belongs to the task `owners[i]` adds up no task's numbers otherwise than in a call of its own.

    Of what a UNet is made of, torch's CPU build (measured: 2.13, oneDNN, bf16 and fp32) rounds only linear layers and convolutions by
    the number of rows, and few of those: where there is little to do for a row, or a sum is long. These are worked task by task.
    Other devices choose by the number of rows everywhere, and are left as they are.
    """
    counts = [len(list(rows)) for _, rows in groupby(owners)]
    return _Apart(counts) if device.type == "cpu" and len(counts) > 1 else nullcontext()


class _Apart(TorchFunctionMode):
    def __init__(self, counts: list[int]) -> None:
        super().__init__()
        self.counts, self.rows = counts, sum(counts)
        self.single = 1 in counts  # torch has another convolution for one row

    def __torch_function__(
        self, function: Callable, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> object:
        kwargs = kwargs or {}
        if function in (linear, conv2d) and self._by_task(function, *args[:2]):
            return torch.cat([function(part, *args[1:], **kwargs) for part in args[0].split(self.counts)])
        return function(*args, **kwargs)

    def _by_task(self, function: Callable, x: torch.Tensor, weight: torch.Tensor) -> bool:
        if len(x) != self.rows:
            return False
        if function is conv2d:
            return self.single or x.shape[-1] * x.shape[-2] <= _FEW or (weight.shape[-1] == 1 and self.rows >= _MANY)
        return x.numel() <= _FEW * self.rows * x.shape[-1] or weight.shape[1] >= _LONG or weight.shape[0] < _NARROW
