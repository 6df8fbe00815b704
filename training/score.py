"""`python -m training.score FOLDER`: how often a model draws what held-out captions ask for, beside controls that must fail.

A scorer that cannot say no proves nothing: the table also holds other captions' labels, an untrained UNet and swapped
relations, and a second judge for what a network reads; the command fails when a control scores well or the two judges differ.
"""

import argparse
import functools
import hashlib
import json
import random
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image
from tqdm import tqdm

from training import card, contact, judge, pictures, reader, redraw, scenes
from training.judge import Share
from training.plan import mixed

GOALS = {
    "shape: background": 0.99,
    "shape: colour": 0.97,
    "shape: shape": 0.97,
    "pair: both there": 0.90,
    "pair: colours not swapped": 0.90,
    "pair: relation": 0.85,
    "count: number": 0.85,
    "scene: subject": 0.95,
    "scene: time": 0.97,
    "scene: weather": 0.95,
    "scene: colour": 0.93,
    "scene: style": 0.95,
}
OF_BASE = 0.95  # a distilled model keeps at least so much of each rate
CONTROLS = ("other captions", "untrained", "swapped relations")
DECISIVE = (
    "shape: shape",
    "shape: all of it",
    "pair: both there",
    "pair: relation",
    "pair: all of it",
    "scene: subject",
    "scene: all of it",
)
TOO_GOOD = 0.4  # a control that reaches this on a decisive point has not failed
SURE = 0.99  # what a reader must reach on renders
APART = 0.03  # how far the two judges may differ
BATCH = 10
BLOCK = 100  # pictures that are drawn and kept together
NEIGHBOURS = 20_000  # renders among which a copied one would be found

Column = dict[str, Share]


def main() -> None:
    """Score the folder, print the table, write it into the folder's card; the same for its turbo. Exit 1 if a goal or a control does not hold."""
    parser = argparse.ArgumentParser(prog="python -m training.score", description=__doc__)
    parser.add_argument("folder", type=Path, help="a diffusers folder, such as webapp/builtin")
    parser.add_argument("--turbo", type=Path, help="score also this model, distilled from the other, whose rates times 0.95 are its goals")
    parser.add_argument("--count", type=int, default=500, help="held-out captions of each kind to draw")
    parser.add_argument("--work", type=Path, default=Path("build/training"), help="where the reader and the pictures are kept")
    asked = parser.parse_args()
    folders = [asked.folder, asked.turbo] if asked.turbo else [asked.folder]
    eyes = reader.get(asked.work / "reader.pt", contact.load(asked.folder).vae)
    sure = reader.accuracy(eyes, pictures.some(2000, "held out of the reader's training", reader.KINDS))
    goals, complaints = GOALS, []
    for folder, columns in zip(folders, score(folders, asked.count, asked.work, eyes)):
        found = [f"{folder.name}: {fault}" for fault in faults(columns, goals, sure)]
        said = [f"{asked.count} held-out captions of each kind.", as_table(columns, goals), as_sentence(sure), variety(folder)]
        text = "\n\n".join([*said, "What does not hold:", "\n".join(f"- {fault}" for fault in found)] if found else said)
        print(text)
        card.write_table(folder / "README.md", text)
        complaints += found
        goals = {point: OF_BASE * columns["model"][point].rate for point in GOALS}
    print(*complaints, sep="\n", file=sys.stderr)
    sys.exit(bool(complaints))


