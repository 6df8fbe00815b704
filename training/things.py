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

WHITE: Colour = (250, 250, 248)
ORANGE: Colour = (245, 156, 32)
RED: Colour = (214, 38, 40)
BLUE: Colour = (40, 92, 210)
YELLOW: Colour = (250, 214, 48)
WOOD: Colour = (116, 74, 42)
LEAF: Colour = (58, 146, 66)
ROSE: Colour = (240, 150, 168)
TYRE: Colour = (44, 46, 54)


def _apart(colour: Colour, *choices: Colour) -> Colour:
    """The first of the choices that is far from the colour, or else the last."""
    return next((c for c in choices if sum(abs(a - b) for a, b in zip(colour, c)) > 150), choices[-1])


def _pale(colour: Colour, share: float = 0.6) -> Colour:
    """A lighter patch on the colour; on white, a greyer one."""
    return mix(colour, (255, 255, 255), share) if sum(colour) < 640 else mix(colour, (130, 150, 190), share * 0.5)


def _eye(pen: Pen, u: float, v: float, r: float, body: Colour) -> None:
    pen.oval(u, v, r, None, WHITE if sum(body) < 330 else INK)
    if sum(body) < 330:
        pen.oval(u - r * 0.2, v, r * 0.55, None, INK)


def _slab(pen: Pen, u: float, v: float, width: float, height: float, r: float, colour: Colour) -> None:
    """A rectangle with round corners."""
    corners = ((u + width - r, v + height - r), (u + r, v + height - r), (u + r, v + r), (u + width - r, v + r))
    turns = [(x, y, (n + i / 6) * math.tau / 4) for n, (x, y) in enumerate(corners) for i in range(7)]
    pen.poly([(x + math.cos(a) * r, y + math.sin(a) * r) for x, y, a in turns], colour)


def _dome(pen: Pen, u: float, v: float, ru: float, rv: float, colour: Colour) -> None:
    pen.poly([(u + math.cos(i * math.pi / 24) * ru, v + math.sin(i * math.pi / 24) * rv) for i in range(25)], colour)


def _hoop(pen: Pen, u: float, v: float, ru: float, rv: float, width: float, colour: Colour) -> None:
    """A ring that shows what is behind it."""
    pen.line([(u + math.cos(i * math.tau / 36) * ru, v + math.sin(i * math.tau / 36) * rv) for i in range(37)], width, colour)


def _wheel(pen: Pen, u: float, r: float) -> None:
    pen.oval(u, r, r, None, TYRE)
    pen.oval(u, r, r * 0.48, None, (206, 210, 218))


def _pane(night: bool) -> Colour:
    return LIT if night else (150, 208, 240)


# animals


def elephant(pen: Pen, colour: Colour, night: bool) -> None:
    shade = darker(colour, 0.22)
    pen.line(curve([(0.74, 0.98), (0.92, 0.8), (0.9, 0.52)]), 0.09, shade)
    for u in (-0.3, 0.5):
        pen.rect(u, 0, 0.24, 0.6, shade)
    for u in (-0.55, 0.24):
        pen.rect(u, 0, 0.26, 0.7, colour)
    pen.oval(0.14, 0.86, 0.68, 0.46, colour)
    pen.oval(-0.62, 1.08, 0.36, 0.35, colour)
    pen.line(curve([(-0.82, 1.0), (-1.02, 0.72), (-1.04, 0.36), (-1.24, 0.22)]), 0.2, colour)
    pen.poly([(-0.78, 0.9), (-1.2, 0.6), (-0.7, 0.72)], _apart(colour, (252, 248, 235), (250, 226, 150)))
    pen.oval(-0.34, 1.08, 0.27, 0.38, shade)
    _eye(pen, -0.76, 1.18, 0.07, colour)


def cat(pen: Pen, colour: Colour, night: bool) -> None:
    shade = darker(colour, 0.2)
    pen.line(curve([(0.3, 0.14), (0.82, 0.2), (0.9, 0.6), (0.72, 0.95)]), 0.18, shade)
    pen.oval(0.14, 0.46, 0.46, 0.46, colour)
    pen.oval(0.0, 0.62, 0.34, 0.5, colour)
    pen.oval(0, 0.62, 0.17, 0.26, _pale(colour, 0.5))
    for u in (-0.18, 0.18):
        pen.oval(u, 0.09, 0.17, 0.11, shade)
    for side in (-1, 1):
        pen.poly([(side * 0.45, 1.2), (side * 0.42, 1.84), (side * 0.06, 1.52)], colour)
        pen.poly([(side * 0.36, 1.34), (side * 0.35, 1.66), (side * 0.16, 1.48)], ROSE)
    pen.oval(0, 1.24, 0.48, 0.38, colour)
    for side in (-1, 1):
        pen.oval(side * 0.21, 1.3, 0.12, 0.13, (200, 238, 96))
        pen.oval(side * 0.21, 1.3, 0.05, 0.11, INK)
    pen.poly([(-0.09, 1.16), (0.09, 1.16), (0, 1.04)], _apart(colour, (236, 96, 124), (250, 190, 200)))


def dog(pen: Pen, colour: Colour, night: bool) -> None:
    shade = darker(colour, 0.35)
    for u in (-0.22, 0.5):
        pen.rect(u, 0, 0.16, 0.6, shade)
    pen.line(curve([(0.62, 0.82), (0.86, 1.0), (0.94, 1.3)]), 0.14, colour)
    for u in (-0.42, 0.32):
        pen.rect(u, 0, 0.19, 0.66, colour)
    pen.oval(0.12, 0.72, 0.6, 0.3, colour)
    pen.poly([(-0.5, 0.72), (-0.62, 1.2), (-0.26, 1.24), (0.02, 0.86)], colour)
    pen.oval(-0.48, 1.24, 0.32, 0.3, colour)
    pen.oval(-0.8, 1.13, 0.27, 0.17, colour)
    pen.oval(-1.02, 1.2, 0.1, 0.09, INK if sum(colour) > 200 else (150, 120, 120))
    pen.oval(-0.28, 1.14, 0.15, 0.33, shade, lean=0.2)
    pen.line([(-0.56, 0.9), (-0.18, 1.0)], 0.12, _apart(colour, RED, BLUE))
    _eye(pen, -0.6, 1.3, 0.075, colour)


def bird(pen: Pen, colour: Colour, night: bool) -> None:
    shade = darker(colour, 0.28)
    for u in (-0.1, 0.16):
        pen.line([(u, 0.5), (u, 0.05), (u - 0.16, 0.05)], 0.08, (240, 150, 40))
    pen.poly([(0.42, 0.86), (1.1, 0.58), (1.08, 0.94), (0.5, 1.1)], shade)
    pen.oval(0.06, 0.82, 0.58, 0.42, colour, lean=-0.25)
    pen.oval(-0.4, 1.2, 0.33, 0.31, colour)
    pen.poly([(-0.66, 1.32), (-1.06, 1.14), (-0.64, 1.04)], _apart(colour, ORANGE, (120, 84, 40)))
    pen.oval(-0.14, 0.72, 0.25, 0.18, _pale(colour))
    pen.oval(0.24, 0.9, 0.4, 0.22, shade, lean=-0.4)
    _eye(pen, -0.48, 1.28, 0.08, colour)


