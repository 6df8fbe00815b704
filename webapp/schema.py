"""What a request is: one model for the form, the APIs, the command line, the notebooks, the PNG text, the database and the
workers. Beside it stand the defaults that a checkpoint fills in and the names of the samplers."""

from __future__ import annotations

import csv
import random
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from webapp import craft
from webapp.errors import InvalidRequest

MAX_PROMPT = 4000  # characters
MAX_SEED = 2**32 - 1
MAX_PICTURES = 64  # of one request, all its prompts, counts and grid cells together
RANGES: dict[str, tuple[float, float]] = {  # both ends allowed
    "seed": (0, MAX_SEED),
    "subseed": (0, MAX_SEED),
    "subseed_strength": (0, 1),
    "width": (64, 2048),  # pixels
    "height": (64, 2048),
    "steps": (1, 150),
    "guidance": (0, 30),
    "guidance_rescale": (0, 1),
    "eta": (0, 1),
    "clip_skip": (1, 12),
    "count": (1, 16),
    "strength": (0, 1),
    "mask_blur": (0, 64),  # pixels
    "padding": (0, 512),
    "outpaint_left": (0, 1024),
    "outpaint_right": (0, 1024),
    "outpaint_up": (0, 1024),
    "outpaint_down": (0, 1024),
    "hires_scale": (1, 4),
    "hires_strength": (0, 1),
    "hires_steps": (1, 150),
    "upscale": (1, 4),
    "weight": (0, 2),
    "start": (0, 1),
    "end": (0, 1),
}


def _text(value: str) -> str:
    if "\0" in value:
        raise ValueError("holds a NUL character, which is not text. Please remove it.")
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise ValueError("holds half of a character, which is not text. Please remove it.")
    return value.replace("\r\n", "\n").strip()


def _eighths(value: int) -> int:
    if value % 8:
        raise ValueError(f"must be a multiple of 8; the nearest is {max(64, round(value / 8) * 8)}.")
    return value


def _blank(value: Any) -> Any:
    """An empty form field means 'use the default'."""
    return None if isinstance(value, str) and not value.strip() else value


def _seed(value: Any) -> Any:
    """-1 is how many programs of this kind write 'any seed'."""
    return None if value in (-1, "-1") else _blank(value)


def _names(value: Any) -> Any:
    """Several names, as a list or with commas between."""
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


def _axis_values(value: Any) -> Any:
    """Values as a list, or with commas between as one writes them in a form; quotes hold one together that has commas itself."""
    if isinstance(value, str):
        if len(value) > MAX_PROMPT:
            raise ValueError(f"is longer than {MAX_PROMPT:,} characters. Please shorten it.")
        return [cell.strip() for row in csv.reader(value.splitlines(), skipinitialspace=True) for cell in row]
    return [str(cell) if isinstance(cell, int | float) else cell for cell in value] if isinstance(value, list | tuple) else value


def _axis(value: Any) -> Any:
    """A form's axis that names no field is none."""
    return None if isinstance(value, Mapping) and not _blank(value.get("field")) else _blank(value)


def _image(value: str) -> str:
    if value and not (len(value) == 64 and set(value) <= set("0123456789abcdef")):
        raise ValueError("must be a picture that was handed in before.")
    return value


def _within(name: str, **more: Any) -> Any:
    low, high = RANGES[name]
    return Field(ge=low, le=high, **more)


def _number(name: str, kind: type, default: Any = None) -> Any:
    """A number within its range; an empty form field means `default`."""
    more = {"allow_inf_nan": False} if kind is float else {}
    annotation = Annotated[kind, _within(name, **more)]
    return Annotated[annotation | None if default is None else annotation, BeforeValidator(lambda v: default if _blank(v) is None else v)]


def enlarged(side: int, scale: float) -> int:
    """A side of the second pass, in pixels, from the first's."""
    return max(64, round(side * scale / 8) * 8)


Text = Annotated[str, AfterValidator(_text)]
Name = Annotated[str, Field(max_length=200), AfterValidator(_text)]
AxisValue = Annotated[str, Field(max_length=500), AfterValidator(_text)]
Names = Annotated[tuple[Name, ...], BeforeValidator(_names), Field(max_length=16)]
Side = Annotated[int, _within("width"), AfterValidator(_eighths)]
Steps = Annotated[int, _within("steps")]
Guidance = Annotated[float, _within("guidance", allow_inf_nan=False)]
Sampler = Annotated[str, AfterValidator(craft.sampler)]
Schedule = Annotated[str, AfterValidator(craft.schedule)]
Seed = Annotated[int, _within("seed")]
Blank = BeforeValidator(_blank)
Image = Annotated[str, AfterValidator(_image)]
"""The SHA-256 of an image file's bytes, in hex; empty for none. Whoever draws is given the images themselves beside the request."""


