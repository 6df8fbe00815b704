"""What a request is: one model for the form, the APIs, the command line, the notebooks, the PNG text, the database and the
workers. Beside it stand the defaults that a checkpoint fills in and the names of the samplers."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from webapp.errors import InvalidRequest

SAMPLERS = (
    "DPM++ 2M",
    "DPM++ 2M Karras",
    "Euler",
    "Euler a",
    "DDIM",
    "PNDM",
    "LMS",
    "Heun",
    "UniPC",
)
MAX_PROMPT = 2000  # characters
MAX_SEED = 2**32 - 1
RANGES: dict[str, tuple[int, int]] = {  # both ends allowed
    "seed": (0, MAX_SEED),
    "width": (64, 2048),  # pixels
    "height": (64, 2048),
    "steps": (1, 150),
    "guidance": (0, 30),
    "count": (1, 16),
}


def _text(value: str) -> str:
    if "\0" in value:
        raise ValueError("holds a NUL character, which is not text. Please remove it.")
    return value.replace("\r\n", "\n").strip()


def _sampler(value: str) -> str:
    known = {name.casefold(): name for name in SAMPLERS}
    try:
        return known[" ".join(value.split()).casefold()]
    except KeyError:
        raise ValueError(f"is not one I know. Choose one of: {', '.join(SAMPLERS)}.") from None


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


def _within(name: str, **more: bool) -> Any:
    low, high = RANGES[name]
    return Field(ge=low, le=high, **more)


Text = Annotated[str, AfterValidator(_text)]
Side = Annotated[int, _within("width"), AfterValidator(_eighths)]
Steps = Annotated[int, _within("steps")]
Guidance = Annotated[float, _within("guidance", allow_inf_nan=False)]
Sampler = Annotated[str, AfterValidator(_sampler)]
Seed = Annotated[int, _within("seed")]
Count = Annotated[int, _within("count")]
Blank = BeforeValidator(_blank)


class Defaults(BaseModel):
    """What a checkpoint draws best with. `width` and `height` in pixels, its native size."""

    model_config = ConfigDict(frozen=True)

    width: Side
    height: Side
    steps: Steps
    guidance: Guidance
    sampler: Sampler


class GenerationRequest(BaseModel):
    """One wish for `count` pictures. A field left None takes the checkpoint's default; `seed` None means any.

    Picture `i` of a request is drawn from seed `seed + i`, so each can be asked for again alone.
    """

    model_config = ConfigDict(frozen=True)

    prompt: Annotated[Text, Field(min_length=1, max_length=MAX_PROMPT)]
    negative_prompt: Annotated[Text, Field(max_length=MAX_PROMPT)] = ""
    seed: Annotated[Seed | None, BeforeValidator(_seed)] = None
    width: Annotated[Side | None, Blank] = None
    height: Annotated[Side | None, Blank] = None
    steps: Annotated[Steps | None, Blank] = None
    guidance: Annotated[Guidance | None, Blank] = None
    sampler: Annotated[Sampler | None, Blank] = None
    count: Annotated[Count, BeforeValidator(lambda value: 1 if _blank(value) is None else value)] = 1

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> GenerationRequest:
        """A request from a form's or a command line's fields; unknown fields are ignored.

        Raises InvalidRequest with a sentence for each field that is wrong.
        """
        try:
            return cls.model_validate(dict(fields))
        except ValidationError as error:
            raise InvalidRequest({str(e["loc"][0]): _sentence(e) for e in error.errors()}) from None

    def seeded(self) -> GenerationRequest:
        """This request with a seed: its own, or a random one."""
        return self if self.seed is not None else self.model_copy(update={"seed": random.randrange(MAX_SEED + 1)})

    def resolved(self, defaults: Defaults) -> GenerationRequest:
        """This request with every field filled in."""
        empty = {name: value for name, value in defaults if getattr(self, name) is None}
        return self.seeded().model_copy(update=empty)

    def picture(self, index: int) -> GenerationRequest:
        """The request that draws picture `index` of this one alone. `self.seed` must be set."""
        assert self.seed is not None
        return self.model_copy(update={"seed": (self.seed + index) % (MAX_SEED + 1), "count": 1})


class PictureView(BaseModel):
    """One picture of a job as its owner sees it: waiting behind `ahead` others, at step `step` of `steps`, or there (`id`)."""

    number: int
    seed: int
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


class ModelView(BaseModel):
    """The model as everyone sees it: `loading`, `ready` or `failed`, and a sentence about that."""

    name: str
    state: str
    sentence: str
    defaults: Defaults | None = None


_LABELS = {"negative_prompt": "The negative prompt", "count": "The number of pictures", "steps": "The number of steps"}


def _sentence(error: Mapping[str, Any]) -> str:
    """Pydantic's finding in the words of the page."""
    name = str(error["loc"][0])
    label = _LABELS.get(name, f"The {name}")
    limits = error.get("ctx", {})
    match error["type"]:
        case "missing" | "too_short":
            return f"{label} is empty. Say what you would like to see."
        case "too_long":
            return f"{label} is longer than {limits['max_length']:,} characters. Please shorten it."
        case "greater_than_equal" | "less_than_equal":
            low, high = RANGES[name]
            return f"{label} must be from {low:,} to {high:,}."
        case "value_error":
            return f"{label} {limits['error']}"
        case "string_type":
            return f"{label} must be text."
        case "int_from_float" | "int_parsing" | "int_type" | "int_parsing_size":
            return f"{label} must be a whole number."
        case _:
            return f"{label} must be a number."