def fish(pen: Pen, colour: Colour, night: bool) -> None:
    shade = darker(colour, 0.25)
    pen.poly([(0.5, 0.6), (1.14, 1.08), (0.98, 0.6), (1.14, 0.12)], shade)
    pen.poly([(-0.24, 0.94), (0.1, 1.34), (0.5, 0.84)], shade)
    pen.poly([(-0.04, 0.3), (0.14, 0.02), (0.4, 0.34)], shade)
    pen.oval(-0.12, 0.6, 0.82, 0.46, colour)
    for u in (-0.24, 0.16):
        pen.poly(
            [(u, 1.03 if u < 0 else 1.0), (u + 0.16, 1.04 if u < 0 else 0.94), (u + 0.16, 0.16 if u < 0 else 0.26), (u, 0.18)],
            _pale(colour),
        )
    pen.oval(-0.58, 0.7, 0.15, None, (252, 252, 252))
    pen.oval(-0.61, 0.7, 0.085, None, INK)
    pen.line(curve([(-0.86, 0.46), (-0.74, 0.4), (-0.62, 0.42)]), 0.07, INK if sum(colour) > 200 else (200, 200, 200))


def rabbit(pen: Pen, colour: Colour, night: bool) -> None:
    shade = darker(colour, 0.2)
    pen.oval(0.68, 0.34, 0.19, None, _pale(colour, 0.75))
    pen.oval(-0.08, 1.66, 0.15, 0.46, shade, lean=-0.42)
    pen.oval(-0.36, 1.7, 0.16, 0.48, colour, lean=-0.06)
    pen.oval(-0.36, 1.68, 0.07, 0.32, _apart(colour, ROSE, (255, 214, 220)), lean=-0.06)
    pen.line([(-0.22, 0.6), (-0.3, 0.12)], 0.22, colour)
    pen.oval(0.14, 0.52, 0.5, 0.5, colour)
    pen.oval(0.28, 0.36, 0.34, 0.32, shade)
    pen.oval(0.1, 0.1, 0.36, 0.11, colour)
    pen.oval(-0.36, 1.08, 0.38, 0.33, colour)
    pen.oval(-0.72, 1.06, 0.08, 0.07, _apart(colour, (236, 96, 124), (255, 214, 220)))
    _eye(pen, -0.48, 1.17, 0.085, colour)


def penguin(pen: Pen, colour: Colour, night: bool) -> None:
    front = _apart(colour, WHITE, (150, 166, 196))
    for side in (-1, 1):
        pen.oval(side * 0.26, 0.08, 0.26, 0.1, ORANGE)
        pen.oval(side * 0.62, 0.84, 0.15, 0.48, darker(colour, 0.25), lean=side * 0.32)
    pen.oval(0, 0.82, 0.6, 0.76, colour)
    pen.oval(0, 1.52, 0.46, 0.44, colour)
    pen.oval(0, 0.64, 0.37, 0.5, front)
    for side in (-1, 1):
        pen.oval(side * 0.18, 1.5, 0.2, 0.23, front)
        pen.oval(side * 0.17, 1.56, 0.08, None, INK)
    pen.poly([(-0.16, 1.42), (0.16, 1.42), (0, 1.2)], _apart(colour, ORANGE, YELLOW))


def duck(pen: Pen, colour: Colour, night: bool) -> None:
    orange = _apart(colour, (226, 84, 20), (250, 190, 50))
    for u in (-0.06, 0.24):
        pen.line([(u, 0.3), (u, 0.06), (u - 0.2, 0.06)], 0.1, orange)
    body = [
        (-0.7, 0.72),
        (-0.6, 0.36),
        (-0.2, 0.18),
        (0.4, 0.2),
        (0.82, 0.48),
        (1.12, 1.06),
        (0.66, 0.86),
        (0.1, 0.86),
        (-0.4, 1.0),
        (-0.7, 0.72),
    ]
    pen.poly(curve(body), colour)
    pen.line([(-0.48, 0.7), (-0.5, 1.3)], 0.38, colour)
    pen.oval(-0.52, 1.44, 0.36, 0.33, colour)
    pen.poly(curve([(-0.76, 1.5), (-1.02, 1.44), (-1.28, 1.46), (-1.28, 1.28), (-1.02, 1.26), (-0.74, 1.28)]), orange)
    pen.oval(0.22, 0.6, 0.42, 0.21, darker(colour, 0.2), lean=0.25)
    _eye(pen, -0.6, 1.54, 0.08, colour)


def turtle(pen: Pen, colour: Colour, night: bool) -> None:
    skin, shade = _apart(colour, (150, 196, 92), (226, 196, 128)), darker(colour, 0.28)
    pen.poly([(0.8, 0.42), (1.2, 0.2), (0.8, 0.24)], skin)
    for u in (-0.34, 0.58):
        pen.line([(u, 0.34), (u - 0.04, 0.13)], 0.26, skin)
    pen.line([(-0.5, 0.4), (-0.88, 0.62)], 0.24, skin)
    pen.oval(-0.92, 0.68, 0.27, 0.23, skin)
    _dome(pen, 0.14, 0.34, 0.8, 0.86, colour)
    for u, v, r in ((0.14, 0.84, 0.21), (-0.3, 0.62, 0.15), (0.58, 0.62, 0.15)):
        pen.poly([(u + math.cos(i * math.tau / 6) * r, v + math.sin(i * math.tau / 6) * r) for i in range(6)], shade)
    pen.line([(-0.62, 0.36), (0.9, 0.36)], 0.15, shade)
    _eye(pen, -1.0, 0.74, 0.075, skin)


def butterfly(pen: Pen, colour: Colour, night: bool) -> None:
    body = _apart(colour, INK, (236, 190, 60))
    for side in (-1, 1):
        pen.line(curve([(0, 1.35), (side * 0.12, 1.7), (side * 0.32, 1.88)]), 0.07, body)
        pen.oval(side * 0.4, 0.58, 0.4, 0.36, darker(colour, 0.16), lean=-side * 0.5)
        pen.oval(side * 0.56, 1.24, 0.58, 0.42, colour, lean=side * 0.6)
        pen.oval(side * 0.68, 1.34, 0.22, 0.17, _pale(colour, 0.7), lean=side * 0.6)
        pen.oval(side * 0.44, 0.54, 0.15, None, _pale(colour, 0.7))
        pen.oval(side * 0.34, 1.88, 0.07, None, body)
    pen.oval(0, 0.94, 0.11, 0.56, body)


def whale(pen: Pen, colour: Colour, night: bool) -> None:
    shade, spray = darker(colour, 0.25), (238, 248, 255)
    pen.line([(-0.36, 1.0), (-0.36, 1.5)], 0.1, spray)
    for side in (-1, 1):
        pen.line(curve([(-0.36, 1.4), (-0.36 + side * 0.18, 1.66), (-0.36 + side * 0.4, 1.46)]), 0.1, spray)
        pen.oval(0.94 + side * 0.22, 1.38, 0.3, 0.13, colour, lean=side * 0.5)
    outline = [
        (-1.1, 0.6),
        (-0.92, 1.0),
        (-0.4, 1.16),
        (0.2, 1.0),
        (0.6, 0.84),
        (0.84, 1.3),
        (1.06, 1.3),
        (1.06, 0.66),
        (0.72, 0.2),
        (0.1, 0),
        (-0.6, 0.02),
    ]
    pen.poly(curve([*outline, (-1.0, 0.24), (-1.1, 0.6)]), colour)
    belly = [(-1.06, 0.4), (-0.7, 0.34), (-0.2, 0.3), (0.3, 0.08), (-0.2, 0), (-0.6, 0.02), (-0.98, 0.2), (-1.06, 0.4)]
    pen.poly(curve(belly), _pale(colour, 0.75))
    pen.oval(0.02, 0.34, 0.14, 0.3, shade, lean=0.7)
    _eye(pen, -0.68, 0.66, 0.085, colour)


