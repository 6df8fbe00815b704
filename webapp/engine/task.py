"""One pass of one picture: its latents, its own scheduler and generator, and where it stands among its steps."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import torch
from PIL import Image

from webapp import prompt
from webapp.engine import latents, samplers
from webapp.engine.controlnet import Use, in_force
from webapp.engine.latents import LatentSpace
from webapp.engine.model import Model
from webapp.schema import GenerationRequest


@dataclass(frozen=True)
class Start:
    """Where a pass begins: from noise alone when it has neither `image` nor `latents`. `mask` is white where it is drawn anew;
    `strength` (0 to 1) the share of the noise levels that the pass goes through. Sides in pixels."""

    width: int
    height: int
    steps: int
    strength: float = 1.0
    image: Image.Image | None = None  # RGB, width x height
    mask: Image.Image | None = None  # L, width x height
    latents: torch.Tensor | None = None  # (1, channels, h, w), of an earlier pass
    maps: tuple[Image.Image, ...] = ()  # what the request's ControlNets are shown, one each


class Task:
    """Drawn step by step: the UNet is called on `sample`, `timestep` and `embeddings`, and what it says goes to `advance`.

    `sample` has `rows` equal rows: two with guidance (the negative prompt's, then the prompt's), one at guidance 1 or less. `loras`
    and `uses` are in force for all of them; `notes` are sentences for the picture's owner. Follows diffusers' StableDiffusionPipeline,
    -Img2ImgPipeline and -InpaintPipeline.
    """

    def __init__(self, request: GenerationRequest, start: Start, model: Model) -> None:
        checkpoint = model.checkpoint
        guided = request.guidance > 1
        self.request, self.model, self.rows = request, model, 2 if guided else 1
        self.scheduler = samplers.build(
            request.sampler, request.schedule, checkpoint.scheduler_config, start.steps, checkpoint.device, request.seed
        )
        first = 0 if _from_noise(start) else samplers.skipped(self.scheduler, start.steps, start.strength)
        self.timesteps = self.scheduler.timesteps[first:]
        self.step, self.steps = 0, len(self.timesteps)
        words, self.loras, notices = model.loras_of(request)
        self.conditioning = model.conditioner.condition(
            words,
            request.negative_prompt,
            guided=guided,
            steps=self.steps,
            clip_skip=request.clip_skip,
            loras=self.loras,
            taught=prompt.taught(prompt.loras(request.prompt)[1]),
        )
        self.notes = (*self.conditioning.notes, *notices)
        self.generator = torch.Generator("cpu").manual_seed(request.seed)
        self.latents = self._begin(start)  # (1, channels, h, w)
        self._controls = [
            (control, *model.control(control.model, shown, start.width, start.height))
            for control, shown in zip(request.controls, start.maps, strict=True)
        ]
        self._extra = samplers.extra(self.scheduler, self.generator, request.eta)
        self._prepare()

    def _begin(self, start: Start) -> torch.Tensor:
        """The first latents. Draws from the generator in the pipelines' order: the image, the noise, the masked image."""
        space, image = self._space(), start.latents
        blends = start.mask is not None and self.model.checkpoint.kind == "text"
        if start.image is not None and (blends or not _from_noise(start)):
            image = space.encode(start.image, self.generator)
        self.noise = self._draw_noise(start)
        self._clean, self._mask, self._beside = None, None, None
        if start.mask is not None:
            anew = (latents.mask(start.mask) >= 0.5).float()  # (1, 1, H, W)
            self._mask = torch.nn.functional.interpolate(anew, size=self.noise.shape[-2:]).to(self.noise)
        if blends:
            self._clean = image
            torch.randn(self.noise.shape, generator=self.generator)  # the pipeline's, for a masked image that it makes no use of
        if self.model.checkpoint.kind == "inpainting":
            self._beside = self._painted_over(start)  # (1, 1 + channels, h, w)
        if _from_noise(start):
            return self.noise * self.scheduler.init_noise_sigma
        return self.scheduler.add_noise(image, self.noise, self.timesteps[:1])

    def _space(self) -> LatentSpace:
        """Of the autoencoder that the request names, which reads pictures as it will draw them. Raises InvalidRequest, ModelError."""
        return self.model.space(self.request.vae)

    def _draw_noise(self, start: Start) -> torch.Tensor:
        request, space = self.request, self.model.checkpoint.space
        noise = space.noise(start.width, start.height, self.generator)
        if not request.subseed_strength:
            return noise
        other = space.noise(start.width, start.height, torch.Generator("cpu").manual_seed(request.subseed))
        return slerp(noise, other, request.subseed_strength)

    def _painted_over(self, start: Start) -> torch.Tensor:
        """What an inpainting checkpoint sees beside the latents: the mask, and the picture without what is under it."""
        image = start.image or Image.new("RGB", (start.width, start.height), (128, 128, 128))
        mask = self._mask if self._mask is not None else torch.ones_like(self.noise[:, :1])
        hidden = start.mask or Image.new("L", image.size, 255)
        return torch.cat([mask, self._space().encode(image, self.generator, hidden)], dim=1)

    @property
    def done(self) -> bool:
        return self.step == self.steps

    @property
    def timestep(self) -> torch.Tensor:
        """Of the next step; a whole number or not, as the scheduler has it."""
        return self.timesteps[self.step]

    @property
    def embeddings(self) -> torch.Tensor:
        """For the next step, (rows, 77 * chunks, width)."""
        return self.conditioning.at(self.step)

    @property
    def uses(self) -> tuple[Use, ...]:
        """The ControlNets in force at the next step."""
        return tuple(
            Use(net, image, control.weight)
            for control, net, image in self._controls
            if in_force(self.step, self.steps, control.start, control.end)
        )

    @property
    def shape(self) -> Hashable:
        """Tasks of one shape fit into one call of the UNet."""
        return self.model, *self.sample.shape[1:], self.embeddings.shape[1]

    def advance(self, noise: torch.Tensor) -> None:
        """Take the UNet's prediction for this task's rows, (rows, channels, h, w), one step further."""
        if self.rows == 2:
            negative, positive = noise.chunk(2)
            noise = negative + self.request.guidance * (positive - negative)
            if self.request.guidance_rescale:
                noise = rescale(noise, positive, self.request.guidance_rescale)
        self._seen = self.sample[:1, : noise.shape[1]], self.timestep, noise
        self.latents = self.scheduler.step(noise, self.timestep, self.latents, **self._extra, return_dict=False)[0]
        self.step += 1
        if self._clean is not None:
            self.latents = (1 - self._mask) * self._kept() + self._mask * self.latents
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

    def _kept(self) -> torch.Tensor:
        """The start image's latents, as noisy as the task's own are now: what lies outside the mask."""
        return self._clean if self.done else self.scheduler.add_noise(self._clean, self.noise, self.timesteps[self.step : self.step + 1])

    def _prepare(self) -> None:
        scaled = self.scheduler.scale_model_input(self.latents, self.timestep)
        if self._beside is not None:
            scaled = torch.cat([scaled, self._beside], dim=1)
        self.sample = torch.cat([scaled] * self.rows)  # (rows, channels, h, w)


