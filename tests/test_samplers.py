"""The samplers: each is built whole and fresh, equals diffusers' own where that is right, and is right where that is not."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator

import diffusers
import numpy as np
import pytest
import tiny
import torch
from diffusers import (
    DDIMScheduler,
    EulerDiscreteScheduler,
    SchedulerMixin,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionPipeline,
)

from webapp.craft import SAMPLERS, SCHEDULES, SUPPORTED
from webapp.engine import samplers
from webapp.errors import InvalidRequest

pytestmark = pytest.mark.filterwarnings("ignore:Should have t[ab]")  # torchsde's rounding
CONFIGS = ("epsilon", "v_prediction", "builtin", "zero terminal SNR")
FLAGS = {"karras": "use_karras_sigmas", "exponential": "use_exponential_sigmas", "beta": "use_beta_sigmas"}
KARRAS = [name for name in SAMPLERS if "karras" in SUPPORTED[name]]
STOCK = {  # diffusers' class and what its documentation says to set for the name
    "DPM++ 2M": ("DPMSolverMultistepScheduler", {}),
    "DPM++ 2M SDE": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "DPM++ 2M SDE Heun": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++", "solver_type": "heun"}),
    "DPM++ 3M": ("DPMSolverMultistepScheduler", {"solver_order": 3}),
    "DPM++ SDE": ("DPMSolverSDEScheduler", {"noise_sampler_seed": 5}),
    "DPM++ 2S": ("DPMSolverSinglestepScheduler", {"lower_order_final": True}),
    "DPM2": ("KDPM2DiscreteScheduler", {}),
    "DPM2 a": ("KDPM2AncestralDiscreteScheduler", {}),
    "Euler": ("EulerDiscreteScheduler", {}),
    "Euler a": ("EulerAncestralDiscreteScheduler", {}),
    "Heun": ("HeunDiscreteScheduler", {}),
    "LMS": ("LMSDiscreteScheduler", {}),
    "DDIM": ("DDIMScheduler", {"clip_sample": False}),
    "DDPM": ("DDPMScheduler", {"clip_sample": False}),
    "PNDM": ("PNDMScheduler", {"skip_prk_steps": True}),
    "UniPC": ("UniPCMultistepScheduler", {}),
    "DEIS": ("DEISMultistepScheduler", {}),
    "SA-Solver": ("SASolverScheduler", {}),
    "LCM": ("LCMScheduler", {}),
    "TCD": ("TCDScheduler", {}),
}


def config(name: str) -> dict:
    return dict(tiny.schedule(name).config)


def build(name: str, schedule: str = "", kind: str = "epsilon", steps: int = 20, seed: int = 5) -> SchedulerMixin:
    return samplers.build(name, schedule, config(kind), steps, "cpu", seed)


def pairs(kind: str, name: str) -> list[str]:
    """The schedules that can be asked for."""
    return [s for s in ("", *SCHEDULES) if s in {"", *SUPPORTED[name]} and (kind, s) != ("zero terminal SNR", "beta")]


class Sure:
    """A model of pictures that differ from `answer` by `spread` at each pixel, normally: it says at every noise level exactly what
    a perfect network would, and knows the level from the timestep alone, as a network does."""

    def __init__(self, scheduler: SchedulerMixin, side: int = 8, spread: float = 0.0) -> None:
        self.answer = torch.randn(1, 4, side, side, generator=torch.Generator().manual_seed(1))
        self.spread = spread
        self.prediction = scheduler.config.prediction_type
        signal = scheduler.alphas_cumprod.double().clamp(min=2**-24)
        self.log_sigmas = ((1 - signal) / signal).log().numpy() / 2

    def __call__(self, sample: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        sigma = math.exp(np.interp(float(timestep), np.arange(1000), self.log_sigmas))
        signal = 1 / (1 + sigma**2)
        mean, noise_level = math.sqrt(signal) * self.answer, math.sqrt(1 - signal)
        share = self.spread**2 * math.sqrt(signal) / (signal * self.spread**2 + 1 - signal)
        clean = self.answer + share * (sample - mean)
        noise = (sample - math.sqrt(signal) * clean) / noise_level
        return noise if self.prediction == "epsilon" else math.sqrt(signal) * noise - noise_level * clean


def draw(scheduler: SchedulerMixin, model: Sure, strength: float | None = None, steps: int = 20) -> torch.Tensor:
    """From noise, or at a strength from one of the model's pictures; as the engine does it."""
    generator = torch.Generator().manual_seed(2)
    noise = torch.randn(model.answer.shape, generator=generator)
    extra = samplers.extra(scheduler, generator)
    first = 0
    latents = noise * scheduler.init_noise_sigma
    if strength is not None:
        first = samplers.skipped(scheduler, steps, strength)
        picture = model.answer + model.spread * torch.randn(noise.shape, generator=generator)
        latents = scheduler.add_noise(picture, noise, scheduler.timesteps[first : first + 1])
    for timestep in scheduler.timesteps[first:]:
        said = model(scheduler.scale_model_input(latents, timestep), timestep)
        latents = scheduler.step(said, timestep, latents, **extra, return_dict=False)[0]
    return latents