def frog(pen: Pen, colour: Colour, night: bool) -> None:
    shade = darker(colour, 0.22)
    for side in (-1, 1):
        pen.oval(side * 0.7, 0.36, 0.32, 0.34, shade, lean=side * 0.4)
        pen.oval(side * 0.82, 0.09, 0.3, 0.1, shade)
    pen.oval(0, 0.56, 0.58, 0.52, colour)
    pen.oval(0, 0.46, 0.34, 0.36, _pale(colour, 0.55))
    for side in (-1, 1):
        pen.oval(side * 0.34, 0.1, 0.24, 0.11, colour)
        pen.oval(side * 0.42, 1.34, 0.27, None, colour)
    pen.oval(0, 1.02, 0.74, 0.42, colour)
    for side in (-1, 1):
        pen.oval(side * 0.42, 1.38, 0.19, None, (252, 252, 252))
        pen.oval(side * 0.42, 1.38, 0.1, None, INK)
    mouth = [(-0.44, 0.98), (-0.2, 0.86), (0.2, 0.86), (0.44, 0.98)]
    pen.line(curve(mouth), 0.08, darker(colour, 0.6) if sum(colour) > 150 else (200, 200, 200))


def owl(pen: Pen, colour: Colour, night: bool) -> None:
    shade, pale = darker(colour, 0.28), _pale(colour, 0.62)
    for side in (-1, 1):
        pen.poly([(side * 0.62, 1.2), (side * 0.6, 2.0), (side * 0.04, 1.6)], colour)
        pen.oval(side * 0.24, 0.08, 0.2, 0.1, ORANGE)
    pen.oval(0, 0.78, 0.64, 0.72, colour)
    pen.oval(0, 1.28, 0.64, 0.46, colour)
    for v in (0.72, 0.46):
        for u in (-0.2, 0.2) if v > 0.5 else (0,):
            pen.poly([(u - 0.17, v), (u + 0.17, v), (u, v - 0.2)], pale)
    for side in (-1, 1):
        pen.oval(side * 0.6, 0.7, 0.18, 0.5, shade, lean=side * 0.12)
        pen.oval(side * 0.29, 1.3, 0.29, None, pale)
        pen.oval(side * 0.27, 1.3, 0.2, None, (252, 206, 50))
        pen.oval(side * 0.27, 1.3, 0.11, None, INK)
    pen.poly([(-0.12, 1.16), (0.12, 1.16), (0, 0.9)], _apart(colour, ORANGE, (120, 70, 20)))


def pig(pen: Pen, colour: Colour, night: bool) -> None:
    shade = darker(colour, 0.22)
    pen.line(curve([(0.78, 0.84), (0.98, 0.78), (1.06, 0.94), (0.94, 1.04), (0.9, 0.9), (1.08, 0.8), (1.2, 0.9)]), 0.08, shade)
    for u in (-0.26, 0.5):
        pen.rect(u, 0, 0.2, 0.5, shade)
    for u in (-0.48, 0.28):
        pen.rect(u, 0, 0.22, 0.5, colour)
        pen.rect(u, 0, 0.22, 0.1, darker(colour, 0.6))
    pen.oval(0.14, 0.76, 0.72, 0.48, colour)
    pen.oval(-0.58, 0.94, 0.42, 0.4, colour)
    pen.poly([(-0.6, 1.26), (-0.62, 1.6), (-0.26, 1.2)], shade)
    pen.oval(-0.94, 0.86, 0.17, 0.21, _apart(colour, shade, ROSE) if sum(colour) < 150 else shade)
    for v in (0.79, 0.94):
        pen.oval(-0.98, v, 0.05, None, darker(colour, 0.65))
    _eye(pen, -0.66, 1.08, 0.075, colour)


def bear(pen: Pen, colour: Colour, night: bool) -> None:
    shade, pale = darker(colour, 0.22), _pale(colour, 0.55)
    for side in (-1, 1):
        pen.oval(side * 0.42, 1.8, 0.2, None, colour)
        pen.oval(side * 0.42, 1.8, 0.1, None, shade)
        pen.oval(side * 0.66, 0.8, 0.19, 0.42, shade, lean=side * 0.4)
    pen.oval(0, 0.7, 0.62, 0.64, colour)
    pen.oval(0, 0.66, 0.36, 0.4, pale)
    for side in (-1, 1):
        pen.oval(side * 0.42, 0.2, 0.28, 0.22, shade)
    pen.oval(0, 1.46, 0.56, 0.46, colour)
    pen.oval(0, 1.32, 0.27, 0.21, pale)
    pen.oval(0, 1.41, 0.12, 0.09, INK)
    for side in (-1, 1):
        _eye(pen, side * 0.25, 1.6, 0.08, colour)


# buildings


def house(pen: Pen, colour: Colour, night: bool) -> None:
    roof = (92, 96, 108) if colour[0] > 170 and colour[1] < 160 else (186, 60, 48)
    frame = darker(colour, 0.4)
    pen.rect(0.36, 1.0, 0.22, 0.74, (120, 70, 56))
    pen.rect(-0.84, 0, 1.68, 0.98, colour)
    pen.poly([(-1.06, 0.92), (0, 1.74), (1.06, 0.92)], roof)
    pen.rect(-0.18, 0, 0.36, 0.6, (96, 58, 34) if sum(colour) > 240 else (170, 110, 60))
    for u in (-0.7, 0.28):
        pen.rect(u, 0.32, 0.42, 0.44, frame)
        pen.rect(u + 0.06, 0.38, 0.3, 0.32, _pane(night))
        pen.rect(u + 0.18, 0.38, 0.06, 0.32, frame)


def castle(pen: Pen, colour: Colour, night: bool) -> None:
    shade, roof = darker(colour, 0.2), (70, 90, 160) if colour[2] < 150 or colour[0] > 120 else (190, 70, 60)
    slit = LIT if night else darker(colour, 0.62)
    pen.rect(-0.36, 0, 0.72, 1.46, shade)
    for i in range(3):
        pen.rect(-0.38 + i * 0.28, 1.44, 0.2, 0.18, shade)
    pen.line([(0, 1.55), (0, 2.06)], 0.07, INK)
    pen.poly([(0.03, 2.1), (0.44, 1.94), (0.03, 1.78)], _apart(colour, RED, YELLOW))
    pen.rect(-0.66, 0, 1.32, 0.9, colour)
    for i in range(4):
        pen.rect(-0.53 + i * 0.3, 0.88, 0.16, 0.15, colour)
    for u in (-1.02, 0.58):
        pen.rect(u, 0, 0.44, 1.26, colour)
        pen.poly([(u - 0.09, 1.24), (u + 0.22, 1.88), (u + 0.53, 1.24)], roof)
        pen.rect(u + 0.15, 0.76, 0.14, 0.26, slit)
    pen.rect(-0.08, 1.12, 0.16, 0.22, slit)
    pen.rect(-0.22, 0, 0.44, 0.38, darker(colour, 0.65))
    pen.oval(0, 0.38, 0.22, 0.22, darker(colour, 0.65))