def score(folders: list[Path], count: int, work: Path, eyes: reader.Reader) -> list[dict[str, Column]]:
    """Every column of each folder's table, from `count` held-out captions of each kind. One autoencoder serves all: what was distilled keeps it."""
    asked = questions(count)
    real = [scene.image for scene in asked]
    drawn = [draw(folder, asked, work) for folder in folders]
    *second, second_real = redrawn(asked, [*drawn, real])
    shared = {
        "real": {**second_real, **judged(asked, look(asked, real, eyes))},
        "real, second judge": second_real,
        "autoencoder": judged(asked, look(asked, _coded(folders[0], real), eyes)),
    }
    few = asked[: max(len(scenes.KINDS), len(asked) // 10)]
    tables = []
    for folder, images, again in zip(folders, drawn, second):
        seen = look(asked, images, eyes)
        tables.append(
            {
                "model": {**again, **judged(asked, seen)},
                "second judge": again,
                **shared,
                "other captions": judged(others(asked), seen),
                "swapped relations": judged(*swapped(asked, seen)),
                "untrained": judged(few, look(few, _untrained(folder, few), eyes)),
            }
        )
    return tables


def _coded(folder: Path, images: list[Image.Image]) -> list[Image.Image]:
    """What a folder's autoencoder makes of pictures."""
    pixels, vae = np.stack([np.asarray(image) for image in images]), contact.load(folder).vae
    blocks = (reader.round_trip(vae, pixels[start : start + BATCH]) for start in range(0, len(pixels), BATCH))
    return [Image.fromarray(one) for block in blocks for one in block]


def _untrained(folder: Path, asked: list[scenes.Scene]) -> list[Image.Image]:
    """What is drawn of them with a UNet that has learnt nothing."""
    pipe = contact.load(folder)
    torch.manual_seed(0)
    pipe.unet = UNet2DConditionModel.from_config(pipe.unet.config).eval()
    return _draw(pipe, folder, [scene.caption for scene in asked], 0)


def questions(count: int) -> list[scenes.Scene]:
    """`count` held-out scenes of each kind, the kinds taking turns; the same on every call, with the same beginning for any count."""
    rng = random.Random("score")
    return [scenes.sample(rng, held_out=True, kind=kind) for _ in range(count) for kind in scenes.KINDS]


def draw(folder: Path, asked: list[scenes.Scene], work: Path) -> list[Image.Image]:
    """One picture for each caption, the k-th from seed k. They are kept, a block at a time, for as long as weights and captions are the same."""
    state = hashlib.sha256()
    for path in sorted([*folder.glob("*/*.safetensors"), *folder.glob("*/*.json"), folder / "defaults.json"]):
        state.update(path.read_bytes())
    blocks = [(start, [scene.caption for scene in asked[start : start + BLOCK]]) for start in range(0, len(asked), BLOCK)]
    names = [hashlib.sha256(state.digest() + json.dumps([start, *captions]).encode()).hexdigest()[:24] for start, captions in blocks]
    kept = [work / "drawn" / f"{name}.npy" for name in names]
    missing = [(folder, path, *block) for path, block in zip(kept, blocks) if not path.exists()]
    if missing:
        kept[0].parent.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor(2, mp_context=get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            list(tqdm(pool.map(_draw_block, *zip(*missing)), "drawing", total=len(missing), mininterval=5))
    return [Image.fromarray(pixels) for path in kept for pixels in np.load(path)]


def _draw_block(folder: Path, kept: Path, first: int, captions: list[str]) -> None:
    partial = kept.with_suffix(".part.npy")
    np.save(partial, np.stack([np.asarray(image) for image in _draw(_loaded(folder), folder, captions, first)]))
    partial.replace(kept)


@functools.cache
def _loaded(folder: Path) -> StableDiffusionPipeline:
    return contact.load(folder)


def _draw(pipe: StableDiffusionPipeline, folder: Path, captions: list[str], first: int) -> list[Image.Image]:
    settings = json.loads((folder / "defaults.json").read_text())
    images: list[Image.Image] = []
    for start in range(0, len(captions), BATCH):
        some = captions[start : start + BATCH]
        seeds = [torch.Generator().manual_seed(first + start + index) for index in range(len(some))]
        with mixed("cpu"):
            images += pipe(some, num_inference_steps=settings["steps"], guidance_scale=settings["guidance"], generator=seeds).images
    return images


def look(asked: list[scenes.Scene], images: list[Image.Image], eyes: reader.Reader) -> list[judge.Seen | None]:
    """What each picture shows: flat shapes are read by arithmetic, the rest by a network, but not two things in one scene."""
    kinds = [scene.facts["kind"] for scene in asked]
    flat = [both for both in zip(kinds, images) if both[0] in judge.FLAT]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        counted = iter(tqdm(pool.map(judge.look, *zip(*flat), chunksize=10), "looking", total=len(flat), mininterval=5))
        read = iter(eyes.read(image for kind, image in zip(kinds, images) if kind in reader.KINDS))
        return [next(counted) if kind in judge.FLAT else next(read) if kind in reader.KINDS else None for kind in kinds]


def judged(asked: list[scenes.Scene], seen: list[judge.Seen | None]) -> Column:
    """The share of right answers on each point."""
    return judge.tally(judge.verdict(scene.facts, one) for scene, one in zip(asked, seen) if one is not None)


def redrawn(asked: list[scenes.Scene], drawn: list[list[Image.Image]]) -> list[Column]:
    """The shares of each list of pictures by the second judge, of all that is not read by arithmetic."""
    jobs = [
        (scene.facts, images, number)
        for number, (scene, images) in enumerate(zip(asked, zip(*drawn)))
        if scene.facts["kind"] in ("item", "duo", "scene")
    ]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        told = tqdm(pool.map(redraw.verdicts, *zip(*jobs), chunksize=10), "drawing again", total=len(jobs), mininterval=5)
        return [judge.tally(verdicts) for verdicts in zip(*told)]


def others(asked: list[scenes.Scene]) -> list[scenes.Scene]:
    """Each picture gets the facts of the next one of its kind."""
    moved: list[scenes.Scene] = list(asked)
    for kind in scenes.KINDS:
        places = [index for index, scene in enumerate(asked) if scene.facts["kind"] == kind]
        for place, next_place in zip(places, places[1:] + places[:1]):
            moved[place] = asked[next_place]
    return moved


def swapped(asked: list[scenes.Scene], seen: list[judge.Seen | None]) -> tuple[list[scenes.Scene], list[judge.Seen | None]]:
    """The pairs alone, with another relation asked for."""
    pairs = [(scene, one) for scene, one in zip(asked, seen) if scene.facts["kind"] == "pair"]
    return [replace(scene, facts=judge.swapped(scene.facts)) for scene, _ in pairs], [one for _, one in pairs]


def faults(columns: dict[str, Column], goals: dict[str, float], sure: Column) -> list[str]:
    """What does not hold, in sentences: goals missed, controls that did not fail, judges that differ or misread real renders."""
    found = [
        f"{point} is {columns['model'][point].rate:.3f}, below {goal:.3f}"
        for point, goal in goals.items()
        if columns["model"][point].rate < goal
    ]
    for name in CONTROLS:
        points = ("pair: relation", "pair: all of it") if name == "swapped relations" else DECISIVE
        good = [point for point in points if point in columns[name] and columns[name][point].rate >= TOO_GOOD]
        found += [f"the control '{name}' did not fail: {point} is {columns[name][point].rate:.3f}" for point in good]
    found += [
        f"the judges differ on {point}: {columns['model'][point].rate:.3f} and {share.rate:.3f}"
        for point, share in columns["second judge"].items()
        if point in goals and abs(columns["model"][point].rate - share.rate) > APART
    ]
    found += [f"the reader is right in only {share.rate:.3f} of renders on {name}" for name, share in sure.items() if share.rate < SURE]
    misread = [point for point in goals if columns["real"][point].rate < 0.97]
    return found + [f"real renders score only {columns['real'][point].rate:.3f} on {point}" for point in misread]


def as_table(columns: dict[str, Column], goals: dict[str, float]) -> str:
    """Markdown: a row a point; the model with its 95 % interval, and the goal."""
    names = [name for name in columns if name != "model"]
    lines = [f"| | goal | model (95 %) | {' | '.join(names)} |", "|---" * (len(names) + 3) + "|"]
    kinds = list(scenes.KINDS)
    for point, share in sorted(columns["model"].items(), key=lambda row: kinds.index(row[0].split(":")[0])):
        low, high = share.interval()
        cells = [f"{columns[name][point].rate:.3f}" if point in columns[name] else "" for name in names]
        goal = f"{goals[point]:.3f}" if point in goals else ""
        lines.append(f"| {point} | {goal} | **{share.rate:.3f}** ({low:.3f} to {high:.3f}) | {' | '.join(cells)} |")
    return "\n".join(lines)


def as_sentence(sure: Column) -> str:
    """The reader's own accuracy."""
    rates = ", ".join(f"{name} {share.rate:.4f}" for name, share in sure.items())
    return f"The reader's answers on renders it was not trained on: {rates}."


def variety(folder: Path) -> str:
    """How far the seeds of one prompt differ, and how near the nearest of many renders comes."""
    pipe, settings = contact.load(folder), json.loads((folder / "defaults.json").read_text())
    how = {"steps": settings["steps"], "guidance": settings["guidance"]}
    drawn = [np.asarray(contact.one(pipe, "a castle on a hill", seed, **how), float) for seed in range(16)]
    differ = float(np.mean([np.abs(one - other).mean() for at, one in enumerate(drawn) for other in drawn[:at]]))
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        renders = np.concatenate([*pool.map(pictures.thumbnails, range(NEIGHBOURS // pictures.BLOCK))])
    near = [float(np.abs(renders - pictures.thumbnail(Image.fromarray(one.astype(np.uint8)))).mean(axis=(1, 2, 3)).min()) for one in drawn]
    usual = [float(np.sort(np.abs(renders - one).mean(axis=(1, 2, 3)))[1]) for one in renders[:16]]
    return (
        f"Sixteen seeds of one prompt differ by {differ:.1f} of 255 in the mean pixel. Among {len(renders):,} renders, the nearest to each is "
        f"{min(near):.1f} to {max(near):.1f} away, at 32 x 32 pixels; a render's own nearest neighbour {min(usual):.1f} to {max(usual):.1f}."
    )


if __name__ == "__main__":
    main()