def spread(scheduler: SchedulerMixin, **options: object) -> float:
    """How much the pictures drawn differ, as a share of how much they should; one standard error is 0.01."""
    model = Sure(scheduler, side=32, spread=0.5)
    return float((draw(scheduler, model, **options) - model.answer).std() / model.spread)


def test_the_tables_know_the_same_names() -> None:
    assert tuple(samplers.SCHEDULERS) == SAMPLERS
    assert {*STOCK, "DPM++ 3M SDE"} == set(SAMPLERS)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_schedule_is_offered_only_if_the_scheduler_has_it(name: str) -> None:
    known = samplers._parameters(samplers.SCHEDULERS[name][0])
    for schedule, flag in FLAGS.items():
        assert schedule not in SUPPORTED[name] or flag in known or name == "Euler a"
    for schedule in ("trailing", "leading"):
        assert schedule not in SUPPORTED[name] or "timestep_spacing" in known


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("kind", CONFIGS)
def test_what_the_checkpoint_was_trained_with_is_kept(name: str, kind: str) -> None:
    original, built = tiny.schedule(kind), build(name, kind=kind)
    assert built.config.prediction_type == original.config.prediction_type
    assert torch.allclose(built.alphas_cumprod, original.alphas_cumprod, rtol=1e-6, atol=2**-24)


@pytest.mark.parametrize("name", SAMPLERS)
def test_each_picture_gets_its_own_scheduler(name: str) -> None:
    first, second = build(name, steps=10), build(name, steps=20)
    assert first is not second
    assert len(first.timesteps) < len(second.timesteps)


def test_building_warns_of_nothing() -> None:
    """A checkpoint's configuration holds keys that another scheduler does not know; nobody needs to read that for each picture."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = records.append
    logging.getLogger("diffusers").addHandler(handler)
    try:
        for kind in CONFIGS:
            for name in SAMPLERS:
                build(name, kind=kind, steps=4)
    finally:
        logging.getLogger("diffusers").removeHandler(handler)
    assert [record.getMessage() for record in records] == []


@pytest.mark.parametrize(
    ("name", "calls"), [("DPM++ 2M", 10), ("DPM++ SDE", 19), ("PNDM", 11), ("Heun", 19), ("DPM2", 19), ("DPM++ 2S", 10), ("LCM", 10)]
)
def test_the_calls_of_the_model_that_ten_steps_take(name: str, calls: int) -> None:
    assert len(build(name, steps=10).timesteps) == calls


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("kind", CONFIGS)
def test_it_ends_in_the_picture_the_model_is_sure_of(name: str, kind: str) -> None:
    """A model that always knows the answer leads every sampler to it, from noise, by every schedule; and no number of steps raises."""
    for schedule in pairs(kind, name):
        for steps in (1, 2, 3, 8, 20):
            scheduler = build(name, schedule, kind, steps)
            assert scheduler.timesteps.min() >= 0 and scheduler.timesteps.max() < 1000, (schedule, steps)
            assert scheduler.timesteps[0] > 400, (schedule, steps)  # noise is where it begins
            model = Sure(scheduler)
            latents = draw(scheduler, model)
            assert latents.isfinite().all(), (schedule, steps)
            if steps == 20:
                assert (latents - model.answer).abs().mean() < 0.1, schedule


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "LCM"])  # which is only for models trained for it
@pytest.mark.parametrize("kind", ["epsilon", "builtin"])
def test_pictures_differ_as_the_models_pictures_do(name: str, kind: str) -> None:
    """Too little is blur, too much is noise left in the picture. First-order samplers with noise of their own blur the most."""
    for schedule in ("", *({"karras"} & SUPPORTED[name])):
        assert 0.85 < spread(build(name, schedule, kind, steps=40)) < 1.05, schedule


@pytest.mark.parametrize("steps", [40, 80])
def test_the_third_order_sde_converges(steps: int) -> None:
    """diffusers' own comes to 1.06 and 1.23."""
    assert spread(build("DPM++ 3M SDE", steps=steps)) == pytest.approx(1, abs=0.04)