def lighthouse(pen: Pen, colour: Colour, night: bool) -> None:
    other = WHITE if sum(colour) < 690 else RED
    if night:
        pen.poly([(0, 1.86), (-3.4, 2.5), (-3.4, 1.5)], (250, 235, 150))
    pen.poly([(-0.46, 0), (0.46, 0), (0.28, 1.62), (-0.28, 1.62)], other)
    for i in range(3):
        low, high = i * 0.62, i * 0.62 + 0.38
        wide = [0.46 - 0.18 * v / 1.62 for v in (low, high)]
        pen.poly([(-wide[0], low), (wide[0], low), (wide[1], high), (-wide[1], high)], colour)
    pen.rect(-0.4, 1.6, 0.8, 0.11, INK)
    pen.rect(-0.22, 1.71, 0.44, 0.33, LIT)
    pen.poly([(-0.34, 2.02), (0, 2.38), (0.34, 2.02)], colour if sum(colour) < 690 else RED)
    pen.rect(-0.11, 0, 0.22, 0.3, _apart(colour, INK, (120, 124, 134)))


def windmill(pen: Pen, colour: Colour, night: bool) -> None:
    pen.poly([(-0.66, 0), (0.66, 0), (0.42, 1.3), (-0.42, 1.3)], colour)
    _dome(pen, 0, 1.28, 0.48, 0.4, _apart(colour, (124, 62, 46), (70, 76, 96)))
    pen.rect(-0.16, 0, 0.32, 0.42, _apart(colour, (96, 58, 34), (190, 140, 90)))
    pen.rect(-0.12, 0.62, 0.24, 0.26, LIT if night else darker(colour, 0.55))
    for i in range(4):
        turn = math.tau * (i / 4 + 0.1)
        along, across = (math.cos(turn), math.sin(turn)), (-math.sin(turn), math.cos(turn))
        near, far, wide = 0.3, 1.0, 0.23
        sail = [(near, 0), (far, 0), (far, wide), (near, wide)]
        pen.poly([(along[0] * a + across[0] * b, 1.38 + along[1] * a + across[1] * b) for a, b in sail], (252, 246, 226))
        pen.line([(0, 1.38), (along[0] * far, 1.38 + along[1] * far)], 0.08, (92, 60, 40))
    pen.oval(0, 1.38, 0.11, None, (60, 40, 30))


def tent(pen: Pen, colour: Colour, night: bool) -> None:
    shade = darker(colour, 0.25)
    for u in (-0.42, -0.12):
        pen.line([(-0.27, 1.22), (u, 1.54)], 0.09, WOOD)
    pen.poly([(-0.27, 1.36), (0.72, 1.2), (1.14, 0), (0.4, 0)], shade)
    pen.poly([(-1.08, 0), (-0.27, 1.36), (0.5, 0)], colour)
    pen.poly([(-0.58, 0), (-0.27, 0.98), (0.04, 0)], LIT if night else darker(colour, 0.68))
    pen.poly([(0.04, 0), (-0.27, 0.98), (0.2, 0.2)], _pale(colour, 0.5))


def tower(pen: Pen, colour: Colour, night: bool) -> None:
    shade, slit = darker(colour, 0.22), LIT if night else darker(colour, 0.65)
    pen.rect(-0.36, 0, 0.72, 1.46, colour)
    for u, v in ((-0.36, 0.98), (0.12, 1.14), (-0.36, 0.36), (0.14, 0.5), (0.12, 0.2)):
        pen.rect(u, v, 0.24, 0.1, shade)
    pen.poly([(-0.36, 1.26), (-0.52, 1.44), (-0.52, 1.74), (0.52, 1.74), (0.52, 1.44), (0.36, 1.26)], colour)
    pen.rect(-0.52, 1.4, 1.04, 0.08, shade)
    for u in (-0.3, 0.14):
        pen.rect(u, 1.5, 0.16, 0.2, slit)
    pen.poly([(-0.66, 1.72), (0, 2.5), (0.66, 1.72)], _apart(colour, (74, 66, 120), (170, 80, 60)))
    pen.rect(-0.08, 0.7, 0.16, 0.3, slit)
    pen.rect(-0.16, 0, 0.32, 0.34, darker(colour, 0.65))
    pen.oval(0, 0.34, 0.16, None, darker(colour, 0.65))


def barn(pen: Pen, colour: Colour, night: bool) -> None:
    trim = _apart(colour, WHITE, (150, 60, 50))
    pen.poly([(-0.92, 0), (-0.92, 0.8), (-0.7, 1.44), (0, 1.78), (0.7, 1.44), (0.92, 0.8), (0.92, 0)], colour)
    pen.line(
        [(-1.04, 0.72), (-0.74, 1.46), (0, 1.82), (0.74, 1.46), (1.04, 0.72)], 0.14, (84, 80, 88) if sum(colour) > 150 else (150, 150, 160)
    )
    pen.rect(-0.42, 0, 0.84, 0.76, trim)
    for u in (-0.34, 0.03):
        pen.rect(u, 0, 0.31, 0.68, darker(colour, 0.25))
    for side in (-1, 1):
        pen.line([(side * 0.34, 0.06), (-side * 0.34, 0.66)], 0.08, trim)
    pen.rect(-0.2, 0.94, 0.4, 0.36, trim)
    pen.rect(-0.13, 1.0, 0.26, 0.24, LIT if night else (60, 44, 44))


# vehicles


def boat(pen: Pen, colour: Colour, night: bool) -> None:
    pen.poly([(-0.04, 0.5), (-0.04, 1.86), (-0.9, 0.56)], (248, 246, 238))
    pen.poly([(0.08, 0.5), (0.08, 1.66), (0.74, 0.56)], (226, 226, 232))
    pen.line([(0.02, 0.3), (0.02, 1.92)], 0.08, (96, 64, 40))
    pen.poly([(0.06, 1.98), (0.44, 1.86), (0.06, 1.74)], _apart(colour, RED, YELLOW))
    pen.poly([(-1.16, 0.6), (1.14, 0.6), (0.76, -0.02), (-0.78, -0.02)], colour)
    pen.rect(-1.06, 0.4, 2.1, 0.09, _pale(colour, 0.5))


def car(pen: Pen, colour: Colour, night: bool) -> None:
    pen.poly(curve([(-0.66, 0.56), (-0.38, 1.12), (0.1, 1.22), (0.56, 1.08), (0.9, 0.56)]), colour)
    _slab(pen, -1.12, 0.2, 2.24, 0.5, 0.2, colour)
    pen.poly([(-0.46, 0.68), (-0.26, 1.02), (0.06, 1.07), (0.06, 0.68)], _pane(night))
    pen.poly([(0.18, 0.68), (0.18, 1.07), (0.46, 1.0), (0.66, 0.68)], _pane(night))
    pen.rect(-1.08, 0.28, 2.16, 0.08, darker(colour, 0.3))
    pen.oval(-1.02, 0.52, 0.09, 0.1, LIT if night else (255, 244, 190))
    pen.oval(1.04, 0.52, 0.07, 0.09, _apart(colour, RED, (255, 214, 90)))
    for u in (-0.6, 0.62):
        _wheel(pen, u, 0.27)


