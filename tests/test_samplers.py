"""The samplers: their names are the schema's, each is whole and fresh, and each finds a picture that the model is sure of."""

from __future__ import annotations

import pytest
import tiny
import torch

from webapp.engine import samplers
from webapp.schema import SAMPLERS

CPU = torch.device("cpu")
SCHEDULES = ("epsilon", "v_prediction", "builtin")


def test_the_names_are_the_schemas() -> None:
    assert tuple(samplers.SCHEDULERS) == SAMPLERS


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_what_the_checkpoint_was_trained_with_is_kept(name: str, schedule: str) -> None:
    original = tiny.schedule(schedule)
    built = samplers.build(name, original.config, 10, CPU)
    assert built.config.prediction_type == original.config.prediction_type
    assert torch.equal(built.alphas_cumprod, original.alphas_cumprod)


@pytest.mark.parametrize("name", SAMPLERS)
def test_each_picture_gets_its_own_scheduler(name: str) -> None:
    config = tiny.schedule("epsilon").config
    first, second = (samplers.build(name, config, steps, CPU) for steps in (10, 20))
    assert first is not second
    assert len(first.timesteps) < len(second.timesteps)


def test_karras_spaces_its_steps_differently() -> None:
    plain, karras = (samplers.build(name, tiny.schedule("epsilon").config, 10, CPU) for name in ("DPM++ 2M", "DPM++ 2M Karras"))
    assert not torch.allclose(plain.sigmas, karras.sigmas, rtol=0.1)


@pytest.mark.parametrize(("name", "calls"), [("DPM++ 2M", 10), ("PNDM", 11), ("Heun", 19)])
def test_the_calls_of_the_model_that_ten_steps_take(name: str, calls: int) -> None:
    assert len(samplers.build(name, tiny.schedule("epsilon").config, 10, CPU).timesteps) == calls


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("schedule", [*SCHEDULES, "zero terminal SNR"])
def test_it_ends_in_the_picture_the_model_is_sure_of(name: str, schedule: str) -> None:
    """A model that always knows the answer leads every sampler to it, from noise; and no number of steps raises."""
    config = tiny.schedule(schedule).config
    answer = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    for steps in (1, 2, 3, 4, 7, 15, 22, 30, 60):
        scheduler = samplers.build(name, config, steps, CPU)
        generator = torch.Generator().manual_seed(2)
        extra = {"generator": generator} if name in ("Euler", "Euler a", "DDIM") or name.startswith("DPM") else {}
        latents = torch.randn(answer.shape, generator=generator) * scheduler.init_noise_sigma
        for timestep in scheduler.timesteps:
            sample = scheduler.scale_model_input(latents, timestep)
            signal = scheduler.alphas_cumprod[round(float(timestep))].clamp(min=1e-8)
            noise = (sample - signal.sqrt() * answer) / (1 - signal).sqrt()
            if scheduler.config.prediction_type == "v_prediction":
                noise = signal.sqrt() * noise - (1 - signal).sqrt() * answer
            latents = scheduler.step(noise, timestep, latents, **extra, return_dict=False)[0]
        assert latents.isfinite().all(), f"{steps} steps"
        if steps >= 15:  # DDIM and PNDM need some to come near
            assert (latents - answer).abs().mean() < 0.1, f"{steps} steps"