class Defaults(BaseModel):
    """What a checkpoint draws best with. `width` and `height` in pixels, its native size."""

    model_config = ConfigDict(frozen=True)

    width: Side
    height: Side
    steps: Steps
    guidance: Guidance
    sampler: Sampler
    strength: _number("strength", float, 0.75) = 0.75  # of image-to-image
    hires_strength: _number("hires_strength", float, 0.5) = 0.5


class Control(BaseModel):
    """One ControlNet's say: `model` by its name in the library; `image` its map, or what `map` makes the map of (the start image
    if empty); in force from the share `start` of the steps to `end`."""

    model_config = ConfigDict(frozen=True)

    model: Annotated[Name, Field(min_length=1)]
    image: Image = ""
    map: Literal["none", "canny", "scribble"] = "none"
    weight: _number("weight", float, 1.0) = 1.0
    start: _number("start", float, 0.0) = 0.0
    end: _number("end", float, 1.0) = 1.0


class Axis(BaseModel):
    """One side of a grid: the request's `field` takes each of the `values` in turn, written as in a form; `axis` reads them."""

    model_config = ConfigDict(frozen=True)

    field: Name
    values: Annotated[tuple[AxisValue, ...], BeforeValidator(_axis_values), Field(min_length=1, max_length=MAX_PICTURES)]


