"""The autoencoder: AutoencoderKL in SD's shape, from 256x256 pixels to 4x32x32 latents of unit variance and back.

Its training lives here; last of all, `decoder` trains one half of it alone.
"""

import functools
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from training import pictures
from training.plan import Plan, mixed

SCALING = 0.18215  # SD's own: latents * SCALING have unit variance
CROP = 128  # pixels a side, at most, in the early training
FULL_FROM = 0.75  # share of the time after which whole pictures are used
BLOCK = 240  # pictures encoded at a time
PART = ".part"  # of the name of latents that are not complete
DIVERGENCE = 1e-3  # weight of the posterior's KL divergence
HALVED = 0.3  # share of batches whose latents are halved before they are decoded


def make(plan: Plan) -> AutoencoderKL:
    """An untrained autoencoder, one layer a block, no attention in the middle."""
    channels = plan.autoencoder_channels
    count = len(channels)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * count,
        up_block_types=("UpDecoderBlock2D",) * count,
        block_out_channels=channels,
        layers_per_block=1,
        norm_num_groups=plan.autoencoder_groups,
        latent_channels=4,
        sample_size=plan.size,
        scaling_factor=SCALING,
        mid_block_add_attention=False,
    )


def without_encoder(model: AutoencoderKL) -> AutoencoderKL:
    """The same model, with the half frozen that the latents come from."""
    model.encoder.requires_grad_(False)
    model.quant_conv.requires_grad_(False)
    return model


def to_tensor(pixels: np.ndarray, device: str = "cpu") -> Tensor:
    """(N, H, W, 3) uint8 to (N, 3, H, W) in -1..1, channels last in memory, which encodes faster."""
    return torch.from_numpy(np.array(pixels)).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


def picture_loss(drawn: Tensor, real: Tensor) -> Tensor:
    """L1, MSE and the L1 of the differences between neighbours, which keeps thin lines; both (N, 3, H, W) in -1..1."""
    wrong = drawn.float() - real
    across, down = wrong.diff(dim=3).abs().mean(), wrong.diff(dim=2).abs().mean()
    return wrong.abs().mean() + wrong.square().mean() + 0.5 * (across + down)


def draw_form() -> str:
    """A form of page, as often as there are pictures of it."""
    return list(pictures.SHARES)[int(torch.multinomial(torch.tensor(list(pictures.SHARES.values())), 1))]


def rows(pixels: np.ndarray, count: int) -> list[int]:
    """Some rows, rising: so they are read faster."""
    return sorted(torch.randint(0, len(pixels), (count,)).tolist())


