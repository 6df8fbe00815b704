"""How things look: a pen in unit coordinates and one function for each thing that can be drawn. What stands in a scene, and what
its caption says, is decided in `scenes`; here is only form and colour."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random

from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Points = Sequence[tuple[float, float]]

SCALE = 4  # drawn this much larger, then averaged: smooth edges

LIT: Colour = (255, 224, 110)

COLOURS: dict[str, Colour] = {
    "red": (214, 38, 40),
    "orange": (248, 134, 28),
    "yellow": (250, 214, 48),
    "green": (44, 152, 70),
    "blue": (40, 92, 210),
    "purple": (128, 58, 176),
    "pink": (248, 142, 188),
    "brown": (124, 78, 44),
    "black": (28, 28, 32),
    "white": (250, 250, 248),
    "grey": (142, 144, 150),
}


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """`share` of b in a, 0 to 1."""
    return tuple(round(x + (y - x) * share) for x, y in zip(a, b))  # type: ignore[return-value]


def tinted(colour: Colour, tint: tuple[float, float, float]) -> Colour:
    return tuple(min(255, round(c * t)) for c, t in zip(colour, tint))  # type: ignore[return-value]


def darker(colour: Colour, share: float = 0.25) -> Colour:
    return mix(colour, (0, 0, 0), share) if sum(colour) > 150 else mix(colour, (120, 120, 130), share + 0.1)


class Pen:
    """Draws on a square canvas. Points are (x, y) from 0 to 1, y downwards, carried through the frame set by `at`."""

    def __init__(self, size: int) -> None:
        self.side = size * SCALE
        self.image = Image.new("RGB", (self.side, self.side))
        self.draw = ImageDraw.Draw(self.image)
        self.tint = (1.0, 1.0, 1.0)
        self.at()

    def at(self, x: float = 0, y: float = 0, size: float = 1, *, flip: bool = False, up: bool = False) -> Pen:
        """The frame of what comes next: origin at (x, y), `size` long units, mirrored if `flip`, v upwards if `up`."""
        self.frame = (x, y, -size if flip else size, -size if up else size)
        return self

    def place(self, points: Points) -> list[tuple[float, float]]:
        x, y, across, along = self.frame
        return [((x + u * across) * self.side, (y + v * along) * self.side) for u, v in points]

    def ink(self, colour: Colour) -> Colour:
        """The colour in this scene's light; lit windows shine by themselves."""
        return colour if colour == LIT else tinted(colour, self.tint)

    def poly(self, points: Points, colour: Colour) -> None:
        self.draw.polygon(self.place(points), fill=self.ink(colour))

    def rect(self, u: float, v: float, width: float, height: float, colour: Colour) -> None:
        self.poly([(u, v), (u + width, v), (u + width, v + height), (u, v + height)], colour)

    def oval(self, u: float, v: float, ru: float, rv: float | None, colour: Colour, lean: float = 0) -> None:
        """An ellipse with radii ru, rv around (u, v), leaning by `lean` radians."""
        rv = ru if rv is None else rv
        cos, sin = math.cos(lean), math.sin(lean)
        turn = [(math.cos(a * math.tau / 40) * ru, math.sin(a * math.tau / 40) * rv) for a in range(40)]
        self.poly([(u + a * cos - b * sin, v + a * sin + b * cos) for a, b in turn], colour)

    def line(self, points: Points, width: float, colour: Colour) -> None:
        """A stroke with round ends and joints, `width` in units of the frame."""
        placed, thick = self.place(points), abs(self.frame[2]) * width * self.side
        ink = self.ink(colour)
        self.draw.line(placed, fill=ink, width=max(1, round(thick)), joint="curve")
        for x, y in placed:
            self.draw.ellipse((x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), fill=ink)

    def gradient(self, top: Colour, bottom: Colour, v0: float, v1: float) -> None:
        """Horizontal bands over the full width from v0 to v1."""
        bands = max(2, round((v1 - v0) * 64))
        for i in range(bands):
            y0, y1 = v0 + (v1 - v0) * i / bands, v0 + (v1 - v0) * (i + 1) / bands
            colour = mix(top, bottom, i / (bands - 1))
            self.draw.rectangle((0, round(y0 * self.side), self.side, round(y1 * self.side)), fill=colour)

    def finish(self) -> Image.Image:
        return self.image.reduce(SCALE)


