"""Famous views, each drawn over a sky and out to every edge of the page."""

from __future__ import annotations

from random import Random

from training.land import GROUND, SNOW, WATER, WHITE, index, leafy, palm_tree, ridge, spread, tower
from training.pen import LIT, Pen, curve, darker, mix


def new_york(pen: Pen, rng: Random, season: str, weather: str, night: bool) -> None:
    walls = ((96, 108, 136), (132, 134, 148), (84, 96, 124), (144, 118, 108), (104, 114, 138))
    for i, (u, top, wide) in enumerate(
        (
            (-0.34, 0.38, 0.14),
            (-0.18, 0.46, 0.13),
            (0.25, 0.36, 0.13),
            (0.63, 0.34, 0.13),
            (0.77, 0.44, 0.12),
            (0.9, 0.3, 0.14),
            (1.05, 0.42, 0.13),
            (1.2, 0.34, 0.14),
        )
    ):
        tower(pen, u, top + rng.uniform(-0.04, 0.04), wide, 0.76, walls[i % 5], night)
    stone = (190, 176, 160)
    tower(pen, 0.4, 0.4, 0.2, 0.76, stone, night)  # the Empire State Building
    tower(pen, 0.435, 0.24, 0.13, 0.41, stone, night)
    pen.poly([(0.45, 0.24), (0.55, 0.24), (0.53, 0.16), (0.47, 0.16)], darker(stone, 0.15))
    pen.line([(0.5, 0.17), (0.5, 0.04 + rng.uniform(-0.01, 0.02))], 0.024, darker(stone, 0.3))
    pen.fill(WATER, 0.74)
    for u, y in ((0.4, 0.8), (0.86, 0.79), (-0.2, 0.8), (1.2, 0.8)):
        pen.line([(u - 0.07, y), (u + 0.07, y)], 0.018, (112, 176, 228))
    pen.fill(SNOW if season == "winter" else (190, 186, 180), 0.86)
    pen.at(0.15 + rng.uniform(-0.02, 0.02), 0.88, 0.25, up=True)  # the Statue of Liberty
    liberty = (112, 196, 164)
    pen.poly([(-0.34, 0), (0.34, 0), (0.22, 0.45), (-0.22, 0.45)], (182, 168, 142))
    pen.poly([(-0.24, 0.45), (0.24, 0.45), (0.13, 1.36), (-0.13, 1.36)], liberty)
    pen.line([(-0.08, 1.28), (-0.3, 1.86)], 0.12, liberty)
    pen.oval(-0.32, 1.98, 0.11, 0.14, (255, 200, 60))
    pen.oval(0, 1.5, 0.14, 0.16, liberty)
    for lean in (-0.2, 0, 0.2):
        pen.line([(lean * 0.4, 1.6), (lean, 1.8)], 0.07, liberty)
    pen.at()


def edinburgh(pen: Pen, rng: Random, season: str, weather: str, night: bool) -> None:
    rock, stone, winter = (92, 84, 80), (176, 152, 122), season == "winter"
    ridge(pen, rng, (0.62, 0.6, 0.64, 0.64, 0.6, 0.62, 0.6), mix(GROUND[season], (110, 130, 160), 0.5))
    for i, (u, wide, high) in enumerate(
        ((0.11, 0.15, 0.1), (0.24, 0.16, 0.16), (0.38, 0.18, 0.27), (0.54, 0.15, 0.13), (0.68, 0.14, 0.15), (0.8, 0.1, 0.09))
    ):
        high, colour = high + rng.uniform(-0.015, 0.015), stone if i % 2 else darker(stone, 0.14)
        top = 0.52 - high
        pen.rect(u, top, wide, high + 0.1, colour)
        merlons = round(wide / 0.05)
        for k in range(merlons):
            pen.rect(u + k * wide / (merlons - 0.45), top - 0.028, 0.55 * wide / (merlons - 0.45), 0.03, SNOW if winter else colour)
        for x in (0.26, 0.62):
            pen.rect(u + wide * x, top + 0.05, 0.022, 0.045, LIT if night else darker(stone, 0.6))
    pen.line([(0.46, 0.26), (0.46, 0.08)], 0.018, (120, 118, 122))
    pen.rect(0.47, 0.075, 0.13, 0.085, (30, 84, 186))
    pen.line([(0.48, 0.085), (0.59, 0.15)], 0.018, WHITE)
    pen.line([(0.59, 0.085), (0.48, 0.15)], 0.018, WHITE)
    edge = [
        (-0.12, 0.86),
        (0.02, 0.7),
        (0.08, 0.56),
        (0.2, 0.52),
        (0.4, 0.53),
        (0.6, 0.51),
        (0.8, 0.52),
        (0.92, 0.56),
        (0.98, 0.68),
        (1.12, 0.86),
    ]
    pen.poly([(u, v + rng.uniform(-0.012, 0.012)) for u, v in edge], rock)
    for u, v in ((0.16, 0.6), (0.36, 0.58), (0.6, 0.58), (0.8, 0.6)):
        pen.poly([(u, v), (u + 0.07, v + 0.03), (u + 0.03, v + 0.2), (u - 0.03, v + 0.15)], SNOW if winter else darker(rock, 0.25))
    ridge(pen, rng, (0.76, 0.78, 0.8, 0.8, 0.8, 0.78, 0.76), GROUND[season], 0.012)
    for u in (-0.22, 0.04, 0.96, 1.22):
        leafy(pen, u, 0.86, 0.2, season)


