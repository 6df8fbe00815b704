"""Whether memory ran out, and which smaller size would fit."""

from __future__ import annotations

import pytest
import torch

from webapp.engine import memory


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        MemoryError(),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."
        ),
        RuntimeError("MPS backend out of memory (MPS allocated: 9.00 GB, max allowed: 9.07 GB)."),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ],
)
def test_memory_runs_out_in_many_words(error: Exception) -> None:
    assert memory.out_of_memory(error)


@pytest.mark.parametrize("error", [RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError("out of memory"), KeyError("a")])
def test_other_errors_are_others(error: Exception) -> None:
    assert not memory.out_of_memory(error)


def test_this_machines_own_error_is_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert memory.out_of_memory(caught.value)


def test_some_memory_is_free() -> None:
    assert 2**20 < memory.free(torch.device("cpu")) < 2**50


@pytest.mark.parametrize(("width", "height"), [(512, 512), (1024, 768), (768, 1024), (2048, 256), (1000, 104), (72, 64), (2048, 64)])
def test_smaller_sizes_have_the_shape(width: int, height: int) -> None:
    sizes = memory.smaller(width, height)
    assert sizes
    areas = [w * h for w, h in sizes]
    assert areas == sorted(areas, reverse=True)
    assert areas[0] < width * height
    for w, h in sizes:
        assert w % 64 == h % 64 == 0
        assert 64 <= w <= width
        assert 64 <= h <= height
        long, short = max(w, h), min(w, h)
        assert abs(short - min(width, height) * long / max(width, height)) <= 32 or short == 64
    assert max(width, height) - max(sizes[0]) <= 64


def test_square_stays_square() -> None:
    assert memory.smaller(256, 256) == [(192, 192), (128, 128), (64, 64)]
    assert memory.smaller(64, 64) == []


@pytest.mark.parametrize("limit", [0, 4095, 4096, 200_000, 600_000, 1_048_575])
@pytest.mark.parametrize(("width", "height"), [(1024, 1024), (1024, 768), (320, 2048), (256, 192)])
def test_the_largest_that_fits_is_found_in_few_questions(width: int, height: int, limit: int) -> None:
    asked: list[int] = []

    def fits(w: int, h: int) -> bool:
        asked.append(w * h)
        return w * h <= limit

    sizes = memory.smaller(width, height)
    assert memory.largest(width, height, fits) == next((size for size in sizes if size[0] * size[1] <= limit), None)
    assert len(asked) <= 5


def test_sentences() -> None:
    assert memory.sentence((512, 768), (448, 640)) == (
        "There was not enough memory to draw 512 x 768 pixels. Please try a smaller size, such as 448 x 640."
    )
    assert "smaller model" in memory.sentence((64, 64), None)
