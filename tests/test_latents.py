"""Noise and pixels, as diffusers' own pipeline has them, and previews that resemble what is decoded."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch

from webapp.engine.latents import LatentSpace, finished
from webapp.errors import DrawingFailed


@pytest.fixture(scope="module")
def pipe():
    return tiny.pipeline()


@pytest.fixture(scope="module")
def space(pipe) -> LatentSpace:
    return LatentSpace(pipe.vae)


def some_latents(space: LatentSpace, seed: int = 3) -> torch.Tensor:
    return space.noise(128, 64, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_noise_is_the_pipelines(pipe, dtype: torch.dtype) -> None:
    space = LatentSpace.__new__(LatentSpace)
    space.vae, space.channels, space.factor = torch.nn.Linear(1, 1), 4, 8
    wanted = pipe.prepare_latents(1, 4, 64, 128, dtype, torch.device("cpu"), torch.Generator("cpu").manual_seed(3))
    assert torch.equal(some_latents(space).to(dtype), wanted)