def curve(points: Points, steps: int = 8) -> list[tuple[float, float]]:
    """A smooth line through the points (Catmull-Rom spline)."""
    ends = [points[0], *points, points[-1]]
    out = []
    for a, b, c, d in zip(ends, ends[1:], ends[2:], ends[3:]):
        for i in range(steps):
            t = i / steps
            out.append(
                tuple(
                    0.5 * (2 * q + (r - p) * t + (2 * p - 5 * q + 4 * r - s) * t**2 + (3 * q - p - 3 * r + s) * t**3)
                    for p, q, r, s in zip(a, b, c, d)
                )
            )
    return [*out, tuple(points[-1])]  # type: ignore[list-item]


# -- shapes: around the origin, about 1 in radius -------------------------------------------------------------------------


def _ray(angle: float, radius: float = 1) -> tuple[float, float]:
    return math.sin(angle * math.tau) * radius, -math.cos(angle * math.tau) * radius


def circle(pen: Pen, colour: Colour, ground: Colour) -> None:
    pen.oval(0, 0, 0.92, None, colour)


def square(pen: Pen, colour: Colour, ground: Colour) -> None:
    pen.rect(-0.82, -0.82, 1.64, 1.64, colour)


def triangle(pen: Pen, colour: Colour, ground: Colour) -> None:
    pen.poly([(0, -0.95), (1.02, 0.82), (-1.02, 0.82)], colour)


def star(pen: Pen, colour: Colour, ground: Colour) -> None:
    pen.poly([_ray(i / 10, 0.46 if i % 2 else 1.12) for i in range(10)], colour)


def heart(pen: Pen, colour: Colour, ground: Colour) -> None:
    turns = [i * math.tau / 48 for i in range(48)]
    lobes = [(math.sin(t) ** 3, -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 15) for t in turns]
    pen.poly(lobes, colour)


def diamond(pen: Pen, colour: Colour, ground: Colour) -> None:
    pen.poly([(0, -1.15), (0.74, 0), (0, 1.15), (-0.74, 0)], colour)


def ring(pen: Pen, colour: Colour, ground: Colour) -> None:
    pen.oval(0, 0, 0.98, None, colour)
    pen.oval(0, 0, 0.56, None, ground)


def cross(pen: Pen, colour: Colour, ground: Colour) -> None:
    pen.rect(-0.32, -0.98, 0.64, 1.96, colour)
    pen.rect(-0.98, -0.32, 1.96, 0.64, colour)


SHAPES: dict[str, Callable[[Pen, Colour, Colour], None]] = {
    f.__name__: f for f in (circle, square, triangle, star, heart, diamond, ring, cross)
}

# -- subjects: standing on v = 0, v upwards, about 2 wide, facing left -----------------------------------------------------

INK: Colour = (24, 24, 28)


def _eye(pen: Pen, u: float, v: float, r: float, body: Colour) -> None:
    pen.oval(u, v, r, None, (250, 250, 250) if sum(body) < 330 else INK)
    if sum(body) < 330:
        pen.oval(u - r * 0.2, v, r * 0.5, None, INK)


def elephant(pen: Pen, colour: Colour, night: bool) -> None:
    shade = darker(colour, 0.22)
    pen.line(curve([(0.74, 0.98), (0.92, 0.8), (0.9, 0.52)]), 0.07, shade)
    for u in (-0.3, 0.5):
        pen.rect(u, 0, 0.24, 0.6, shade)
    for u in (-0.55, 0.24):
        pen.rect(u, 0, 0.26, 0.7, colour)
    pen.oval(0.14, 0.86, 0.68, 0.44, colour)
    pen.oval(-0.62, 1.08, 0.36, 0.35, colour)
    pen.line(curve([(-0.82, 1.0), (-1.02, 0.72), (-1.04, 0.36), (-1.2, 0.2)]), 0.19, colour)
    pen.poly([(-0.8, 0.86), (-1.16, 0.66), (-0.76, 0.74)], (252, 248, 235))
    pen.oval(-0.36, 1.06, 0.25, 0.36, shade)
    _eye(pen, -0.74, 1.16, 0.055, colour)