@pytest.mark.parametrize("degree", [0, 1, 2])
def test_the_third_order_sde_takes_k_diffusions_weights(degree: int) -> None:
    """They make a step exact if the model's picture moves with the log of the signal-to-noise ratio constantly or linearly, and
    take half of what is quadratic."""
    scheduler = build("DPM++ 3M SDE", "exponential")
    scheduler._step_index = 10
    ratio = -scheduler.sigmas[8:12].log().double()
    h = ratio[3] - ratio[2]
    pictures = [(place - ratio[2]) ** degree for place in ratio[:3]]
    moved = scheduler.multistep_dpm_solver_third_order_update(pictures, sample=torch.tensor(0.0), noise=torch.tensor(0.0))
    gone = 1 - torch.exp(-2 * h)  # the integral of 2 exp(-2 (h - s)) over the step; then with s, and half of it with s squared
    wanted = (gone, h - gone / 2, (h**2 - h + gone / 2) / 2)[degree]
    assert moved.item() == pytest.approx((wanted / (1 + scheduler.sigmas[11] ** 2).sqrt()).item(), rel=1e-3)


@pytest.fixture(scope="module")
def pipeline() -> StableDiffusionPipeline:
    pipe = tiny.pipeline()
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def prompt(pipeline: StableDiffusionPipeline) -> torch.Tensor:
    return pipeline.encode_prompt("a cat", "cpu", 1, False)[0]  # (1, 77, 32)


@pytest.mark.parametrize("name", STOCK)
@pytest.mark.parametrize("kind", CONFIGS)
@torch.inference_mode()
def test_it_equals_diffusers_own(pipeline: StableDiffusionPipeline, prompt: torch.Tensor, name: str, kind: str) -> None:
    kind_of, changes = STOCK[name]
    stock = getattr(diffusers, kind_of)
    if kind == "zero terminal SNR" and "rescale_betas_zero_snr" not in samplers._parameters(stock):
        pytest.skip("diffusers' own ignores what the checkpoint was trained with")
    for schedule in ["", "karras"] if name in KARRAS and name != "Euler a" else [""]:
        flags = {FLAGS[schedule]: True, "timestep_spacing": "linspace"} if schedule else {}
        pipeline.scheduler = stock.from_config(config(kind), **changes, **flags)
        options = {"num_inference_steps": 7, "guidance_scale": 1.0, "output_type": "latent", "height": 64, "width": 64}
        theirs = pipeline(prompt_embeds=prompt, generator=torch.Generator().manual_seed(3), **options).images

        scheduler = build(name, schedule, kind, steps=7)
        generator = torch.Generator().manual_seed(3)
        latents = torch.randn(theirs.shape, generator=generator) * scheduler.init_noise_sigma
        extra = samplers.extra(scheduler, generator, eta=0.0)  # the pipeline's default
        for timestep in scheduler.timesteps:
            said = pipeline.unet(scheduler.scale_model_input(latents, timestep), timestep, prompt, return_dict=False)[0]
            latents = scheduler.step(said, timestep, latents, **extra, return_dict=False)[0]
        assert (latents - theirs).abs().max() <= 1e-6 * theirs.abs().max(), schedule


def bounds(kind: str) -> tuple[float, float]:
    """The noise of the first and the last training step, as sigma."""
    signal = tiny.schedule(kind).alphas_cumprod.double()
    return tuple(float(((1 - s) / s).sqrt()) for s in (signal[-1], signal[0]))


