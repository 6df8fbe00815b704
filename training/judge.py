"""Is the picture what was asked for? Facts against readings, as yes or no for each point, and how sure the shares are."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt

from PIL import Image

from training import outline, scenes

NEAR = 0.16  # how far from its spot, in widths of the picture, a shape's centre may lie


@dataclass(frozen=True)
class Share:
    """How many of how many were right."""

    right: int
    total: int

    @property
    def rate(self) -> float:
        return self.right / self.total if self.total else 0.0

    def interval(self) -> tuple[float, float]:
        """The 95 % interval of Wilson (1927)."""
        if not self.total:
            return 0.0, 1.0
        z, n = 1.96, self.total
        middle = (self.rate + z * z / (2 * n)) / (1 + z * z / n)
        reach = z / (1 + z * z / n) * sqrt(self.rate * (1 - self.rate) / n + z * z / (4 * n * n))
        return max(0.0, middle - reach), min(1.0, middle + reach)


def verdict(facts: dict, image: Image.Image, read: dict[str, str] | None = None) -> dict[str, bool]:
    """Each point that the caption states, and whether the picture has it. `read` is the reader's answer, for a scene."""
    points = {"shape": _shape, "pair": _pair}[facts["kind"]](facts, outline.read(image)) if read is None else _scene(facts, read)
    points["all of it"] = all(points.values())
    return {f"{facts['kind']}: {name}": right for name, right in points.items()}


def count(verdicts: Iterable[dict[str, bool]]) -> dict[str, Share]:
    """The share of each point over many pictures."""
    totals: dict[str, Share] = {}
    for points in verdicts:
        for name, right in points.items():
            old = totals.get(name, Share(0, 0))
            totals[name] = Share(old.right + right, old.total + 1)
    return totals


def swapped(facts: dict) -> dict:
    """The same pair with the opposite relation: a picture of the one is wrong for the other."""
    opposite = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
    return {**facts, "relation": opposite[facts["relation"]]}


def _shape(facts: dict, seen: outline.Reading) -> dict[str, bool]:
    asked = facts["objects"][0]
    blob = seen.blobs[0] if seen.blobs else outline.Blob("", "", 9, 9, 0)
    points = {
        "background": seen.background == facts["background"],
        "colour": blob.colour == asked["colour"],
        "shape": blob.shape == asked["shape"],
    }
    if asked["spot"]:
        x, y = scenes.SPOTS[asked["spot"]]
        points["spot"] = abs(blob.x - x) < NEAR and abs(blob.y - y) < NEAR
    return points


def _pair(facts: dict, seen: outline.Reading) -> dict[str, bool]:
    first, second = facts["objects"]
    by_colour = {blob.colour: blob for blob in seen.blobs[1::-1]}
    one, other = by_colour.get(first["colour"]), by_colour.get(second["colour"])
    found = one is not None and other is not None
    return {
        "background": seen.background == facts["background"],
        "both colours": found,
        "both shapes": sorted(blob.shape for blob in seen.blobs[:2]) == sorted([first["shape"], second["shape"]]),
        "colour on its shape": found and (one.shape, other.shape) == (first["shape"], second["shape"]),
        "relation": found and _relation(one, other) == facts["relation"],
    }


def _relation(one: outline.Blob, other: outline.Blob) -> str:
    across, down = one.x - other.x, one.y - other.y
    if abs(across) > abs(down):
        return "left of" if across < 0 else "right of"
    return "above" if down < 0 else "below"


def _scene(facts: dict, read: dict[str, str]) -> dict[str, bool]:
    asked = ["subject", "place", "time", "weather"] + ["colour"] * bool(facts["colour"])
    return {name: read[name] == facts[name] for name in asked}