def paris(pen: Pen, rng: Random, season: str, weather: str, night: bool) -> None:
    for x in spread(pen, 0.0, 0.2, 0.25):  # houses with grey roofs
        top = 0.58 + (index(x, 0.0, 0.2) % 2) * 0.03 + rng.uniform(-0.02, 0.02)
        pen.rect(x, top, 0.19, 0.75 - top, (238, 222, 190))
        pen.poly(
            [(x - 0.005, top), (x + 0.195, top), (x + 0.16, top - 0.07), (x + 0.03, top - 0.07)],
            SNOW if season == "winter" else (104, 116, 136),
        )
        for u in (0.04, 0.11):
            pen.rect(x + u, top + 0.04, 0.04, 0.06, LIT if night else (146, 150, 158))
    pen.fill(GROUND[season], 0.74)
    iron, top = (226, 170, 90) if night else (120, 86, 64), 0.05 + rng.uniform(-0.03, 0.02)
    for side in (-1, 1):  # the Eiffel tower
        outer = [(0.012, top + 0.06), (0.03, 0.24), (0.058, 0.42), (0.11, 0.6), (0.22, 0.79)]
        inner = [(0.12, 0.79), (0.1, 0.72), (0.05, 0.6), (0.0, 0.57), (0.0, top + 0.06)]
        pen.poly([(0.5 + side * u, v) for u, v in (*curve(outer, 4), *inner)], iron)
    pen.line([(0.5, top), (0.5, 0.2)], 0.022, iron)
    pen.rect(0.43, 0.4, 0.14, 0.03, darker(iron, 0.2))
    pen.rect(0.36, 0.57, 0.28, 0.035, darker(iron, 0.2))
    hole = mix(iron, LIT, 0.8) if night else mix(iron, WHITE, 0.5)
    pen.poly([(0.5, 0.46), (0.527, 0.55), (0.473, 0.55)], hole)
    pen.poly([(0.5, 0.28), (0.517, 0.38), (0.483, 0.38)], hole)
    for u in (0.08, 0.92, -0.2, 1.2):
        leafy(pen, u + rng.uniform(-0.02, 0.02), 0.84, 0.26, season)
    walk = SNOW if season == "winter" else (228, 210, 172)
    pen.fill(mix(walk, (140, 140, 160), 0.2) if season == "winter" else walk, 0.87)


def london(pen: Pen, rng: Random, season: str, weather: str, night: bool) -> None:
    stone, roof = (206, 166, 100), (92, 98, 112)
    for x in spread(pen, 0.42, 0.13):  # the Houses of Parliament, right of the bridge
        if x > 0.4:
            top = 0.46 + rng.uniform(-0.02, 0.02)
            pen.rect(x, top, 0.135, 0.74 - top, darker(stone, 0.12))
            pen.poly([(x + 0.01, top + 0.005), (x + 0.125, top + 0.005), (x + 0.0675, top - 0.1)], SNOW if season == "winter" else roof)
            for y in (0.51, 0.6):
                pen.rect(x + 0.045, y, 0.045, 0.06, LIT if night else darker(stone, 0.45))
    pen.fill((70, 124, 158), 0.7)
    pen.rect(pen.left, 0.56, 0.44 - pen.left, 0.17, (152, 158, 148))  # the bridge
    for x in spread(pen, 0.06, 0.2):
        if x < 0.3:
            pen.oval(x + 0.1, 0.73, 0.075, 0.105, (70, 124, 158))
    pen.fill((70, 124, 158), 0.73)
    u = 0.19 + rng.uniform(-0.03, 0.03)
    pen.rect(u - 0.13, 0.4, 0.26, 0.15, (214, 36, 40))  # a bus
    for x in (-0.105, -0.025, 0.055):
        for y in (0.42, 0.485):
            pen.rect(u + x, y, 0.055, 0.036, LIT if night else (206, 228, 240))
    for x in (-0.075, 0.075):
        pen.oval(u + x, 0.55, 0.03, None, (34, 34, 40))
    u, top = 0.6, 0.2 + rng.uniform(-0.03, 0.03)  # Big Ben
    pen.rect(u - 0.075, top, 0.15, 0.74 - top, stone)
    for x in (-0.035, 0.015):
        pen.rect(u + x, top + 0.2, 0.02, 0.3, darker(stone, 0.3))
    pen.rect(u - 0.095, top - 0.01, 0.19, 0.17, mix(stone, WHITE, 0.15))
    pen.oval(u, top + 0.075, 0.07, None, LIT if night else WHITE)
    pen.line([(u, top + 0.03), (u, top + 0.075), (u + 0.032, top + 0.09)], 0.018, (40, 40, 46))
    pen.poly(
        [(u - 0.1, top), (u + 0.1, top), (u + 0.05, top - 0.08), (u, top - 0.2), (u - 0.05, top - 0.08)],
        SNOW if season == "winter" else roof,
    )
    for x, y in ((0.4, 0.79), (0.9, 0.81), (-0.1, 0.8), (1.2, 0.79), (0.1, 0.82)):
        pen.line([(x - 0.07, y), (x + 0.07, y)], 0.018, (126, 172, 198))
    pen.fill(SNOW if season == "winter" else (188, 184, 178), 0.86)
    pen.rect(pen.left, 0.855, pen.right - pen.left, 0.025, (134, 132, 130))


