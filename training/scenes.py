"""What the built-in model learns from: scenes made up at random, each with a picture, a caption in plain words and the facts behind
both. A share of all combinations is held out, so that a score can tell learning from remembering."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from zlib import crc32

import numpy as np
from PIL import Image

from training import styles
from training.land import WATER
from training.pen import COLOURS, Colour, Pen, mix
from training.places import FILLING, PLACES
from training.sky import draw_fall, draw_sky
from training.things import ANIMALS, BUILDINGS, GROWN, OBJECTS, SHAPES, SUBJECTS, USUAL, VEHICLES

Drawn = tuple[Image.Image, np.ndarray]  # as a Scene's `image` and `where`

FORMS = {"square": (256, 256), "wide": (320, 192), "tall": (192, 320)}  # pixels, width and height
KINDS = {"shape": 0.12, "pair": 0.16, "count": 0.08, "item": 0.14, "duo": 0.12, "scene": 0.38}
HELD_OUT = 8  # one combination in so many is never trained on

# -- the words -------------------------------------------------------------------------------------------------------------

SIZES = {"small": 0.13, "": 0.22, "large": 0.32}  # radius of a single shape, in widths of the page
SIZE_WORDS = {"small": ("small", "little", "tiny"), "": ("",), "large": ("large", "big", "huge")}
SPOTS = {
    "": (0.5, 0.5),
    "on the left": (0.24, 0.5),
    "on the right": (0.76, 0.5),
    "at the top": (0.5, 0.24),
    "at the bottom": (0.5, 0.76),
    "in the top left corner": (0.24, 0.24),
    "in the top right corner": (0.76, 0.24),
    "in the bottom left corner": (0.24, 0.76),
    "in the bottom right corner": (0.76, 0.76),
}
RELATIONS = {  # how one says it -> centre and radius of the first, centre and radius of the second, which is drawn first
    "left of": ((0.26, 0.5, 0.17), (0.74, 0.5, 0.17)),
    "right of": ((0.74, 0.5, 0.17), (0.26, 0.5, 0.17)),
    "above": ((0.5, 0.26, 0.17), (0.5, 0.74, 0.17)),
    "below": ((0.5, 0.74, 0.17), (0.5, 0.26, 0.17)),
    "next to": ((0.3, 0.5, 0.17), (0.7, 0.5, 0.17)),
    "inside": ((0.5, 0.5, 0.13), (0.5, 0.5, 0.36)),
    "in front of": ((0.42, 0.58, 0.2), (0.6, 0.4, 0.24)),
    "behind": ((0.6, 0.4, 0.24), (0.42, 0.58, 0.2)),
}
SAID = {
    "left of": ("left of", "to the left of"),
    "right of": ("right of", "to the right of"),
    "below": ("below", "under"),
    "next to": ("next to", "beside", "and"),
    "inside": ("inside", "in"),
}
SOLID = ("circle", "square", "heart", "diamond")  # there is room inside
NUMBERS = {1: ("a", "one"), 2: ("two",), 3: ("three",)}
PLACED = {1: [(0.5, 0.5)], 2: [(0.29, 0.5), (0.71, 0.5)], 3: [(0.5, 0.27), (0.27, 0.72), (0.73, 0.72)]}
PREFIXES = ("",) * 7 + (
    "a picture of ",
    "an image of ",
    "a drawing of ",
    "an illustration of ",
    "draw ",
    "show me ",
    "i want ",
    "there is ",
)
EXTRA = ("", "", "", "", "beautiful", "cute", "nice", "lovely")  # words that ask for nothing

_PRESETS = {style["name"]: style["prompt"] for style in json.loads((Path(__file__).parent.parent / "webapp/styles.json").read_text())}
STYLE_WORDS = {  # {} is what is shown; the last of each is what the app's own style of that name adds
    "": ("{}", "{}", "{}", "{}", "{}", "{}", "{}", "a cartoon of {}", "{}, cartoon style", _PRESETS["Cartoon"]),
    "pixel art": ("pixel art of {}", "{} in pixel art", "{}, pixel art style", _PRESETS["Pixel art"]),
    "pencil": ("a pencil sketch of {}", "a sketch of {}", "{}, pencil drawing", _PRESETS["Pencil sketch"]),
    "watercolour": ("a watercolour painting of {}", "a watercolour of {}", "{} in watercolour", _PRESETS["Watercolour"]),
    "neon": ("{} in neon", "{}, neon lights", "{}, cyberpunk", _PRESETS["Cyberpunk"]),
    "fantasy": ("{}, fantasy art", "a fantasy picture of {}", "{} in a fantasy world", _PRESETS["Fantasy"]),
    "abstract": ("abstract art of {}", "{}, abstract", "an abstract painting of {}", _PRESETS["Abstract"]),
    "realism": (
        "a realistic image of {}",
        "a photo of {}",
        "{}, realistic",
        "a photograph of {}",
        _PRESETS["Realism"],
        _PRESETS["Photograph"],
    ),
}
COLOURLESS = ("pencil", "neon")  # no colour can be told in these

WHERE = {
    "sea": ("on the sea", "at sea", "on the ocean", "on the water"),
    "beach": ("on the beach", "by the beach", "on a beach", "at the beach", "by the sea"),
    "island": ("on an island", "on a small island", "on the island"),
    "mountains": ("in the mountains", "in front of mountains", "near the mountains"),
    "forest": ("in the forest", "in a forest", "in the woods"),
    "desert": ("in the desert", "in a desert"),
    "city": ("in the city", "in a city", "in town"),
    "field": ("in a field", "on the grass", "in a meadow"),
    "hill": ("on a hill", "on the hill", "on top of a hill"),
    "lake": ("by the lake", "at a lake", "by a lake"),
    "village": ("in the village", "in a village"),
    "garden": ("in the garden", "in a garden"),
    "street": ("in the street", "on the street", "on the road"),
    "farm": ("on a farm", "on the farm"),
    "jungle": ("in the jungle", "in a jungle"),
    "underwater": ("under water", "under the sea", "in the sea", "in the water"),
    "space": ("in space", "in outer space", "among the stars"),
    "room": ("in a room", "in the room", "at home", "indoors"),
    "new york": ("in new york", "in new york city"),
    "edinburgh castle": ("at edinburgh castle", "in edinburgh", "in front of edinburgh castle"),
    "paris": ("in paris", "at the eiffel tower", "in front of the eiffel tower"),
    "london": ("in london", "at big ben", "in front of big ben"),
    "mount fuji": ("at mount fuji", "in front of mount fuji", "in japan"),
    "egypt": ("in egypt", "at the pyramids", "in front of the pyramids"),
}
ALONE = {
    "sea": ("the sea", "the ocean"),
    "beach": ("a beach", "the beach", "a sandy beach"),
    "island": ("an island", "a small island", "a tropical island"),
    "mountains": ("mountains", "the mountains", "a mountain landscape"),
    "forest": ("a forest", "the forest", "the woods"),
    "desert": ("a desert", "the desert"),
    "city": ("a city", "the city", "a city skyline"),
    "field": ("a field", "a meadow"),
    "hill": ("a hill", "a green hill"),
    "lake": ("a lake", "the lake"),
    "village": ("a village", "a small village"),
    "garden": ("a garden", "the garden"),
    "street": ("a street", "a road"),
    "farm": ("a farm", "the farm"),
    "jungle": ("a jungle", "the jungle"),
    "underwater": ("under water", "under the sea"),
    "space": ("space", "outer space", "a planet in space"),
    "room": ("a room", "a room at home"),
    "new york": ("new york", "new york city", "the skyline of new york"),
    "edinburgh castle": ("edinburgh castle", "edinburgh", "the castle of edinburgh"),
    "paris": ("paris", "the eiffel tower", "the eiffel tower in paris"),
    "london": ("london", "big ben", "big ben in london"),
    "mount fuji": ("mount fuji", "mount fuji in japan"),
    "egypt": ("egypt", "the pyramids", "the pyramids of egypt"),
}
VIEWS = ("new york", "edinburgh castle", "paris", "london", "mount fuji", "egypt")
LAND = (
    "beach",
    "island",
    "mountains",
    "forest",
    "desert",
    "city",
    "field",
    "hill",
    "lake",
    "village",
    "garden",
    "street",
    "farm",
    "jungle",
)
ROADS = ("street", "city", "village", "beach", "desert", "mountains", "new york", "paris", "london", "field")
OPEN = ("field", "hill", "beach", "island", "mountains", "desert", "lake", "village", "farm", "paris", "egypt")
HOMES = {  # the first two are where it is when nothing is said
    **dict.fromkeys(ANIMALS, ("garden", "field", *LAND, "room", *VIEWS)),
    **dict.fromkeys(BUILDINGS, ("hill", "field", "beach", "island", "mountains", "forest", "desert", "lake", "village", "farm", "jungle")),
    **dict.fromkeys(VEHICLES, ("street", "city", *ROADS)),
    **dict.fromkeys(GROWN, ("garden", "field", *LAND)),
    **dict.fromkeys(OBJECTS, ("room", "garden", "beach", "field", "street", "forest", "desert", "hill", "space")),
    "fish": ("underwater",),
    "whale": ("underwater", "sea"),
    "turtle": ("beach", "underwater", "island", "garden", "lake", "jungle", "room"),
    "penguin": ("beach", "mountains", "island", "lake", "field", "city", "room", "new york"),
    "lighthouse": ("beach", "island", "sea", "hill", "mountains"),
    "boat": ("sea", "lake"),
    "train": ("field", "mountains", "desert", "village", "farm", "city"),
    "rocket": ("space", "desert", "field", "city", "beach", "hill"),
    "balloon": OPEN,
    "plane": (*OPEN, "city", "new york"),
    "cactus": ("desert", "garden", "room", "egypt"),
    "robot": ("city", "street", "room", "space", "desert", "garden", "new york", "london"),
    "snowman": ("field", "hill", "mountains", "village", "garden"),
    "kite": OPEN,
}
FLYING = ("balloon", "plane", "kite", "butterfly", "bird")
AFLOAT, SHORE = ("boat", "duck", "whale", "fish", "balloon", "plane"), 0.94  # who is on the lake; all others stand on this side of it
COUNTED = (*SHAPES, "apple", "fish", "house", "tree", "ball", "flower", "mushroom", "cat", "bird", "pumpkin")
ODD_PLURALS = {"fish": "fish", "butterfly": "butterflies", "bus": "buses", "cross": "crosses"}

TIMES = {
    "day": ("",) * 5 + ("by day", "in the daytime", "at noon"),
    "dawn": ("at dawn", "at sunrise", "in the early morning"),
    "sunset": ("at sunset", "in the evening", "at dusk"),
    "night": ("at night", "by night", "under the moon", "in the moonlight", "under the stars"),
}
WEATHERS = {
    "clear": ("",) * 6 + ("on a sunny day", "in the sunshine", "under a clear sky"),
    "cloudy": ("under a cloudy sky", "on a cloudy day", "under grey clouds"),
    "rain": ("in the rain", "on a rainy day", "in heavy rain"),
    "storm": ("in a storm", "in a thunderstorm", "with lightning"),
    "snow": ("in the snow", "while it snows", "in falling snow"),
    "fog": ("in the fog", "in the mist", "on a foggy day"),
}
SEASONS = {
    "": ("",),
    "spring": ("in spring", "in the spring"),
    "summer": ("in summer", "in the summer"),
    "autumn": ("in autumn", "in the autumn"),
    "winter": ("in winter", "in the winter"),
}
ADJECTIVES = {"rain": "rainy", "storm": "stormy", "snow": "snowy", "fog": "foggy", "cloudy": "cloudy"}  # "a stormy island"


@dataclass(frozen=True)
class Scene:
    """A caption, what is true of the picture, the picture (RGB, of its form's size), and where a thing is: (H / CELL, W / CELL) bool."""

    caption: str
    facts: dict[str, object]
    image: Image.Image
    where: np.ndarray


def held_out(*combination: str) -> bool:
    return crc32("|".join(combination).encode()) % HELD_OUT == 0


def sample(rng: Random, held_out: bool = False, kind: str | None = None, form: str = "square") -> Scene:
    """A random scene of `kind` (any if None): of a combination never trained on if `held_out`, else of the others."""
    kind = kind or rng.choices(list(KINDS), list(KINDS.values()))[0]
    while True:
        facts = INVENT[kind](rng)
        if facts["held_out"] == held_out:
            break
    facts["form"] = form
    caption = say(facts, rng)
    facts["places"] = meant(caption, facts)
    return Scene(caption, facts, *paint(facts, rng))


def meant(caption: str, facts: dict) -> tuple[str, ...]:
    """The places where a picture of this caption may be: the subject's homes if none is named, and none on a plain background."""
    if not facts.get("place"):
        return ()
    words = set(caption.replace(",", " ").split())
    named = not facts["things"] or any({*way.split()} - {"an"} <= words for way in WHERE[facts["place"]])
    return (facts["place"],) if named else HOMES[facts["subject"]][:2]


def article(words: str) -> str:
    return ("an " if words[0] in "aeio" or words.startswith("umbrella") else "a ") + words  # no other word here begins so


def plural(word: str) -> str:
    return ODD_PLURALS.get(word, word + "s")


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


def _style(rng: Random) -> str:
    return rng.choices(["", *styles.STYLES], [9, *(1,) * len(styles.STYLES)])[0]


# -- flat shapes, counted things, single things ------------------------------------------------------------------------------


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
    relation = rng.choice(list(RELATIONS))
    other = rng.choice(SOLID if relation == "inside" else list(SHAPES))
    one = rng.choice([shape for shape in SHAPES if shape != other])
    objects = [{"shape": s, "colour": c} for s, c in ((one, first), (other, second))]
    out = held_out(one, first, relation, other) or held_out(other, second, relation, one)
    return {"kind": "pair", "background": background, "objects": objects, "relation": relation, "held_out": out}


def invent_count(rng: Random) -> dict[str, object]:
    colour, background = rng.sample(list(COLOURS), 2)
    thing, number = rng.choice(COUNTED), rng.choice([1, 2, 3])
    out = held_out(thing, colour, str(number))
    return {"kind": "count", "background": background, "thing": thing, "colour": colour, "number": number, "held_out": out}


def invent_item(rng: Random) -> dict[str, object]:
    subject, style = rng.choice(list(SUBJECTS)), _style(rng)
    colour, background = rng.sample(list(COLOURS), 2)
    if rng.random() < 0.3 or style in COLOURLESS:
        colour = ""
    out = held_out(subject, colour or "usual", background) or (bool(style) and held_out(subject, style, "alone"))
    return {"kind": "item", "subject": subject, "colour": colour, "background": background, "style": style, "held_out": out}


def say_flat(facts: dict, rng: Random) -> str:
    kind, background = facts["kind"], facts["background"]
    if kind == "count":
        number, colour, thing = facts["number"], facts["colour"], facts["thing"]
        many = article(f"{colour} {thing}") if number == 1 and rng.random() < 0.5 else f"one {colour} {thing}"
        middle = many if number == 1 else f"{rng.choice(NUMBERS[number])} {colour} {plural(thing)}"
    elif kind == "item":
        middle = article(join(facts["colour"], facts["subject"]))
    else:
        names = [article(join(rng.choice(SIZE_WORDS[o.get("size", "")]), o["colour"], o["shape"])) for o in facts["objects"]]
        middle = join(names[0], facts["objects"][0].get("spot", ""))
        if kind == "pair":
            middle = f"{names[0]} {rng.choice(SAID.get(facts['relation'], (facts['relation'],)))} {names[1]}"
    if background == "white" and kind != "item" and rng.random() < 0.3:
        return middle
    ground = f"on {article(background)} background" if rng.random() < 0.8 else f"on {background}"
    return f"{middle} {ground}"


def draw_flat(facts: dict, rng: Random) -> Drawn:
    pen = Pen(*FORMS[facts.get("form", "square")])
    ground = COLOURS[facts["background"]]
    pen.fill(ground)
    empty = pen.cells()

    def put(name: str, colour: Colour, x: float, y: float, radius: float) -> None:
        x, y, radius = x + rng.uniform(-0.02, 0.02), y + rng.uniform(-0.02, 0.02), radius * rng.uniform(0.94, 1.06)
        if name in SHAPES:
            SHAPES[name](pen.at(x, y, radius), colour, ground)
        else:
            SUBJECTS[name](pen.at(x, y + radius, radius, up=True), colour, False)

    if facts["kind"] == "pair":
        for item, (x, y, radius) in [*zip(facts["objects"], RELATIONS[facts["relation"]])][:: -1 if facts["relation"] != "behind" else 1]:
            put(item["shape"], COLOURS[item["colour"]], x, y, radius)
    elif facts["kind"] == "count":
        for x, y in PLACED[facts["number"]]:
            put(facts["thing"], COLOURS[facts["colour"]], x, y, 0.16)
    elif facts["kind"] == "item":
        put(facts["subject"], COLOURS[facts["colour"]] if facts["colour"] else USUAL[facts["subject"]], 0.5, 0.5, 0.34)
    else:
        thing = facts["objects"][0]
        put(thing["shape"], COLOURS[thing["colour"]], *SPOTS[thing["spot"]], min(SIZES[thing["size"]], 0.17 if thing["spot"] else 1))
    return pen.finish(), (pen.cells() != empty).any(2)


# -- scenes ----------------------------------------------------------------------------------------------------------------


def _surroundings(rng: Random, place: str) -> dict[str, str]:
    time = rng.choices(list(TIMES), [0.46, 0.12, 0.2, 0.22])[0]
    weather = rng.choices(list(WEATHERS), [0.58, 0.06, 0.11, 0.07, 0.11, 0.07])[0]
    season = rng.choices(list(SEASONS), [0.68, 0.08, 0.08, 0.08, 0.08])[0]
    if place in FILLING:
        time, weather = "day" if place == "space" else rng.choice(["day", "day", "night"]), "clear"
    if weather == "storm" and time in ("dawn", "sunset"):
        weather = "clear"
    if weather == "snow" or place not in LAND or (season == "winter" and weather == "rain"):
        season = ""
    return {"place": place, "time": time, "weather": weather, "season": season}


def invent_scene(rng: Random) -> dict[str, object]:
    if rng.random() < 0.2:
        subject, place = "", rng.choice([*ALONE, *VIEWS])
    else:
        subject = rng.choice(list(SUBJECTS))
        place = rng.choice(HOMES[subject][:2]) if rng.random() < 0.25 else rng.choice(HOMES[subject])
    around, style = _surroundings(rng, place), _style(rng)
    if subject == "snowman" and around["weather"] != "snow":
        around["season"] = "winter"
    colour = rng.choice(list(COLOURS)) if subject and style not in COLOURLESS and rng.random() < 0.5 else ""
    size = rng.choice(["", "", "", "small", "large"]) if subject else ""
    facing = "right" if subject in (*ANIMALS, *VEHICLES) and rng.random() < 0.12 else "left"
    whole = (subject, place, around["time"]) if subject else (place, around["time"], around["weather"])
    out = ((bool(subject) or place not in FILLING) and held_out(*whole)) or (bool(style) and held_out(subject or place, style))
    out = out or (bool(colour) and held_out(subject, colour, place))
    things = [{"subject": subject, "colour": colour, "size": size, "facing": facing}] if subject else []
    return {"kind": "scene", "subject": subject or place, "colour": colour, "things": things, "style": style, **around, "held_out": out}


DUO = {  # where the first stands, and the second; places of the page, shares of the usual size
    "left of": ((0.27, 0.0, 0.8), (0.73, 0.0, 0.8)),
    "right of": ((0.73, 0.0, 0.8), (0.27, 0.0, 0.8)),
    "next to": ((0.29, 0.0, 0.8), (0.71, 0.0, 0.8)),
    "in front of": ((0.36, 0.05, 0.62), (0.6, -0.05, 1.0)),
    "behind": ((0.6, -0.05, 1.0), (0.36, 0.05, 0.62)),
}


def invent_duo(rng: Random) -> dict[str, object]:
    while True:
        one, other = rng.sample(list(SUBJECTS), 2)
        shared = [place for place in HOMES[one] if place in HOMES[other]]
        if shared:
            break
    place = rng.choice(shared)
    around, style = _surroundings(rng, place), _style(rng)
    relation = rng.choice(list(DUO))
    colours = ["", ""] if style in COLOURLESS else rng.sample(list(COLOURS), 2)
    things = [{"subject": s, "colour": c, "size": "", "facing": "left"} for s, c in zip((one, other), colours)]
    out = held_out(*sorted((one, other))) or (colours[0] != "" and held_out(one, colours[0], other))
    return {
        "kind": "duo",
        "subject": one,
        "colour": colours[0],
        "things": things,
        "relation": relation,
        "style": style,
        **around,
        "held_out": out,
    }


def say_scene(facts: dict, rng: Random) -> str:
    place, weather, time = facts["place"], facts["weather"], facts["time"]
    adjective = ADJECTIVES.get(weather, "") if rng.random() < 0.3 else ""
    when, sky = rng.choice(TIMES[time]), rng.choice(WEATHERS[weather])
    if place in FILLING:
        when, sky = when if time == "night" else "", ""
    elif weather != "clear":
        when = when if time != "day" else ""
        sky = sky if time == "day" or " day" not in sky else WEATHERS[weather][0]
    elif time != "day":
        sky = ""
    tail = [when, "" if adjective else sky, rng.choice(SEASONS[facts["season"]])]
    rng.shuffle(tail)
    things = facts["things"]
    if not things:
        return join(described(rng.choice(ALONE[place]), adjective), *tail)
    names = [_named(thing, rng) for thing in things]
    if facts["kind"] == "duo":
        where = described(rng.choice(WHERE[place]), adjective)
        return join(f"{names[0]} {rng.choice(SAID.get(facts['relation'], (facts['relation'],)))} {names[1]}", where, *tail)
    at_home = place in HOMES[things[0]["subject"]][:2] and facts["kind"] == "scene"
    where = "" if at_home and not adjective and rng.random() < 0.6 else described(rng.choice(WHERE[place]), adjective)
    if where and rng.random() < 0.1:
        return join(f"{where},", names[0], *tail)
    return join(names[0], where, *tail)


def _named(thing: dict, rng: Random) -> str:
    name = article(join(rng.choice(SIZE_WORDS[thing["size"]]), rng.choice(EXTRA), thing["colour"], thing["subject"]))
    if thing["facing"] == "right":
        return name + " facing right"
    return name + " facing left" * (thing["subject"] in ANIMALS and rng.random() < 0.06)


def draw_scene(facts: dict, rng: Random) -> Drawn:
    name, time, weather = facts["place"], facts["time"], facts["weather"]
    night, place = time == "night", PLACES[name]
    pen = Pen(*FORMS[facts.get("form", "square")])
    if name not in FILLING:
        draw_sky(pen, rng, time, weather)
    place.draw(pen, rng, "winter" if weather == "snow" else facts["season"], weather, night)
    tint = pen.tint
    things = facts["things"]
    spots = DUO[facts["relation"]] if facts["kind"] == "duo" else ((place.stands[0], 0.0, 1.0),)
    base = SHORE if name == "lake" and not {thing["subject"] for thing in things} <= set(AFLOAT) else place.stands[1]
    order = (1, 0) if facts.get("relation") == "in front of" else range(len(things))
    empty = pen.cells()
    for index in order:
        thing, (x, lower, share) = things[index], spots[index]
        _put(pen, rng, thing, facts, x, base + lower, place.size * share, tint)
    where = (pen.cells() != empty).any(2)
    pen.at()
    if name not in FILLING:
        draw_fall(pen, rng, weather)
    return pen.finish(), where


def _put(pen: Pen, rng: Random, thing: dict, facts: dict, x: float, y: float, size: float, tint: tuple[float, float, float]) -> None:
    """One subject where it stands."""
    subject, name, night = thing["subject"], facts["place"], facts["time"] == "night"
    colour = COLOURS[thing["colour"]] if thing["colour"] else USUAL[subject]
    if subject == "tree" and not thing["colour"]:
        colour = {"autumn": (222, 120, 40), "spring": (244, 170, 200)}.get(facts["season"], colour)
        colour = mix(colour, (240, 244, 250), 0.6) if "snow" in facts["weather"] or facts["season"] == "winter" else colour
    x, y = x + rng.uniform(-0.03, 0.03), y + rng.uniform(-0.01, 0.01) - (0.16 if subject in FLYING and name not in FILLING else 0)
    size *= {"small": 0.66, "": 1.0, "large": 1.3}[thing["size"]] * rng.uniform(0.95, 1.05)
    if subject == "lighthouse" and name == "sea":
        pen.at()
        pen.oval(x, y + 0.06, 0.24, 0.11, (110, 104, 104))
    pen.tint = (0.74, 0.76, 0.95) if night and name not in FILLING else tint  # a little more light than what is behind it
    SUBJECTS[subject](pen.at(x, y, size, up=True, flip=thing["facing"] == "right"), colour, night)
    pen.tint = tint
    pen.at()
    if subject in ("boat", "whale") and PLACES[name].water:
        pen.rect(x - size * 1.3, y - 0.01, size * 2.6, 0.03, WATER)


INVENT = {
    "shape": invent_shape,
    "pair": invent_pair,
    "count": invent_count,
    "item": invent_item,
    "duo": invent_duo,
    "scene": invent_scene,
}


def say(facts: dict, rng: Random) -> str:
    """A caption for the facts, in one of many ways."""
    plain = say_scene(facts, rng) if facts["kind"] in ("scene", "duo") else say_flat(facts, rng)
    style = facts.get("style", "")
    if style or rng.random() < 0.2:
        return rng.choice(STYLE_WORDS[style]).replace("{prompt}", plain).replace("{}", plain)
    return rng.choice(PREFIXES) + plain


def draw(facts: dict, rng: Random) -> Image.Image:
    """A picture of the facts."""
    return paint(facts, rng)[0]


def paint(facts: dict, rng: Random) -> Drawn:
    """A picture of the facts, and where in it the things are, as `Scene` has them."""
    image, where = draw_scene(facts, rng) if facts["kind"] in ("scene", "duo") else draw_flat(facts, rng)
    return styles.apply(image, facts.get("style", "")), where


def vocabulary() -> list[str]:
    """Every word that a caption can hold."""
    phrases: list[str] = [*SPOTS, *RELATIONS, *PREFIXES, *EXTRA, *COLOURS, *SHAPES, *SUBJECTS, *ADJECTIVES.values(), *map(plural, COUNTED)]
    tables: tuple[dict[object, Iterable[str]], ...] = (SIZE_WORDS, SAID, NUMBERS, STYLE_WORDS, WHERE, ALONE, TIMES, WEATHERS, SEASONS)  # type: ignore[assignment]
    phrases += [said for table in tables for choices in table.values() for said in choices]
    words = "".join(letter if letter.isalpha() else " " for phrase in phrases for letter in f"{phrase} ".replace("{prompt}", "")).split()
    return sorted(set(words) | {"a", "an", "the", "on", "to", "background", "facing", "left", "right"})
