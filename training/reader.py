"""A small network that reads things and scenes: subject, colour, place, time, weather and style, trained on the renderer.

It also learns what an unreadable subject is, from pictures warped out of shape: a network that must always answer finds
animals in any blob.
"""

import functools
import os
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

from training import autoencoder, parallel, pictures, scenes, styles
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
CODED = 8  # one picture in so many is also shown as the autoencoder gives it back, which is as soft as what models draw
RENDERS = 100_000  # to learn from, again and again
BLOCK = 250  # of them that a job draws
BATCH = 48  # a process
MINUTES = 110.0
UNASKED = -100  # the label that costs nothing
SIDE = 80  # pixels a side at which it looks at the whole page, and beside it at ...
MIDDLE = (0.1875, 0.3125, 0.8125, 0.9375)  # ... that part of it, in which all subjects stand: left, top, right, bottom; there at ...
CLOSE = 2  # ... so many times the sharpness, which is every pixel of a page of 256 x 256
CHANNELS = 3 * (1 + CLOSE**2)
MOVED = 3  # pixels by which training moves what it sees, either way
GLANCES = ((0, 0), (2, 2), (2, -2), (-2, 2), (-2, -2))  # moved by these, a picture is read, and the answers are averaged


class Block(nn.Module):
    """Two convolutions beside a way past them (He et al., 2016); the first halves the grid if `halves`."""

    def __init__(self, channels: int, wider: int, halves: bool = False) -> None:
        super().__init__()
        self.past = nn.Sequential(nn.Conv2d(channels, wider, 1, 1 + halves, bias=False), nn.GroupNorm(8, wider))
        self.through = nn.Sequential(
            nn.Conv2d(channels, wider, 3, 1 + halves, 1, bias=False),
            nn.GroupNorm(8, wider),
            nn.ReLU(),
            nn.Conv2d(wider, wider, 3, 1, 1, bias=False),
            nn.GroupNorm(8, wider),
        )

    def forward(self, features: Tensor) -> Tensor:
        return F.relu(self.past(features) + self.through(features))