def fuji(pen: Pen, rng: Random, season: str, weather: str, night: bool) -> None:
    slope, top = (92, 112, 172), 0.16 + rng.uniform(-0.04, 0.04)
    side = [(0.07, top), (0.17, top + 0.16), (0.34, top + 0.34), (0.6, 0.64), (0.95, 0.74)]
    pen.poly([*((0.5 - u, v) for u, v in reversed(curve(side, 4))), *((0.5 + u, v) for u, v in curve(side, 4))], slope)
    low = 0.1 if season == "winter" else 0.0
    edge = ((0.66 + low / 2, 0.15), (0.6, 0.13), (0.56, 0.22), (0.5, 0.14), (0.45, 0.21), (0.4, 0.13), (0.34 - low / 2, 0.15))
    cap = [(0.43, top), (0.57, top), *((u, top + v + low) for u, v in edge)]
    pen.poly(cap, (248, 250, 252))
    trees = {"winter": ((214, 224, 234), (196, 210, 222)), "autumn": ((216, 66, 44), (236, 120, 48))}.get(
        season, ((250, 164, 200), (240, 138, 182))
    )
    for x in spread(pen, 0.0, 0.11):
        pen.oval(x, 0.72 + rng.uniform(-0.02, 0.02), 0.085, 0.075, trees[index(x, 0.0, 0.11) % 2])
    pen.fill(trees[0], 0.73)
    pen.fill(GROUND[season], 0.78)
    red, u = (214, 50, 40), 0.2 + rng.uniform(-0.015, 0.015)  # a torii
    for x in (-0.1, 0.1):
        pen.line([(u + x * 0.85, 0.56), (u + x, 0.88)], 0.034, red)
    pen.rect(u - 0.13, 0.61, 0.26, 0.03, red)
    pen.line(curve([(u - 0.15, 0.52), (u, 0.54), (u + 0.15, 0.52)], 3), 0.044, red)
    if pen.right > 1.2:
        leafy(pen, 1.18, 0.88, 0.4, "spring" if season in ("", "summer") else season)


def egypt(pen: Pen, rng: Random, season: str, weather: str, night: bool) -> None:
    sand = mix((242, 200, 120), SNOW, 0.65 if season == "winter" else 0.0)
    ridge(pen, rng, (0.64, 0.62, 0.66, 0.62, 0.64, 0.62, 0.64), darker(sand, 0.1))
    for u, top, half in ((-0.2, 0.5, 0.2), (1.22, 0.46, 0.24), (0.86, 0.36, 0.3), (0.36, 0.16, 0.42)):
        top += rng.uniform(-0.04, 0.04)
        pen.poly([(u, top), (u + half, 0.74), (u - half, 0.74)], (226, 176, 92))
        pen.poly([(u, top), (u + half, 0.74), (u + half * 0.3, 0.74)], (176, 128, 66))
        if season == "winter":
            pen.poly([(u, top), (u + half * 0.2, top + (0.74 - top) * 0.2), (u - half * 0.2, top + (0.74 - top) * 0.2)], SNOW)
    ridge(pen, rng, (0.74, 0.72, 0.7, 0.75, 0.72, 0.7, 0.74), sand, 0.02)
    palm_tree(pen, 0.87 + rng.uniform(-0.02, 0.02), 0.84, 0.15)
    palm_tree(pen, 0.12 + rng.uniform(-0.02, 0.02), 0.82, 0.11, flip=True)
