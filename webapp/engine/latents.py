"""The space a picture is drawn in: its noise, the way there and back to pixels, and a cheap look at what is on its way."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image

from webapp.errors import DrawingFailed

TILED = 1024 * 1024  # pixels of a picture above which the autoencoder works in overlapping tiles, to bound its memory


class LatentSpace:
    """The latents of one autoencoder; `factor` pixels to a latent's side. Channels and scale are the autoencoder's own.

    Pictures of more than TILED pixels go through it in overlapping tiles; while `tiled` lasts, all that are larger than a tile.
    """

    def __init__(self, vae: AutoencoderKL) -> None:
        self.vae = vae
        self._tiled_above = TILED
        self.together = vae.device.type != "cpu"
        self.channels: int = vae.config.latent_channels
        self.factor: int = 2 ** (len(vae.config.block_out_channels) - 1)
        self._colours = self._fit_colours()  # (channels + 1, 3)

    def noise(self, width: int, height: int, generator: torch.Generator) -> torch.Tensor:
        """(1, channels, height / factor, width / factor), drawn by a CPU's `generator` in fp32 and then rounded to the model's precision.

        In fp32 that is StableDiffusionPipeline's own noise. In half precision torch 2.6 draws other numbers, and 2.13 does at sizes
        that are no multiple of 16; drawn like this, a seed means one picture on every machine.
        """
        shape = (1, self.channels, height // self.factor, width // self.factor)
        return torch.randn(shape, generator=generator).to(self.vae.device, self.vae.dtype)

    def encode(self, image: Image.Image, generator: torch.Generator, hidden: Image.Image | None = None) -> torch.Tensor:
        """The latents of an RGB image whose sides `factor` divides, (1, channels, H / factor, W / factor): one draw from the
        distribution that the encoder gives, by a CPU's `generator`, as diffusers' pipelines do. What is white in `hidden`, of the
        same size, is grey."""
        # (1, 3, H, W), and in memory the channels last, as the pipelines have it: the other way sums are rounded otherwise
        pixels = torch.from_numpy(np.array(image, np.float32)[None] / 255).movedim(-1, 1) * 2 - 1
        if hidden is not None:
            pixels = pixels * (mask(hidden) < 0.5)
        self._tile(image.width * image.height)
        spread = self.vae.encode(pixels.to(self.vae.device, self.vae.dtype)).latent_dist
        noise = torch.randn(spread.mean.shape, generator=generator).to(spread.mean)
        return self.vae.config.scaling_factor * (spread.mean + spread.std * noise)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """(n, channels, h, w) to (n, 3, H, W), about -1 to 1. On a CPU not `together`, but one after the other: that is faster there
        (1.0 to 1.8 times for 16 of 192 to 256 pixels), and no picture's rounding depends on the others."""
        self._tile(latents.shape[-1] * latents.shape[-2] * self.factor**2)
        scaled = latents / self.vae.config.scaling_factor
        calls = [scaled] if self.together else scaled.split(1)
        return torch.cat([self.vae.decode(call, return_dict=False)[0] for call in calls]).float()

    def decode_precisely(self, latents: torch.Tensor) -> torch.Tensor:
        """As `decode`, in fp32, by a copy of the autoencoder where it is not: half precision overflows in some, and their
        pictures come out black."""
        self._tile(latents.shape[-1] * latents.shape[-2] * self.factor**2)
        vae = self.vae if self.vae.dtype == torch.float32 else copy.deepcopy(self.vae).float()
        return vae.decode(latents.float() / vae.config.scaling_factor, return_dict=False)[0]

    @contextmanager
    def tiled(self) -> Iterator[None]:
        """For when memory is short: a picture's tiles are decoded one after the other, at the price of small differences."""
        self._tiled_above = 0
        try:
            yield
        finally:
            self._tiled_above = TILED

    def _tile(self, area: int) -> None:
        self.vae.use_tiling = area > self._tiled_above

    def preview(self, latents: torch.Tensor) -> Image.Image:
        """A picture of one pixel a latent from (1, channels, h, w), without the decoder."""
        pixels = _with_one(latents.movedim(1, -1)[0]) @ self._colours  # (h, w, 3)
        return _image(pixels)

    @torch.inference_mode()
    def _fit_colours(self) -> torch.Tensor:
        """The linear map from a latent to its pixels' mean colour, by least squares over a few decoded patches of noise."""
        generator = torch.Generator("cpu").manual_seed(0)
        coarse = self.noise(4 * self.factor, 4 * self.factor * 4, generator)  # (1, channels, 16, 4)
        latents = coarse.repeat_interleave(2, -1).repeat_interleave(2, -2)  # (1, channels, 32, 8): flat enough to have a colour
        pixels = self.decode_precisely(latents).clamp(-1, 1).nan_to_num()  # half precision can overflow, and takes minutes on many a CPU
        colours = torch.nn.functional.avg_pool2d(pixels, self.factor)  # (1, 3, 32, 8)
        known, wanted = (rows.movedim(1, -1).reshape(-1, rows.shape[1]).cpu() for rows in (latents.float(), colours))
        return torch.linalg.lstsq(_with_one(known), wanted).solution.to(self.vae.device)


def mask(image: Image.Image) -> torch.Tensor:
    """(1, 1, H, W), 0 to 1, of a picture in L."""
    return torch.from_numpy(np.array(image, np.float32) / 255)[None, None]


class Blank(DrawingFailed):
    """There is nothing to see: half precision can overflow, and ends in NaN or one colour all over."""

    def __init__(self) -> None:
        super().__init__("This picture came out blank: the model's numbers overflowed. Another seed or lower guidance may help.")


def finished(pixels: torch.Tensor) -> Image.Image:
    """The picture of one row of `decode`. Raises Blank."""
    visible = pixels.clamp(-1, 1)
    if not pixels.isfinite().all() or visible.max() - visible.min() < 2 / 255:
        raise Blank
    return _image(visible.movedim(0, -1))


def _image(pixels: torch.Tensor) -> Image.Image:
    """A picture of (h, w, 3), -1 to 1; what lies beyond is cut off."""
    levels = (pixels / 2 + 0.5).clamp(0, 1) * 255
    return Image.fromarray(levels.round().byte().cpu().numpy())


def _with_one(rows: torch.Tensor) -> torch.Tensor:
    """(..., channels) to (..., channels + 1), a constant appended for the offset."""
    return torch.nn.functional.pad(rows.float(), (0, 1), value=1.0)
