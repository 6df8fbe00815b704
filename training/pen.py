"""The pen: it draws on a page in unit coordinates, in the colours that captions name and in the light of the hour."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Points = Sequence[tuple[float, float]]

SCALE = 3  # drawn this much larger, then averaged: smooth edges
CELL = 8  # pixels a side of the squares that `Pen.cells` sums up, one latent's share of a picture

LIT: Colour = (255, 224, 110)
INK: Colour = (24, 24, 28)

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
    """Draws on a page whose middle square, as wide as its shorter side, is (0, 0) to (1, 1), y downwards; a longer page goes on beyond it, to
    `left`, `right`, `top` and `bottom`. Points are carried through the frame set by `at`."""

    def __init__(self, width: int, height: int) -> None:
        self.unit = min(width, height) * SCALE
        self.image = Image.new("RGB", (width * SCALE, height * SCALE))
        self.draw = ImageDraw.Draw(self.image)
        self.left, self.top = -(width * SCALE / self.unit - 1) / 2, -(height * SCALE / self.unit - 1) / 2
        self.right, self.bottom = 1 - self.left, 1 - self.top
        self.tint = (1.0, 1.0, 1.0)
        self.at()

    def at(self, x: float = 0, y: float = 0, size: float = 1, *, flip: bool = False, up: bool = False) -> Pen:
        """The frame of what comes next: origin at (x, y), `size` long units, mirrored if `flip`, v upwards if `up`."""
        self.frame = (x, y, -size if flip else size, -size if up else size)
        return self

    def place(self, points: Points) -> list[tuple[float, float]]:
        x, y, across, along = self.frame
        return [((x + u * across - self.left) * self.unit, (y + v * along - self.top) * self.unit) for u, v in points]

    def ink(self, colour: Colour) -> Colour:
        """The colour in this scene's light; lit windows shine by themselves."""
        return colour if colour == LIT else tinted(colour, self.tint)

    def fill(self, colour: Colour, top: float | None = None) -> None:
        """The whole page, or what is below `top`."""
        self.at()
        self.rect(
            self.left, self.top if top is None else top, self.right - self.left, self.bottom - (self.top if top is None else top), colour
        )

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
        placed, thick = self.place(points), abs(self.frame[2]) * width * self.unit
        ink = self.ink(colour)
        self.draw.line(placed, fill=ink, width=max(1, round(thick)), joint="curve")
        for x, y in placed:
            self.draw.ellipse((x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), fill=ink)

    def gradient(self, top: Colour, bottom: Colour, v0: float, v1: float) -> None:
        """Horizontal bands over the full width from v0 to v1; what lies above them has the first colour."""
        self.at()
        bands = max(2, round((v1 - v0) * 48))
        for i in range(bands):
            y0, y1 = (v0 + (v1 - v0) * step / bands for step in (i, i + 1))
            self.rect(
                self.left,
                self.top if i == 0 else y0,
                self.right - self.left,
                y1 - (self.top if i == 0 else y0),
                mix(top, bottom, i / (bands - 1)),
            )

    def cells(self) -> np.ndarray:
        """(H / CELL, W / CELL, 3) uint8: the mean colour of each square as the page is now."""
        return np.asarray(self.image.reduce(CELL * SCALE))

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