class GenerationRequest(BaseModel):
    """One wish for pictures. A field left None takes the checkpoint's default; `seed` None means any.

    `plan.pictures` says which pictures it is: prompts, styles, matrix, grid and `count` multiplied out. `image` makes it
    image-to-image, `mask` (white: to be drawn anew) inpainting, an `outpaint_*` side outpainting; all in pixels.
    """

    model_config = ConfigDict(frozen=True)

    prompt: Annotated[Text, Field(min_length=1, max_length=MAX_PROMPT)]
    negative_prompt: Annotated[Text, Field(max_length=MAX_PROMPT)] = ""
    styles: Names = ()
    seed: Annotated[Seed | None, BeforeValidator(_seed)] = None
    width: Annotated[Side | None, Blank] = None
    height: Annotated[Side | None, Blank] = None
    steps: Annotated[Steps | None, Blank] = None
    guidance: Annotated[Guidance | None, Blank] = None
    sampler: Annotated[Sampler | None, Blank] = None
    count: _number("count", int, 1) = 1

    model: Name = ""  # by its name in the library; empty: the one the run was started with
    vae: Name = ""  # another autoencoder; empty: the model's own
    schedule: Schedule = ""  # how the noise levels are spaced; empty: the sampler's own
    eta: _number("eta", float) = None  # noise added at each step, for samplers that have it; None: their own
    guidance_rescale: _number("guidance_rescale", float, 0.0) = 0.0
    clip_skip: _number("clip_skip", int, 1) = 1  # as AUTOMATIC1111 counts: 1 is the text encoder's last layer
    subseed: Annotated[Seed | None, BeforeValidator(_seed)] = None
    subseed_strength: _number("subseed_strength", float, 0.0) = 0.0

    image: Image = ""
    strength: _number("strength", float) = None
    mask: Image = ""
    mask_blur: _number("mask_blur", int, 4) = 4
    only_masked: bool = False  # draw the mask's surroundings alone, at full size, `padding` pixels around it included
    padding: _number("padding", int, 32) = 32
    outpaint_left: _number("outpaint_left", int, 0) = 0
    outpaint_right: _number("outpaint_right", int, 0) = 0
    outpaint_up: _number("outpaint_up", int, 0) = 0
    outpaint_down: _number("outpaint_down", int, 0) = 0
    controls: Annotated[tuple[Control, ...], Field(max_length=4)] = ()

    hires_scale: _number("hires_scale", float, 1.0) = 1.0  # above 1: a second pass at that size, its sides as long as a first's at most
    hires_strength: _number("hires_strength", float) = None
    hires_steps: _number("hires_steps", int) = None  # None: as many as `steps`
    hires_upscaler: Literal["lanczos", "latent"] = "lanczos"
    upscale: _number("upscale", float, 1.0) = 1.0  # of the finished picture
    upscaler: Name = "lanczos"  # or a diffusion upscaler by its name in the library, whose own scale counts

    x: Annotated[Axis | None, BeforeValidator(_axis)] = None  # a grid, from left to right
    y: Annotated[Axis | None, BeforeValidator(_axis)] = None  # and from top to bottom

    @model_validator(mode="before")
    @classmethod
    def _split_sampler(cls, fields: Any) -> Any:
        """DPM++ 2M Karras names a sampler and a schedule; a schedule that is given goes before that."""
        if not (isinstance(fields, dict) and isinstance(fields.get("sampler"), str)):
            return fields
        sampler, schedule = craft.split(fields["sampler"])
        given = fields.get("schedule") or ""
        if not (isinstance(given, str) and given.strip().casefold() in ("", "automatic")):
            schedule = given
        return {**fields, "sampler": sampler, **({"schedule": schedule} if schedule else {})}

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> GenerationRequest:
        """A request from a form's or a command line's fields; unknown fields are ignored.

        Raises InvalidRequest with a sentence for each field that is wrong.
        """
        try:
            request = cls.model_validate(dict(fields))
            request.check()
            return request
        except ValidationError as error:
            raise InvalidRequest({str(e["loc"][0]): _sentence(e) for e in error.errors()}) from None

    def check(self) -> None:
        """Raises InvalidRequest where fields that are right alone do not go together."""
        if not self.image and (self.mask or self.only_masked or self.outpaints):
            raise InvalidRequest({"image": "A mask or a border needs a picture to start from. Please hand one in."})
        if not (self.mask or self.outpaints):  # these have no second pass
            for name in ("width", "height"):
                larger, most = enlarged(getattr(self, name) or 0, self.hires_scale), int(RANGES[name][1])
                if larger > most:
                    sentence = f"The second pass would make the {name} {larger} pixels, and {most} is the most. Please scale it less."
                    raise InvalidRequest({"hires_scale": sentence})
        if self.sampler:
            try:
                craft.check(self.sampler, self.schedule)
            except ValueError as error:
                raise InvalidRequest({"schedule": str(error)}) from None

    def seeded(self) -> GenerationRequest:
        """This request with a seed: its own, or a random one; and so for the subseed, if it has a say."""
        wanted = ["seed", "subseed"] if self.subseed_strength else ["seed"]
        return self.model_copy(update={name: random.randrange(MAX_SEED + 1) for name in wanted if getattr(self, name) is None})

    def resolved(self, defaults: Defaults) -> GenerationRequest:
        """This request with a seed and all that `filled` gives it. Raises InvalidRequest as `check` does."""
        whole = self.seeded().filled(defaults)
        whole.check()
        return whole

    def filled(self, defaults: Defaults) -> GenerationRequest:
        """This request with every field filled in that a checkpoint has a default for."""
        empty = {name: value for name, value in defaults if getattr(self, name) is None}
        if not self.image:
            empty.pop("strength", None)
        elif self.strength is None and (self.mask or self.outpaints):
            empty["strength"] = 1.0  # what is painted over is to be forgotten
        return self.model_copy(update=empty)

    @property
    def outpaints(self) -> bool:
        return bool(self.outpaint_left or self.outpaint_right or self.outpaint_up or self.outpaint_down)

    def images(self) -> set[str]:
        """The SHA-256 of every image this request is drawn from."""
        return {ref for ref in (self.image, self.mask, *(control.image for control in self.controls)) if ref}


class Receipt(BaseModel):
    """All that is needed to draw a picture again, and to say why it would come out differently. Written into the picture."""

    model_config = ConfigDict(frozen=True)

    request: GenerationRequest  # for this picture alone: `count` 1, styles and wildcards written out, every field filled in
    model: str
    model_hash: str = ""  # SHA-256 of the weights, in hex
    dtype: str = ""  # bfloat16, float16, float32
    device: str = ""  # cpu, cuda, mps
    scheduler: dict[str, Any] = {}  # diffusers' class under "_class_name", and its configuration
    prompt_read: str = ""  # what the text encoder was given, if something was cut
    versions: dict[str, str] = {}  # of torch, diffusers, transformers and this program
    add_ons: dict[str, str] = {}  # LoRAs, embeddings, ControlNets, autoencoder: name to SHA-256
    notes: tuple[str, ...] = ()  # what its owner should know: words cut or unknown, a retry in higher precision


