"""A small network that reads things and scenes: subject, colour, place, time, weather and style, trained on the renderer.

It also learns what an unreadable subject is, from pictures warped out of shape: a network that must always answer finds
animals in any blob.
"""

import functools
from collections import Counter
from collections.abc import Iterable
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

from training import autoencoder, pictures, scenes, styles
from training.judge import Share, labels
from training.pen import COLOURS
from training.places import PLACES
from training.plan import mixed
from training.things import SUBJECTS

UNREADABLE = "unreadable"
HEADS = {
    "subject": [*SUBJECTS, *scenes.ALONE, UNREADABLE],
    "colour": list(COLOURS),
    "place": list(PLACES),
    "time": list(scenes.TIMES),
    "weather": list(scenes.WEATHERS),
    "style": ["", *styles.STYLES],
}
KINDS = ("item", "scene", "scene")
WARPED = 10  # one picture in so many is warped out of shape
CODED = 50  # one picture in so many is also shown as the autoencoder gives it back
ROUND = 5000  # renders a round, which a kill costs at most
EPOCHS = 3  # ... and how often each is shown
RATE = 1.5e-3
UNASKED = -100  # the label that costs nothing
SIDE = 80  # pixels a side at which it looks at the whole page, and beside it at ...
MIDDLE = (0.18, 0.32, 0.82, 0.96)  # ... that part of it, in which all subjects stand: left, top, right, bottom


class Block(nn.Module):
    """Two convolutions beside a way past them (He et al., 2016); the first halves the grid if `halves`."""

    def __init__(self, channels: int, wider: int, halves: bool = False) -> None:
        super().__init__()
        self.past = nn.Sequential(nn.Conv2d(channels, wider, 1, 1 + halves, bias=False), nn.BatchNorm2d(wider))
        self.through = nn.Sequential(
            nn.Conv2d(channels, wider, 3, 1 + halves, 1, bias=False),
            nn.BatchNorm2d(wider),
            nn.ReLU(),
            nn.Conv2d(wider, wider, 3, 1, 1, bias=False),
            nn.BatchNorm2d(wider),
        )

    def forward(self, features: Tensor) -> Tensor:
        return F.relu(self.past(features) + self.through(features))


