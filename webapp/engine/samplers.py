"""The samplers' names and the diffusers schedulers behind them.

A scheduler holds the state of one picture (past model outputs, its place among the timesteps), so each picture gets its own; and
each is built from the checkpoint's original configuration, for a detour over another scheduler's loses what that one does not know.
Where a scheduler of diffusers is wrong, it is put right here, and the place says so:

- "trailing" at 61, 103, 121 or 122 steps has one timestep too many, which is negative (`_Steps`);
- one step of "linspace" or "leading" starts at the end of the schedule, where there is no noise, and two of DPM2 a can take the
  root of a negative number (`_changes`);
- half of the schedulers do not know `rescale_betas_zero_snr` (`build`), and Euler a knows no schedule by noise level (`build`);
- the third-order SDE has a sign wrong and LMS in image-to-image takes coefficients for steps that were not made (the classes below);
- PNDM in image-to-image loses a step and leaves its noise in the picture (`skipped`).
"""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DEISMultistepScheduler,
    DPMSolverMultistepScheduler,
    DPMSolverSDEScheduler,
    DPMSolverSinglestepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    KDPM2AncestralDiscreteScheduler,
    KDPM2DiscreteScheduler,
    LCMScheduler,
    LMSDiscreteScheduler,
    PNDMScheduler,
    SASolverScheduler,
    SchedulerMixin,
    TCDScheduler,
    UniPCMultistepScheduler,
)
from diffusers.schedulers.scheduling_dpmsolver_sde import BrownianTreeNoiseSampler

from webapp import craft
from webapp.errors import InvalidRequest

warnings.filterwarnings("ignore", "Should have t[ab]", module="torchsde")  # of the seventh digit, at each step of DPM++ SDE


class ThirdOrderSDE(DPMSolverMultistepScheduler):
    """DPM++ 3M SDE with the third-order term of k-diffusion's `sample_dpmpp_3m_sde` (eta 1).

    In diffusers (0.39 to 0.42 at least) a sign of it is wrong, and pictures stay noisy, the more so with many steps.
    """

    def multistep_dpm_solver_third_order_update(self, model_output_list, *_, sample, noise, **__) -> torch.Tensor:
        sigmas = self.sigmas[self.step_index - 2 : self.step_index + 2]
        alphas = (1 + sigmas**2).rsqrt()
        h2, h1, h = (sigmas[:-1] / sigmas[1:]).log()  # steps in half the log of the signal-to-noise ratio, the latest last
        r0, r1 = h1 / h, h2 / h
        x2, x1, x0 = model_output_list  # clean pictures, the latest last
        near, far = (x0 - x1) / r0, (x1 - x2) / r1
        second = (near - far) / (r0 + r1)
        first = near + r0 * second
        phi1 = -torch.expm1(-2 * h)
        phi2 = 1 - phi1 / (2 * h)
        phi3 = phi2 / (2 * h) - 0.5
        mean = alphas[3] * (phi1 * x0 + phi2 * first - phi3 * second)
        start, end = alphas[2] * sigmas[2], alphas[3] * sigmas[3]
        return end / start * torch.exp(-h) * sample + mean + end * phi1.sqrt() * noise


class _Unset:
    """Without the thousand timesteps that a constructor sets for the next call to replace: they take 0.17 s, while others wait."""

    def set_timesteps(self, num_inference_steps: int, device: Any = None, num_train_timesteps: int | None = None) -> None:
        if num_train_timesteps:  # which only the constructor gives
            self.sigmas = torch.zeros(1)
        else:
            super().set_timesteps(num_inference_steps, device)


class DPM2(_Unset, KDPM2DiscreteScheduler):
    pass