class PictureView(BaseModel):
    """One picture of a job as its owner sees it: waiting behind `ahead` others, at step `step` of `steps`, or there (`id`)."""

    number: int
    seed: int
    prompt: str = ""  # styles and wildcards not yet written out where that is left to the drawing
    notes: tuple[str, ...] = ()
    id: str = ""
    ahead: int = 0
    step: int = 0
    steps: int = 0
    preview: str = ""  # a data URL
    error: str = ""


class JobView(BaseModel):
    """A job as its owner sees it. `ahead` counts the jobs whose turn comes before; `width`, `height` are what is drawn, in pixels."""

    id: str
    state: str  # queued, running, done, failed, cancelled
    error: str
    ahead: int
    prompt: str
    width: int
    height: int
    created: float  # seconds since 1970
    pictures: list[PictureView]
    starts: float | None = None  # about so many seconds from now; None when that is not known, or over
    ends: float | None = None


class ModelView(BaseModel):
    """The model as everyone sees it: `loading`, `ready` or `failed`, and a sentence about that."""

    name: str
    state: str
    sentence: str
    defaults: Defaults | None = None
    done: int = 0  # bytes of a download that have come, and
    total: int = 0  # that there are; 0 while nothing is downloaded


_LABELS = {  # where "The", the field's name and a verb would read badly
    "count": "The number of pictures",
    "steps": "The number of steps",
    "subseed": "The variation's seed",
    "subseed_strength": "The variation's strength",
    "vae": "The autoencoder's name",
    "model": "The model's name",
    "upscaler": "The upscaler's name",
    "only_masked": "The choice to draw only the masked part",
    "mask_blur": "The mask's blur",
    "padding": "The padding around the mask",
    "outpaint_left": "The border on the left",
    "outpaint_right": "The border on the right",
    "outpaint_up": "The border above",
    "outpaint_down": "The border below",
    "hires_scale": "The scale of the second pass",
    "hires_strength": "The strength of the second pass",
    "hires_steps": "The number of steps of the second pass",
    "hires_upscaler": "The upscaler of the second pass",
    "x": "The grid's x",
    "y": "The grid's y",
}


def _label(*where: str | int) -> str:
    """What to call the field at that place in the request, as a sentence's beginning."""
    match where:
        case "controls", int(number):
            return f"Control {number + 1}"
        case "controls", int(number), name:
            return f"The {name} of control {number + 1}"
        case "styles", int(_):
            return "The name of a style"
        case ("x" | "y") as side, "field", *_:
            return f"The field of the grid's {side}"
        case ("x" | "y") as side, "values", int(_):
            return f"A value of the grid's {side}"
        case ("x" | "y") as side, "values":
            return f"The list of values of the grid's {side}"
        case name, *_:
            return _LABELS.get(str(name), f"The {str(name).replace('_', ' ')}")
    return "The request"


def _sentence(error: Mapping[str, Any]) -> str:
    """Pydantic's finding in the words of the page."""
    where = error["loc"]
    name = str(where[-1]) if where else ""
    label = _label(*where)
    limits = error.get("ctx", {})
    match error["type"]:
        case "missing" | "too_short" if name == "prompt":
            return f"{label} is empty. Say what you would like to see."
        case "missing" | "too_short":
            return f"{label} is missing."
        case "too_long" if name in ("styles", "controls", "values"):
            return f"There are too many {name} ({limits['actual_length']}); at most {limits['max_length']} can be given."
        case "too_long" | "string_too_long":
            return f"{label} is longer than {limits['max_length']:,} characters. Please shorten it."
        case "greater_than_equal" | "less_than_equal":
            low, high = RANGES[name]
            return f"{label} must be from {low:,} to {high:,}."
        case "value_error":
            return f"{label} {limits['error']}"
        case "literal_error":
            return f"{label} must be {limits['expected'].replace(chr(39), '')}."
        case "tuple_type":
            return f"{label} must be a list."
        case "model_type":
            return f"{label} must be given by the names of its parts, such as {'model' if name.isdigit() else 'field'}."
        case kind if kind.startswith("string"):
            return f"{label} must be text."
        case kind if kind.startswith("bool"):
            return f"{label} must be yes or no."
        case kind if kind.startswith("int"):
            return f"{label} must be a whole number."
        case kind if kind.startswith(("float", "finite")):
            return f"{label} must be a number."
        case _:
            return f"{label} cannot be read."