def cat(pen: Pen, colour: Colour, night: bool) -> None:
    shade = darker(colour, 0.2)
    pen.line(curve([(0.3, 0.14), (0.82, 0.2), (0.9, 0.6), (0.72, 0.95)]), 0.17, shade)
    pen.oval(0.14, 0.46, 0.46, 0.48, colour)
    pen.oval(0.0, 0.62, 0.32, 0.5, colour)
    for u in (-0.16, 0.16):
        pen.oval(u, 0.07, 0.15, 0.1, shade)
    for side in (-1, 1):
        pen.poly([(side * 0.42, 1.2), (side * 0.4, 1.78), (side * 0.06, 1.52)], colour)
        pen.poly([(side * 0.34, 1.34), (side * 0.34, 1.62), (side * 0.16, 1.48)], (240, 160, 170))
    pen.oval(0, 1.24, 0.45, 0.37, colour)
    for side in (-1, 1):
        pen.oval(side * 0.19, 1.3, 0.1, 0.115, (190, 235, 90))
        pen.oval(side * 0.19, 1.3, 0.04, 0.1, INK)
        for lift in (0.02, 0.12):
            pen.line(
                [(side * 0.16, 1.1), (side * 0.6, 1.04 + lift)], 0.022, mix(colour, (255, 255, 255) if sum(colour) < 400 else INK, 0.6)
            )
    pen.poly([(-0.07, 1.17), (0.07, 1.17), (0, 1.08)], (236, 110, 130))


def dog(pen: Pen, colour: Colour, night: bool) -> None:
    shade = darker(colour, 0.35)
    for u in (-0.22, 0.5):
        pen.rect(u, 0, 0.15, 0.6, shade)
    pen.line(curve([(0.62, 0.82), (0.86, 1.0), (0.94, 1.3)]), 0.14, colour)
    for u in (-0.4, 0.34):
        pen.rect(u, 0, 0.17, 0.66, colour)
    pen.oval(0.12, 0.72, 0.6, 0.28, colour)
    pen.poly([(-0.5, 0.72), (-0.62, 1.2), (-0.26, 1.24), (0.02, 0.86)], colour)
    pen.oval(-0.48, 1.24, 0.31, 0.29, colour)
    pen.oval(-0.8, 1.13, 0.26, 0.16, colour)
    pen.oval(-1.02, 1.19, 0.085, 0.075, INK if sum(colour) > 200 else (150, 120, 120))
    pen.oval(-0.3, 1.14, 0.13, 0.31, shade, lean=0.2)
    pen.line([(-0.56, 0.9), (-0.2, 1.0)], 0.1, (40, 92, 210) if colour[0] > 190 and colour[2] < 90 else (214, 38, 40))
    _eye(pen, -0.6, 1.3, 0.06, colour)


def bird(pen: Pen, colour: Colour, night: bool) -> None:
    shade = darker(colour, 0.28)
    for u in (-0.1, 0.14):
        pen.line([(u, 0.5), (u, 0.03), (u - 0.14, 0.03)], 0.06, (240, 150, 40))
    pen.poly([(0.42, 0.86), (1.08, 0.62), (1.06, 0.92), (0.5, 1.1)], shade)
    pen.oval(0.06, 0.82, 0.58, 0.4, colour, lean=-0.25)
    pen.oval(-0.4, 1.2, 0.32, 0.3, colour)
    pen.poly([(-0.66, 1.28), (-1.04, 1.14), (-0.64, 1.06)], (245, 160, 30))
    pen.oval(-0.12, 0.72, 0.24, 0.17, mix(colour, (255, 255, 255), 0.55))
    pen.oval(0.22, 0.9, 0.4, 0.22, shade, lean=-0.4)
    _eye(pen, -0.48, 1.27, 0.07, colour)


