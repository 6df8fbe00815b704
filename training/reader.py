"""A small network that reads scenes: subject, place, time, weather and the subject's colour, trained on the renderer.

It also learns what an unreadable subject is, from pictures warped out of shape: a network that must always answer finds
animals in any blob.
"""

import functools
import random
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from training import autoencoder, scenes
from training.pen import COLOURS
from training.places import PLACES
from training.plan import mixed
from training.things import SUBJECTS

UNREADABLE = "unreadable"
HEADS = {
    "subject": [*SUBJECTS, *scenes.ALONE, UNREADABLE],
    "place": list(PLACES),
    "time": list(scenes.TIMES),
    "weather": list(scenes.WEATHERS),
    "colour": list(COLOURS),
}
WARPED = 0.2  # share of a batch warped out of shape
UNASKED = -100  # the label that costs nothing


class Reader(nn.Module):
    """Pictures (B, 3, 128, 128) in -1..1 to one row of logits a head."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.AvgPool2d(2)]
        channels = 3
        for step in range(4):
            wider = width * min(2**step, 6)
            layers += [nn.Conv2d(channels, wider, 3, 1 + (step > 0), 1), nn.BatchNorm2d(wider), nn.ReLU()]
            channels = wider
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten())
        self.heads = nn.ModuleDict({name: nn.Linear(channels * 16, len(choices)) for name, choices in HEADS.items()})

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        features = self.body(pictures)
        return {name: head(features) for name, head in self.heads.items()}

    @torch.no_grad()
    def read(self, images: list[Image.Image]) -> list[dict[str, str]]:
        """The likeliest answer of each head for each picture."""
        self.eval()
        pixels = np.stack([np.asarray(image.convert("RGB")) for image in images])
        answers = {name: logits.argmax(1).tolist() for name, logits in self(autoencoder.to_tensor(pixels)).items()}
        return [{name: HEADS[name][answers[name][row]] for name in HEADS} for row in range(len(images))]


def get(path: Path, coder: AutoencoderKL, count: int = 5000, steps: int = 1200) -> Reader:
    """The reader at `path`, trained and kept there if it is missing; `coder` shows it what decoded pictures look like."""
    reader = Reader()
    if path.exists():
        reader.load_state_dict(torch.load(path, weights_only=True))
        return reader
    torch.manual_seed(1)
    drawn = _draw(count)
    pixels = np.stack([np.asarray(scene.image) for scene in drawn])
    labels = {name: torch.tensor([_label(name, scene.facts) for scene in drawn]) for name in HEADS}
    coded = [round_trip(coder, part) for part in tqdm(np.array_split(pixels[: count // 4], -(-count // 128)), "decoding for the reader")]
    _fit(reader, np.concatenate([pixels, *coded]), {name: torch.cat([ids, ids[: count // 4]]) for name, ids in labels.items()}, steps)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(reader.state_dict(), path)
    return reader


@torch.no_grad()
def round_trip(coder: AutoencoderKL, pixels: np.ndarray) -> np.ndarray:
    """(N, H, W, 3) uint8 through the autoencoder and back."""
    with mixed("cpu"):
        decoded = coder.decode(coder.encode(autoencoder.to_tensor(pixels)).latent_dist.mean).sample
    return ((decoded.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


def warp(pictures: Tensor, reach: float = 0.22) -> Tensor:
    """Bend (B, 3, H, W) by a smooth random field of up to `reach` of half the side: colours stay, things dissolve."""
    count, _, height, width = pictures.shape
    field = F.interpolate(torch.rand(count, 2, 7, 7) * 2 - 1, (height, width), mode="bicubic").permute(0, 2, 3, 1)
    plain = F.affine_grid(torch.eye(2, 3).expand(count, 2, 3), [count, 3, height, width], align_corners=False)
    return F.grid_sample(pictures, plain + reach * field, padding_mode="reflection", align_corners=False)


def _fit(reader: Reader, pixels: np.ndarray, labels: dict[str, Tensor], steps: int, batch: int = 48) -> None:
    optimiser = torch.optim.AdamW(reader.parameters(), lr=2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, steps)
    warped = int(batch * WARPED)
    reader.train()
    for _ in tqdm(range(steps), "training the reader", mininterval=5):
        rows = torch.randint(0, len(pixels), (batch,))
        pictures = autoencoder.to_tensor(pixels[rows.numpy()])
        pictures = torch.roll(pictures, torch.randint(-3, 4, (2,)).tolist(), (2, 3)) + 0.03 * torch.randn_like(pictures)
        pictures = torch.cat([warp(pictures[:warped]), pictures[warped:]]).contiguous(memory_format=torch.channels_last)
        targets = {name: ids[rows] for name, ids in labels.items()}
        for name, ids in targets.items():
            ids[:warped] = HEADS[name].index(UNREADABLE) if name == "subject" else UNASKED
        with mixed("cpu"):
            answers = reader(pictures)
        loss = sum(F.cross_entropy(answers[name].float(), ids, ignore_index=UNASKED) for name, ids in targets.items() if (ids >= 0).any())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()


def _label(name: str, facts: dict[str, object]) -> int:
    return HEADS[name].index(str(facts[name])) if facts[name] else UNASKED


def _draw(count: int) -> list[scenes.Scene]:
    """Scenes of all combinations, half of them among those the model never saw."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        blocks = pool.map(functools.partial(_some, count // 20), range(20))
        return [scene for block in blocks for scene in block]


def _some(count: int, seed: int) -> list[scenes.Scene]:
    rng = random.Random(f"reader-{seed}")
    return [scenes.sample(rng, held_out=rng.random() < 0.5, kind="scene") for _ in range(count)]
