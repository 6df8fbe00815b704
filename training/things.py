"""How things look: a function for each shape, and for each subject of a scene."""

from __future__ import annotations

import math
from collections.abc import Callable

from training.pen import INK, LIT, Colour, Pen, curve, darker, mix

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