def fish(pen: Pen, colour: Colour, night: bool) -> None:
    shade = darker(colour, 0.25)
    pen.poly([(0.5, 0.6), (1.14, 1.08), (0.98, 0.6), (1.14, 0.12)], shade)
    pen.poly([(-0.24, 0.94), (0.1, 1.34), (0.5, 0.84)], shade)
    pen.poly([(-0.04, 0.3), (0.14, 0.02), (0.4, 0.34)], shade)
    pen.oval(-0.12, 0.6, 0.82, 0.46, colour)
    for u in (-0.24, 0.16):
        pen.poly(
            [(u, 1.0 if u < 0 else 0.96), (u + 0.16, 0.98 if u < 0 else 0.9), (u + 0.16, 0.24 if u < 0 else 0.3), (u, 0.18)],
            mix(colour, (255, 255, 255), 0.6),
        )
    pen.oval(-0.58, 0.7, 0.13, None, (252, 252, 252))
    pen.oval(-0.6, 0.7, 0.065, None, INK)
    pen.line([(-0.88, 0.48), (-0.66, 0.42)], 0.05, INK if sum(colour) > 200 else (200, 200, 200))


def house(pen: Pen, colour: Colour, night: bool) -> None:
    roof = (92, 96, 108) if colour[0] > 170 and colour[1] < 160 else (186, 60, 48)
    pane = LIT if night else (140, 200, 235)
    pen.rect(0.36, 1.0, 0.2, 0.7, (120, 70, 56))
    pen.rect(-0.8, 0, 1.6, 0.95, colour)
    pen.poly([(-1.02, 0.92), (0, 1.7), (1.02, 0.92)], roof)
    pen.rect(-0.16, 0, 0.34, 0.58, (96, 58, 34) if sum(colour) > 240 else (170, 110, 60))
    for u in (-0.64, 0.32):
        pen.rect(u - 0.04, 0.36, 0.4, 0.4, darker(colour, 0.4))
        pen.rect(u, 0.4, 0.32, 0.32, pane)
        pen.rect(u + 0.14, 0.4, 0.04, 0.32, darker(colour, 0.4))


def castle(pen: Pen, colour: Colour, night: bool) -> None:
    shade, roof = darker(colour, 0.2), (70, 90, 160) if colour[2] < 150 or colour[0] > 120 else (190, 70, 60)
    slit = LIT if night else darker(colour, 0.62)
    pen.rect(-0.34, 0, 0.68, 1.5, shade)
    for i in range(4):
        pen.rect(-0.38 + i * 0.205, 1.46, 0.13, 0.16, shade)
    pen.line([(0, 1.55), (0, 2.0)], 0.04, INK)
    pen.poly([(0.02, 2.02), (0.36, 1.9), (0.02, 1.78)], (220, 50, 50))
    pen.rect(-0.66, 0, 1.32, 0.92, colour)
    for i in range(7):
        pen.rect(-0.6 + i * 0.18, 0.9, 0.1, 0.13, colour)
    for u in (-0.98, 0.58):
        pen.rect(u, 0, 0.4, 1.26, colour)
        pen.poly([(u - 0.08, 1.24), (u + 0.2, 1.84), (u + 0.48, 1.24)], roof)
        pen.rect(u + 0.14, 0.78, 0.12, 0.24, slit)
    pen.rect(-0.06, 1.1, 0.12, 0.22, slit)
    pen.rect(-0.2, 0, 0.4, 0.38, darker(colour, 0.65))
    pen.oval(0, 0.38, 0.2, 0.2, darker(colour, 0.65))


def lighthouse(pen: Pen, colour: Colour, night: bool) -> None:
    other = (250, 250, 248) if sum(colour) < 690 else (214, 38, 40)
    if night:
        pen.poly([(0, 1.86), (-3.4, 2.5), (-3.4, 1.5)], (250, 235, 150))
    pen.poly([(-0.42, 0), (0.42, 0), (0.26, 1.62), (-0.26, 1.62)], other)
    for i in range(3):
        low, high = i * 0.62 + 0.05, i * 0.62 + 0.36
        wide = [0.42 - 0.16 * v / 1.62 for v in (low, high)]
        pen.poly([(-wide[0], low), (wide[0], low), (wide[1], high), (-wide[1], high)], colour)
    pen.rect(-0.36, 1.6, 0.72, 0.1, INK)
    pen.rect(-0.2, 1.7, 0.4, 0.34, LIT)
    pen.poly([(-0.3, 2.02), (0, 2.36), (0.3, 2.02)], colour if sum(colour) < 690 else (214, 38, 40))
    pen.rect(-0.1, 0, 0.2, 0.28, INK)


