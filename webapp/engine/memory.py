"""Memory: whether it ran out, how much is free, giving it back, and which smaller size would fit."""

from __future__ import annotations

import gc
from collections.abc import Callable

import psutil
import torch

_SIGNS = ("out of memory", "can't allocate memory", "_ALLOC_FAILED")  # of CUDA and MPS, the CPU's allocator, cuBLAS and cuDNN
Size = tuple[int, int]  # width and height in pixels


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out. Not every device raises torch.OutOfMemoryError."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


def free(device: torch.device) -> int:
    """Bytes that are free on the device."""
    if device.type == "cuda":
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # by torch, for whoever asks next
        return torch.cuda.mem_get_info(device)[0] + held
    return psutil.virtual_memory().available


def usage(device: torch.device) -> tuple[int, int]:
    """Bytes that are taken on the device, by whomever, and all it has; of a CPU, the machine's memory."""
    if device.type == "cuda":
        left, whole = torch.cuda.mem_get_info(device)
        return whole - left, whole
    if device.type == "mps":
        return torch.mps.driver_allocated_memory(), torch.mps.recommended_max_memory()
    machine = psutil.virtual_memory()
    return machine.total - machine.available, machine.total


def tidy() -> None:
    """Gives memory back that nothing uses any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def smaller(width: int, height: int) -> list[Size]:
    """The sizes below this one of the same shape, as near as multiples of 64 come to it; the largest first."""
    long, short = max(width, height), min(width, height)
    sizes: list[Size] = []
    for side in range((long - 1) // 64 * 64, 0, -64):
        other = max(64, min(int(short * side / long / 64 + 0.5), short // 64) * 64)
        sizes.append((side, other) if width >= height else (other, side))
    return sizes


def largest(width: int, height: int, fits: Callable[[int, int], bool]) -> Size | None:
    """The largest of the `smaller` sizes that `fits`; None when none does. Asks at most five times."""
    sizes = smaller(width, height)
    low, high = 0, len(sizes)  # the first that fits is among these; past the end: none
    while low < high:
        middle = (low + high) // 2
        if fits(*sizes[middle]):
            high = middle
        else:
            low = middle + 1
    return sizes[low] if low < len(sizes) else None


def sentence(size: Size, fitting: Size | None) -> str:
    """What to say when memory did not suffice for a picture of `size`, and `fitting` would do."""
    told = f"There was not enough memory to draw {size[0]} x {size[1]} pixels."
    return f"{told} Please try a smaller size, such as {fitting[0]} x {fitting[1]}." if fitting else f"{told} A smaller model may fit."


SHORT = "There was not enough memory for this picture. A smaller size, a smaller model or fewer add-ons may help."