def bus(pen: Pen, colour: Colour, night: bool) -> None:
    _slab(pen, -1.12, 0.18, 2.24, 1.24, 0.16, colour)
    pen.rect(-1.12, 0.5, 2.24, 0.1, _apart(colour, WHITE, RED))
    pen.rect(-1.06, 0.3, 0.06, 0.12, LIT)
    _slab(pen, -1.04, 0.26, 0.34, 1.0, 0.05, darker(colour, 0.4))
    pen.rect(-0.98, 0.34, 0.22, 0.84, _pane(night))
    for i in range(4):
        _slab(pen, -0.58 + i * 0.41, 0.76, 0.33, 0.46, 0.06, _pane(night))
    for u in (-0.44, 0.66):
        _wheel(pen, u, 0.26)


def train(pen: Pen, colour: Colour, night: bool) -> None:
    iron = _apart(colour, (56, 58, 68), (116, 120, 132))
    for u, v, r in ((-0.56, 1.66, 0.17), (-0.3, 1.86, 0.22), (0.08, 1.96, 0.26)):
        pen.oval(u, v, r, None, (240, 242, 246))
    pen.poly([(-0.72, 0.9), (-0.84, 1.46), (-0.42, 1.46), (-0.52, 0.9)], iron)
    _dome(pen, -0.08, 0.98, 0.2, 0.26, _apart(colour, (240, 190, 60), (150, 60, 50)))
    _slab(pen, -0.96, 0.36, 1.4, 0.7, 0.14, colour)
    pen.rect(-0.44, 0.36, 0.1, 0.7, darker(colour, 0.3))
    pen.rect(0.3, 0.3, 0.74, 1.16, colour)
    _slab(pen, 0.18, 1.42, 0.98, 0.16, 0.07, iron)
    pen.rect(0.46, 0.86, 0.42, 0.42, _pane(night))
    pen.rect(-0.9, 0.24, 1.94, 0.16, iron)
    pen.poly([(-0.9, 0.4), (-1.24, 0.02), (-0.84, 0.02)], _apart(colour, RED, (240, 190, 60)))
    pen.oval(-0.98, 0.76, 0.11, None, LIT if night else (255, 244, 190))
    for u, r in ((-0.6, 0.21), (-0.12, 0.21), (0.62, 0.32)):
        pen.oval(u, r, r, None, TYRE)
        pen.oval(u, r, r * 0.5, None, _apart(colour, (206, 210, 218), (240, 190, 60)))


def rocket(pen: Pen, colour: Colour, night: bool) -> None:
    other = _apart(colour, RED, (64, 84, 170)) if sum(colour) > 150 else (240, 120, 40)
    pen.poly([(-0.28, 0.36), (-0.14, 0.08), (0, -0.02), (0.14, 0.08), (0.28, 0.36)], (250, 140, 30))
    pen.poly([(-0.14, 0.36), (0, 0.12), (0.14, 0.36)], (255, 226, 90))
    for side in (-1, 1):
        pen.poly([(side * 0.3, 0.95), (side * 0.86, 0.46), (side * 0.84, 0.12), (side * 0.28, 0.42)], other)
    hull = [(-0.3, 0.34), (-0.46, 0.8), (-0.46, 1.3), (-0.28, 1.86), (0, 2.3), (0.28, 1.86), (0.46, 1.3), (0.46, 0.8), (0.3, 0.34)]
    pen.poly(curve(hull), colour)
    pen.poly(curve([(-0.32, 1.78), (-0.17, 2.06), (0, 2.3), (0.17, 2.06), (0.32, 1.78)]), other)
    pen.oval(0, 1.3, 0.27, None, _apart(colour, (232, 234, 240), (90, 96, 110)))
    pen.oval(0, 1.3, 0.18, None, _pane(night))
    pen.rect(-0.07, 0.3, 0.14, 0.5, other)


def balloon(pen: Pen, colour: Colour, night: bool) -> None:
    for side in (-1, 1):
        pen.line([(side * 0.34, 0.8), (side * 0.17, 0.26)], 0.07, (100, 70, 46))
    _slab(pen, -0.26, -0.02, 0.52, 0.36, 0.08, (166, 108, 58))
    pen.rect(-0.28, 0.27, 0.56, 0.1, (110, 68, 36))
    pen.poly(curve([(-0.74, 1.28), (-0.62, 1.04), (-0.3, 0.66), (0.3, 0.66), (0.62, 1.04), (0.74, 1.28)]), colour)
    pen.oval(0, 1.48, 0.8, 0.76, colour)
    stripe = _pale(colour, 0.62)
    for side in (-1, 1):
        edge = [(0, 2.24), (side * 0.4, 1.98), (side * 0.5, 1.5), (side * 0.4, 1.0), (side * 0.14, 0.66)]
        inner = [(side * 0.04, 0.66), (side * 0.18, 1.0), (side * 0.22, 1.5), (side * 0.18, 1.98), (0, 2.24)]
        pen.poly([*curve(edge), *curve(inner)], stripe)
    if night:
        pen.oval(0, 0.58, 0.1, 0.14, LIT)


def plane(pen: Pen, colour: Colour, night: bool) -> None:
    shade = darker(colour, 0.28)
    pen.poly([(-0.2, 0.84), (0.2, 0.84), (0.56, 1.34), (0.32, 1.34)], shade)
    pen.poly([(0.5, 0.8), (0.84, 1.5), (1.16, 1.5), (1.1, 0.74)], colour)
    hull = [
        (-1.16, 0.6),
        (-1.02, 0.8),
        (-0.6, 0.96),
        (0.3, 0.96),
        (0.9, 0.92),
        (1.18, 0.9),
        (0.9, 0.54),
        (0.3, 0.34),
        (-0.6, 0.32),
        (-1.02, 0.42),
    ]
    pen.poly(curve([*hull, (-1.16, 0.6)]), colour)
    pen.poly(curve([(-1.02, 0.7), (-0.84, 0.86), (-0.7, 0.86), (-0.7, 0.68), (-1.02, 0.68)]), _pane(night))
    for i in range(4):
        pen.oval(-0.44 + i * 0.27, 0.74, 0.08, None, _pane(night))
    pen.poly([(-0.36, 0.54), (0.16, 0.54), (0.62, -0.02), (0.34, -0.02)], shade)
    pen.poly([(0.72, 0.74), (1.02, 0.74), (1.28, 0.5), (1.06, 0.5)], shade)


# what grows


def tree(pen: Pen, colour: Colour, night: bool) -> None:
    pen.rect(-0.15, 0, 0.3, 0.8, WOOD if sum(abs(a - b) for a, b in zip(colour, WOOD)) > 60 else darker(WOOD, 0.45))
    for u, v, r in ((-0.42, 1.0, 0.42), (0.42, 1.0, 0.42), (0, 1.36, 0.52)):
        pen.oval(u, v, r, None, colour)
    pen.oval(-0.12, 1.38, 0.3, None, _pale(colour, 0.18))


