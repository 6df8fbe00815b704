"""How places look: a function for each that draws it over its sky and out to every edge of the page."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from PIL import Image

from training.land import (
    GROUND,
    ROAD,
    SAND,
    SNOW,
    WHITE,
    cottage,
    dashes,
    fir,
    flowers,
    index,
    land,
    leafy,
    palm_tree,
    ridge,
    spread,
    tower,
    waves,
)
from training.pen import LIT, Colour, Pen, curve, darker, mix
from training.sky import CLOUDED, SKIES
from training.views import edinburgh, egypt, fuji, london, new_york, paris

# -- open country ------------------------------------------------------------------------------------------------------------


def sea(pen: Pen, rng: Random, season: str, weather: str, night: bool) -> None:
    waves(pen, rng, 0.52 + rng.uniform(-0.02, 0.02), pen.bottom, weather)


def beach(pen: Pen, rng: Random, season: str, weather: str, night: bool) -> None:
    waves(pen, rng, 0.48, 0.68, weather)
    shift = rng.uniform(-0.025, 0.025)
    line = [(-0.5, 0.78), (0, 0.76), (0.4, 0.73), (0.8, 0.68), (1.2, 0.66), (1.5, 0.64)]
    land(pen, [(x, y + shift - 0.03) for x, y in line], (226, 240, 246))
    land(pen, [(x, y + shift) for x, y in line], mix(SAND, SNOW, 0.7) if season == "winter" else SAND)
    u = 0.12 + rng.uniform(-0.02, 0.02)
    pen.line([(u, 0.6), (u, 0.88)], 0.022, (238, 236, 228))  # a parasol
    for half, colour in ((0.14, (224, 58, 52)), (0.055, WHITE)):
        pen.poly(curve([(u - half, 0.63), (u - half * 0.75, 0.555), (u, 0.51), (u + half * 0.75, 0.555), (u + half, 0.63)], 5), colour)
    palm_tree(pen, 0.82 + rng.uniform(-0.02, 0.02), 0.8, 0.2)
    if pen.right > 1.2:
        palm_tree(pen, 1.2, 0.78, 0.2)


def island(pen: Pen, rng: Random, season: str, weather: str, night: bool) -> None:
    waves(pen, rng, 0.48, pen.bottom, weather)
    shift = rng.uniform(-0.02, 0.02)
    pen.oval(0.5, 0.86 + shift / 2, 0.47, 0.12, mix(SAND, SNOW, 0.7) if season == "winter" else SAND)
    pen.oval(0.5, 0.82 + shift / 2, 0.38, 0.08, GROUND[season])
    palm_tree(pen, 0.84 + shift, 0.83, 0.22)
    palm_tree(pen, 0.15 - shift, 0.83, 0.15, flip=True)


def peak(pen: Pen, u: float, top: float, half: float, base: float, colour: Colour, cap: float = 0.32) -> None:
    """A mountain with a snow cap that takes the share `cap` of its height."""
    high = base - top
    pen.poly([(u, top), (u + half, base), (u - half, base)], colour)
    pen.poly([(u, top), (u + half, base), (u + half * 0.12, base)], darker(colour, 0.12))
    edge = [(cap, cap), (cap * 0.5, cap * 0.8), (cap * 0.1, cap * 1.25), (-cap * 0.45, cap * 0.8), (-cap, cap)]
    pen.poly([(u, top), *((u + half * a, top + high * b) for a, b in edge)], (246, 248, 252))


def mountains(pen: Pen, rng: Random, season: str, weather: str, night: bool) -> None:
    for u, top, half, colour in (
        (-0.22, 0.3, 0.34, (120, 128, 152)),
        (1.24, 0.26, 0.34, (128, 136, 158)),
        (0.16, 0.28, 0.36, (126, 134, 158)),
        (0.86, 0.32, 0.34, (118, 126, 150)),
        (0.52, 0.14, 0.42, (140, 148, 170)),
    ):
        peak(pen, u + rng.uniform(-0.02, 0.02), top + rng.uniform(-0.04, 0.04), half, 0.82, colour, 0.5 if season == "winter" else 0.32)
    ridge(pen, rng, (0.68, 0.7, 0.72, 0.74, 0.72, 0.7, 0.68), GROUND[season], 0.02)
    flowers(pen, rng, season, 0.8)


def forest(pen: Pen, rng: Random, season: str, weather: str, night: bool) -> None:
    ridge(pen, rng, (0.62,) * 7, mix(GROUND[season], (20, 70, 40), 0.0 if season == "winter" else 0.3), 0.01)
    for x in spread(pen, 0.06, 0.125):
        high = 0.34 + (index(x, 0.06, 0.125) % 3) * 0.05 + rng.uniform(-0.03, 0.03)
        fir(pen, x + rng.uniform(-0.02, 0.02), 0.68, high, season, (30, 92, 56) if index(x, 0.06, 0.125) % 2 else (38, 106, 62))
    for i, (u, base, size) in enumerate(
        ((-0.24, 0.84, 0.5), (1.24, 0.84, 0.5), (0.2, 0.76, 0.4), (0.82, 0.76, 0.4), (0.0, 0.86, 0.52), (1.0, 0.86, 0.52))
    ):
        leafy(pen, u + rng.uniform(-0.02, 0.02), base, size + rng.uniform(-0.03, 0.03), season, i // 2 % 2)


def desert(pen: Pen, rng: Random, season: str, weather: str, night: bool) -> None:
    dune = (238, 188, 108)
    dune = mix(dune, SNOW, 0.7) if season == "winter" else dune
    ridge(pen, rng, (0.6, 0.5, 0.56, 0.62, 0.54, 0.52, 0.6), darker(dune, 0.2))
    ridge(pen, rng, (0.62, 0.68, 0.6, 0.62, 0.68, 0.66, 0.6), darker(dune, 0.09))
    ridge(pen, rng, (0.76, 0.72, 0.76, 0.78, 0.74, 0.72, 0.76), dune)
    for u, base, size in ((0.12, 0.84, 0.18), (0.9, 0.8, 0.15), (-0.2, 0.74, 0.12), (1.18, 0.88, 0.18)):
        pen.at(u + rng.uniform(-0.02, 0.02), base, size, up=True)
        for points, wide in (
            ([(0, 0), (0, 1.6)], 0.28),
            ([(0, 0.6), (-0.46, 0.6), (-0.46, 1.15)], 0.2),
            ([(0, 0.85), (0.44, 0.85), (0.44, 1.3)], 0.2),
        ):
            pen.line(points, wide, (58, 140, 74))
    pen.at()


def field(pen: Pen, rng: Random, season: str, weather: str, night: bool) -> None:
    ground = GROUND[season]
    ridge(pen, rng, (0.56, 0.6, 0.56, 0.6, 0.58, 0.56, 0.6), darker(ground, 0.16))
    for u, base, size in ((0.9, 0.66, 0.26), (0.08, 0.65, 0.16), (-0.2, 0.66, 0.24), (1.2, 0.66, 0.18)):
        leafy(pen, u + rng.uniform(-0.02, 0.02), base, size, season)
    ridge(pen, rng, (0.65, 0.64, 0.65, 0.66, 0.65, 0.64, 0.65), ground, 0.012)
    flowers(pen, rng, season)


def hill(pen: Pen, rng: Random, season: str, weather: str, night: bool) -> None:
    ground = GROUND[season]
    ridge(pen, rng, (0.76, 0.8, 0.76, 0.8, 0.76, 0.8, 0.76), darker(ground, 0.22))
    for u in (0.03, 0.97, -0.22, 1.22):
        leafy(pen, u + rng.uniform(-0.02, 0.02), 0.88, 0.2, season, 1)
    lean = rng.uniform(-0.03, 0.03)
    land(pen, [(-0.6, 1.04), (-0.12, 0.98), (0.18, 0.79 + lean), (0.5, 0.67), (0.82, 0.79 - lean), (1.12, 0.98), (1.6, 1.04)], ground)
    flowers(pen, rng, season, 0.94)


def lake(pen: Pen, rng: Random, season: str, weather: str, night: bool) -> None:
    ground = GROUND[season]
    ridge(pen, rng, (0.4, 0.32, 0.44, 0.46, 0.36, 0.38, 0.42), mix(ground, (90, 120, 160), 0.6))
    ridge(pen, rng, (0.53,) * 7, darker(ground, 0.15), 0.01)
    for i, u in enumerate((0.05, 0.16, 0.86, 0.97, -0.12, -0.26, 1.1, 1.24)):
        fir(pen, u + rng.uniform(-0.02, 0.02), 0.57, 0.22 + i % 2 * 0.06, season)
    pen.fill((76, 154, 214), 0.57)
    for u, y in ((0.22, 0.64), (0.78, 0.68), (0.14, 0.76), (0.88, 0.8), (-0.16, 0.7), (1.16, 0.74)):
        u += rng.uniform(-0.04, 0.04)
        pen.line([(u - 0.09, y), (u + 0.09, y)], 0.018, (150, 204, 238))
    land(pen, [(-0.6, 0.8), (-0.1, 0.84), (0.2, 0.88), (0.5, 0.9), (0.8, 0.88), (1.1, 0.84), (1.6, 0.8)], ground)
    for u in (0.04, 0.1, 0.93):
        pen.line([(u, 0.95), (u + 0.01, 0.76 + rng.uniform(-0.02, 0.02))], 0.022, (70, 130, 60))
        pen.line([(u + 0.008, 0.8), (u + 0.01, 0.75)], 0.034, (120, 76, 44))


def jungle(pen: Pen, rng: Random, season: str, weather: str, night: bool) -> None:
    white = season == "winter"
    for x in spread(pen, 0.0, 0.2):  # the wood behind
        pen.oval(
            x + rng.uniform(-0.03, 0.03),
            0.42 + (index(x, 0.0, 0.2) % 2) * 0.06,
            0.17,
            0.2,
            (28, 104, 62) if index(x, 0.0, 0.2) % 2 else (36, 118, 66),
        )
    pen.fill((26, 98, 58), 0.5)
    ridge(pen, rng, (0.74,) * 7, SNOW if white else (84, 150, 60), 0.015)
    for u in (0.04, 0.96, -0.2, 1.2):
        u += rng.uniform(-0.02, 0.02)
        pen.rect(u - 0.035, pen.top - 0.01, 0.07, 0.8 - pen.top, (98, 70, 46))
    for u, low in ((0.25, 0.34), (0.76, 0.3), (-0.06, 0.4), (1.06, 0.4)):  # vines
        pen.line(curve([(u, pen.top - 0.02), (u + 0.03, low - 0.16), (u - 0.01, low + rng.uniform(-0.04, 0.04))], 4), 0.022, (70, 150, 60))
    for u, v, angle, long, shade in (  # a leaf's stem, the way it points (up is 0, a quarter is 1) and its length
        (0.0, -0.02, 1.5, 0.3, 0),
        (1.0, -0.02, -1.5, 0.3, 0),
        (-0.02, 0.0, 1.2, 0.28, 1),
        (1.02, 0.0, -1.2, 0.28, 1),
        (-0.02, 1.02, 0.3, 0.42, 1),
        (1.02, 1.02, -0.3, 0.42, 1),
        (-0.04, 1.0, 0.72, 0.34, 0),
        (1.04, 1.0, -0.72, 0.34, 0),
    ):
        colour = ((52, 168, 74), (38, 142, 66))[shade]
        u, v = (pen.left if u < 0.5 else pen.right - 1) + u, (pen.top if v < 0.5 else pen.bottom - 1) + v
        leaf(pen, u, v, angle + rng.uniform(-0.06, 0.06), long, mix(colour, SNOW, 0.5) if white else colour)


def leaf(pen: Pen, u: float, v: float, angle: float, long: float, colour: Colour) -> None:
    """A broad leaf with a paler rib."""
    sin, cos = _turn(angle)
    shape = [(0.0, 0.0), (0.2, 0.17), (0.5, 0.24), (0.8, 0.14), (1.0, 0.0), (0.8, -0.14), (0.5, -0.24), (0.2, -0.17), (0.0, 0.0)]
    pen.poly([(u + (a * sin + b * cos) * long, v + (-a * cos + b * sin) * long) for a, b in curve(shape, 4)], colour)
    pen.line([(u, v), (u + sin * long * 0.8, v - cos * long * 0.8)], 0.018, mix(colour, (220, 240, 140), 0.4))


def _turn(quarters: float) -> tuple[float, float]:
    return math.sin(quarters * math.pi / 2), math.cos(quarters * math.pi / 2)


# -- where people live -------------------------------------------------------------------------------------------------------


def city(pen: Pen, rng: Random, season: str, weather: str, night: bool) -> None:
    walls = ((104, 116, 140), (158, 108, 94), (84, 98, 130), (136, 142, 154), (118, 94, 114), (96, 124, 146))
    tops = (0.4, 0.26, 0.36, 0.2, 0.32, 0.42)
    for x in spread(pen, 0.005, 0.168, 0.2):
        i = index(x, 0.005, 0.168) % 6
        tower(pen, x, tops[i] + rng.uniform(-0.04, 0.04), 0.155, 0.76, walls[i], night)
    pen.fill((190, 190, 194), 0.75)
    pen.fill(SNOW if season == "winter" else ROAD, 0.8)
    dashes(pen, 0.94)


def street(pen: Pen, rng: Random, season: str, weather: str, night: bool) -> None:
    walls = ((226, 130, 96), (244, 212, 130), (138, 178, 196), (236, 186, 180))
    for x in spread(pen, 0.0, 0.26, 0.3):
        i = index(x, 0.0, 0.26) % 4
        top = (0.36, 0.28, 0.35, 0.42)[i] + rng.uniform(-0.04, 0.04)
        roof = SNOW if season == "winter" else ((150, 72, 56), (110, 84, 76), (92, 92, 108), (132, 66, 60))[i]
        pen.poly([(x - 0.01, top), (x + 0.26, top), (x + 0.13, top - 0.15)], roof)
        pen.rect(x, top, 0.25, 0.72 - top, walls[i])
        for u in (0.035, 0.145):
            pen.rect(x + u, top + 0.05, 0.07, 0.1, LIT if night and (i + u > 0.1) else (216, 234, 244))
        pen.rect(x + 0.035, 0.5, 0.075, 0.22, darker(walls[i], 0.5))
        pen.rect(x + 0.145, 0.52, 0.075, 0.1, LIT if night else (216, 234, 244))
    pen.fill(SNOW if season == "winter" else (206, 202, 196), 0.7)
    pen.fill((150, 150, 152), 0.77)
    pen.fill(ROAD, 0.79)
    dashes(pen, 0.95)


def village(pen: Pen, rng: Random, season: str, weather: str, night: bool) -> None:
    ground, winter = GROUND[season], season == "winter"
    ridge(pen, rng, (0.5, 0.46, 0.52, 0.5, 0.46, 0.5, 0.52), darker(ground, 0.2))
    ridge(pen, rng, (0.62,) * 7, ground, 0.01)
    pen.rect(0.44, 0.36, 0.13, 0.3, (222, 214, 200))  # the church
    pen.poly([(0.42, 0.37), (0.59, 0.37), (0.505, 0.16 + rng.uniform(-0.03, 0.03))], SNOW if winter else (92, 96, 116))
    pen.oval(0.505, 0.44, 0.034, None, LIT if night else (100, 110, 130))
    walls = ((246, 230, 196), (238, 206, 160), (240, 240, 234), (224, 190, 170))
    roofs = ((196, 72, 52), (160, 82, 56), (184, 60, 56), (140, 76, 60))
    for i, u in enumerate((0.1, 0.31, 0.7, 0.92, -0.13, 1.15)):
        u, high = u + rng.uniform(-0.015, 0.015), 0.15 + rng.uniform(-0.02, 0.03)
        cottage(pen, u, 0.67 + i % 2 * 0.015, 0.18, high, walls[i % 4], roofs[i % 4], night, winter)
    for u in (-0.28, 1.29):
        leafy(pen, u, 0.69, 0.26, season)
    path = [(0.47, 0.64), (0.54, 0.64), (0.68, pen.bottom + 0.01), (0.3, pen.bottom + 0.01)]
    pen.poly(path, mix(SNOW, (150, 150, 160), 0.25) if winter else (216, 190, 146))
    flowers(pen, rng, season, 0.78)


def garden(pen: Pen, rng: Random, season: str, weather: str, night: bool) -> None:
    winter = season == "winter"
    leafy(pen, 0.88 + rng.uniform(-0.02, 0.02), 0.6, 0.34, season)
    leafy(pen, 1.24, 0.6, 0.4, season, 1)
    leafy(pen, -0.2, 0.6, 0.44, season)
    hedge = (40, 116, 58) if season != "autumn" else (150, 110, 50)
    for x in spread(pen, 0.0, 0.14):
        pen.oval(x, 0.47 + rng.uniform(-0.012, 0.012), 0.1, 0.07, SNOW if winter else hedge)
    pen.fill(hedge, 0.48)
    for x in spread(pen, 0.02, 0.1):  # a fence
        pen.poly([(x, 0.72), (x, 0.57), (x + 0.027, 0.53), (x + 0.054, 0.57), (x + 0.054, 0.72)], (250, 248, 242))
    pen.rect(pen.left, 0.61, pen.right - pen.left, 0.028, (250, 248, 242))
    pen.fill(SNOW if winter else (112, 74, 48), 0.7)  # a bed of flowers
    pen.fill(GROUND[season], 0.77)
    colours = ((228, 60, 70), (252, 208, 60), (236, 120, 180), (250, 250, 246))
    for x in () if winter else spread(pen, 0.06, 0.125):
        i, y = index(x, 0.06, 0.125), 0.69 + rng.uniform(-0.012, 0.012)
        pen.rect(x - 0.01, y, 0.02, 0.06, (60, 140, 60))
        pen.oval(x, y, 0.038, None, colours[i % 4])
        pen.oval(x, y, 0.015, None, (250, 220, 120) if i % 4 != 1 else (190, 110, 40))


def farm(pen: Pen, rng: Random, season: str, weather: str, night: bool) -> None:
    ground, winter = GROUND[season], season == "winter"
    ridge(pen, rng, (0.58, 0.56, 0.58, 0.54, 0.56, 0.58, 0.54), darker(ground, 0.16))
    u, top = 0.22 + rng.uniform(-0.02, 0.02), 0.44 + rng.uniform(-0.02, 0.02)
    barn, roof = (186, 48, 42), SNOW if winter else (92, 66, 60)
    pen.rect(u + 0.2, 0.28, 0.11, 0.36, (178, 182, 188))  # the silo
    pen.oval(u + 0.255, 0.28, 0.055, 0.055, SNOW if winter else (140, 146, 154))
    pen.poly(
        [
            (u - 0.19, 0.66),
            (u - 0.19, top),
            (u - 0.12, top - 0.1),
            (u, top - 0.16),
            (u + 0.12, top - 0.1),
            (u + 0.19, top),
            (u + 0.19, 0.66),
        ],
        barn,
    )
    pen.line([(u - 0.2, top + 0.01), (u - 0.125, top - 0.1), (u, top - 0.165), (u + 0.125, top - 0.1), (u + 0.2, top + 0.01)], 0.034, roof)
    pen.rect(u - 0.085, 0.49, 0.17, 0.17, (250, 244, 236))
    pen.rect(u - 0.06, 0.515, 0.12, 0.145, LIT if night else (140, 34, 34))
    leafy(pen, 0.86 + rng.uniform(-0.02, 0.02), 0.65, 0.28, season)
    for x in (-0.2, 1.16):
        leafy(pen, x, 0.65, 0.24, season, 1)
    pen.fill(ground, 0.64)
    post = (150, 108, 70)
    for x in spread(pen, 0.0, 0.2):  # the fence
        pen.rect(x - 0.018, 0.6, 0.036, 0.15, post)
    for y in (0.63, 0.69):
        pen.rect(pen.left, y, pen.right - pen.left, 0.022, post)
    soil = mix(SNOW, (150, 130, 120), 0.25) if winter else (150, 104, 62)
    stretch = (pen.bottom + 0.01 - 0.55) / (0.8 - 0.55)  # furrows run from a point behind the fence
    pen.fill(SNOW if winter else mix(soil, ground, 0.35), 0.8)
    shift = rng.uniform(-0.03, 0.03)
    for x in spread(pen, 0.5 + shift, 0.16):
        a, b = x - 0.04, x + 0.04
        pen.poly([(a, 0.8), (b, 0.8), (0.5 + (b - 0.5) * stretch, pen.bottom + 0.01), (0.5 + (a - 0.5) * stretch, pen.bottom + 0.01)], soil)


# -- places that fill the page themselves ------------------------------------------------------------------------------------


def underwater(pen: Pen, rng: Random, season: str, weather: str, night: bool) -> None:
    pen.tint = (1.0, 1.0, 1.0)
    top, bottom = ((16, 44, 104), (6, 18, 58)) if night else ((96, 200, 236), (22, 98, 188))
    pen.fill(bottom)
    pen.gradient(top, bottom, pen.top, 0.9)
    pen.tint = (0.62, 0.68, 0.9) if night else (1.0, 1.0, 1.0)
    ridge(pen, rng, (0.84, 0.88, 0.86, 0.9, 0.87, 0.88, 0.84), mix(SAND, (60, 130, 190), 0.2))
    for u in (0.07, 0.17, 0.9, -0.12, -0.24, 1.14, 1.26):
        high, u = rng.uniform(0.5, 0.64), u + rng.uniform(-0.02, 0.02)
        pen.line(
            curve([(u, 0.94), (u + 0.04, (0.94 + high) / 2 + 0.08), (u - 0.03, (0.94 + high) / 2 - 0.06), (u + 0.02, high)], 5),
            0.04,
            (40, 156, 90),
        )
    pen.at(0.78 + rng.uniform(-0.02, 0.02), 0.92, 0.16, up=True)  # coral
    for points in ([(0, 0), (0, 0.95)], [(0, 0.35), (-0.4, 0.6), (-0.42, 0.95)], [(0, 0.3), (0.4, 0.5), (0.42, 0.85)]):
        pen.line(points, 0.2, (240, 98, 112))
    pen.at()
    for u, y, r in (
        (0.14, 0.3, 0.03),
        (0.2, 0.16, 0.022),
        (0.84, 0.34, 0.024),
        (0.9, 0.18, 0.032),
        (-0.18, 0.3, 0.03),
        (1.2, 0.28, 0.026),
        (0.3, -0.12, 0.03),
    ):
        pen.oval(u + rng.uniform(-0.05, 0.05), y + rng.uniform(-0.05, 0.05), r, None, (206, 236, 250))


def space(pen: Pen, rng: Random, season: str, weather: str, night: bool) -> None:
    pen.tint = (1.0, 1.0, 1.0)
    pen.fill((12, 12, 38))
    rows = round((pen.bottom - pen.top) * 4)
    for x in spread(pen, 0.12, 0.25, 0):
        for row in range(rows):
            u, v = x + rng.uniform(-0.09, 0.09), pen.top + (row + rng.uniform(0.15, 0.85)) / 4
            pen.oval(u, v, 0.017 if row % 2 else 0.013, None, (255, 250, 226))
    u, v = 0.71 + rng.uniform(-0.03, 0.03), 0.24 + rng.uniform(-0.03, 0.03)
    ring = [(-0.24, 0.07), (0.24, -0.07)]
    pen.oval(u, v, 0.25, 0.075, (238, 206, 140), -0.3)
    pen.oval(u, v, 0.195, 0.042, (12, 12, 38), -0.3)
    pen.oval(u, v, 0.125, None, (236, 136, 70))
    front = [(u + x * 0.92, v + y + 0.002) for x, y in ring]
    pen.line(curve([front[0], (u + 0.02, v + 0.062), front[1]], 6), 0.034, (238, 206, 140))
    u, v = 0.14 + rng.uniform(-0.02, 0.02), 0.87 + rng.uniform(-0.03, 0.03)
    pen.oval(u, v, 0.15, None, (86, 120, 214))
    pen.oval(u - 0.04, v - 0.05, 0.06, 0.04, (124, 160, 236))
    if pen.left < -0.2:
        pen.oval(-0.17, 0.24, 0.06, None, (196, 200, 212))
        pen.oval(1.2, 0.8, 0.08, None, (206, 84, 96))


def room(pen: Pen, rng: Random, season: str, weather: str, night: bool) -> None:
    pen.tint = (0.82, 0.78, 0.84) if night else (1.0, 1.0, 1.0)
    wall = mix((244, 220, 176), (228, 206, 196), rng.random())
    pen.fill(wall)
    pen.fill(WHITE, 0.7)
    pen.fill((178, 122, 74), 0.735)
    for y in (0.84, 0.98, 1.12, 1.26):
        pen.rect(pen.left, y, pen.right - pen.left, 0.018, (158, 104, 62))
    pen.oval(0.5, 0.9, 0.42, 0.075, (196, 70, 76))  # a rug
    pen.oval(0.5, 0.9, 0.33, 0.05, (226, 120, 112))
    u, v = 0.08 + rng.uniform(-0.02, 0.02), 0.1 + rng.uniform(-0.02, 0.02)
    light, pen.tint = pen.tint, (1.0, 1.0, 1.0)
    grey = CLOUDED.get(weather, SKIES["day"])[0]
    pen.rect(u, v, 0.32, 0.36, (18, 24, 66) if night else grey)  # a window
    if night:
        pen.oval(u + 0.24, v + 0.1, 0.05, None, (250, 244, 206))
        for x, y in ((0.08, 0.1), (0.07, 0.26), (0.23, 0.27)):
            pen.oval(u + x, v + y, 0.013, None, (250, 248, 225))
    elif weather == "clear":
        pen.oval(u + 0.08, v + 0.1, 0.05, None, (255, 222, 70))
    pen.tint = light
    pen.rect(u, v + 0.27, 0.32, 0.09, GROUND[season]) if not night else None
    for x, y, wide, high in (
        (-0.02, -0.02, 0.36, 0.03),
        (-0.02, 0.35, 0.36, 0.04),
        (-0.02, 0, 0.03, 0.36),
        (0.31, 0, 0.03, 0.36),
        (0.147, 0, 0.026, 0.36),
    ):
        pen.rect(u + x, v + y, wide, high, WHITE)
    u, v = 0.64 + rng.uniform(-0.02, 0.02), 0.16 + rng.uniform(-0.03, 0.03)
    pen.rect(u, v, 0.28, 0.22, (140, 88, 46))  # a picture
    pen.rect(u + 0.028, v + 0.028, 0.224, 0.164, (238, 238, 226))
    pen.poly(
        [(u + 0.028, v + 0.192), (u + 0.11, v + 0.08), (u + 0.16, v + 0.14), (u + 0.2, v + 0.1), (u + 0.252, v + 0.192)], (90, 150, 110)
    )
    pen.oval(u + 0.19, v + 0.07, 0.024, None, (236, 110, 60))
    if pen.left < -0.2:  # a plant and a lamp
        pen.poly([(-0.25, 0.68), (-0.09, 0.68), (-0.11, 0.84), (-0.23, 0.84)], (204, 104, 66))
        for x, y in ((-0.27, 0.42), (-0.17, 0.36), (-0.07, 0.42)):
            pen.line([(-0.17, 0.68), (x, y)], 0.055, (54, 140, 72))
        pen.line([(1.17, 0.4), (1.17, 0.82)], 0.024, (96, 82, 80))
        pen.rect(1.09, 0.81, 0.16, 0.03, (96, 82, 80))
        pen.poly([(1.11, 0.24), (1.23, 0.24), (1.28, 0.42), (1.06, 0.42)], LIT if night else (250, 232, 180))


# -- all of them -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    paint: Callable[[Pen, Random, str, str, bool], None]
    stands: tuple[float, float]  # where a subject stands
    size: float  # half a subject's width
    water: bool = False  # a boat floats where the subject stands
    fills: bool = False  # it needs no sky: it fills the page itself

    def draw(self, pen: Pen, rng: Random, season: str, weather: str, night: bool) -> None:
        """The place over its sky; leaves the pen in the page's own frame and the place's light."""
        pen.at()
        self.paint(pen, rng, "winter" if weather == "snow" else season, weather, night)
        pen.at()
        if weather == "fog" and not self.fills:  # all that is behind the subject turns pale
            pen.image.paste(pen.ink((226, 228, 230)), (0, 0), Image.new("L", pen.image.size, 115))


PLACES: dict[str, Place] = {
    "sea": Place(sea, (0.5, 0.76), 0.26, water=True),
    "beach": Place(beach, (0.5, 0.93), 0.24),
    "island": Place(island, (0.5, 0.84), 0.21),
    "mountains": Place(mountains, (0.5, 0.92), 0.25),
    "forest": Place(forest, (0.5, 0.92), 0.25),
    "desert": Place(desert, (0.5, 0.93), 0.26),
    "city": Place(city, (0.5, 0.92), 0.25),
    "field": Place(field, (0.5, 0.92), 0.27),
    "hill": Place(hill, (0.5, 0.71), 0.22),
    "lake": Place(lake, (0.5, 0.78), 0.24, water=True),
    "village": Place(village, (0.5, 0.93), 0.24),
    "garden": Place(garden, (0.5, 0.93), 0.25),
    "street": Place(street, (0.5, 0.92), 0.25),
    "farm": Place(farm, (0.52, 0.93), 0.25),
    "jungle": Place(jungle, (0.5, 0.92), 0.25),
    "underwater": Place(underwater, (0.5, 0.68), 0.28, fills=True),
    "space": Place(space, (0.5, 0.76), 0.28, fills=True),
    "room": Place(room, (0.5, 0.92), 0.28, fills=True),
    "new york": Place(new_york, (0.54, 0.95), 0.2),
    "edinburgh castle": Place(edinburgh, (0.5, 0.94), 0.2),
    "paris": Place(paris, (0.5, 0.95), 0.2),
    "london": Place(london, (0.4, 0.95), 0.2),
    "mount fuji": Place(fuji, (0.54, 0.94), 0.21),
    "egypt": Place(egypt, (0.5, 0.94), 0.22),
}
FILLING = tuple(name for name, place in PLACES.items() if place.fills)