def _from_noise(start: Start) -> bool:
    """Full strength under a mask forgets the image, as without one the image is still faintly there."""
    return (start.image is None and start.latents is None) or (start.mask is not None and start.strength >= 1)


def rescale(noise: torch.Tensor, positive: torch.Tensor, share: float) -> torch.Tensor:
    """Strong guidance overexposes; this brings the prediction's spread back to that of the prompt's own (Lin et al. 2023, "Common
    Diffusion Noise Schedules and Sample Steps are Flawed", 3.4). All (1, channels, h, w); `share` 0 to 1."""
    dims = list(range(1, noise.ndim))
    spread = noise * (positive.std(dim=dims, keepdim=True) / noise.std(dim=dims, keepdim=True))
    return share * spread + (1 - share) * noise


def slerp(one: torch.Tensor, other: torch.Tensor, share: float) -> torch.Tensor:
    """From `one` (share 0) to `other` (share 1) along the sphere, so that noise between two noises is as strong as either (Shoemake
    1985)."""
    a, b = one.float(), other.float()
    angle = torch.arccos(((a / a.norm()) * (b / b.norm())).sum().clamp(-1, 1))
    if angle.sin().abs() < 1e-4:
        return one
    parts = ((1 - share) * angle).sin() / angle.sin(), (share * angle).sin() / angle.sin()  # at either end exactly 1 and 0
    return (parts[0] * a + parts[1] * b).to(one.dtype)