class DPM2Ancestral(_Unset, KDPM2AncestralDiscreteScheduler):
    """DPM2 a, also for few steps. diffusers takes what a step leaves of the noise as the root of a difference, which after a long one can round
    to nothing or less (seen on a CPU without AVX-512); it is the next level squared over this one."""

    def set_timesteps(self, num_inference_steps: int, device: Any = None, num_train_timesteps: int | None = None) -> None:
        super().set_timesteps(num_inference_steps, device, num_train_timesteps)
        if num_train_timesteps or not (lost := self.sigmas_interpol.isnan()).any():
            return
        levels = torch.cat([self.sigmas[:1], self.sigmas[1:-1:2]]).double()  # each but the first and the last is there twice
        down = torch.cat([levels[1:] ** 2 / levels[:-1], levels[-1:]])
        between = (levels * down).sqrt()
        for name, exact in (("sigmas_down", down), ("sigmas_interpol", between)):
            doubled = torch.cat([exact[:1], exact[1:].repeat_interleave(2), exact[-1:]]).float()
            setattr(self, name, getattr(self, name).where(~lost, doubled))
        for place in self.timesteps.isnan().nonzero().flatten().tolist():  # every other one lies between two levels
            self.timesteps[place] = float(self._sigma_to_t(between[place // 2].cpu().numpy(), self.log_sigmas.cpu().numpy()))


class BrownianSDE(_Unset, DPMSolverSDEScheduler):
    """DPM++ SDE, its noise drawn on the CPU, so that a picture does not depend on the device."""

    def step(self, model_output: torch.Tensor, timestep: torch.Tensor, sample: torch.Tensor, **options: Any) -> Any:
        if self.noise_sampler is None:
            low, high = self.sigmas[self.sigmas > 0].min().item(), self.sigmas.max().item()
            tree = BrownianTreeNoiseSampler(sample.float().cpu(), low, high, self.noise_sampler_seed)
            device, dtype = sample.device, sample.dtype
            self.noise_sampler = lambda start, end: tree(start, end).to(device, dtype)
        return super().step(model_output, timestep, sample, **options)


class CountingLMS(LMSDiscreteScheduler):
    """LMS whose order never exceeds the steps it has made; diffusers goes by the place among the timesteps."""

    def step(self, model_output: torch.Tensor, timestep: torch.Tensor, sample: torch.Tensor, order: int = 4, **options: Any) -> Any:
        return super().step(model_output, timestep, sample, order=min(len(self.derivatives) + 1, order), **options)


_DPM = {"algorithm_type": "dpmsolver++", "solver_type": "midpoint", "solver_order": 2}
_SDE = _DPM | {"algorithm_type": "sde-dpmsolver++"}
_LATENT = {"clip_sample": False}  # latents, unlike pixels, leave [-1, 1]
SCHEDULERS: dict[str, tuple[type[SchedulerMixin], dict[str, Any]]] = {
    "DPM++ 2M": (DPMSolverMultistepScheduler, _DPM),
    "DPM++ 2M SDE": (DPMSolverMultistepScheduler, _SDE),
    "DPM++ 2M SDE Heun": (DPMSolverMultistepScheduler, _SDE | {"solver_type": "heun"}),
    "DPM++ 3M": (DPMSolverMultistepScheduler, _DPM | {"solver_order": 3}),
    "DPM++ 3M SDE": (ThirdOrderSDE, _SDE | {"solver_order": 3}),
    "DPM++ SDE": (BrownianSDE, {}),
    "DPM++ 2S": (DPMSolverSinglestepScheduler, _DPM | {"lower_order_final": True}),
    "DPM2": (DPM2, {}),
    "DPM2 a": (DPM2Ancestral, {}),
    "Euler": (EulerDiscreteScheduler, {}),
    "Euler a": (EulerAncestralDiscreteScheduler, {}),
    "Heun": (HeunDiscreteScheduler, {}),
    "LMS": (CountingLMS, {}),
    "DDIM": (DDIMScheduler, _LATENT),
    "DDPM": (DDPMScheduler, _LATENT),
    "PNDM": (PNDMScheduler, {"skip_prk_steps": True}),  # the Runge-Kutta start costs nine more calls
    "UniPC": (UniPCMultistepScheduler, {"solver_order": 2, "solver_type": "bh2"}),
    "DEIS": (DEISMultistepScheduler, {"solver_order": 2, "algorithm_type": "deis", "solver_type": "logrho"}),
    "SA-Solver": (SASolverScheduler, {"algorithm_type": "data_prediction"}),
    "LCM": (LCMScheduler, {}),
    "TCD": (TCDScheduler, {}),
}
"""diffusers' class for each of our names, and what makes it that sampler. IPNDM, EDM and the flow-matching schedulers are for other
kinds of model: they do not read the checkpoint's betas."""

_FLAGS = {"karras": "use_karras_sigmas", "exponential": "use_exponential_sigmas", "beta": "use_beta_sigmas"}
_SOLVERS = (DPMSolverMultistepScheduler, UniPCMultistepScheduler, DEISMultistepScheduler, SASolverScheduler)


class _Steps(int):
    """A number of steps n by which 1000 / n is rounded up, so that counting down from 1000 by it makes n steps, never one more."""

    def __rtruediv__(self, other: float) -> float:
        return other / int(self) * (1 + 1e-12)


def build(name: str, schedule: str, config: Mapping[str, Any], steps: int, device: torch.device | str, seed: int = 0) -> SchedulerMixin:
    """A fresh scheduler for one picture, its timesteps set and ready to step from the first.

    `name` is one of `craft.SAMPLERS`, `schedule` one of `craft.SUPPORTED[name]` or empty for the sampler's own, `config` the
    checkpoint's own; `seed` is used by samplers that draw noise apart from the generator. Raises InvalidRequest for what
    would only fail: the beta schedule on a checkpoint with zero terminal SNR.
    """
    kind, changes = SCHEDULERS[name]
    pure = bool(config.get("rescale_betas_zero_snr"))
    if pure and schedule == "beta":  # its levels are linear in sigma, which starts at 4096: nearly all would be pure noise
        raise InvalidRequest({"schedule": "The beta schedule does not work with this model. Please choose another one."})
    changes = changes | _changes(name, schedule, config, steps) | {"noise_sampler_seed": seed}
    scheduler = _from_config(kind, config, changes)
    if pure and "rescale_betas_zero_snr" not in _parameters(kind):
        scheduler.alphas_cumprod = _from_config(EulerDiscreteScheduler, config, {}).alphas_cumprod
    scheduler.set_timesteps(_Steps(steps), device=device)
    if name == "Euler a" and schedule in _FLAGS:
        levels = _from_config(EulerDiscreteScheduler, config, changes)
        levels.set_timesteps(steps, device=device)
        scheduler.sigmas, scheduler.timesteps = levels.sigmas, levels.timesteps
        scheduler.register_to_config(**{_FLAGS[schedule]: True})
    if name == "Euler a":
        scheduler.sigmas = scheduler.sigmas.double()  # in single precision, the root that `DPM2Ancestral` tells of is taken at each step
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)  # else the start is looked up by timestep, and rounded ones may repeat (Karras)
    return scheduler


def _changes(name: str, schedule: str, config: Mapping[str, Any], steps: int) -> dict[str, Any]:
    """What the schedule changes of a configuration.

    sgm_uniform is `linspace(999, 0, n + 1)[:-1]`. Rounded, that is what the family of DPM-Solver++ calls "linspace"; what the
    others call "trailing" is never further from it than 1.5 of the 1000 timesteps.
    """
    changes: dict[str, Any] = dict.fromkeys(_FLAGS.values(), False) | {"use_lu_lambdas": False}
    if steps == 1 or (steps == 2 and name == "DPM2 a"):
        changes["timestep_spacing"] = "trailing"  # whatever the schedule: it begins at the noisiest and does not end at the cleanest
    elif schedule in _FLAGS:
        changes |= {_FLAGS[schedule]: True, "timestep_spacing": "linspace"}  # from the noisiest level of training to the cleanest
    elif schedule == "sgm_uniform":
        changes["timestep_spacing"] = "linspace" if issubclass(SCHEDULERS[name][0], _SOLVERS) else "trailing"
    elif schedule:
        changes["timestep_spacing"] = schedule
    elif config.get("timestep_spacing") == "linspace" and "linspace" not in craft.SUPPORTED[name]:
        changes["timestep_spacing"] = "leading"
    if steps > 50:
        changes["original_inference_steps"] = config.get("num_train_timesteps", 1000)  # LCM's and TCD's 50 are not enough
    return changes


def _parameters(kind: type[SchedulerMixin]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(kind.__init__).parameters


def _from_config(kind: type[SchedulerMixin], config: Mapping[str, Any], changes: Mapping[str, Any]) -> SchedulerMixin:
    """`from_config`, given only what the class knows; it warns of the rest."""
    known = {*_parameters(kind), "_use_default_values"}
    return kind.from_config({k: v for k, v in config.items() if k in known}, **{k: v for k, v in changes.items() if k in known})


def extra(scheduler: SchedulerMixin, generator: torch.Generator, eta: float | None = None) -> dict[str, Any]:
    """The keyword arguments that this scheduler's `step` takes: the picture's generator, if it draws noise with one, and `eta`
    from 0 to 1 (DDIM, TCD), unless None, which leaves it the scheduler's own (0 and 0.3)."""
    taken = inspect.signature(scheduler.step).parameters
    given = {"generator": generator} if eta is None else {"generator": generator, "eta": eta}
    return {name: value for name, value in given.items() if name in taken}


def skipped(scheduler: SchedulerMixin, steps: int, strength: float) -> int:
    """How many entries of `scheduler.timesteps` image-to-image leaves out at this strength (0 to 1), and the scheduler is set to
    begin after them. `steps` is what it was built with; at least one step remains.

    As StableDiffusionImg2ImgPipeline.get_timesteps, but for PNDM, whose `timesteps` change: its second one must come twice, and
    the pipeline cuts the list where it does not, so that all further steps are one behind the noise they should take away.
    """
    left = max(min(int(steps * strength), steps), 1)
    first = (steps - left) * scheduler.order
    if isinstance(scheduler, PNDMScheduler) and first:
        single = torch.cat([scheduler.timesteps[:1], scheduler.timesteps[2:]])  # (steps,)
        scheduler.timesteps = torch.cat([single[: first + 2], single[first + 1 :]])
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(first)
    return first


def facts(scheduler: SchedulerMixin) -> dict[str, Any]:
    """Its configuration for a receipt, fit for JSON: diffusers' class under "_class_name", no other private keys, and without what
    is infinite, which is to say unlimited."""
    kind = next(kind for kind in type(scheduler).__mro__ if kind.__module__.startswith("diffusers."))
    public = {k: v for k, v in scheduler.config.items() if not k.startswith("_")}
    return {"_class_name": kind.__name__} | {k: v for k, v in public.items() if not isinstance(v, float) or math.isfinite(v)}