class Reader(nn.Module):
    """Looks (B, 6, SIDE, SIDE) in -1..1, as `look` takes them, to one row of logits a head."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(6, width, 5, 2, 2, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        for channels in (width, 2 * width, 4 * width):
            layers += [Block(channels, 2 * channels, halves=True), Block(2 * channels, 2 * channels)]
        self.body = nn.Sequential(*layers, nn.Flatten()).to(memory_format=torch.channels_last)
        self.heads = nn.ModuleDict({name: nn.Linear(8 * width * (SIDE // 16) ** 2, len(choices)) for name, choices in HEADS.items()})

    def forward(self, looks: Tensor) -> dict[str, Tensor]:
        features = self.body(looks)
        return {name: head(features) for name, head in self.heads.items()}

    @torch.no_grad()
    def read(self, images: Iterable[Image.Image]) -> list[dict[str, str]]:
        """The likeliest answer of each head for each square picture."""
        self.eval()
        read = []
        for image in images:
            answers = self(autoencoder.to_tensor(look(image)[None]))
            read.append({name: HEADS[name][int(logits[0].argmax())] for name, logits in answers.items()})
        return read


def look(image: Image.Image) -> np.ndarray:
    """(SIDE, SIDE, 6) uint8: the whole picture, and its middle once more, larger."""
    box = [share * side for share, side in zip(MIDDLE, image.size * 2)]
    whole = image.convert("RGB")
    return np.concatenate([whole.resize((SIDE, SIDE), Image.Resampling.BOX, part) for part in (None, box)], 2)


def get(path: Path, coder: AutoencoderKL, rounds: int = 24) -> Reader:
    """The reader at `path`, trained and kept there as far as it is missing; `coder` shows it what decoded pictures look like."""
    reader = Reader()
    state = torch.load(path, weights_only=True) if path.exists() else {"rounds": 0}
    if state["rounds"]:
        reader.load_state_dict(state["reader"])
    optimiser = torch.optim.AdamW(reader.parameters(), lr=RATE, weight_decay=0.02)
    if "optimiser" in state:
        optimiser.load_state_dict(state["optimiser"])
    for number in range(state["rounds"], rounds):
        torch.manual_seed(number)
        pixels, ids = _show(_draw(number), coder)
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, 2 * (rounds - number) / rounds)
        _fit(reader, optimiser, pixels, ids, epochs=EPOCHS)
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"rounds": number + 1, "reader": reader.state_dict(), "optimiser": optimiser.state_dict()}, path)
    return reader


def accuracy(reader: Reader, drawn: list[scenes.Scene]) -> dict[str, Share]:
    """How often each head is right on renders."""
    right: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    for scene, read in zip(drawn, reader.read(scene.image for scene in drawn)):
        for name, value in labels(scene.facts).items():
            asked[name] += 1
            right[name] += read[name] == value
    return {name: Share(right[name], asked[name]) for name in HEADS if asked[name]}


@torch.no_grad()
def round_trip(coder: AutoencoderKL, pixels: np.ndarray) -> np.ndarray:
    """(N, H, W, 3) uint8 through the autoencoder and back, at the size that it is for."""
    pixels = pictures.sized(pixels, coder.config.sample_size)
    with mixed("cpu"):
        decoded = coder.decode(coder.encode(autoencoder.to_tensor(pixels)).latent_dist.mean).sample
    return ((decoded.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


def warp(pictures: Tensor, reach: float = 0.22) -> Tensor:
    """Bend (B, C, H, W) by a smooth random field of up to `reach` of half the side: colours stay, things dissolve."""
    count, _, height, width = pictures.shape
    field = F.interpolate(torch.rand(count, 2, 7, 7) * 2 - 1, (height, width), mode="bicubic").permute(0, 2, 3, 1)
    plain = F.affine_grid(torch.eye(2, 3).expand(count, 2, 3), [count, 3, height, width], align_corners=False)
    return F.grid_sample(pictures, plain + reach * field, padding_mode="reflection", align_corners=False)


def _show(drawn: list[scenes.Scene], coder: AutoencoderKL) -> tuple[np.ndarray, dict[str, Tensor]]:
    """The renders as the reader sees them, a share of them once more as decoded, and the number of each head's answer."""
    images = [scene.image for scene in drawn]
    parts = [np.stack([np.asarray(image) for image in images[at : at + 16]]) for at in range(0, len(images) // CODED, 16)]
    coded = [
        Image.fromarray(pixels) for part in tqdm(parts, "decoding for the reader", mininterval=10) for pixels in round_trip(coder, part)
    ]
    told = [labels(scene.facts) for scene in drawn]
    told += told[: len(coded)]
    ids = {name: torch.tensor([choices.index(one[name]) if name in one else UNASKED for one in told]) for name, choices in HEADS.items()}
    return np.stack([look(image) for image in images + coded]), ids


def _fit(
    reader: Reader, optimiser: torch.optim.Optimizer, pixels: np.ndarray, ids: dict[str, Tensor], epochs: int, batch: int = 50
) -> None:
    reader.train()
    for _ in range(epochs):
        for rows in tqdm(torch.randperm(len(pixels)).split(batch), "training the reader", mininterval=10):
            shown = autoencoder.to_tensor(pixels[rows.numpy()])
            shown = torch.roll(shown, torch.randint(-3, 4, (2,)).tolist(), (2, 3)) + 0.03 * torch.randn_like(shown)
            warped = -(-len(rows) // WARPED)
            shown = torch.cat([warp(shown[:warped]), shown[warped:]]).contiguous(memory_format=torch.channels_last)
            targets = {name: answers[rows] for name, answers in ids.items()}
            for name, answers in targets.items():
                lost = HEADS[name].index(UNREADABLE) if UNREADABLE in HEADS[name] else UNASKED
                answers[:warped] = torch.where(answers[:warped] == UNASKED, UNASKED, lost)
            with mixed("cpu"):
                read = reader(shown)
            loss = sum(F.cross_entropy(read[name].float(), at, ignore_index=UNASKED) for name, at in targets.items() if (at >= 0).any())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()


def _draw(number: int) -> list[scenes.Scene]:
    """A round's renders, of all combinations."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        blocks = pool.map(functools.partial(pictures.some, ROUND // 20, kinds=KINDS), (f"reader-{number}-{block}" for block in range(20)))
        return [scene for block in blocks for scene in block]
