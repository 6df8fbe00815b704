"""One side of a grid: which fields it may change, and its values read as AUTOMATIC1111 writes them (`1-5`, `1-10 (+3)`, `1-10 [4]`)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from webapp import craft
from webapp.errors import InvalidRequest
from webapp.library import Library
from webapp.schema import MAX_PICTURES, RANGES, Axis, GenerationRequest

REPLACE = "prompt_replace"
"""AUTOMATIC1111's "Prompt S/R": the first value is looked for in the prompts, and each value in turn stands in its place."""
_FRACTIONS = {
    "guidance", "guidance_rescale", "eta", "subseed_strength", "strength", "hires_scale", "hires_strength", "upscale",
}  # fmt: skip
_NEVER = {"prompt", "count", "image", "mask", "controls", "x", "y"}
FIELDS = (REPLACE, *(name for name in GenerationRequest.model_fields if name not in _NEVER))
"""What a grid may change."""

_NUMBER = r"[+-]?\d{1,12}(?:\.\d{0,8})?"
_RANGE = re.compile(rf"({_NUMBER})\s*-\s*({_NUMBER})\s*(?:\(\s*({_NUMBER})\s*\)|\[\s*(\d{{1,6}})\s*\])?")


@dataclass(frozen=True)
class Point:
    """One value of a side: what it is called on the sheet, and what it changes: `fields`, or one text by another in the prompts."""

    label: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    replace: tuple[str, str] | None = None


def points(request: GenerationRequest, name: Literal["x", "y"], library: Library) -> list[Point]:
    """The values along one side of the request's grid; a single one that changes nothing if it has no such side.

    Raises InvalidRequest at that side's name for a field that no grid changes or a value that cannot be drawn.
    """
    side: Axis | None = getattr(request, name)
    if side is None:
        return [Point()]
    try:
        return [*_read(request, side, library)]
    except InvalidRequest as error:
        raise InvalidRequest({name: error.sentence}) from None
    except ValueError as error:
        raise InvalidRequest({name: str(error)}) from None


def numbers(text: str, whole: bool) -> list[str]:
    """A value or a range of values, as text: `1-5` in steps of one, `1-10 (+3)` in steps of three, `1-10 [4]` four values evenly spaced;
    both ends belong to it, and it may go downwards. Raises ValueError with a sentence for a range that is endless or too long."""
    match = _RANGE.fullmatch(text)
    if not match or (whole and "." in text):
        return [text]
    first, last = Decimal(match[1]), Decimal(match[2])
    way = last - first
    if match[4]:
        size = int(match[4])
        step = way / max(1, size - 1)
    else:
        step = Decimal(match[3]) if match[3] else Decimal(1).copy_sign(way)
        if not step or way * step < 0:
            raise ValueError(f"The range {text} never arrives. Turn its ends or its step around.")
        size = int(way / step) + 1
    if not 1 <= size <= MAX_PICTURES:
        raise ValueError(f"The range {text} must have from 1 to {MAX_PICTURES} values.")
    values = (round(first + step * place, 9) for place in range(size))  # a third times three is one again
    return [f"{int(value)}" if whole else f"{float(value):g}" for value in values]


def check_replacements(request: GenerationRequest, texts: Sequence[str]) -> None:
    """Raises InvalidRequest for words to be replaced that are in none of the prompts: the grid would show one picture many times."""
    within = "\n".join((*texts, request.negative_prompt))
    for name in ("x", "y"):
        side = getattr(request, name)
        if side and side.field == REPLACE and side.values[0] not in within:
            raise InvalidRequest({name: f"The words “{side.values[0][:80]}” are not in the prompt, so they cannot be replaced."})


def _read(request: GenerationRequest, side: Axis, library: Library) -> Iterator[Point]:
    name, values = side.field, side.values
    if name == REPLACE:
        if not values[0]:
            raise ValueError("The first value must be the words to look for in the prompt.")
        yield from (Point(value or "nothing", {}, (values[0], value)) for value in values)
        return
    if name not in FIELDS:
        raise ValueError(f"A grid cannot change “{name[:80]}”. Choose one of: {', '.join(FIELDS)}.")
    if name in RANGES:
        values = tuple(number for value in values for number in numbers(value, name not in _FRACTIONS))
        if len(values) > MAX_PICTURES:
            raise ValueError(f"A side of the grid has {len(values)} values; at most {MAX_PICTURES} can be drawn.")
    for value in values:
        if name in ("seed", "subseed") and value in ("", "-1"):
            raise ValueError("The seeds of a grid must be written out, so that it can be drawn again.")
        yield Point(_label(name, value), _changes(request, name, value, library))


def _changes(request: GenerationRequest, name: str, value: str, library: Library) -> dict[str, Any]:
    """What a value changes: its field, and for "DPM++ 2M Karras" the schedule as well."""
    given: dict[str, Any] = {name: value}
    if name == "sampler":
        sampler, schedule = craft.split(value)
        given = {"sampler": sampler} | ({"schedule": schedule} if schedule else {})
    try:
        read = GenerationRequest.read(request.model_dump() | given)
        for style in read.styles if name == "styles" else ():
            library.style(style)
    except InvalidRequest as error:
        raise ValueError(f"“{value[:80]}” cannot be drawn: {error.sentence}") from None
    return {changed: getattr(read, changed) for changed in given}


def _label(name: str, value: str) -> str:
    """Names speak for themselves; numbers need to be told what they count."""
    words = name.replace("_", " ")
    if not value:
        return f"{'no' if name in ('styles', 'negative_prompt') else 'default'} {words}"
    return f"{words} {value}" if name in RANGES or name == "only_masked" else value
