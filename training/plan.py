"""Every number of a training run in one frozen dataclass, so that a toy run differs from the real one only by values."""

import functools
from dataclasses import dataclass
from pathlib import Path

import torch

SIZES = (128, 256)  # pixels a side of a square page: the UNet learns small pages first, a quarter of the work, then large ones

NUMBERS = "numbers.json"  # what was measured while a model was made, in the work folder and beside the model


@dataclass(frozen=True)
class Plan:
    """What to make and how long to take over it.

    `minutes` is wall clock for the three trained stages together; rendering comes before and export after it, the turbo after that.
    """

    work: Path = Path("build/training")
    size: int = SIZES[-1]  # of what the model is to draw, one of SIZES
    out: Path = Path("webapp/builtin")
    begun: Path | None = None  # a model of this recipe to train on, instead of beginning with nothing
    turbo_out: Path | None = None  # where the variant of four steps goes, if one is wanted
    minutes: float = 75.0
    pictures: int = 60_000
    held_out: int = 512
    ways: int = 16_000  # of the finished model, from noise to a picture, for its turbo to learn
    seed: int = 0
    device: str = "cpu"
    workers: int = 2  # processes that share the gradients; 1 on a GPU
    save_seconds: float = 120.0

    autoencoder_channels: tuple[int, ...] = (24, 48, 96, 128)
    autoencoder_groups: int = 8
    autoencoder_batch: int = 8  # in pictures of 128x128
    unet_channels: tuple[int, ...] = (64, 64, 128, 192)
    unet_groups: int = 16
    width: int = 128  # of the text encoder and the cross attention
    text_layers: int = 3
    text_heads: int = 4
    diffusion_batch: int = 64

    autoencoder_share: float = 0.15
    diffusion_share: float = 0.80
    decoder_share: float = 0.05
    turbo_share: float = 0.08  # on top of the others

    def __post_init__(self) -> None:
        if self.minutes <= 0 or min(self.pictures, self.ways, self.workers) < 1:
            raise ValueError("minutes, pictures, ways and workers must be positive")
        if self.size not in SIZES:
            raise ValueError(f"size must be one of {SIZES}")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Those that the UNet learns, one after the other; what goes on from a model learns its own alone."""
        return (self.size,) if self.begun else SIZES[: SIZES.index(self.size) + 1]

    def checkpoint(self, stage: str) -> Path:
        """Where a stage keeps its state."""
        return self.work / f"{stage}.pt"

    def seconds(self, share: float) -> float:
        """The wall clock, in seconds, of a stage that has `share` (0..1) of the run."""
        return 60 * self.minutes * share


def pick_device(name: str) -> str:
    """`auto` becomes the GPU when there is one; anything else is taken at its word."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name


def mixed(device: str) -> torch.autocast:
    """The context in which models run: bf16 for what gains from it where the hardware multiplies in it, else fp32. A CPU that only imitates bf16
    takes forty times as long (AVX2, torch 2.13)."""
    return torch.autocast(device, torch.bfloat16, enabled=_has_bfloat16(device))


@functools.cache
def _has_bfloat16(device: str) -> bool:
    from webapp.engine import checkpoint  # takes seconds, which a process that only renders need not wait

    return checkpoint.best_dtype(torch.device(device)) == torch.bfloat16
