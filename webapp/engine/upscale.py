"""Making a finished picture larger: by interpolation, or drawn anew by Stability AI's x4 upscaler or the x2 latent upscaler. These
models have steps of their own kind, so they stand beside the tasks; a `Run` goes one step at a time to let others in between."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import DiffusionPipeline, StableDiffusionLatentUpscalePipeline, StableDiffusionUpscalePipeline
from PIL import Image

from webapp.catalogue import Catalogue, Entry
from webapp.engine import building, hub, samplers
from webapp.engine.latents import LatentSpace, finished
from webapp.errors import DrawingFailed, InvalidRequest, ModelError
from webapp.library import Library
from webapp.schema import GenerationRequest

LANCZOS = "lanczos"
KEY = "\0upscaler "  # begins the shelf's key of one; no name has a NUL
MAX_PIXELS = 3072 * 3072  # of an upscaler's result: what SD 2.1 draws at its native size, four times enlarged
MAX_INTERPOLATED = 8192 * 8192  # the largest picture that can be asked for, four times enlarged
FEWEST_STEPS = 20  # of an upscaler, as the x2 one's card has it: a distilled model's two steps are none for it
NOISE_LEVEL = 20  # the x4 upscaler sees its image through that much noise, of 0 to 350: diffusers' default
log = logging.getLogger(__name__)


def lanczos(image: Image.Image, scale: float) -> Image.Image:
    """The image `scale` times as wide and high, to the nearest pixel."""
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)


def steps(drawn: int) -> int:
    """How many steps an upscaler takes for a picture that was drawn in so many."""
    return max(drawn, FEWEST_STEPS)


def scale(name: str, library: Library, catalogue: Catalogue | None = None) -> int:
    """How many times larger the upscaler `name` makes a picture; nothing is loaded or fetched. Raises InvalidRequest, ModelError."""
    known = _named(name, library, catalogue)
    return known.scale if isinstance(known, Entry) else _kind(known).scale


def find(
    name: str,
    library: Library,
    catalogue: Catalogue | None = None,
    report: Callable[[str], None] = log.info,
    stop: threading.Event | None = None,
) -> Path:
    """The folder of the upscaler `name`: the library's, or the catalogue's, fetched from the hub if it is not on the disk, unless `stop` is
    set meanwhile.

    Raises InvalidRequest when neither has it, ModelError when it cannot be fetched.
    """
    known = _named(name, library, catalogue)
    if isinstance(known, Path):
        return known
    return hub.fetch(hub.identify(known.source)[0], report, kind="upscaler", stop=stop)


def _named(name: str, library: Library, catalogue: Catalogue | None) -> Path | Entry:
    fetched = catalogue.upscalers if catalogue else {}
    try:
        return library.path("upscalers", name)
    except InvalidRequest:
        for entry in fetched.values():
            if entry.name.casefold() == name.strip().casefold():
                return entry
    there = ", ".join((LANCZOS, *library.names("upscalers"), *fetched))
    raise InvalidRequest({"upscaler": f"There is no upscaler called {name[:80]}. There are: {there}."})


def check(name: str, scale: float, width: int, height: int) -> None:
    """Raise DrawingFailed for a picture of so many pixels that making it `scale` times as large would take too much memory."""
    limit = MAX_INTERPOLATED if name == LANCZOS else MAX_PIXELS
    if width * height * scale**2 > limit:
        most = int(limit**0.5 / scale)
        raise DrawingFailed(
            f"{width} x {height} pixels are too many to be made {scale:g} times as large by {name}. "
            f"It takes pictures of up to {most} x {most} pixels for that."
        )


def foresee(request: GenerationRequest, size: tuple[int, int], library: Library, catalogue: Catalogue | None = None) -> None:
    """Raise at once what enlarging the request's picture of `size` would raise once it is drawn: InvalidRequest for an upscaler that is
    not there, ModelError for one that is none, DrawingFailed for too many pixels."""
    if request.upscaler != LANCZOS:
        check(request.upscaler, scale(request.upscaler, library, catalogue), *size)
    elif request.upscale > 1:
        check(LANCZOS, request.upscale, *size)


@dataclass(frozen=True, eq=False)
class Upscaler:
    """A diffusion upscaler on its device. `scale`, 4 or 2, is what it was made for and does always."""

    name: str
    kind: type[Run]
    pipe: StableDiffusionUpscalePipeline | StableDiffusionLatentUpscalePipeline
    space: LatentSpace

    @classmethod
    @building.alone
    def load(cls, folder: Path, device: str | torch.device, dtype: torch.dtype) -> Upscaler:
        """The upscaler in a diffusers folder, its autoencoder in fp32 where `dtype` is fp16, which can overflow. Raises ModelError."""
        name = _name(folder)
        try:
            variant = hub.inspect(folder, name, "upscaler")
            kind = _kind(folder)
            unused = dict.fromkeys(kind.pipeline._optional_components)
            pipe = kind.pipeline.from_pretrained(folder, variant=variant, use_safetensors=True, local_files_only=True, **unused)
            pipe.unet.to(device, dtype)
            pipe.text_encoder.to(device, dtype)
            pipe.vae.to(device, torch.float32 if dtype == torch.float16 else dtype)
        except ModelError:
            raise
        except Exception as error:
            log.exception("%s could not be loaded", name)
            raise ModelError(hub.sentence(error, name)) from None
        latents = pipe.vae.config.latent_channels
        if pipe.unet.config.in_channels != latents + (3 if kind is _X4Run else latents):
            raise ModelError(f"The parts of {name} do not belong together. Fetching it again may help.")
        return cls(name, kind, pipe, LatentSpace(pipe.vae))

    @property
    def scale(self) -> int:
        return self.kind.scale

    @torch.inference_mode()
    def begin(self, image: Image.Image, prompt: str, negative_prompt: str, seed: int, steps: int, guidance: float | None = None) -> Run:
        """Enlarge a picture, of any size up to the limit; the first step is yet to be taken. Without `guidance` it is the upscaler's
        own, whatever suited the model that drew the picture. Raises DrawingFailed."""
        check(self.name, self.scale, *image.size)
        guidance = self.kind.guidance if guidance is None else guidance
        return self.kind(self, image.convert("RGB"), prompt, negative_prompt, seed, steps, guidance)


class Run:
    """One picture being enlarged: `step` of `steps` are done.

    Equal to diffusers' pipeline of the same seed, but for the noise, which is drawn in fp32 on the CPU and then rounded. A step calls
    the UNet once, with two rows where there is guidance (above 1).
    """

    pipeline: type[DiffusionPipeline]
    scale: int
    guidance: float  # that its makers use
    multiple: int  # the image's sides are padded to multiples of so many pixels

    def __init__(
        self, upscaler: Upscaler, image: Image.Image, prompt: str, negative_prompt: str, seed: int, steps: int, guidance: float
    ) -> None:
        self._upscaler, self._size, self._guidance = upscaler, image.size, guidance
        self._texts = [negative_prompt, prompt] if guidance > 1 else [prompt]  # a row each
        self._generator = torch.Generator("cpu").manual_seed(seed)
        config = upscaler.pipe.scheduler.config
        self._scheduler = type(upscaler.pipe.scheduler).from_config(config)
        self._scheduler.set_timesteps(steps)
        self._extra = samplers.extra(self._scheduler, self._generator)
        self.step, self.steps = 0, len(self._scheduler.timesteps)
        self._beside = self._prepare(_padded(image, self.multiple))  # (1, c, h, w): what the UNet sees beside the latents
        self.latents = self._noise(self._beside.shape[-2:], upscaler.space.channels) * self._scheduler.init_noise_sigma  # (1, c, h, w)

    def _prepare(self, image: Image.Image) -> torch.Tensor:
        """Read the words, and make of the image what goes beside the latents, of their height and width."""
        raise NotImplementedError

    def _predict(self, rows: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """What the scheduler wants to know of (n, c, h, w), the latents once for each text."""
        raise NotImplementedError

    @property
    def done(self) -> bool:
        return self.step == self.steps

    @torch.inference_mode()
    def advance(self) -> None:
        """Take one denoising step."""
        timestep = self._scheduler.timesteps[self.step]
        said = self._predict(torch.cat([self.latents] * len(self._texts)), timestep)  # (n, c, h, w)
        if len(self._texts) == 2:
            negative, positive = said.chunk(2)
            said = negative + self._guidance * (positive - negative)
        self.latents = self._scheduler.step(said, timestep, self.latents, **self._extra, return_dict=False)[0]
        self.step += 1

    @torch.inference_mode()
    def image(self) -> Image.Image:
        """The result, RGB, `scale` times as wide and high as the picture was; decoded in tiles if it is large. Raises DrawingFailed."""
        space = self._upscaler.space
        whole = finished(space.decode(self.latents.to(space.vae.dtype))[0])
        width, height = self._size
        return whole.crop((0, 0, width * self.scale, height * self.scale))

    def _read(self, **options: bool) -> object:
        """What the text encoder says of the texts, cut at what it can read."""
        pipe = self._upscaler.pipe
        tokens = pipe.tokenizer(
            self._texts, padding="max_length", max_length=pipe.tokenizer.model_max_length, truncation=True, return_tensors="pt"
        )
        return pipe.text_encoder(tokens.input_ids.to(pipe.device), **options)

    def _noise(self, size: tuple[int, int], channels: int) -> torch.Tensor:
        unet = self._upscaler.pipe.unet
        return torch.randn((1, channels, *size), generator=self._generator).to(unet.device, unet.dtype)


class _X4Run(Run):
    """As StableDiffusionUpscalePipeline: the UNet works at the image's own size and sees it, a little noisy, beside the latents."""

    pipeline = StableDiffusionUpscalePipeline
    scale, guidance, multiple = 4, 9.0, 8

    def _prepare(self, image: Image.Image) -> torch.Tensor:
        pipe = self._upscaler.pipe
        self._words = self._read().last_hidden_state  # (n, 77, width)
        self._level = torch.tensor([NOISE_LEVEL] * len(self._texts), device=pipe.device)
        pixels = pipe.image_processor.preprocess(image).to(pipe.device, pipe.unet.dtype)  # (1, 3, h, w), -1 to 1
        noise = self._noise(pixels.shape[-2:], 3)
        return pipe.low_res_scheduler.add_noise(pixels, noise, self._level[:1])

    def _predict(self, rows: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        scaled = self._scheduler.scale_model_input(rows, timestep)
        sample = torch.cat([scaled, self._beside.expand(len(rows), -1, -1, -1)], dim=1)
        unet = self._upscaler.pipe.unet
        return unet(sample, timestep, encoder_hidden_states=self._words, class_labels=self._level, return_dict=False)[0]


class _X2Run(Run):
    """As StableDiffusionLatentUpscalePipeline: the UNet sees the image's latents, their pixels doubled, beside its own, and is
    preconditioned after Karras et al. 2022 (arXiv 2206.00364, table 1)."""

    pipeline = StableDiffusionLatentUpscalePipeline
    scale, guidance, multiple = 2, 0.0, 64

    def _prepare(self, image: Image.Image) -> torch.Tensor:
        unet = self._upscaler.pipe.unet
        if self._guidance == 0:
            self._texts = [""]  # without guidance the prompt counts in full: 0 is how to leave it out
        said = self._read(output_hidden_states=True)
        self._words = said.hidden_states[-1]  # (n, 77, width)
        level = torch.cat([torch.ones(64), torch.zeros(64)]).to(said.pooler_output)  # cosines and sines of a noise level of 0
        self._condition = torch.cat([level.expand(len(self._texts), -1), said.pooler_output], dim=1)  # (n, 128 + width)
        latents = self._upscaler.space.encode(image, self._generator).to(unet.dtype)  # (1, c, h / 2, w / 2)
        return torch.nn.functional.interpolate(latents, scale_factor=2, mode="nearest")

    def _predict(self, rows: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        sigma = self._scheduler.sigmas[self.step]
        scaled = self._scheduler.scale_model_input(rows, timestep)
        sample = torch.cat([scaled, self._beside.expand(len(rows), -1, -1, -1)], dim=1)
        said = self._upscaler.pipe.unet(
            sample, sigma.log() / 4, encoder_hidden_states=self._words, timestep_cond=self._condition, return_dict=False
        )[0]
        said = said[:, :-1]  # the last channel, a variance, is not used
        return rows / (sigma**2 + 1) + said * sigma / (sigma**2 + 1) ** 0.5


def _kind(folder: Path) -> type[Run]:
    """What a folder's upscaler is. Raises ModelError."""
    try:
        index = json.loads((folder / hub.INDEX).read_text("utf-8"))
        hub.check(index, _name(folder), "upscaler")
    except (OSError, ValueError, AttributeError):
        raise ModelError(f"{_name(folder)} is not the folder of an upscaler, or it is damaged.") from None
    return {run.pipeline.__name__: run for run in (_X4Run, _X2Run)}[index["_class_name"]]


def _name(folder: Path) -> str:
    return folder.resolve().name


def _padded(image: Image.Image, multiple: int) -> Image.Image:
    """The image with its right and lower edge repeated until `multiple` divides its sides."""
    pixels = np.asarray(image)
    height, width, _ = pixels.shape
    return Image.fromarray(np.pad(pixels, ((0, -height % multiple), (0, -width % multiple), (0, 0)), "edge"))