def boat(pen: Pen, colour: Colour, night: bool) -> None:
    pen.poly([(-0.04, 0.5), (-0.04, 1.86), (-0.9, 0.56)], (248, 246, 238))
    pen.poly([(0.08, 0.5), (0.08, 1.66), (0.74, 0.56)], (226, 226, 232))
    pen.line([(0.02, 0.3), (0.02, 1.92)], 0.07, (96, 64, 40))
    pen.poly([(0.06, 1.94), (0.42, 1.84), (0.06, 1.74)], (214, 38, 40))
    pen.poly([(-1.06, 0.42), (1.04, 0.42), (0.72, -0.02), (-0.72, -0.02)], colour)
    pen.rect(-0.98, 0.34, 1.94, 0.08, mix(colour, (255, 255, 255), 0.5))


def tree(pen: Pen, colour: Colour, night: bool) -> None:
    pen.rect(-0.14, 0, 0.28, 0.8, (116, 74, 42))
    for u, v, r in ((-0.4, 1.0, 0.42), (0.4, 1.0, 0.42), (0, 1.36, 0.5)):
        pen.oval(u, v, r, None, colour)
    pen.oval(-0.12, 1.3, 0.34, None, mix(colour, (255, 255, 255), 0.14))


def palm(pen: Pen, colour: Colour, night: bool) -> None:
    pen.line(curve([(0.1, 0), (0.0, 0.6), (0.12, 1.3)]), 0.15, (132, 90, 52))
    for u, v in ((-0.75, 1.2), (-0.6, 1.66), (0.1, 1.86), (0.8, 1.62), (0.92, 1.12)):
        pen.poly(
            [*curve([(0.12, 1.3), ((u + 0.12) / 2 - 0.02, (v + 1.3) / 2 + 0.24), (u, v)], 5), ((u + 0.12) / 2, (v + 1.3) / 2 + 0.04)],
            colour,
        )
    for u in (0.02, 0.2):
        pen.oval(u, 1.26, 0.09, None, (110, 70, 40))


SUBJECTS: dict[str, Callable[[Pen, Colour, bool], None]] = {
    f.__name__: f for f in (elephant, cat, dog, bird, fish, house, castle, lighthouse, boat, tree)
}
USUAL: dict[str, Colour] = {  # the colour of a subject whose caption names none
    "elephant": (136, 142, 156),
    "cat": (238, 140, 50),
    "dog": (150, 96, 56),
    "bird": (52, 110, 214),
    "fish": (250, 132, 34),
    "house": (244, 226, 186),
    "castle": (164, 164, 170),
    "lighthouse": (214, 38, 40),
    "boat": (140, 84, 46),
    "tree": (48, 140, 66),
}
ANIMALS = ("elephant", "cat", "dog", "bird", "fish")

# -- places: full canvas; each returns nothing and leaves the pen in the page's own frame ----------------------------------

WATER: Colour = (36, 112, 190)
SAND: Colour = (240, 214, 150)
GRASS: Colour = (104, 178, 76)
SNOW: Colour = (240, 244, 250)


def ridge(rng: Random, low: float, high: float, count: int) -> list[tuple[float, float]]:
    """A gently rolling line over the full width, closed along the bottom."""
    knots = [(i / (count - 1), rng.uniform(low, high)) for i in range(count)]
    return [(0, 1.01), *curve(knots), (1, 1.01)]


def waves(pen: Pen, rng: Random, top: float, stormy: bool) -> None:
    pen.rect(0, top, 1, 1 - top, WATER)
    height, crest = (0.045, (214, 228, 238)) if stormy else (0.012, (96, 164, 222))
    for row in range(4):
        y = top + 0.08 + row * (0.9 - top) / 4
        shift = rng.uniform(0, 0.25)
        for i in range(-1, 5):
            u = i * 0.25 + shift
            pen.line(curve([(u, y), (u + 0.06, y - height), (u + 0.12, y)], 4), 0.016, crest)


