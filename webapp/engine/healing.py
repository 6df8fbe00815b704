"""What is done when a picture goes wrong: numbers that overflow, and memory that does not suffice."""

from __future__ import annotations

from collections.abc import Callable

import torch

PRECISE = " in higher precision"  # appended to a model's name: the same one, for pictures that overflowed in half precision
SHARES = (7 / 8, 3 / 4, 5 / 8, 1 / 2, 3 / 8, 1 / 4, 1 / 8)  # of a side, tried when the whole does not fit


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on any device: a CPU's allocator raises a plain RuntimeError."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "allocate memory" in str(error)


def higher(dtype: torch.dtype) -> torch.dtype | None:
    """The precision to try when a picture overflowed in `dtype`; None when that is no remedy."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else None


def largest(width: int, height: int, fits: Callable[[int, int], bool]) -> tuple[int, int] | None:
    """The largest size of about the same shape that `fits`, in pixels; None when none does. Asks at most three times."""
    sizes = [(max(64, int(width * share) // 64 * 64), max(64, int(height * share) // 64 * 64)) for share in SHARES]
    low, high = 0, len(sizes)  # the first that fits is among these; past the end: none
    while low < high:
        middle = (low + high) // 2
        if fits(*sizes[middle]):
            high = middle
        else:
            low = middle + 1
    return sizes[low] if low < len(sizes) else None


def sentence(width: int, height: int, size: tuple[int, int] | None) -> str:
    """What to say when memory did not suffice for width x height and `size` would fit."""
    told = f"There was not enough memory to draw {width} x {height} pixels."
    return f"{told} Please try a smaller size, such as {size[0]} x {size[1]}." if size else f"{told} A smaller model may fit."
