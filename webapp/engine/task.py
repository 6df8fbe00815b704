"""One picture in progress: its latents, its own scheduler and generator, and where it stands."""

from __future__ import annotations

import inspect

import torch

from webapp.engine import samplers
from webapp.engine.checkpoint import Checkpoint
from webapp.engine.conditioning import Conditioner
from webapp.schema import GenerationRequest


class Task:
    """Drawn step by step: the UNet is called on `sample`, `timestep` and `embeddings`, and what it says goes to `advance`.

    `sample` has `rows` equal rows: two with guidance (the negative prompt's, then the prompt's), one at guidance 1 or less.
    """

    def __init__(self, request: GenerationRequest, checkpoint: Checkpoint, conditioner: Conditioner) -> None:
        guided = request.guidance > 1
        self.request = request
        self.rows = 2 if guided else 1
        self.embeddings = conditioner.rows(request.prompt, request.negative_prompt, guided)  # (rows, 77, width)
        self.scheduler = samplers.build(request.sampler, checkpoint.scheduler_config, request.steps, checkpoint.device)
        self.step = 0
        self.steps = len(self.scheduler.timesteps)
        generator = torch.Generator("cpu").manual_seed(request.seed)
        noise = checkpoint.space.noise(request.width, request.height, generator)
        self.latents = noise * self.scheduler.init_noise_sigma  # (1, channels, h, w)
        draws_noise = "generator" in inspect.signature(self.scheduler.step).parameters
        self._extra = {"generator": generator} if draws_noise else {}
        self._prepare()

    @property
    def done(self) -> bool:
        return self.step == self.steps

    @property
    def timestep(self) -> torch.Tensor:
        """Of the next step; a whole number or not, as the scheduler has it."""
        return self.scheduler.timesteps[self.step]

    def advance(self, noise: torch.Tensor) -> None:
        """Take the UNet's prediction for this task's rows, (rows, channels, h, w), one step further."""
        if self.rows == 2:
            negative, positive = noise.chunk(2)
            noise = negative + self.request.guidance * (positive - negative)
        self._seen = self.sample[:1], self.timestep, noise
        self.latents = self.scheduler.step(noise, self.timestep, self.latents, **self._extra, return_dict=False)[0]
        self.step += 1
        if not self.done:
            self._prepare()

    def guess(self) -> torch.Tensor:
        """The clean latents that the latest prediction points to, (1, channels, h, w); after the first `advance`."""
        sample, timestep, noise = self._seen
        signal = self.scheduler.alphas_cumprod[round(float(timestep))]
        match self.scheduler.config.prediction_type:
            case "epsilon":
                return (sample - (1 - signal).sqrt() * noise) / signal.sqrt()
            case "v_prediction":
                return signal.sqrt() * sample - (1 - signal).sqrt() * noise
            case _:
                return noise

    def _prepare(self) -> None:
        scaled = self.scheduler.scale_model_input(self.latents, self.timestep)
        self.sample = torch.cat([scaled] * self.rows)  # (rows, channels, h, w)