def palm(pen: Pen, colour: Colour, night: bool) -> None:
    pen.line(curve([(0.1, 0), (0.0, 0.6), (0.12, 1.3)]), 0.15, (132, 90, 52))
    for u, v in ((-0.75, 1.2), (-0.6, 1.66), (0.1, 1.86), (0.8, 1.62), (0.92, 1.12)):
        pen.poly(
            [*curve([(0.12, 1.3), ((u + 0.12) / 2 - 0.02, (v + 1.3) / 2 + 0.24), (u, v)], 5), ((u + 0.12) / 2, (v + 1.3) / 2 + 0.04)],
            colour,
        )
    for u in (0.02, 0.2):
        pen.oval(u, 1.26, 0.09, None, (110, 70, 40))


def flower(pen: Pen, colour: Colour, night: bool) -> None:
    pen.line([(0, 0.05), (0, 1.2)], 0.12, LEAF)
    for side in (-1, 1):
        pen.oval(side * 0.34, 0.34 + side * 0.06, 0.34, 0.14, LEAF, lean=side * 0.5)
    for i in range(8):
        turn = i * math.tau / 8
        pen.oval(math.cos(turn) * 0.46, 1.36 + math.sin(turn) * 0.46, 0.29, 0.19, colour if i % 2 else darker(colour, 0.1), lean=turn)
    pen.oval(0, 1.36, 0.26, None, _apart(colour, (252, 204, 40), (120, 72, 36)))


def cactus(pen: Pen, colour: Colour, night: bool) -> None:
    shade = darker(colour, 0.3)
    pen.line(curve([(0, 0.6), (-0.5, 0.62), (-0.64, 0.8), (-0.64, 1.24)]), 0.3, colour)
    pen.line(curve([(0, 0.86), (0.5, 0.9), (0.64, 1.06), (0.64, 1.52)]), 0.3, colour)
    pen.rect(-0.27, 0, 0.54, 1.6, colour)
    pen.oval(0, 1.6, 0.27, 0.3, colour)
    for u in (-0.1, 0.1):
        pen.line([(u, 0.1), (u, 1.6)], 0.06, shade)
    for u, v in ((0, 1.92), (0.64, 1.7)):
        pen.oval(u, v, 0.15, 0.11, _apart(colour, (238, 80, 140), YELLOW))


def mushroom(pen: Pen, colour: Colour, night: bool) -> None:
    stem = _apart(colour, (246, 234, 212), (206, 176, 140))
    pen.poly(curve([(-0.24, 0.8), (-0.24, 0.4), (-0.36, 0.02), (0, 0), (0.36, 0.02), (0.24, 0.4), (0.24, 0.8)]), stem)
    pen.oval(0, 0.78, 0.96, 0.17, darker(stem, 0.22))
    _dome(pen, 0, 0.76, 1.0, 0.94, colour)
    spot = _apart(colour, WHITE, (196, 160, 128))
    for u, v, ru, rv in ((-0.06, 1.36, 0.22, 0.18), (-0.56, 1.02, 0.18, 0.15), (0.5, 1.06, 0.19, 0.16), (0.02, 0.92, 0.12, 0.1)):
        pen.oval(u, v, ru, rv, spot)


def pumpkin(pen: Pen, colour: Colour, night: bool) -> None:
    pen.line(curve([(0, 1.0), (-0.02, 1.3), (0.16, 1.48)]), 0.2, _apart(colour, (84, 116, 50), (110, 74, 40)))
    for side in (-1, 1):
        pen.oval(side * 0.64, 0.6, 0.42, 0.52, darker(colour, 0.28))
    for side in (-1, 1):
        pen.oval(side * 0.36, 0.6, 0.42, 0.58, darker(colour, 0.14))
    pen.oval(0, 0.6, 0.34, 0.6, colour)
    pen.poly(curve([(0.1, 1.16), (0.4, 1.4), (0.74, 1.3), (0.5, 1.14), (0.1, 1.16)]), LEAF)


# objects


def apple(pen: Pen, colour: Colour, night: bool) -> None:
    pen.line(curve([(0, 1.26), (0.02, 1.5), (0.14, 1.72)]), 0.12, (92, 58, 34))
    half = [(0, 1.3), (0.3, 1.46), (0.66, 1.38), (0.88, 1.02), (0.8, 0.5), (0.52, 0.08), (0.22, 0), (0, 0.08)]
    pen.poly([*curve(half), *curve([(-u, v) for u, v in reversed(half)])], colour)
    pen.oval(-0.48, 1.0, 0.12, 0.24, _pale(colour, 0.6), lean=-0.3)
    pen.oval(0.44, 1.68, 0.32, 0.15, LEAF, lean=0.35)


def cake(pen: Pen, colour: Colour, night: bool) -> None:
    icing = (255, 246, 232) if sum(colour) < 640 else (244, 130, 170)
    _slab(pen, -1.1, 0, 2.2, 0.12, 0.05, (196, 202, 214))
    for u, v, height, drops in ((-0.9, 0.1, 0.66, 5), (-0.54, 0.74, 0.54, 3)):
        pen.rect(u, v, -u * 2, height, colour)
        step = -u * 2 / drops
        for i in range(drops):
            pen.oval(u + step * (i + 0.5), v + height - 0.1, step * 0.5, 0.15, icing)
        _slab(pen, u - 0.04, v + height - 0.12, -u * 2 + 0.08, 0.18, 0.08, icing)
    for u, stick in ((-0.3, (70, 150, 220)), (0, (236, 90, 130)), (0.3, (70, 150, 220))):
        pen.rect(u - 0.05, 1.3, 0.1, 0.34, stick)
        pen.oval(u, 1.74, 0.08, 0.13, (255, 190, 40))


def cup(pen: Pen, colour: Colour, night: bool) -> None:
    for u in (-0.42, 0.02):
        pen.line(curve([(u, 1.32), (u + 0.12, 1.5), (u, 1.68), (u + 0.12, 1.86)]), 0.09, (244, 246, 250))
    _hoop(pen, 0.56, 0.62, 0.36, 0.34, 0.17, darker(colour, 0.2))
    pen.poly(curve([(-0.84, 1.14), (-0.8, 0.4), (-0.6, 0.02), (0.2, 0.02), (0.42, 0.4), (0.46, 1.14)]), colour)
    pen.oval(-0.19, 1.14, 0.65, 0.16, darker(colour, 0.2))
    pen.oval(-0.19, 1.13, 0.54, 0.1, (92, 56, 34) if sum(colour) > 150 else (190, 140, 100))
    pen.oval(-0.19, 0.6, 0.2, None, _pale(colour, 0.6))


def umbrella(pen: Pen, colour: Colour, night: bool) -> None:
    pen.line(curve([(0, 1.9), (0, 0.3), (-0.1, 0.1), (-0.3, 0.1), (-0.38, 0.3)]), 0.11, WOOD)
    pen.line([(0, 1.8), (0, 2.04)], 0.1, WOOD)
    _dome(pen, 0, 0.98, 1.08, 0.94, colour)
    pen.poly(
        [(math.cos(i * math.tau / 48) * 0.4, 0.98 + max(0, math.sin(i * math.tau / 48)) * 0.94) for i in range(25)], darker(colour, 0.2)
    )
    for i in range(3):
        pen.oval((i - 1) * 0.72, 0.98, 0.36, 0.16, darker(colour, 0.2 if i == 1 else 0))


