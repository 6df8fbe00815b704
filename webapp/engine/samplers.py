"""The samplers' names and the diffusers schedulers behind them.

A scheduler holds the state of one picture (past model outputs, its place among the timesteps), so each picture gets its own; and
each is built from the checkpoint's original configuration, for a detour over another scheduler's loses what that one does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    LMSDiscreteScheduler,
    PNDMScheduler,
    SchedulerMixin,
    UniPCMultistepScheduler,
)

_PLAIN = {"use_karras_sigmas": False}
_DPM = {"algorithm_type": "dpmsolver++", "solver_order": 2}
SCHEDULERS: dict[str, tuple[type[SchedulerMixin], dict[str, Any]]] = {
    "DPM++ 2M": (DPMSolverMultistepScheduler, _DPM | _PLAIN),
    "DPM++ 2M Karras": (DPMSolverMultistepScheduler, _DPM | {"use_karras_sigmas": True}),
    "Euler": (EulerDiscreteScheduler, _PLAIN),
    "Euler a": (EulerAncestralDiscreteScheduler, {}),
    "DDIM": (DDIMScheduler, {"clip_sample": False}),  # latents, unlike pixels, leave [-1, 1]
    "PNDM": (PNDMScheduler, {"skip_prk_steps": True}),  # the Runge-Kutta start costs nine more calls
    "LMS": (LMSDiscreteScheduler, _PLAIN),
    "Heun": (HeunDiscreteScheduler, _PLAIN),
    "UniPC": (UniPCMultistepScheduler, _PLAIN),
}


def build(name: str, config: Mapping[str, Any], steps: int, device: torch.device) -> SchedulerMixin:
    """A fresh scheduler for one picture, its timesteps set. `name` is one of `schema.SAMPLERS`, `config` the checkpoint's own."""
    kind, changes = SCHEDULERS[name]
    scheduler = kind.from_config(config, **changes)
    scheduler.set_timesteps(steps, device=device)
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)  # else the start is looked up by timestep, and rounded ones may repeat (Karras)
    return scheduler