def sea(pen: Pen, rng: Random, ground: Colour, weather: str) -> None:
    waves(pen, rng, 0.56, weather == "storm")


def underwater(pen: Pen, rng: Random, ground: Colour, weather: str) -> None:
    pen.poly(ridge(rng, 0.86, 0.9, 5), SAND)
    for u in (0.1, 0.2, 0.86):
        high = rng.uniform(0.5, 0.66)
        pen.line(
            curve([(u, 0.95), (u + 0.04, (0.95 + high) / 2 + 0.08), (u - 0.03, (0.95 + high) / 2 - 0.06), (u + 0.02, high)]),
            0.035,
            (40, 150, 90),
        )
    for _ in range(4):
        pen.oval(rng.uniform(0.1, 0.3), rng.uniform(0.1, 0.45), 0.022, None, (190, 226, 246))


def beach(pen: Pen, rng: Random, ground: Colour, weather: str) -> None:
    waves(pen, rng, 0.5, weather == "storm")
    pen.poly([(0, 1.01), *curve([(0, 0.78), (0.3, 0.72), (0.65, 0.7), (1, 0.64)]), (1, 1.01)], (226, 240, 246))
    pen.poly(
        [(0, 1.01), *curve([(0, 0.81), (0.3, 0.75), (0.65, 0.73), (1, 0.67)]), (1, 1.01)],
        mix(SAND, ground, 0.75) if ground == SNOW else SAND,
    )
    pen.at(0.87, 0.8, 0.24, up=True)
    palm(pen, (50, 150, 70), False)
    pen.at()


def island(pen: Pen, rng: Random, ground: Colour, weather: str) -> None:
    waves(pen, rng, 0.5, weather == "storm")
    pen.oval(0.5, 0.84, 0.44, 0.15, mix(SAND, ground, 0.75) if ground == SNOW else SAND)
    pen.oval(0.5, 0.79, 0.32, 0.08, SNOW if ground == SNOW else GRASS)
    pen.rect(0, 0.92, 1, 0.09, WATER)
    pen.at(0.8, 0.8, 0.22, up=True)
    palm(pen, (50, 150, 70), False)
    pen.at()


def mountains(pen: Pen, rng: Random, ground: Colour, weather: str) -> None:
    for u, peak, half, colour in (
        (0.2, 0.26, 0.34, (128, 136, 158)),
        (0.84, 0.3, 0.34, (120, 128, 150)),
        (0.52, 0.14, 0.42, (142, 148, 168)),
    ):
        peak += rng.uniform(-0.03, 0.03)
        pen.poly([(u, peak), (u + half, 0.8), (u - half, 0.8)], colour)
        cap = 0.3
        pen.poly(
            [
                (u, peak),
                (u + half * cap, peak + (0.8 - peak) * cap),
                (u + half * 0.1, peak + 0.11),
                (u - half * 0.08, peak + 0.17),
                (u - half * cap, peak + (0.8 - peak) * cap),
            ],
            (246, 248, 252),
        )
    pen.poly(ridge(rng, 0.7, 0.74, 5), ground)


def forest(pen: Pen, rng: Random, ground: Colour, weather: str) -> None:
    white = ground == SNOW
    pen.poly(ridge(rng, 0.66, 0.7, 5), ground)
    for base, size, colour in ((0.68, 0.13, (38, 104, 62)), (0.76, 0.17, (32, 120, 60))):
        for i in range(8 if size < 0.15 else 6):
            u = (i + 0.5) / (8 if size < 0.15 else 6) + rng.uniform(-0.02, 0.02)
            if size > 0.15 and 0.24 < u < 0.76:
                continue
            pen.at(u, base + rng.uniform(-0.015, 0.015), size, up=True)
            pen.rect(-0.1, -0.1, 0.2, 0.5, (104, 70, 44))
            for v in (0.3, 0.85, 1.4):
                wide = 0.72 - v * 0.22
                pen.poly([(-wide, v), (wide, v), (0, v + 1.1)], colour)
                if white:
                    pen.poly([(-wide * 0.45, v + 0.6), (wide * 0.45, v + 0.6), (0, v + 1.1)], SNOW)
    pen.at()