def hat(pen: Pen, colour: Colour, night: bool) -> None:
    shade = darker(colour, 0.25)
    pen.oval(0, 0.2, 1.1, 0.22, shade)
    pen.oval(0, 0.24, 1.1, 0.19, colour)
    pen.poly([(-0.56, 0.24), (-0.66, 1.36), (0.66, 1.36), (0.56, 0.24)], colour)
    pen.oval(0, 0.24, 0.56, 0.1, colour)
    band = [(-0.56, 0.24), (-0.3, 0.16), (0.3, 0.16), (0.56, 0.24), (0.585, 0.5), (0.3, 0.42), (-0.3, 0.42), (-0.585, 0.5)]
    pen.poly(band, _apart(colour, RED, (250, 214, 48)))
    pen.oval(0, 1.36, 0.66, 0.14, shade)


def crown(pen: Pen, colour: Colour, night: bool) -> None:
    shade = darker(colour, 0.22)
    tips = [(-0.98, 1.22), (-0.52, 1.46), (0, 1.62), (0.52, 1.46), (0.98, 1.22)]
    dips = [(-0.66, 0.74), (-0.24, 0.8), (0.24, 0.8), (0.66, 0.74)]
    edge = [p for pair in zip(tips, [*dips, (0.8, 0)]) for p in pair]
    pen.poly([(-0.8, 0), *edge], colour)
    for u, v in tips:
        pen.oval(u, v, 0.13, None, colour)
    pen.rect(-0.84, 0, 1.68, 0.3, shade)
    gems = (_apart(colour, RED, WHITE), _apart(colour, BLUE, (150, 210, 250)), _apart(colour, RED, WHITE))
    for u, gem in zip((-0.5, 0, 0.5), gems):
        pen.oval(u, 0.15, 0.1, None, gem)
    pen.poly([(0, 0.46), (0.14, 0.66), (0, 0.88), (-0.14, 0.66)], _apart(colour, (40, 160, 90), (240, 200, 60)))


def chair(pen: Pen, colour: Colour, night: bool) -> None:
    shade = darker(colour, 0.3)
    for u in (-0.42, 0.56):
        pen.rect(u, 0.2, 0.15, 0.7, shade)
    pen.poly([(0.34, 0.8), (0.44, 1.78), (0.8, 2.04), (0.74, 1.04)], colour)
    pen.poly([(0.46, 1.04), (0.52, 1.62), (0.69, 1.76), (0.64, 1.2)], shade)
    pen.poly([(-0.84, 0.76), (0.4, 0.76), (0.76, 1.04), (-0.46, 1.04)], colour)
    pen.rect(-0.84, 0.62, 1.24, 0.16, shade)
    for u in (-0.84, 0.23):
        pen.rect(u, 0, 0.17, 0.7, colour)


def lamp(pen: Pen, colour: Colour, night: bool) -> None:
    brass = _apart(colour, (178, 126, 62), (96, 100, 112))
    pen.line([(0, 0.1), (0, 1.1)], 0.13, brass)
    pen.oval(0, 0.48, 0.22, 0.26, brass)
    _dome(pen, 0, 0, 0.46, 0.2, brass)
    pen.poly([(-0.88, 0.94), (0.88, 0.94), (0.46, 1.9), (-0.46, 1.9)], colour)
    pen.oval(0, 0.94, 0.88, 0.13, LIT if night else darker(colour, 0.25))
    pen.rect(-0.47, 1.82, 0.94, 0.08, darker(colour, 0.25))


def robot(pen: Pen, colour: Colour, night: bool) -> None:
    steel, bulb = _apart(colour, (168, 174, 186), (92, 98, 112)), LIT if night else (255, 236, 140)
    pen.line([(0, 1.8), (0, 2.1)], 0.08, steel)
    pen.oval(0, 2.14, 0.11, None, _apart(colour, RED, YELLOW))
    for side in (-1, 1):
        pen.line([(side * 0.5, 1.04), (side * 0.86, 0.9), (side * 0.86, 0.6)], 0.16, steel)
        pen.oval(side * 0.86, 0.5, 0.17, None, colour)
        pen.rect(side * 0.3 - 0.11, 0.1, 0.22, 0.36, steel)
        _slab(pen, side * 0.32 - 0.22, 0, 0.44, 0.18, 0.08, darker(colour, 0.3))
    _slab(pen, -0.6, 0.36, 1.2, 0.86, 0.12, colour)
    pen.rect(-0.14, 1.18, 0.28, 0.14, steel)
    _slab(pen, -0.5, 1.28, 1.0, 0.64, 0.14, colour)
    _slab(pen, -0.36, 0.52, 0.72, 0.48, 0.08, darker(colour, 0.45))
    for u, dot in ((-0.18, bulb), (0.16, (110, 220, 240))):
        pen.oval(u, 0.76, 0.12, None, dot)
    _slab(pen, -0.4, 1.42, 0.8, 0.36, 0.1, darker(colour, 0.65) if sum(colour) > 150 else (120, 124, 134))
    for side in (-1, 1):
        pen.oval(side * 0.2, 1.6, 0.12, None, bulb)


def snowman(pen: Pen, colour: Colour, night: bool) -> None:
    snow = (248, 250, 254) if sum(colour) < 690 else (200, 214, 238)
    for side in (-1, 1):
        pen.line([(side * 0.36, 0.9), (side * 0.84, 1.16)], 0.09, WOOD)
        pen.oval(side * 0.9, 1.2, 0.17, None, colour)
    pen.oval(0, 0.52, 0.7, 0.54, snow)
    pen.oval(0, 0.98, 0.5, 0.4, snow)
    for v in (0.32, 0.6):
        pen.oval(0, v, 0.09, None, INK)
    pen.oval(0, 1.52, 0.4, None, snow)
    pen.poly([(0.08, 1.1), (0.46, 1.14), (0.58, 0.4), (0.2, 0.4)], darker(colour, 0.15))
    pen.line(curve([(-0.38, 1.2), (0, 1.1), (0.38, 1.2)]), 0.3, colour)
    pen.poly([(-0.02, 1.56), (-0.5, 1.44), (-0.02, 1.38)], ORANGE)
    for u in (-0.17, 0.15):
        pen.oval(u, 1.66, 0.07, None, INK)
    pen.poly([(-0.4, 1.84), (-0.44, 2.44), (0.44, 2.44), (0.4, 1.84)], colour)
    pen.line([(-0.6, 1.82), (0.6, 1.82)], 0.16, colour)
    pen.rect(-0.4, 1.9, 0.8, 0.13, darker(colour, 0.45))


def ball(pen: Pen, colour: Colour, night: bool) -> None:
    other = _apart(colour, WHITE, (150, 166, 196))
    pen.oval(0, 0.94, 0.94, None, colour)
    for i in range(3):
        turns = [math.tau * (i / 3 + 0.06 + step / 96) for step in range(13)]
        pen.poly([(-0.2, 1.2), *((math.cos(t) * 0.94, 0.94 + math.sin(t) * 0.94) for t in turns)], other)
    pen.oval(-0.2, 1.2, 0.17, None, colour)


