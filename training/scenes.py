"""What the built-in model learns from: scenes made up at random, each with a picture, a caption in plain words and the facts behind
both. A share of all combinations of colour, shape and place is held out, so that a score can tell learning from remembering."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from zlib import crc32

from PIL import Image

from training.pen import COLOURS, Colour, Pen, mix, tinted
from training.places import GRASS, PLACES, SNOW, WATER
from training.things import ANIMALS, SHAPES, SUBJECTS, USUAL

SIZE = 128  # pixels a side

KINDS = {"shape": 0.22, "pair": 0.16, "scene": 0.62}
HELD_OUT = 8  # one combination in so many is never trained on

# -- the words -------------------------------------------------------------------------------------------------------------

SIZES = {"small": 0.13, "": 0.22, "large": 0.32}  # radius of a single shape, in widths of the picture
SPOTS = {
    "": (0.5, 0.5),
    "on the left": (0.24, 0.5),
    "on the right": (0.76, 0.5),
    "at the top": (0.5, 0.24),
    "at the bottom": (0.5, 0.76),
    "in the top left corner": (0.22, 0.22),
    "in the top right corner": (0.78, 0.22),
    "in the bottom left corner": (0.22, 0.78),
    "in the bottom right corner": (0.78, 0.78),
}
RELATIONS = {  # how one says it -> where the first stands, seen from the second
    "left of": (-1, 0),
    "right of": (1, 0),
    "above": (0, -1),
    "below": (0, 1),
}
PREFIXES = ("",) * 6 + ("a picture of ", "an image of ", "a drawing of ", "a photo of ", "an illustration of ", "a realistic image of ")
WHERE = {
    "sea": ("on the sea", "at sea", "on the ocean", "on the water"),
    "underwater": ("in the sea", "under the sea", "under water", "in the ocean", "in the water"),
    "beach": ("on the beach", "by the beach", "on a beach", "by the sea", "at the beach"),
    "island": ("on an island", "on a small island", "on the island"),
    "mountains": ("in the mountains", "in front of mountains", "near the mountains"),
    "forest": ("in the forest", "in a forest", "in the woods"),
    "desert": ("in the desert", "in a desert"),
    "city": ("in the city", "in a city", "in town"),
    "new york": ("in new york", "in new york city"),
    "hill": ("on a hill", "on the hill", "on top of a hill"),
    "field": ("in a field", "on the grass", "in a meadow", "in the garden"),
}
ALONE = {
    "sea": ("the sea", "the ocean", "a sea"),
    "beach": ("a beach", "the beach", "a sandy beach"),
    "island": ("an island", "a small island", "a tropical island"),
    "mountains": ("mountains", "the mountains", "a mountain landscape"),
    "forest": ("a forest", "the forest", "the woods"),
    "desert": ("a desert", "the desert"),
    "city": ("a city", "the city", "a city skyline"),
    "new york": ("new york", "new york city", "the skyline of new york"),
    "edinburgh castle": ("edinburgh castle", "edinburgh castle", "the castle of edinburgh"),
    "hill": ("a hill", "a green hill"),
    "field": ("a field", "a meadow"),
}
LAND = ("beach", "island", "mountains", "forest", "desert", "city", "hill", "field")
HOMES = {
    **{animal: (*LAND, "new york") for animal in ANIMALS},
    "fish": ("underwater",),
    "house": LAND,
    "castle": LAND,
    "lighthouse": ("sea", "beach", "island", "mountains", "hill"),
    "boat": ("sea", "sea", "beach", "island"),
    "tree": ("hill", "field", "beach", "city", "mountains"),
}
DEFAULT_HOME = {"castle": "hill", "tree": "hill", "lighthouse": "sea", "boat": "sea", "fish": "underwater"}  # else the field
TIMES = {
    "day": ("",) * 5 + ("during the day", "on a sunny day", "in the daytime"),
    "sunset": ("at sunset", "at sunset", "during sunset", "in the evening"),
    "night": ("at night", "at night", "by night", "under the moon"),
}
WEATHERS = {
    "clear": ("",),
    "rain": ("in the rain", "on a rainy day", "in heavy rain"),
    "storm": ("in a storm", "during a storm", "in stormy weather"),
    "snow": ("in the snow", "in winter", "on a snowy day"),
}
ADJECTIVES = {"storm": "stormy", "snow": "snowy", "rain": "rainy"}  # "a stormy island"


@dataclass(frozen=True)
class Scene:
    """A caption, what is true of the picture, and the picture (SIZE x SIZE, RGB)."""

    caption: str
    facts: dict[str, object]
    image: Image.Image


def held_out(*combination: str) -> bool:
    return crc32("|".join(combination).encode()) % HELD_OUT == 0


def sample(rng: Random, held_out: bool = False, kind: str | None = None) -> Scene:
    """A random scene of `kind` (any if None): of a combination never trained on if `held_out`, else of the others."""
    kind = kind or rng.choices(list(KINDS), list(KINDS.values()))[0]
    while True:
        facts = INVENT[kind](rng)
        if facts["held_out"] == held_out:
            break
    return Scene(say(facts, rng), facts, draw(facts, rng))


def article(words: str) -> str:
    return ("an " if words[0] in "aeio" else "a ") + words  # no word here begins with a spoken "yu"


def join(*words: str) -> str:
    return " ".join(w for w in words if w)


def described(phrase: str, adjective: str) -> str:
    """`phrase` with `adjective` before its noun: on an island -> on a stormy island."""
    if not adjective:
        return phrase
    words = phrase.split()
    at = max((i for i, word in enumerate(words) if word in ("a", "an", "the")), default=None)
    if at is None:
        return f"{words[0]} {adjective} {' '.join(words[1:])}" if words[0] in ("in", "at", "under", "near") else f"{adjective} {phrase}"
    words[at : at + 1] = ["the" if words[at] == "the" else "a", adjective]
    return " ".join(words)


# -- shapes ----------------------------------------------------------------------------------------------------------------


def invent_shape(rng: Random) -> dict[str, object]:
    colour, background = rng.sample(list(COLOURS), 2)
    shape = rng.choice(list(SHAPES))
    size = rng.choice(["", "", "small", "large"])
    spot = rng.choice(["", "", "", *SPOTS]) if size != "large" else ""
    out = held_out(shape, colour, background) or (bool(spot) and held_out(shape, colour, spot))
    return {
        "kind": "shape",
        "background": background,
        "objects": [{"shape": shape, "colour": colour, "size": size, "spot": spot}],
        "held_out": out,
    }


def invent_pair(rng: Random) -> dict[str, object]:
    first, second, background = rng.sample(list(COLOURS), 3)
    one, other = rng.sample(list(SHAPES), 2)
    relation = rng.choice(list(RELATIONS))
    sizes = rng.choice([("", ""), ("", ""), ("small", ""), ("", "small"), ("small", "small")])
    objects = [{"shape": s, "colour": c, "size": z} for s, c, z in zip((one, other), (first, second), sizes)]
    out = held_out(one, first, relation, other) or held_out(other, second, relation, one)
    return {"kind": "pair", "background": background, "objects": objects, "relation": relation, "held_out": out}


def say_shape(facts: dict, rng: Random) -> str:
    names = [article(join(o["size"], o["colour"], o["shape"])) for o in facts["objects"]]
    if facts["kind"] == "pair":
        to_the = "to the " if facts["relation"] in ("left of", "right of") and rng.random() < 0.4 else ""
        middle = f"{names[0]} {to_the}{facts['relation']} {names[1]}"
    else:
        middle = join(names[0], facts["objects"][0]["spot"])
    if facts["background"] == "white" and rng.random() < 0.4:
        return middle
    ground = f"on {article(facts['background'])} background" if rng.random() < 0.8 else f"on {facts['background']}"
    return f"{middle} {ground}"


def draw_shape(facts: dict, rng: Random) -> Image.Image:
    pen = Pen(SIZE)
    ground = COLOURS[facts["background"]]
    pen.rect(0, 0, 1, 1, ground)
    if facts["kind"] == "pair":
        across, down = RELATIONS[facts["relation"]]
        places = [(0.5 + across * 0.24, 0.5 + down * 0.24), (0.5 - across * 0.24, 0.5 - down * 0.24)]
        radii = [{"small": 0.11, "": 0.17}[o["size"]] for o in facts["objects"]]
    else:
        places = [SPOTS[facts["objects"][0]["spot"]]]
        radii = [SIZES[facts["objects"][0]["size"]]]
        if facts["objects"][0]["spot"]:
            radii = [min(radii[0], 0.17)]
    for item, (x, y), radius in zip(facts["objects"], places, radii):
        pen.at(x + rng.uniform(-0.03, 0.03), y + rng.uniform(-0.03, 0.03), radius * rng.uniform(0.92, 1.08))
        SHAPES[item["shape"]](pen, COLOURS[item["colour"]], ground)
    return pen.finish()


# -- scenes ----------------------------------------------------------------------------------------------------------------


def invent_scene(rng: Random) -> dict[str, object]:
    if rng.random() < 0.25:
        subject, place = "", rng.choice([*ALONE, "new york", "edinburgh castle", "edinburgh castle"])
    else:
        subject = rng.choice(list(SUBJECTS))
        place = DEFAULT_HOME.get(subject, "field") if rng.random() < 0.2 else rng.choice(HOMES[subject])
    time = rng.choices(["day", "sunset", "night"], [0.46, 0.27, 0.27])[0]
    weather = rng.choices(["clear", "rain", "storm", "snow"], [0.58, 0.14, 0.1, 0.18])[0]
    if place == "underwater":
        time, weather = rng.choice(["day", "night"]), "clear"
    if weather == "storm" and time == "sunset":
        weather = "clear"
    colour = rng.choice(list(COLOURS)) if subject and subject != "tree" and rng.random() < 0.5 else ""
    facing = "right" if subject in ANIMALS and rng.random() < 0.12 else "left"
    out = held_out(subject, place, time) or (bool(colour) and held_out(subject, colour, place))
    return {
        "kind": "scene",
        "subject": subject or place,
        "place": place,
        "time": time,
        "weather": weather,
        "colour": colour,
        "facing": facing,
        "held_out": out,
    }


def say_scene(facts: dict, rng: Random) -> str:
    subject, place, weather = facts["subject"], facts["place"], facts["weather"]
    when = rng.choice(TIMES[facts["time"]])
    sky = rng.choice(WEATHERS[weather])
    if weather != "clear":
        when = when if facts["time"] != "day" else ""
        sky = sky if facts["time"] == "day" or " day" not in sky else WEATHERS[weather][0]
    adjective = ADJECTIVES[weather] if weather != "clear" and rng.random() < 0.3 else ""
    tail = [when, "" if adjective else sky]
    rng.shuffle(tail)
    if subject == place:
        name = rng.choice(ALONE[place])
        return join(rng.choice(PREFIXES) + described(name, adjective), *tail)
    name = article(join(facts["colour"], subject))
    if subject == "tree":
        name = rng.choice(("a tree", "a green tree"))
    if facts["facing"] == "right":
        name += " facing right"
    elif subject in ANIMALS and rng.random() < 0.08:
        name += " facing left"
    at_home = place == DEFAULT_HOME.get(subject, "field")
    where = "" if at_home and not adjective and rng.random() < 0.6 else described(rng.choice(WHERE[place]), adjective)
    return join(rng.choice(PREFIXES) + name, where, *tail)


SKIES: dict[str, tuple[Colour, Colour]] = {
    "day": ((84, 168, 240), (196, 228, 250)),
    "sunset": ((104, 66, 142), (255, 158, 76)),
    "night": ((10, 14, 46), (44, 54, 116)),
}
CLOUDED: dict[str, tuple[Colour, Colour]] = {
    "rain": ((112, 126, 144), (172, 182, 192)),
    "storm": ((52, 56, 72), (110, 114, 130)),
    "snow": ((186, 198, 214), (226, 232, 240)),
}
TINTS = {"day": (1.0, 1.0, 1.0), "sunset": (1.0, 0.8, 0.72), "night": (0.56, 0.6, 0.86)}


def cloud(pen: Pen, x: float, y: float, size: float, colour: Colour) -> None:
    for u, v, r in ((-0.5, 0.04, 0.3), (0, -0.12, 0.42), (0.5, 0.04, 0.32), (0.15, 0.1, 0.3)):
        pen.oval(x + u * size, y + v * size, r * size, r * size * 0.8, colour)


def draw_sky(pen: Pen, rng: Random, time: str, weather: str) -> None:
    top, bottom = SKIES[time]
    if weather in CLOUDED:
        grey = [tinted(c, (0.34, 0.36, 0.48)) if time == "night" else c for c in CLOUDED[weather]]
        top, bottom = (mix(a, b, 0.5 if time == "sunset" else 1.0) for a, b in zip((top, bottom), grey))
    pen.tint = (1.0, 1.0, 1.0)
    pen.gradient(top, bottom, 0, 0.85)
    if time == "day" and weather == "clear":
        pen.oval(0.17, 0.16, 0.085, None, (255, 222, 70))
    if time == "sunset":
        pen.oval(0.76, 0.46 + rng.uniform(-0.03, 0.03), 0.13, None, (255, 120, 60))
        pen.oval(0.76, 0.46, 0.1, None, (255, 204, 96))
    if time == "night" and weather != "storm":
        pen.oval(0.82, 0.16, 0.08, None, (250, 244, 206))
        pen.oval(0.85, 0.14, 0.065, None, top)
        for _ in range(9 if weather == "clear" else 0):
            pen.oval(rng.uniform(0.03, 0.7), rng.uniform(0.03, 0.36), 0.011, None, (250, 248, 225))
    fluff = mix(bottom, (255, 255, 255) if time == "day" else (150, 140, 170), 0.75 if weather == "clear" else 0.3)
    if weather == "storm":
        fluff = mix(top, (0, 0, 0), 0.3)
        cloud(pen, 0.25, 0.12, 0.3, fluff)
    if weather != "clear" or time == "day":
        cloud(pen, 0.5 + rng.uniform(-0.06, 0.06), 0.12 + rng.uniform(-0.02, 0.02), 0.17, fluff)
        cloud(pen, 0.84 + rng.uniform(-0.05, 0.05) if time != "night" else 0.2, 0.2 + rng.uniform(-0.03, 0.03), 0.15, fluff)
    if weather == "storm":
        pen.poly([(0.78, 0.14), (0.86, 0.14), (0.8, 0.28), (0.87, 0.28), (0.73, 0.48), (0.77, 0.33), (0.71, 0.33)], (255, 236, 90))


def draw_fall(pen: Pen, rng: Random, weather: str) -> None:
    """Rain or snow, over everything."""
    pen.tint = (1.0, 1.0, 1.0)
    if weather == "snow":
        for i in range(36):
            pen.oval((i % 6 + rng.random()) / 6, (i // 6 + rng.random()) / 6, 0.012, None, (252, 253, 255))
    elif weather in ("rain", "storm"):
        for i in range(36):
            u, v = (i % 6 + rng.random()) / 6, (i // 6 + rng.random()) / 6
            pen.line([(u, v), (u - 0.025, v + 0.075)], 0.011, (176, 206, 236))


def draw_scene(facts: dict, rng: Random) -> Image.Image:
    subject, place, time, weather = facts["subject"], facts["place"], facts["time"], facts["weather"]
    night = time == "night"
    pen = Pen(SIZE)
    tint = TINTS[time]
    if weather in CLOUDED:
        tint = tinted_by(tint, {"rain": 0.86, "storm": 0.7, "snow": 1.0}[weather])
    ground = SNOW if weather == "snow" else GRASS
    backdrop, base, size = PLACES[place]
    if place == "underwater":
        pen.gradient((12, 30, 84), (8, 20, 60), 0, 1) if night else pen.gradient((90, 190, 236), (24, 100, 190), 0, 1)
    else:
        draw_sky(pen, rng, time, weather)
    pen.tint = tint
    lit = {"night": night} if place in ("city", "new york", "edinburgh castle") else {}
    backdrop(pen, rng, ground, weather, **lit)
    if subject in SUBJECTS:
        colour = COLOURS[facts["colour"]] if facts["colour"] else USUAL[subject]
        if subject == "tree" and weather == "snow":
            colour = mix(colour, SNOW, 0.6)
        x, y = 0.5 + rng.uniform(-0.04, 0.04), base
        if place == "beach" and subject == "boat":
            y = 0.68
        if place == "island" and subject == "boat":
            x, y = 0.28, 0.97
        if place == "sea" and subject == "lighthouse":
            pen.oval(0.5, 0.86, 0.26, 0.14, (110, 104, 104))
            x, y = 0.5, 0.78
        size *= {"lighthouse": 0.92, "tree": 1.1, "bird": 0.85, "boat": 0.95}.get(subject, 1) * rng.uniform(0.93, 1.07)
        pen.tint = (0.74, 0.76, 0.95) if night else tint
        pen.at(x, y, size, up=True, flip=facts["facing"] == "right")
        SUBJECTS[subject](pen, colour, night)
        pen.at()
        if subject == "boat":
            pen.tint = tint
            if place == "sea":
                pen.rect(0, y - 0.01, 1, 0.035, WATER)
    draw_fall(pen, rng, weather)
    return pen.finish()


def tinted_by(tint: tuple[float, float, float], light: float) -> tuple[float, float, float]:
    return tuple(t * light for t in tint)  # type: ignore[return-value]


INVENT = {"shape": invent_shape, "pair": invent_pair, "scene": invent_scene}


def say(facts: dict, rng: Random) -> str:
    return say_scene(facts, rng) if facts["kind"] == "scene" else say_shape(facts, rng)


def draw(facts: dict, rng: Random) -> Image.Image:
    return draw_scene(facts, rng) if facts["kind"] == "scene" else draw_shape(facts, rng)


def vocabulary() -> list[str]:
    """Every word that a caption can hold."""
    phrases = [*SIZES, *SPOTS, *RELATIONS, *PREFIXES, *COLOURS, *SHAPES, *SUBJECTS, *ADJECTIVES.values()]
    phrases += [said for group in (WHERE, ALONE, TIMES, WEATHERS) for choices in group.values() for said in choices]
    return sorted(
        {word for phrase in phrases for word in phrase.split()}
        | set(["a", "an", "the", "on", "to", "background", "facing", "left", "right"])
    )