class Whole(nn.Module):
    """The first training: encoder and decoder together, on crops and then on whole pictures."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        torch.manual_seed(plan.seed)
        self.plan = plan
        self.model = make(plan)
        self.pixels = {form: pictures.pixels(plan.work, "train", form) for form in pictures.SHARES}

    def loss(self, progress: float) -> Tensor:
        """One batch's loss; a worker draws its share of it.

        Some latents are halved, and must then decode to the halved picture: so they are made of what a picture is made of, at every size,
        which a UNet learns sooner (Kouzelis et al., 2025, https://arxiv.org/abs/2502.09509).
        """
        share = max(1, self.plan.autoencoder_batch // self.plan.workers)
        pixels, size = self.pixels[draw_form()], self.plan.sizes[int(torch.randint(0, len(self.plan.sizes), ()))]
        early = progress < FULL_FROM
        if not early and size > CROP:
            share = max(1, share // 4)
        real = pictures.sized(pixels[rows(pixels, share)], size)
        if early:
            _, height, width, _ = real.shape
            y, x = (int(torch.randint(0, max(0, side - CROP) + 1, ())) for side in (height, width))
            real = real[:, y : y + CROP, x : x + CROP]
        real = to_tensor(real, self.plan.device)
        with mixed(self.plan.device):
            posterior = self.model.encode(real).latent_dist
            latents = posterior.sample()
            if float(torch.rand(())) < HALVED:
                latents, real = F.avg_pool2d(latents, 2), F.avg_pool2d(real, 2)
            drawn = self.model.decode(latents).sample
        mean, log_variance = posterior.mean.float(), posterior.logvar.float()
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
        return picture_loss(drawn, real) + DIVERGENCE * divergence


@torch.no_grad()
def encode(model: AutoencoderKL, pixels: np.ndarray, device: str) -> Tensor:
    """The posterior's means times SCALING, (N, 4, h, w) float on the CPU."""
    with mixed(device):
        mean = model.encode(to_tensor(pixels, device)).latent_dist.mean
    return mean.float().cpu() * SCALING


@torch.no_grad()
def whiten(model: AutoencoderKL, pixels: np.ndarray, device: str) -> None:
    """Shift and scale each latent channel to mean 0, variance 1, folded into the two 1x1 convolutions in place."""
    latents = torch.cat([encode(model, pixels[i : i + 64], device) for i in range(0, len(pixels), 64)])
    mean = latents.mean(dim=(0, 2, 3)) / SCALING  # (4,)
    gain = 1 / latents.std(dim=(0, 2, 3))  # (4,)
    inside, outside, count = model.quant_conv, model.post_quant_conv, len(mean)
    # Before: the decoder reads P z + p. After, z' = gain (z - mean): it reads (P / gain) z' + P mean + p.
    outside.bias += outside.weight[:, :, 0, 0] @ mean.to(outside.weight)
    outside.weight /= gain.to(outside.weight)[None, :, None, None]
    inside.weight[:count] *= gain.to(inside.weight)[:, None, None, None]
    inside.bias[:count] = (inside.bias[:count] - mean.to(inside.bias)) * gain.to(inside.bias)
    inside.bias[count:] += 2 * gain.log().to(inside.bias)  # log variances


@torch.no_grad()
def decibels(model: AutoencoderKL, pixels: np.ndarray, device: str) -> float:
    """The mean peak signal-to-noise ratio, in dB, of pictures sent through and back (clipped to 0..255)."""
    total = 0.0
    for start in range(0, len(pixels), 32):
        real = to_tensor(pixels[start : start + 32], device)
        with mixed(device):
            drawn = model.decode(model.encode(real).latent_dist.mean).sample.float().clamp(-1, 1)
        error = F.mse_loss(drawn, real, reduction="none").mean(dim=(1, 2, 3)) / 4  # (B,), of values in 0..1
        total += float((-10 * error.clamp(min=1e-9).log10()).sum())
    return total / len(pixels)


def latents(work: Path, size: int, form: str, part: str = "", mode: str = "r") -> np.ndarray:
    """The train pictures' latents times SCALING as a memory map, (N, 4, h, w) half floats: of pages of that size and form."""
    return np.load(_place(work, size, form, part), mmap_mode=mode)


def _place(work: Path, size: int, form: str, part: str = "") -> Path:
    return work / f"latents-{size}-{form}{part}.npy"


def cache(folder: Path, work: Path, size: int, device: str, workers: int) -> None:
    """Write the `latents` of all forms by the autoencoder in `folder`.

    The posterior's means alone, for it is narrow. A block of zeros is one not encoded yet, so a kill costs one block.
    """
    for form in pictures.SHARES:
        _cache(folder, work, size, device, workers, form)


def _cache(folder: Path, work: Path, size: int, device: str, workers: int, form: str) -> None:
    target, partial = _place(work, size, form), _place(work, size, form, PART)
    if target.exists():
        return
    pixels, model = pictures.pixels(work, "train", form), _loaded(folder, "cpu")
    if not partial.exists():
        _, height, width, _ = pictures.sized(pixels[:1], size).shape
        by = 2 ** (len(model.config.block_out_channels) - 1)
        shape = (len(pixels), model.config.latent_channels, height // by, width // by)
        np.lib.format.open_memmap(partial, mode="w+", dtype=np.float16, shape=shape).flush()
    starts = range(0, len(pixels), BLOCK)
    if workers == 1:
        for start in tqdm(starts, "encoding", mininterval=10):
            _encode_block(folder, work, size, device, form, start)
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            jobs = pool.map(functools.partial(_encode_block, folder, work, size, device, form), starts)
            list(tqdm(jobs, "encoding", total=len(starts), mininterval=10))
    partial.replace(target)


def _encode_block(folder: Path, work: Path, size: int, device: str, form: str, start: int) -> None:
    rows = slice(start, start + BLOCK)
    block = latents(work, size, form, PART, "r+")[rows]
    if not block.any():
        model = _loaded(folder, device)
        pixels = pictures.sized(pictures.pixels(work, "train", form)[rows], size)
        parts = [encode(model, pixels[first : first + 16], device).half().numpy() for first in range(0, len(pixels), 16)]
        block[:] = np.concatenate(parts)
        block.flush()


@functools.cache
def _loaded(folder: Path, device: str) -> AutoencoderKL:
    return AutoencoderKL.from_pretrained(folder).eval().to(device)
