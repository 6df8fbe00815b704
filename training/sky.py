"""The sky of an hour and a weather, and what falls over everything at the end."""

from __future__ import annotations

from random import Random

from training.land import WHITE, spread
from training.pen import Colour, Pen, mix, tinted

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