def desert(pen: Pen, rng: Random, ground: Colour, weather: str) -> None:
    dune = (232, 184, 108)
    pen.poly(ridge(rng, 0.54, 0.66, 4), darker(dune, 0.1))
    pen.poly(ridge(rng, 0.7, 0.76, 4), mix(dune, SNOW, 0.8) if ground == SNOW else dune)
    for u, y, size in ((0.12, 0.8, 0.16), (0.9, 0.76, 0.13)):
        pen.at(u, y, size, up=True)
        green = (62, 140, 76)
        pen.line([(0, 0), (0, 1.5)], 0.26, green)
        pen.line([(0, 0.6), (-0.45, 0.6), (-0.45, 1.1)], 0.2, green)
        pen.line([(0, 0.8), (0.42, 0.8), (0.42, 1.2)], 0.2, green)
    pen.at()


def _tower(pen: Pen, u: float, top: float, wide: float, bottom: float, colour: Colour, night: bool) -> None:
    pen.rect(u, top, wide, bottom - top, colour)
    pane, columns = LIT if night else mix(colour, (255, 255, 255), 0.55), max(2, round(wide / 0.055))
    gap = wide / columns
    for row in range(int((bottom - top - 0.03) / 0.065)):
        for column in range(columns):
            if night and (row * 5 + column * 3 + round(u * 40)) % 4 == 0:
                continue
            pen.rect(u + gap * (column + 0.26), top + 0.03 + row * 0.065, gap * 0.5, 0.034, pane)


def city(pen: Pen, rng: Random, ground: Colour, weather: str, night: bool = False) -> None:
    walls = ((104, 116, 140), (150, 108, 96), (88, 100, 128), (132, 138, 150), (118, 96, 112), (98, 120, 142))
    for i, top in enumerate((0.42, 0.26, 0.4, 0.32, 0.22, 0.38)):
        _tower(pen, i * 0.168 - 0.005, top + rng.uniform(-0.04, 0.04), 0.155, 0.8, walls[i], night)
    pen.rect(0, 0.79, 1, 0.22, SNOW if ground == SNOW else (92, 94, 102))
    pen.rect(0, 0.76, 1, 0.035, (186, 186, 190))
    for i in range(5):
        pen.rect(0.03 + i * 0.21, 0.905, 0.1, 0.016, (238, 232, 200))


def new_york(pen: Pen, rng: Random, ground: Colour, weather: str, night: bool = False) -> None:
    walls = ((96, 108, 136), (128, 132, 146), (84, 96, 124), (138, 118, 110), (104, 114, 138))
    for u, top, wide, i in (
        (0.0, 0.46, 0.13, 0),
        (0.24, 0.34, 0.12, 1),
        (0.63, 0.36, 0.13, 2),
        (0.77, 0.44, 0.11, 3),
        (0.88, 0.32, 0.13, 4),
    ):
        _tower(pen, u, top + rng.uniform(-0.03, 0.03), wide, 0.8, walls[i], night)
    stone = (178, 168, 158)
    _tower(pen, 0.4, 0.36, 0.2, 0.8, stone, night)
    _tower(pen, 0.43, 0.22, 0.14, 0.38, stone, night)
    pen.poly([(0.45, 0.22), (0.55, 0.22), (0.525, 0.15), (0.475, 0.15)], darker(stone, 0.15))
    pen.line([(0.5, 0.15), (0.5, 0.035)], 0.02, darker(stone, 0.3))
    pen.rect(0, 0.79, 1, 0.22, WATER)
    pen.rect(0, 0.77, 1, 0.03, SNOW if ground == SNOW else (110, 116, 110))
    liberty, foot = (112, 190, 160), (176, 164, 140)
    pen.at(0.17, 0.9, 0.2, up=True)
    pen.poly([(-0.36, -0.1), (0.36, -0.1), (0.22, 0.55), (-0.22, 0.55)], foot)
    pen.poly([(-0.22, 0.55), (0.22, 0.55), (0.12, 1.45), (-0.12, 1.45)], liberty)
    pen.line([(-0.1, 1.35), (-0.3, 1.95)], 0.12, liberty)
    pen.oval(-0.32, 2.06, 0.11, 0.15, (255, 200, 60))
    pen.oval(0, 1.58, 0.13, 0.15, liberty)
    for lean in (-0.2, -0.07, 0.07, 0.2):
        pen.line([(lean * 0.4, 1.68), (lean, 1.86)], 0.05, liberty)
    pen.at()