class Reader(nn.Module):
    """Looks (B, CHANNELS, SIDE, SIDE) in -1..1, as `look` takes them, to one row of logits a head."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(CHANNELS, width, 5, 2, 2, bias=False), nn.GroupNorm(8, width), nn.ReLU()]
        for channels in (width, 2 * width, 4 * width):
            layers += [Block(channels, 2 * channels, halves=True), Block(2 * channels, 2 * channels)]
        self.body = nn.Sequential(*layers, nn.Flatten()).to(memory_format=torch.channels_last)
        self.heads = nn.ModuleDict({name: nn.Linear(8 * width * (SIDE // 16) ** 2, len(choices)) for name, choices in HEADS.items()})

    def forward(self, looks: Tensor) -> dict[str, Tensor]:
        features = self.body(looks)
        return {name: head(features) for name, head in self.heads.items()}

    @torch.no_grad()
    def read(self, images: Iterable[Image.Image]) -> list[dict[str, str]]:
        """The likeliest answer of each head for each square picture, by the mean over GLANCES."""
        self.eval()
        read = []
        for image in images:
            seen = autoencoder.to_tensor(look(image)[None])
            answers = self(torch.cat([torch.roll(seen, move, (2, 3)) for move in GLANCES]))
            read.append({name: HEADS[name][int(logits.softmax(1).mean(0).argmax())] for name, logits in answers.items()})
        return read


class Reading:
    """The task: each head's cross entropy on the renders that `prepare` left in `work`."""

    def __init__(self, work: Path, width: int = 24) -> None:
        torch.manual_seed(0)
        self.model = Reader(width)
        self.looks = np.load(work / "reader-looks.npy", mmap_mode="r")  # (N, SIDE, SIDE, CHANNELS) uint8
        self.answers = torch.from_numpy(np.load(work / "reader-answers.npy"))  # (N, heads)

    def loss(self, progress: float) -> Tensor:
        """Of one batch, moved a little, with a little noise, and a share of it warped."""
        rows = torch.randint(0, len(self.looks), (BATCH,))
        shown = autoencoder.to_tensor(self.looks[rows.numpy()])
        shown = torch.roll(shown, torch.randint(-MOVED, MOVED + 1, (2,)).tolist(), (2, 3)) + 0.03 * torch.randn_like(shown)
        warped = -(-BATCH // WARPED)
        shown = torch.cat([warp(shown[:warped]), shown[warped:]]).contiguous(memory_format=torch.channels_last)
        with mixed("cpu"):
            read = self.model(shown)
        losses = []
        for (name, choices), answers in zip(HEADS.items(), self.answers[rows].T):
            lost = choices.index(UNREADABLE) if UNREADABLE in choices else UNASKED
            answers = torch.where((torch.arange(BATCH) < warped) & (answers != UNASKED), lost, answers)
            if (answers >= 0).any():
                losses.append(F.cross_entropy(read[name].float(), answers, ignore_index=UNASKED))
        return torch.stack(losses).sum()


def look(image: Image.Image) -> np.ndarray:
    """(SIDE, SIDE, CHANNELS) uint8: the whole picture, and its middle once more, larger, its pixels in squares one behind the other."""
    box = [share * side for share, side in zip(MIDDLE, image.size * 2)]
    colours, near = image.convert("RGB"), CLOSE * SIDE
    whole = np.asarray(colours.resize((SIDE, SIDE), Image.Resampling.BOX))
    middle = np.asarray(colours.resize((near, near), Image.Resampling.BOX, box))
    squares = middle.reshape(SIDE, CLOSE, SIDE, CLOSE, 3).swapaxes(1, 2).reshape(SIDE, SIDE, -1)
    return np.concatenate([whole, squares], 2)


def get(path: Path, coder: AutoencoderKL, minutes: float = MINUTES, renders: int = RENDERS, workers: int = 2) -> Reader:
    """The reader at `path`, trained there for so many minutes as far as it is not; `coder` shows it what decoded pictures look like."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = parallel.load(path)
    if not (state and state["done"]):
        prepare(path.parent, coder, renders)
        settings = parallel.Settings(name="reader", checkpoint=path, seconds=60 * minutes, workers=workers)
        parallel.train(functools.partial(Reading, path.parent), settings)
    return parallel.restore(Reader(), path).eval()


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


def prepare(work: Path, coder: AutoencoderKL, renders: int = RENDERS) -> None:
    """Write `work/reader-looks.npy` and `work/reader-answers.npy`: what the reader sees of that many renders, of some also as decoded, and what
    it is to say of them; keep what is there."""
    target = work / "reader-answers.npy"
    if target.exists():
        return
    sizes = [min(BLOCK, renders - start) for start in range(0, renders, BLOCK)]
    rows = sum(size + _coded(size) for size in sizes)
    looks = np.lib.format.open_memmap(work / "reader-looks.npy", mode="w+", dtype=np.uint8, shape=(rows, SIDE, SIDE, CHANNELS))
    answers: list[np.ndarray] = []
    with ProcessPoolExecutor(2, get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        blocks = pool.map(functools.partial(_block, coder), range(len(sizes)), sizes)
        for seen, told in tqdm(blocks, "drawing for the reader", len(sizes), mininterval=10):
            done = sum(map(len, answers))
            looks[done : done + len(seen)] = seen
            answers.append(told)
    looks.flush()
    partial = target.with_suffix(".part.npy")
    np.save(partial, np.concatenate(answers))
    os.replace(partial, target)  # last: its presence says that the looks are complete


def _block(coder: AutoencoderKL, number: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The looks (N, SIDE, SIDE, CHANNELS) at a block of renders and at some of them as decoded, and the number of each head's answer (N, heads)."""
    drawn = pictures.some(size, f"reader-{number}", KINDS)
    coded = round_trip(coder, np.stack([np.asarray(scene.image) for scene in drawn[: _coded(size)]]))
    told = [labels(scene.facts) for scene in (*drawn, *drawn[: len(coded)])]
    answers = [[choices.index(one[name]) if name in one else UNASKED for name, choices in HEADS.items()] for one in told]
    return np.stack([look(image) for image in (*(scene.image for scene in drawn), *map(Image.fromarray, coded))]), np.array(answers)


def _coded(size: int) -> int:
    return -(-size // CODED)
