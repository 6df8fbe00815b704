"""How places look: the sky of an hour and a weather, a function for each place that draws it over that sky and out to every edge of the
page, and what falls over everything at the end."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from PIL import Image

from training.pen import LIT, Colour, Pen, Points, curve, darker, mix, tinted
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

# -- the sky ---------------------------------------------------------------------------------------------------------------

HORIZON = 0.6  # where the sky's last colour is reached

SKIES: dict[str, tuple[Colour, Colour, Colour]] = {  # at the top, between, at the horizon
    "day": ((76, 160, 238), (132, 196, 246), (200, 230, 250)),
    "sunset": ((96, 58, 146), (214, 96, 118), (255, 168, 70)),
    "night": ((8, 12, 44), (24, 32, 80), (48, 58, 122)),
    "dawn": ((176, 168, 222), (250, 190, 196), (255, 238, 170)),
}
CLOUDED: dict[str, tuple[Colour, Colour]] = {
    "cloudy": ((140, 160, 184), (206, 216, 226)),
    "rain": ((104, 118, 138), (164, 176, 188)),
    "storm": ((44, 48, 66), (104, 108, 126)),
    "snow": ((176, 192, 212), (222, 230, 240)),
    "fog": ((196, 202, 208), (226, 228, 230)),
}
TINTS: dict[str, tuple[float, float, float]] = {
    "day": (1.0, 1.0, 1.0),
    "sunset": (1.0, 0.8, 0.72),
    "night": (0.56, 0.6, 0.86),
    "dawn": (1.0, 0.92, 0.9),
}
DIM = {"clear": 1.0, "cloudy": 0.94, "rain": 0.86, "storm": 0.7, "snow": 1.0, "fog": 0.95}


def cloud(pen: Pen, x: float, y: float, size: float, colour: Colour) -> None:
    for u, v, r in ((-0.55, 0.06, 0.32), (0, -0.1, 0.46), (0.55, 0.06, 0.34)):
        pen.oval(x + u * size, y + v * size, r * size, r * size * 0.8, colour)
    pen.line([(x - 0.62 * size, y + 0.18 * size), (x + 0.64 * size, y + 0.18 * size)], size * 0.28, colour)


def draw_sky(pen: Pen, rng: Random, time: str, weather: str) -> None:
    """The sky over the whole page; leaves the pen in the light of the hour and the weather."""
    top, middle, bottom = SKIES[time]
    if weather in CLOUDED:
        grey = [tinted(c, (0.34, 0.36, 0.48)) if time == "night" else c for c in CLOUDED[weather]]
        share = 0.5 if time in ("sunset", "dawn") else 1.0
        top, bottom = mix(top, grey[0], share), mix(bottom, grey[1], share)
        middle = mix(middle, mix(grey[0], grey[1], 0.5), share)
    pen.tint = (1.0, 1.0, 1.0)
    pen.fill(bottom)
    split = (pen.top + HORIZON) / 2
    pen.gradient(middle, bottom, split, HORIZON)
    pen.gradient(top, middle, pen.top, split)
    bright = weather in ("clear", "snow")
    if time == "day" and weather == "clear":
        pen.oval(0.16, 0.16, 0.09, None, (255, 222, 70))
    elif time in ("sunset", "dawn") and weather != "storm":
        x = 0.84 if time == "sunset" else 0.16
        y = 0.4 + rng.uniform(-0.03, 0.03)
        halo, disc = ((255, 116, 62), (255, 206, 90)) if time == "sunset" else ((255, 214, 160), (255, 250, 214))
        pen.oval(x, y, 0.135, None, halo if bright else mix(halo, bottom, 0.4))
        pen.oval(x, y, 0.1, None, disc if bright else mix(disc, bottom, 0.3))
    elif time == "night" and weather not in ("storm", "rain"):
        pen.oval(0.82, 0.17, 0.085, None, (250, 244, 206) if bright else mix((250, 244, 206), top, 0.35))
        pen.oval(0.855, 0.15, 0.07, None, mix(top, middle, 0.5))
    if time == "night" and weather == "clear":
        for x in spread(pen, 0.1, 0.2, 0):
            for y in (-0.24, -0.08, 0.08, 0.26):
                u, v = x + rng.uniform(-0.06, 0.06), y + rng.uniform(-0.05, 0.05)
                if abs(u - 0.82) > 0.15 or abs(v - 0.17) > 0.14:
                    pen.oval(u, v, 0.013, None, (250, 248, 225))
    draw_clouds(pen, rng, time, weather, top, bottom)
    pen.tint = tuple(t * DIM[weather] for t in TINTS[time])  # type: ignore[assignment]


def draw_clouds(pen: Pen, rng: Random, time: str, weather: str, top: Colour, bottom: Colour) -> None:
    if weather == "fog" or (time == "night" and weather == "clear"):
        return
    if weather == "clear":
        fluff = {"day": WHITE, "dawn": (255, 236, 226), "sunset": (244, 142, 118)}[time]
        spots = ((0.38, 0.1, 0.15), (0.82, 0.2, 0.15), (-0.2, 0.24, 0.14), (1.18, 0.12, 0.16), (0.3, -0.2, 0.17), (0.8, -0.12, 0.15))
    else:
        fluff = (
            mix(top, (0, 0, 0), 0.3) if weather == "storm" else mix(top, WHITE, 0.55) if weather != "rain" else mix(top, (0, 0, 0), 0.16)
        )
        fluff = mix(fluff, top, 0.5) if time == "night" else fluff
        spots = (
            (0.14, 0.1, 0.22),
            (0.5, 0.2, 0.2),
            (0.86, 0.1, 0.23),
            (-0.2, 0.2, 0.2),
            (1.2, 0.2, 0.2),
            (0.28, -0.16, 0.22),
            (0.8, -0.2, 0.22),
        )
        if time == "night" and weather in ("cloudy", "snow"):
            spots = tuple(s for s in spots if s[0] != 0.86)
    for x, y, size in spots:
        if pen.left < x < pen.right and y > pen.top:
            cloud(pen, x + rng.uniform(-0.07, 0.07), y + rng.uniform(-0.03, 0.03), size * rng.uniform(0.85, 1.15), fluff)
    if weather == "storm":
        u = rng.uniform(-0.08, 0.08)
        bolt = ((0.7, 0.12), (0.81, 0.12), (0.75, 0.25), (0.84, 0.25), (0.67, 0.5), (0.71, 0.33), (0.63, 0.33))
        pen.poly([(x + u, y - 0.07) for x, y in bolt], (255, 236, 90))


def draw_fall(pen: Pen, rng: Random, weather: str) -> None:
    """Rain, snow or veils of fog, over everything."""
    pen.at()
    if weather == "fog":  # in the light of the hour; each row leaves another part open
        for i, (end, start) in enumerate(((0.3, 0.62), (0.12, 0.8), (0.36, 0.74), (0.2, 0.66), (0.34, 0.8), (0.16, 0.6))):
            y, shift = 0.52 + i * 0.15 + rng.uniform(-0.02, 0.02), rng.uniform(-0.06, 0.06)
            pen.line([(pen.left - 0.1, y), (end + shift, y)], 0.046, (230, 234, 238))
            pen.line([(start + shift, y + 0.03), (pen.right + 0.1, y + 0.03)], 0.046, (222, 227, 232))
        return
    if weather not in ("rain", "storm", "snow"):
        return
    pen.tint = (1.0, 1.0, 1.0)
    wide, high = pen.right - pen.left, pen.bottom - pen.top
    columns, rows = round(wide * 5), round(high * 5)
    for column in range(columns):
        for row in range(rows):
            u = pen.left + (column + rng.uniform(0.15, 0.85)) * wide / columns
            v = pen.top + (row + rng.uniform(0.15, 0.85)) * high / rows
            if weather == "snow":
                pen.oval(u, v, 0.016, None, WHITE)
            else:
                pen.poly([(u + 0.002, v), (u + 0.022, v), (u - 0.008, v + 0.085), (u - 0.028, v + 0.085)], (184, 212, 240))


# -- what places are made of -------------------------------------------------------------------------------------------------


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


# -- famous views ------------------------------------------------------------------------------------------------------------


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