def levels(scheduler: SchedulerMixin) -> torch.Tensor:
    """The sigmas of the steps, without the repetitions of second-order samplers."""
    count = len(scheduler.timesteps)
    return torch.cat([scheduler.sigmas[:1], scheduler.sigmas[1:count:2]]) if scheduler.order == 2 else scheduler.sigmas[:count]


@pytest.mark.parametrize("name", KARRAS)
@pytest.mark.parametrize("kind", ["epsilon", "builtin"])
def test_karras_and_exponential_are_k_diffusions(name: str, kind: str) -> None:
    high, low = bounds(kind)
    ramp = torch.linspace(0, 1, 12, dtype=torch.float64)
    karras = (high ** (1 / 7) + ramp * (low ** (1 / 7) - high ** (1 / 7))) ** 7
    exponential = torch.exp(math.log(high) + ramp * (math.log(low) - math.log(high)))
    for schedule, wanted in (("karras", karras), ("exponential", exponential)):
        assert torch.allclose(levels(build(name, schedule, kind, steps=12)).double(), wanted, rtol=1e-4), schedule


@pytest.mark.parametrize("name", [name for name in SAMPLERS if "sgm_uniform" in SUPPORTED[name]])
def test_sgm_uniform_leaves_out_the_end(name: str) -> None:
    for steps in (2, 7, 20, 30, 50):
        scheduler = build(name, "sgm_uniform", steps=steps)
        apart = scheduler.timesteps[:: scheduler.order].double() - torch.linspace(999, 0, steps + 1, dtype=torch.float64)[:-1]
        assert apart.abs().max() <= 1.5


@pytest.mark.parametrize("name", [name for name in SAMPLERS if "trailing" in SUPPORTED[name]])
def test_trailing_never_has_a_timestep_too_many(name: str) -> None:
    """Counting down from 1000 in floating point does: in diffusers' own, 61 steps of it end at timestep -1."""
    for steps in (61, 103, 121, 122):
        timesteps = build(name, "trailing", steps=steps).timesteps
        assert timesteps.min() > 0 and len(timesteps) == len(build(name, "trailing", steps=steps - 1).timesteps) + build(name).order


def test_ddim_does_not_take_over_a_spacing_it_cannot_step() -> None:
    """It goes back by 1000 // steps whatever the spacing; so each of its timesteps must be where the step before went."""
    original = DDIMScheduler(**tiny._SD, clip_sample=False, timestep_spacing="linspace").config
    for name in ("DDIM", "PNDM"):
        timesteps = samplers.build(name, "", original, 10, "cpu").timesteps.unique()
        assert set(timesteps.diff().tolist()) == {100}


@pytest.mark.parametrize("name", [name for name in SAMPLERS if "beta" in SUPPORTED[name]])
def test_beta_is_refused_where_it_draws_nothing(name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        build(name, "beta", "zero terminal SNR")
    assert list(caught.value.fields) == ["schedule"] and caught.value.sentence.endswith(".")


def test_noise_of_its_own_comes_from_the_seed() -> None:
    def picture(seed: int) -> torch.Tensor:
        scheduler = build("DPM++ SDE", steps=5, seed=seed)
        return draw(scheduler, Sure(scheduler, spread=0.5))

    torch.manual_seed(0)
    first = picture(1)
    torch.manual_seed(9)
    assert torch.equal(first, picture(1))
    assert not torch.allclose(first, picture(2), atol=0.1)


@pytest.mark.parametrize(("name", "takes"), [("DDIM", {"eta", "generator"}), ("TCD", {"eta", "generator"}), ("Euler a", {"generator"}),
                                             ("LMS", set()), ("UniPC", set()), ("DPM++ SDE", set())])  # fmt: skip
def test_a_step_is_given_what_it_takes(name: str, takes: set[str]) -> None:
    generator = torch.Generator()
    assert set(samplers.extra(build(name), generator, eta=0.5)) == takes
    assert "eta" not in samplers.extra(build(name), generator)


def test_eta_adds_noise() -> None:
    def picture(eta: float) -> torch.Tensor:
        scheduler, generator = build("DDIM"), torch.Generator().manual_seed(1)
        model = Sure(scheduler, spread=0.5)
        latents = torch.randn(model.answer.shape, generator=torch.Generator().manual_seed(2))
        for timestep in scheduler.timesteps:
            extra = samplers.extra(scheduler, generator, eta)
            latents = scheduler.step(model(latents, timestep), timestep, latents, **extra, return_dict=False)[0]
        return latents

    assert torch.equal(picture(0.0), picture(0.0))
    assert not torch.allclose(picture(0.0), picture(1.0), atol=0.1)


@pytest.fixture(scope="module")
def image_to_image(pipeline: StableDiffusionPipeline) -> Iterator[StableDiffusionImg2ImgPipeline]:
    parts = {key: value for key, value in pipeline.components.items() if key != "image_encoder"}
    return StableDiffusionImg2ImgPipeline(**parts, requires_safety_checker=False)


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "PNDM"])
def test_image_to_image_leaves_out_what_diffusers_does(image_to_image: StableDiffusionImg2ImgPipeline, name: str) -> None:
    for steps in (1, 4, 20, 30):
        for strength in (0.29, 0.5, 0.7, 0.99, 1.0):
            if int(steps * strength) == 0:
                continue
            image_to_image.scheduler = build(name, steps=steps)
            theirs, _ = image_to_image.get_timesteps(steps, strength, "cpu")
            scheduler = build(name, steps=steps)
            first = samplers.skipped(scheduler, steps, strength)
            assert torch.equal(scheduler.timesteps[first:], theirs)
            assert getattr(scheduler, "begin_index", None) == getattr(image_to_image.scheduler, "begin_index", None)


