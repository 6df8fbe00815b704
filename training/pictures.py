"""The training set: pictures and captions from the renderer, an array of bytes and a list of words for each form of page."""

import json
import os
import random
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from training import scenes

BLOCK = 250  # pictures a job renders
SHARES = {"square": 0.76, "wide": 0.12, "tall": 0.12}  # of the pictures of a set


def render(work: Path, name: str, count: int, seed: int, held_out: bool = False, workers: int = 2) -> None:
    """Write `work/name-FORM.npy`, (N, H, W, 3) uint8, `work/name-where-FORM.npy`, (N, H / CELL, W / CELL) bool, and `work/name-FORM.json`, a list
    of [caption, kind], for each form; keep what is there.

    The same seed gives the same pictures whatever the number of workers: each block has its own generator.
    """
    for form, share in SHARES.items():
        _render(work, name, max(1, round(share * count)), seed, held_out, workers, form)


def _render(work: Path, name: str, count: int, seed: int, held_out: bool, workers: int, form: str) -> None:
    words = work / f"{name}-{form}.json"
    if words.exists() and len(json.loads(words.read_text())) == count:
        return
    work.mkdir(parents=True, exist_ok=True)
    width, height = scenes.FORMS[form]
    array = np.lib.format.open_memmap(work / f"{name}-{form}.npy", mode="w+", dtype=np.uint8, shape=(count, height, width, 3))
    held: list[np.ndarray] = []
    said: list[tuple[str, str]] = []
    starts = range(0, count, BLOCK)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        jobs = [(seed, start, min(BLOCK, count - start), held_out, form) for start in starts]
        blocks = pool.map(_block, jobs)
        for start, (images, texts, where) in tqdm(zip(starts, blocks), f"rendering {name}-{form}", total=len(jobs), mininterval=5):
            array[start : start + len(images)] = images
            said += texts
            held.append(where)
    array.flush()
    np.save(work / f"{name}-where-{form}.npy", np.concatenate(held))
    partial = words.with_suffix(".part")
    partial.write_text(json.dumps(said))
    os.replace(partial, words)  # the captions come last: their presence says that the pictures are complete


def pixels(work: Path, name: str, form: str = "square") -> np.ndarray:
    """A form's pictures as a read-only memory map, (N, H, W, 3) uint8."""
    return np.load(work / f"{name}-{form}.npy", mmap_mode="r")


def where(work: Path, name: str, form: str = "square") -> np.ndarray:
    """Where a form's pictures have things, as `Scene.where`: (N, H / CELL, W / CELL) bool."""
    return np.load(work / f"{name}-where-{form}.npy")


def sized(pixels: np.ndarray, size: int) -> np.ndarray:
    """Pictures (N, H, W, 3) uint8 for pages of `size` pixels a side: as they are, or with four pixels made one."""
    if size == scenes.FORMS["square"][0]:
        return pixels
    count, height, width, _ = pixels.shape
    return (pixels.reshape(count, height // 2, 2, width // 2, 2, 3).mean(axis=(2, 4), dtype=np.float32) + 0.5).astype(np.uint8)


def words(work: Path, name: str, form: str = "square") -> tuple[list[str], list[str]]:
    """A form's captions, and the kind of each."""
    said = json.loads((work / f"{name}-{form}.json").read_text())
    return [caption for caption, _ in said], [kind for _, kind in said]


def _block(job: tuple[int, int, int, bool, str]) -> tuple[np.ndarray, list[tuple[str, str]], np.ndarray]:
    seed, start, count, held_out, form = job
    rng = random.Random(f"{seed}-{held_out}-{form}-{start}")
    drawn = [scenes.sample(rng, held_out=held_out, form=form) for _ in range(count)]
    said = [(scene.caption, str(scene.facts["kind"])) for scene in drawn]
    return np.stack([np.asarray(scene.image) for scene in drawn]), said, np.stack([scene.where for scene in drawn])


def some(count: int, seed: str, kinds: tuple[str, ...]) -> list[scenes.Scene]:
    """Random renders of these kinds, half of them of combinations that no model is taught."""
    rng = random.Random(seed)
    return [scenes.sample(rng, held_out=rng.random() < 0.5, kind=rng.choice(kinds)) for _ in range(count)]


def thumbnails(block: int, seed: int = 0) -> np.ndarray:
    """(BLOCK, 32, 32, 3) float: a block of the training set's square pages, drawn again."""
    rng = random.Random(f"{seed}-False-square-{block * BLOCK}")
    return np.stack([thumbnail(scenes.sample(rng).image) for _ in range(BLOCK)])


def thumbnail(image: Image.Image) -> np.ndarray:
    """(32, 32, 3) float, 0 to 255."""
    return np.asarray(image.resize((32, 32), Image.Resampling.BOX), np.float32)
