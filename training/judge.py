"""Is the picture what was asked for? Facts against readings, as yes or no for each point, and how sure the shares are."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt

from PIL import Image

from training import outline, scenes

NEAR = 0.16  # how far from its spot, in widths of the picture, a shape's centre may lie
OVER = 0.3  # two shapes whose centres are closer than this, in widths of the picture, lie over each other
WITHIN = 0.1  # ... and closer than this, one is inside the other

Seen = outline.Reading | int | dict[str, str]  # of one or two flat shapes, of several, of anything else


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


def look(kind: str, image: Image.Image) -> Seen:
    """What arithmetic reads of a picture of this kind, one of FLAT."""
    return outline.count(image) if kind == "count" else outline.read(image)


def verdict(facts: dict, seen: Seen) -> dict[str, bool]:
    """Each point that the caption states, and whether what was seen has it: what `look` saw of flat shapes, else a reader's answer."""
    points = FLAT.get(facts["kind"], _answers)(facts, seen)
    points["all of it"] = all(points.values())
    return {f"{facts['kind']}: {name}": right for name, right in points.items()}


def tally(verdicts: Iterable[dict[str, bool]]) -> dict[str, Share]:
    """The share of each point over many pictures."""
    totals: dict[str, Share] = {}
    for points in verdicts:
        for name, right in points.items():
            old = totals.get(name, Share(0, 0))
            totals[name] = Share(old.right + right, old.total + 1)
    return totals


OPPOSITE = {
    "left of": "right of",
    "right of": "left of",
    "next to": "above",
    "above": "below",
    "below": "above",
    "inside": "left of",
    "in front of": "behind",
    "behind": "in front of",
}


def swapped(facts: dict) -> dict:
    """The same pair with another relation: a picture of the one is wrong for the other."""
    return {**facts, "relation": OPPOSITE[facts["relation"]]}


def _shape(facts: dict, seen: outline.Reading) -> dict[str, bool]:
    asked = facts["objects"][0]
    blob = seen.blobs[0] if seen.blobs else None
    points = {
        "background": seen.background == facts["background"],
        "colour": blob is not None and blob.colour == asked["colour"],
        "shape": blob is not None and blob.shape == asked["shape"],
    }
    if asked["spot"]:
        x, y = scenes.SPOTS[asked["spot"]]
        points["spot"] = blob is not None and abs(blob.x - x) < NEAR and abs(blob.y - y) < NEAR
    return points


def _pair(facts: dict, seen: outline.Reading) -> dict[str, bool]:
    """Both are there: two patches of the colours asked for, and the shapes asked for, on whichever."""
    first, second = facts["objects"]
    by_colour = {blob.colour: blob for blob in seen.blobs[::-1]}  # the largest of each
    one, other = by_colour.get(first["colour"]), by_colour.get(second["colour"])
    found = one is not None and other is not None
    shapes = (one.shape, other.shape) if found else ()
    return {
        "background": seen.background == facts["background"],
        "both there": sorted(shapes) == sorted((first["shape"], second["shape"])),
        "colours not swapped": shapes == (first["shape"], second["shape"]),
        "relation": found and _holds(facts["relation"], one, other),
    }


def _holds(relation: str, one: outline.Blob, other: outline.Blob) -> bool:
    across, down = one.x - other.x, one.y - other.y
    away = max(abs(across), abs(down))
    if relation == "inside":
        return away < WITHIN and one.area < other.area
    if relation in ("in front of", "behind"):
        lower = one if relation == "in front of" else other  # what is in front lies lower, and covers a part of the other
        return away < OVER and lower.y == max(one.y, other.y) and one.touches(other)
    if away < WITHIN:
        return False
    if abs(across) > abs(down):
        return relation == "next to" or relation == ("left of" if across < 0 else "right of")
    return relation == ("above" if down < 0 else "below")


def _count(facts: dict, seen: int) -> dict[str, bool]:
    return {"number": seen == facts["number"]}


def _answers(facts: dict, seen: dict[str, str]) -> dict[str, bool]:
    return {name: seen[name] == wanted for name, wanted in labels(facts).items()}


FLAT = {"shape": _shape, "pair": _pair, "count": _count}  # the kinds that are read by arithmetic


def labels(facts: dict) -> dict[str, str]:
    """What can be read of a picture with these facts; what is not in it, cannot be told, or is not asked for, is left out."""
    told, places = {"style": facts["style"]}, facts["places"]
    if len(places) == 1:
        told["place"] = facts["place"]
    if places and not set(places) & set(scenes.FILLING):
        told |= {"time": facts["time"], "weather": facts["weather"]}
    if facts["kind"] == "duo":
        for side, thing in zip(("left", "right"), from_left(facts)):
            told |= {side: thing["subject"], f"{side} colour": thing["colour"]}
    else:
        told |= {"subject": facts["subject"], "colour": facts["colour"]}
    return {name: value for name, value in told.items() if value or name == "style"}


def from_left(facts: dict) -> list[dict]:
    """A duo's two things as they stand; of two of which one is in front, the front one stands left."""
    first, second = scenes.DUO[facts["relation"]]
    return facts["things"] if first[0] < second[0] else facts["things"][::-1]
