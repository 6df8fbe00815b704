"""How places look: a function for each, which fills the page and leaves the pen in the page's own frame."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from training.pen import INK, LIT, Colour, Pen, curve, darker, mix
from training.things import palm

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