def edinburgh(pen: Pen, rng: Random, ground: Colour, weather: str, night: bool = False) -> None:
    rock, stone = (92, 84, 80), (168, 146, 118)
    white = ground == SNOW
    pen.at(0.5, 0.54, 0.3, up=True)
    for u, wide, high in ((-1.3, 0.5, 0.34), (-0.85, 0.5, 0.6), (-0.4, 0.62, 0.46), (0.18, 0.42, 0.86), (0.55, 0.5, 0.5), (1.0, 0.36, 0.3)):
        colour = stone if high > 0.4 else darker(stone, 0.12)
        pen.rect(u, -0.3, wide, high + 0.3, colour)
        for i in range(int(wide / 0.13)):
            pen.rect(u + 0.02 + i * 0.13, high, 0.07, 0.08, colour)
        for i in range(int(wide / 0.2)):
            pen.rect(u + 0.09 + i * 0.19, high - 0.24, 0.08, 0.14, LIT if night else darker(stone, 0.55))
    pen.poly([(-0.86, 0.6), (-0.6, 0.86), (-0.34, 0.6)], (88, 92, 104))
    pen.line([(0.39, 0.86), (0.39, 1.34)], 0.04, INK)
    pen.rect(0.41, 1.1, 0.32, 0.22, (30, 80, 180))
    pen.at()
    edge = [(0.0, 0.74), (0.07, 0.62), (0.13, 0.56), (0.3, 0.52), (0.5, 0.53), (0.7, 0.51), (0.86, 0.56), (0.92, 0.66), (1.0, 0.76)]
    pen.poly([(0, 1.01), *[(u, v + rng.uniform(-0.012, 0.012)) for u, v in edge], (1, 1.01)], rock)
    for u, v in ((0.22, 0.6), (0.4, 0.58), (0.58, 0.6), (0.76, 0.6)):
        pen.poly([(u, v), (u + 0.07, v + 0.03), (u + 0.03, v + 0.22), (u - 0.03, v + 0.16)], SNOW if white else darker(rock, 0.25))
    pen.poly([(0, 1.01), *curve([(0, 0.84), (0.3, 0.8), (0.6, 0.83), (1, 0.8)]), (1, 1.01)], ground)


def hill(pen: Pen, rng: Random, ground: Colour, weather: str) -> None:
    pen.poly(ridge(rng, 0.7, 0.76, 4), darker(ground, 0.18))
    pen.oval(0.5, 1.12, 0.62, 0.44, ground)


def field(pen: Pen, rng: Random, ground: Colour, weather: str) -> None:
    pen.poly(ridge(rng, 0.56, 0.62, 4), darker(ground, 0.16))
    pen.rect(0, 0.66, 1, 0.35, ground)
    if ground != SNOW:
        for _ in range(7):
            u, v = rng.random(), rng.uniform(0.72, 0.97)
            pen.oval(u, v, 0.017, None, rng.choice([(250, 220, 90), (245, 245, 245), (240, 130, 150)]))


# name -> (draws it, where a subject stands (y), how big a subject is (half its width))
PLACES: dict[str, tuple[Callable[..., None], float, float]] = {
    "sea": (sea, 0.74, 0.25),
    "underwater": (underwater, 0.66, 0.3),
    "beach": (beach, 0.93, 0.25),
    "island": (island, 0.8, 0.2),
    "mountains": (mountains, 0.9, 0.24),
    "forest": (forest, 0.9, 0.24),
    "desert": (desert, 0.92, 0.25),
    "city": (city, 0.93, 0.24),
    "new york": (new_york, 0.96, 0.2),
    "edinburgh castle": (edinburgh, 0.9, 0.2),
    "hill": (hill, 0.71, 0.24),
    "field": (field, 0.9, 0.27),
}
