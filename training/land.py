"""What places are made of: ground, trees, water, walls, by season and by night, out to every edge of the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from training.pen import LIT, Colour, Pen, Points, curve, mix
from training.things import palm

WATER: Colour = (36, 112, 190)
SAND: Colour = (240, 214, 150)
GRASS: Colour = (104, 178, 76)
SNOW: Colour = (240, 244, 250)
WHITE: Colour = (252, 252, 250)
ROAD: Colour = (92, 94, 102)
WOOD: Colour = (122, 84, 52)
PALM: Colour = (46, 148, 72)

GROUND: dict[str, Colour] = {"": GRASS, "spring": (136, 204, 88), "summer": (66, 156, 52), "autumn": (204, 164, 84), "winter": SNOW}
LEAVES: dict[str, tuple[Colour, Colour]] = {
    "": ((56, 146, 68), (42, 124, 62)),
    "spring": ((250, 172, 206), (242, 146, 188)),
    "summer": ((32, 124, 50), (26, 106, 46)),
    "autumn": ((234, 124, 36), (188, 70, 38)),
    "winter": ((138, 160, 160), (124, 146, 150)),
}
BLOOMS: dict[str, tuple[Colour, ...]] = {"spring": ((250, 150, 190), WHITE, (250, 222, 90)), "summer": ((252, 216, 48),)}


def spread(pen: Pen, first: float, step: float, spill: float = 0.15) -> Iterator[float]:
    """The positions first + k * step over the page's whole width and `spill` more."""
    k = int((pen.left - spill - first) // step) + 1
    while first + k * step < pen.right + spill:
        yield first + k * step
        k += 1


def index(x: float, first: float, step: float) -> int:
    return round((x - first) / step)


def land(pen: Pen, line: Points, colour: Colour) -> None:
    """What is below a smooth line, which begins and ends beyond the page."""
    pen.poly([(line[0][0], pen.bottom + 0.01), *curve(line, 6), (line[-1][0], pen.bottom + 0.01)], colour)


def ridge(pen: Pen, rng: Random, heights: Sequence[float], colour: Colour, wobble: float = 0.03) -> None:
    """Rolling land whose height is given at seven points, from beyond the left edge of a wide page to beyond its right one."""
    land(pen, [((i - 1.5) / 3, y + rng.uniform(-wobble, wobble)) for i, y in enumerate(heights)], colour)


def leafy(pen: Pen, u: float, base: float, size: float, season: str, shade: int = 0) -> None:
    """A round tree, `size` high."""
    pen.at(u, base, size)
    pen.rect(-0.08, -0.5, 0.16, 0.52, WOOD)
    colour = LEAVES[season][shade]
    for x, y, r in ((-0.22, -0.5, 0.26), (0.22, -0.5, 0.26), (0, -0.7, 0.32)):
        pen.oval(x, y, r, None, colour)
    if season == "winter":
        pen.oval(0, -0.8, 0.29, 0.22, SNOW)
    pen.at()


def fir(pen: Pen, u: float, base: float, size: float, season: str, colour: Colour = (34, 104, 62)) -> None:
    """A pointed tree, `size` high."""
    pen.at(u, base, size)
    pen.rect(-0.07, -0.25, 0.14, 0.27, WOOD)
    for y, wide in ((-0.14, 0.32), (-0.4, 0.26), (-0.64, 0.2)):
        pen.poly([(-wide, y), (wide, y), (0, y - 0.38)], colour)
    if season == "winter":
        pen.poly([(-0.13, -0.76), (0.13, -0.76), (0, -1.02)], SNOW)
    pen.at()


def palm_tree(pen: Pen, u: float, base: float, size: float, *, flip: bool = False) -> None:
    pen.at(u, base, size, up=True, flip=flip)
    palm(pen, PALM, False)
    pen.at()


def flowers(pen: Pen, rng: Random, season: str, first: float = 0.76) -> None:
    """Blossoms on the grass, in the seasons that have them, none where the subject stands."""
    colours = BLOOMS.get(season, ())
    spots = (
        (0.06, 0.02),
        (0.18, 0.14),
        (0.94, 0.03),
        (0.83, 0.13),
        (0.3, 0.21),
        (0.7, 0.22),
        (-0.1, 0.12),
        (-0.24, 0.04),
        (1.1, 0.14),
        (1.24, 0.05),
    )
    for i, (u, v) in enumerate((*spots, (0.2, 0.36), (0.8, 0.38), (0.5, 0.44), (0.1, 0.5), (0.9, 0.52)) if colours else ()):
        pen.oval(u + rng.uniform(-0.03, 0.03), first + v + rng.uniform(-0.02, 0.02), 0.021, None, colours[i % len(colours)])


def waves(pen: Pen, rng: Random, top: float, bottom: float, weather: str) -> None:
    """Water from `top` to the end of the page, with crests down to `bottom`."""
    pen.fill(WATER, top)
    high, crest = (0.055, (214, 228, 238)) if weather == "storm" else (0.018, (112, 176, 228))
    y, row = top + 0.07, 0
    while y < bottom:
        for x in spread(pen, (row % 2) * 0.15 + rng.uniform(-0.04, 0.04), 0.3):
            pen.line([(x - 0.06, y), (x, y - high), (x + 0.06, y)], 0.018, crest)
        y, row = y + 0.1, row + 1


def tower(pen: Pen, u: float, top: float, wide: float, bottom: float, colour: Colour, night: bool) -> None:
    """A tall building with two columns of large windows, or three where it is wide."""
    pen.rect(u, top, wide, bottom - top, colour)
    pane, columns = LIT if night else mix(colour, (255, 255, 255), 0.5), 3 if wide > 0.17 else 2
    gap = wide / columns
    for row in range(int((bottom - top - 0.03) / 0.085)):
        for column in range(columns):
            if not (night and (row * 5 + column * 3 + round(u * 40)) % 4 == 0):
                pen.rect(u + gap * (column + 0.25), top + 0.035 + row * 0.085, gap * 0.5, 0.045, pane)


def cottage(pen: Pen, u: float, base: float, wide: float, high: float, wall: Colour, roof: Colour, night: bool, winter: bool) -> None:
    """A small house around u: wall, gable roof, door and window."""
    pen.rect(u - wide / 2, base - high, wide, high, wall)
    pen.poly([(u - wide * 0.62, base - high), (u + wide * 0.62, base - high), (u, base - high - wide * 0.55)], SNOW if winter else roof)
    pen.rect(u - wide * 0.36, base - high * 0.62, wide * 0.26, high * 0.62, WOOD)
    pen.rect(u + wide * 0.06, base - high * 0.72, wide * 0.3, high * 0.42, LIT if night else (150, 196, 226))


def dashes(pen: Pen, y: float) -> None:
    for x in spread(pen, 0.1, 0.24):
        pen.rect(x, y, 0.12, 0.022, (240, 234, 204))