@pytest.mark.parametrize("name", SAMPLERS)
def test_at_least_one_step_remains_and_full_strength_is_all(name: str) -> None:
    for steps, strength in ((1, 0.0), (20, 0.0), (20, 0.01), (7, 0.14)):
        scheduler = build(name, steps=steps)
        first = samplers.skipped(scheduler, steps, strength)
        assert len(scheduler.timesteps[first:]) == 1
        model = Sure(scheduler)
        assert draw(scheduler, model, strength, steps).isfinite().all()
    scheduler = build(name)
    before = scheduler.timesteps.clone()
    assert samplers.skipped(scheduler, 20, 1.0) == 0
    assert torch.equal(scheduler.timesteps, before)


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "LCM"])
@pytest.mark.parametrize("kind", ["epsilon", "builtin"])
def test_image_to_image_leaves_no_noise(name: str, kind: str) -> None:
    for strength in (0.2, 0.5):
        tolerance = 0.06 if name == "LMS" else 0.12 if name == "PNDM" else 0.2  # the two that diffusers has wrong
        assert spread(build(name, kind=kind), strength=strength) == pytest.approx(1, abs=tolerance), strength


@pytest.mark.parametrize("strength", [0.3, 0.5, 0.75])
def test_pndm_steps_to_where_its_next_timestep_is(strength: float) -> None:
    scheduler = build("PNDM")
    first = samplers.skipped(scheduler, 20, strength)
    left = scheduler.timesteps[first:].tolist()
    assert left[1] == left[2] == left[0] - 50  # there and, corrected, there again
    assert np.diff(left[2:]).tolist() == [-50] * (len(left) - 3)
    assert left[0] == build("DDIM").timesteps[first]


@pytest.mark.parametrize("name", SAMPLERS)
def test_facts_are_json_and_enough_to_build_it_again(name: str) -> None:
    for schedule in ("", *({"karras"} & SUPPORTED[name])):
        scheduler = build(name, schedule, "builtin")
        facts = json.loads(json.dumps(samplers.facts(scheduler), allow_nan=False))
        kind = getattr(diffusers, facts["_class_name"])
        assert isinstance(scheduler, kind)
        assert [key for key in facts if key.startswith("_")] == ["_class_name"]
        assert not schedule or facts["use_karras_sigmas"] is True
        if (name, schedule) != ("Euler a", "karras"):  # which diffusers does not have
            again = kind.from_config({key: value for key, value in facts.items() if key != "_class_name"})
            again.set_timesteps(20)
            assert torch.equal(again.timesteps, scheduler.timesteps)


def test_euler_a_takes_eulers_levels() -> None:
    for schedule in SCHEDULES:
        ancestral, plain = build("Euler a", schedule), build("Euler", schedule)
        assert torch.equal(ancestral.sigmas, plain.sigmas) and torch.equal(ancestral.timesteps, plain.timesteps)
        assert isinstance(plain, EulerDiscreteScheduler)
