"""diffusers' own pipelines, asked for what a request asks for: what the engine's pictures are measured against."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from diffusers import (
    ControlNetModel,
    DiffusionPipeline,
    PNDMScheduler,
    SchedulerMixin,
    StableDiffusionControlNetImg2ImgPipeline,
    StableDiffusionControlNetInpaintPipeline,
    StableDiffusionControlNetPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
)
from PIL import Image
from test_samplers import FLAGS, STOCK
from transformers import CLIPTextModel

from webapp.engine import checkpoint, samplers
from webapp.library import Library
from webapp.schema import GenerationRequest

STOCK = {**STOCK, "DPM++ 3M SDE": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++", "solver_order": 3})}
PIPELINES = {  # by whether there are ControlNets, and what it starts from
    (False, "noise"): StableDiffusionPipeline,
    (False, "image"): StableDiffusionImg2ImgPipeline,
    (False, "mask"): StableDiffusionInpaintPipeline,
    (True, "noise"): StableDiffusionControlNetPipeline,
    (True, "image"): StableDiffusionControlNetImg2ImgPipeline,
    (True, "mask"): StableDiffusionControlNetInpaintPipeline,
}
_TAG = re.compile(r"\s*<lora:(\w+):([\d.]+)>")


class Reference:
    """Pipelines on the model in `folder`, with the add-ons of `library` and the `images` that requests name."""

    def __init__(self, folder: Path, library: Library, images: Mapping[str, Image.Image], dtype: torch.dtype = torch.float32) -> None:
        self.folder, self.library, self.images, self.dtype = folder, library, images, dtype
        self._parts = self._load()
        self.original = self._parts["scheduler"].config

    def latents(self, request: GenerationRequest, corrected: bool = False, **more: Any) -> torch.Tensor:
        """What the pipeline for this kind of request ends in. Its schedulers are diffusers' own, or if `corrected` ours, where theirs
        are known to be wrong. `more` goes to the pipeline before what the request says."""
        pipe = self._pipeline(request)
        pipe.set_progress_bar_config(disable=True)
        pipe.scheduler = self._corrected(request) if corrected else self._stock(request)
        if corrected and isinstance(pipe.scheduler, PNDMScheduler) and request.image:
            first = samplers.skipped(pipe.scheduler, request.steps, request.strength)
            pipe.get_timesteps = lambda steps, strength, device: (pipe.scheduler.timesteps[first:], steps)
        options = {**self._options(request), **more}
        if "width" in inspect.signature(pipe.__call__).parameters:
            options |= {"width": request.width, "height": request.height}
        if request.clip_skip == 1 or hasattr(CLIPTextModel, "text_model") or hasattr(pipe.text_encoder, "text_model"):
            return pipe(**options).images
        with pytest.MonkeyPatch.context() as patch:  # transformers took it away, and diffusers' clip_skip still asks for it
            patch.setattr(CLIPTextModel, "text_model", property(lambda self: self), raising=False)
            return pipe(**options).images

    def embeddings(self, prompt: str) -> torch.Tensor:
        """(1, 77, width) of a prompt that one chunk holds."""
        return StableDiffusionPipeline(**self._parts, requires_safety_checker=False).encode_prompt(prompt, "cpu", 1, False)[0]

    def _load(self) -> dict[str, Any]:
        keyword = {checkpoint._dtype_keyword(): self.dtype}
        pipe = StableDiffusionPipeline.from_pretrained(self.folder, safety_checker=None, requires_safety_checker=False, **keyword)
        # Latents encoded from a picture lie in memory channels last, where sums are rounded otherwise: ours all lie alike, to share calls
        pipe.unet.register_forward_pre_hook(lambda _, inputs: (inputs[0].contiguous(), *inputs[1:]))
        return {**pipe.components, "image_encoder": None}

    def _pipeline(self, request: GenerationRequest) -> DiffusionPipeline:
        loras = {name: float(weight) for name, weight in _TAG.findall(request.prompt)}
        learned = [path for path in self.library.folder("embeddings").glob("*.safetensors") if path.stem in request.prompt]
        parts = self._load() if loras or learned or request.vae else dict(self._parts)  # those change what they are given to
        if request.controls:
            folders = [self.library.path("controlnets", control.model) for control in request.controls]
            parts["controlnet"] = [ControlNetModel.from_pretrained(folder) for folder in folders]
        if request.vae:
            parts["vae"] = diffusers.AutoencoderKL.from_pretrained(self.library.path("vaes", request.vae))
        start = "mask" if request.mask else "image" if request.image else "noise"
        pipe = PIPELINES[bool(request.controls), start](**parts, requires_safety_checker=False)
        try:
            for name in loras:
                pipe.load_lora_weights(self.library.path("loras", name), adapter_name=name)
        except IndexError:  # as 0.39 with 5.13
            pytest.skip("this version of diffusers cannot read LoRAs of this version of transformers' text encoders")
        if loras:
            pipe.set_adapters(list(loras), list(loras.values()))
        for path in learned:
            pipe.load_textual_inversion(path, token=path.stem)
        return pipe

    def _options(self, request: GenerationRequest) -> dict[str, Any]:
        generator = torch.Generator("cpu").manual_seed(request.seed)
        options = {
            "prompt": _TAG.sub("", request.prompt),
            "negative_prompt": request.negative_prompt,
            "num_inference_steps": request.steps,
            "guidance_scale": request.guidance,
            "clip_skip": request.clip_skip - 1 or None,
            "eta": request.eta or 0.0,
            "generator": generator,
            "output_type": "latent",
        }
        if request.guidance_rescale:
            options["guidance_rescale"] = request.guidance_rescale
        if request.image:
            options |= {"image": self.images[request.image], "strength": request.strength}
        if request.mask:
            options["mask_image"] = self.images[request.mask]
        if request.controls:
            options["control_image" if request.image else "image"] = [self.images[control.image] for control in request.controls]
            options["controlnet_conditioning_scale"] = [control.weight for control in request.controls]
            options["control_guidance_start"] = [control.start for control in request.controls]
            options["control_guidance_end"] = [control.end for control in request.controls]
        if self.dtype != torch.float32:  # the pipeline would draw it in half precision, where each version draws other numbers
            noise = torch.randn(1, 4, request.height // 8, request.width // 8, generator=generator)
            options["latents"] = noise.to(self.dtype)
        return options

    def _stock(self, request: GenerationRequest) -> SchedulerMixin:
        kind, changes = STOCK[request.sampler]
        changes = {**changes, "noise_sampler_seed": request.seed} if "noise_sampler_seed" in changes else changes
        if request.schedule:
            changes = {**changes, FLAGS[request.schedule]: True, "timestep_spacing": "linspace"}
        return getattr(diffusers, kind).from_config(self.original, **changes)

    def _corrected(self, request: GenerationRequest) -> SchedulerMixin:
        scheduler = samplers.build(request.sampler, request.schedule, self.original, request.steps, "cpu", request.seed)
        scheduler.set_timesteps = lambda *_, **__: None  # which the pipeline would do once more
        return scheduler