def bell(pen: Pen, colour: Colour, night: bool) -> None:
    shade = darker(colour, 0.28)
    _hoop(pen, 0, 1.76, 0.15, 0.15, 0.11, shade)
    pen.oval(0, 0.2, 0.22, None, _apart(colour, (110, 72, 40), (190, 140, 70)))
    half = [(0, 1.68), (0.34, 1.58), (0.52, 1.24), (0.58, 0.76), (0.74, 0.5), (0.94, 0.34)]
    pen.poly([*curve([(-u, v) for u, v in reversed(half)]), *curve(half)], colour)
    pen.line([(-0.9, 0.34), (0.9, 0.34)], 0.16, shade)
    pen.line(curve([(-0.28, 1.36), (-0.36, 1.08), (-0.4, 0.74)]), 0.13, _pale(colour, 0.6))


def kite(pen: Pen, colour: Colour, night: bool) -> None:
    other = _apart(colour, RED, BLUE)
    pen.line(curve([(0.22, 0.74), (0.36, 0.46), (0.04, 0.3), (0.3, 0.08), (0.78, 0.06)]), 0.07, (90, 70, 60))
    for u, v in ((0.18, 0.36), (0.62, 0.07)):
        for side in (-1, 1):
            pen.poly([(u, v), (u + side * 0.2, v + 0.13), (u + side * 0.2, v - 0.11)], other)
    top, left, right, low = (-0.3, 2.14), (-0.82, 1.3), (0.66, 1.66), (0.24, 0.66)
    middle = (-0.12, 1.47)
    pen.poly([top, right, low, left], colour)
    for corner in ((top, right), (low, left)):
        pen.poly([middle, *corner], darker(colour, 0.24))
    pen.line([top, low], 0.07, _apart(colour, WHITE, (110, 80, 60)))
    pen.line([left, right], 0.07, _apart(colour, WHITE, (110, 80, 60)))


def key(pen: Pen, colour: Colour, night: bool) -> None:
    shade = darker(colour, 0.25)
    for v, far in ((0.12, 0.6), (0.46, 0.46)):
        pen.rect(-far, v, far, 0.2, colour)
    pen.rect(-0.13, 0, 0.26, 1.1, colour)
    _hoop(pen, 0, 1.5, 0.42, 0.4, 0.28, colour)
    _slab(pen, -0.24, 0.9, 0.48, 0.16, 0.06, shade)


def guitar(pen: Pen, colour: Colour, night: bool) -> None:
    dark = _apart(colour, (66, 42, 30), (206, 166, 116))
    pen.rect(-0.11, 1.0, 0.22, 1.1, dark)
    _slab(pen, -0.2, 2.02, 0.4, 0.36, 0.08, darker(dark, 0.3))
    for side in (-1, 1):
        for v in (2.12, 2.28):
            pen.oval(side * 0.24, v, 0.07, None, (226, 214, 190))
    half = [(0, 0), (0.4, 0.06), (0.66, 0.4), (0.56, 0.74), (0.4, 0.92), (0.46, 1.18), (0.28, 1.4), (0, 1.42)]
    pen.poly([*curve(half), *curve([(-u, v) for u, v in reversed(half)])], colour)
    pen.rect(-0.11, 1.0, 0.22, 0.5, dark)
    pen.oval(0, 0.88, 0.24, None, dark)
    pen.rect(-0.28, 0.3, 0.56, 0.12, dark)
    pen.rect(-0.04, 0.36, 0.08, 1.5, (236, 228, 206))


def clock(pen: Pen, colour: Colour, night: bool) -> None:
    face = (252, 250, 240)
    for side in (-1, 1):
        pen.line([(side * 0.4, 0.4), (side * 0.62, 0.08)], 0.17, darker(colour, 0.3))
        pen.oval(side * 0.56, 1.74, 0.32, 0.24, darker(colour, 0.18), lean=-side * 0.65)
    pen.oval(0, 0.96, 0.9, 0.88, colour)
    pen.oval(0, 0.96, 0.64, 0.62, darker(colour, 0.35))
    pen.oval(0, 0.96, 0.56, 0.54, face)
    for u, v in ((0, 1.38), (0, 0.54), (-0.42, 0.96), (0.42, 0.96)):
        pen.oval(u, v, 0.06, None, INK)
    pen.line([(0, 0.96), (0, 1.28)], 0.09, INK)
    pen.line([(0, 0.96), (0.24, 0.82)], 0.09, INK)


ANIMALS = (
    "elephant", "cat", "dog", "bird", "fish", "rabbit", "penguin", "duck", "turtle", "butterfly", "whale", "frog", "owl", "pig", "bear"
)  # fmt: skip
BUILDINGS = ("house", "castle", "lighthouse", "windmill", "tent", "tower", "barn")
VEHICLES = ("boat", "car", "bus", "train", "rocket", "balloon", "plane")
GROWN = ("tree", "flower", "cactus", "mushroom", "pumpkin")
OBJECTS = (
    "apple", "cake", "cup", "umbrella", "hat", "crown", "chair", "lamp", "robot", "snowman", "ball", "bell", "kite", "key", "guitar", "clock"
)  # fmt: skip

SUBJECTS: dict[str, Callable[[Pen, Colour, bool], None]] = {
    name: globals()[name] for name in (*ANIMALS, *BUILDINGS, *VEHICLES, *GROWN, *OBJECTS)
}
USUAL: dict[str, Colour] = {  # the colour of a subject whose caption names none
    "elephant": (136, 142, 156),
    "cat": (238, 140, 50),
    "dog": (150, 96, 56),
    "bird": (52, 110, 214),
    "fish": (250, 132, 34),
    "rabbit": (216, 196, 172),
    "penguin": (38, 42, 56),
    "duck": (250, 214, 62),
    "turtle": (72, 140, 82),
    "butterfly": (150, 76, 196),
    "whale": (62, 104, 168),
    "frog": (96, 186, 60),
    "owl": (146, 104, 66),
    "pig": (248, 168, 186),
    "bear": (120, 76, 44),
    "house": (244, 226, 186),
    "castle": (164, 164, 170),
    "lighthouse": (214, 38, 40),
    "windmill": (232, 214, 190),
    "tent": (226, 110, 40),
    "tower": (150, 144, 136),
    "barn": (176, 44, 40),
    "boat": (140, 84, 46),
    "car": (216, 44, 44),
    "bus": (250, 190, 40),
    "train": (40, 112, 80),
    "rocket": (226, 230, 238),
    "balloon": (226, 60, 90),
    "plane": (236, 240, 246),
    "tree": (48, 140, 66),
    "flower": (240, 90, 150),
    "cactus": (62, 150, 84),
    "mushroom": (214, 52, 44),
    "pumpkin": (244, 128, 30),
    "apple": (206, 36, 44),
    "cake": (246, 158, 190),
    "cup": (64, 130, 200),
    "umbrella": (124, 66, 180),
    "hat": (44, 44, 52),
    "crown": (248, 200, 50),
    "chair": (160, 104, 58),
    "lamp": (246, 216, 130),
    "robot": (142, 160, 182),
    "snowman": (206, 44, 52),
    "ball": (222, 48, 48),
    "bell": (240, 190, 60),
    "kite": (250, 206, 60),
    "key": (214, 166, 60),
    "guitar": (200, 122, 52),
    "clock": (40, 140, 150),
}
