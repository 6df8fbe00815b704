"""The training set: pictures and captions from the renderer, cached as one array of bytes and one list of words."""

import json
import os
import random
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from tqdm import tqdm

from training import scenes

BLOCK = 250  # pictures a job renders


def render(work: Path, name: str, count: int, seed: int, held_out: bool = False, workers: int = 2) -> None:
    """Write `work/name.npy`, (count, SIZE, SIZE, 3) uint8, and `work/name.json`, a list of captions; keep what is there.

    The same seed gives the same pictures whatever the number of workers: each block has its own generator.
    """
    pixels, words = work / f"{name}.npy", work / f"{name}.json"
    if words.exists() and len(json.loads(words.read_text())) == count:
        return
    work.mkdir(parents=True, exist_ok=True)
    shape = (count, scenes.SIZE, scenes.SIZE, 3)
    array = np.lib.format.open_memmap(pixels, mode="w+", dtype=np.uint8, shape=shape)
    captions: list[str] = []
    starts = range(0, count, BLOCK)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        jobs = [(seed, start, min(BLOCK, count - start), held_out) for start in starts]
        blocks = pool.map(_block, jobs)
        for start, (images, texts) in tqdm(zip(starts, blocks), f"rendering {name}", total=len(jobs), mininterval=5):
            array[start : start + len(images)] = images
            captions += texts
    array.flush()
    partial = words.with_suffix(".part")
    partial.write_text(json.dumps(captions))
    os.replace(partial, words)  # the captions come last: their presence says that the pictures are complete


def load(work: Path, name: str) -> tuple[np.ndarray, list[str]]:
    """The pictures as a read-only memory map (N, H, W, 3) uint8, and their captions."""
    return np.load(work / f"{name}.npy", mmap_mode="r"), json.loads((work / f"{name}.json").read_text())


def _block(job: tuple[int, int, int, bool]) -> tuple[np.ndarray, list[str]]:
    seed, start, count, held_out = job
    rng = random.Random(f"{seed}-{held_out}-{start}")
    drawn = [scenes.sample(rng, held_out=held_out) for _ in range(count)]
    return np.stack([np.asarray(scene.image) for scene in drawn]), [scene.caption for scene in drawn]
