"""`python -m training.score FOLDER`: how often a model draws what held-out captions ask for, beside controls that must fail.

A scorer that cannot say no proves nothing: the table also holds other captions' labels, an untrained UNet and swapped
relations, and the command fails when one of them scores well.
"""

import argparse
import json
import random
import sys
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image
from tqdm import tqdm

from training import card, contact, judge, reader, scenes
from training.judge import Share
from training.plan import mixed

FLOORS = {"shape: background": 0.97, "shape: colour": 0.95, "shape: shape": 0.88}
CONTROLS = ("other captions", "untrained", "swapped relations")
DECISIVE = (*FLOORS, "pair: relation", "pair: all of it", "scene: subject", "scene: all of it")
TOO_GOOD = 0.4  # a control that reaches this on a decisive point has not failed
BATCH = 12

Column = dict[str, Share]


def main() -> None:
    """Score the folder, print the table, write it into the folder's card; exit 1 if a floor or a control does not hold."""
    parser = argparse.ArgumentParser(prog="python -m training.score", description=__doc__)
    parser.add_argument("folder", type=Path, help="a diffusers folder, such as webapp/builtin")
    parser.add_argument("--count", type=int, default=500, help="held-out captions to draw")
    parser.add_argument("--work", type=Path, default=Path("build/training"), help="where the reader is kept")
    asked = parser.parse_args()
    columns = score(asked.folder, asked.count, asked.work)
    table = as_table(columns)
    print(table)
    card.write_table(asked.folder / "README.md", f"{asked.count} held-out captions.\n\n{table}")
    complaints = faults(columns)
    print(*complaints, sep="\n", file=sys.stderr)
    sys.exit(bool(complaints))


def score(folder: Path, count: int, work: Path) -> dict[str, Column]:
    """Every column of the table, from `count` held-out captions, a third of each kind."""
    pipe = contact.load(folder)
    settings = json.loads((folder / "defaults.json").read_text())
    asked = questions(count)
    eyes = reader.get(work / "reader.pt", pipe.vae)
    real = np.stack([np.asarray(scene.image) for scene in asked])
    coded = np.concatenate([reader.round_trip(pipe.vae, real[start : start + 32]) for start in range(0, count, 32)])
    drawn = draw(pipe, asked, settings["steps"], settings["guidance"])
    columns = {
        "model": judged(asked, drawn, eyes),
        "real": judged(asked, [scene.image for scene in asked], eyes),
        "autoencoder": judged(asked, [Image.fromarray(pixels) for pixels in coded], eyes),
        "other captions": judged(others(asked), drawn, eyes),
        "swapped relations": judged(*swapped(asked, drawn), eyes),
    }
    few = asked[: max(1, count // 5)]
    torch.manual_seed(0)
    pipe.unet = UNet2DConditionModel.from_config(pipe.unet.config).eval()
    columns["untrained"] = judged(few, draw(pipe, few, settings["steps"], settings["guidance"]), eyes)
    return columns


def questions(count: int) -> list[scenes.Scene]:
    """`count` held-out scenes, the kinds taking turns; the same on every call."""
    rng = random.Random("score")
    return [scenes.sample(rng, held_out=True, kind=list(scenes.KINDS)[index % 3]) for index in range(count)]


def draw(pipe: StableDiffusionPipeline, asked: list[scenes.Scene], steps: int, guidance: float) -> list[Image.Image]:
    """One picture for each caption, the k-th from seed k."""
    images: list[Image.Image] = []
    for start in tqdm(range(0, len(asked), BATCH), "drawing", mininterval=5):
        captions = [scene.caption for scene in asked[start : start + BATCH]]
        seeds = [torch.Generator().manual_seed(start + index) for index in range(len(captions))]
        with mixed("cpu"):
            images += pipe(captions, num_inference_steps=steps, guidance_scale=guidance, generator=seeds).images
    return images


def judged(asked: list[scenes.Scene], images: list[Image.Image], eyes: reader.Reader) -> Column:
    """The share of right answers on each point."""
    read = eyes.read(images)
    return judge.count(
        judge.verdict(scene.facts, image, seen if scene.facts["kind"] == "scene" else None)
        for scene, image, seen in zip(asked, images, read)
    )


def others(asked: list[scenes.Scene]) -> list[scenes.Scene]:
    """Each picture gets the facts of the next one of its kind."""
    moved: list[scenes.Scene] = list(asked)
    for kind in scenes.KINDS:
        places = [index for index, scene in enumerate(asked) if scene.facts["kind"] == kind]
        for place, next_place in zip(places, places[1:] + places[:1]):
            moved[place] = asked[next_place]
    return moved


def swapped(asked: list[scenes.Scene], images: list[Image.Image]) -> tuple[list[scenes.Scene], list[Image.Image]]:
    """The pairs alone, with the opposite relation asked for."""
    pairs = [(scene, image) for scene, image in zip(asked, images) if scene.facts["kind"] == "pair"]
    return [scenes.Scene(s.caption, judge.swapped(s.facts), s.image) for s, _ in pairs], [image for _, image in pairs]


def faults(columns: dict[str, Column]) -> list[str]:
    """What does not hold, in sentences: floors missed, controls that did not fail, a scorer that misreads real renders."""
    found = [
        f"{point} is {columns['model'][point].rate:.3f}, below {floor}"
        for point, floor in FLOORS.items()
        if columns["model"][point].rate < floor
    ]
    for name in CONTROLS:
        points = ("pair: relation", "pair: all of it") if name == "swapped relations" else DECISIVE
        good = [point for point in points if columns[name][point].rate >= TOO_GOOD]
        found += [f"the control '{name}' did not fail: {point} is {columns[name][point].rate:.3f}" for point in good]
    misread = [point for point in DECISIVE if columns["real"][point].rate < 0.9]
    return found + [f"real renders score only {columns['real'][point].rate:.3f} on {point}" for point in misread]


def as_table(columns: dict[str, Column]) -> str:
    """Markdown: a row a point; the model with its 95 % interval."""
    names = [name for name in columns if name != "model"]
    lines = [f"| | model (95 %) | {' | '.join(names)} |", "|---" * (len(names) + 2) + "|"]
    kinds = list(scenes.KINDS)
    for point, share in sorted(columns["model"].items(), key=lambda row: kinds.index(row[0].split(":")[0])):
        low, high = share.interval()
        cells = [f"{columns[name][point].rate:.3f}" if point in columns[name] else "" for name in names]
        lines.append(f"| {point} | **{share.rate:.3f}** ({low:.2f} to {high:.2f}) | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
