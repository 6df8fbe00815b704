"""From one request to the pictures it asks for: its prompts, matrix, grid and count multiplied out, its styles and wildcards written
out. Plain Python and the same each time, so that whoever holds the request knows its pictures."""

from __future__ import annotations

import functools
import random
from dataclasses import dataclass

from webapp import axis, words
from webapp.axis import Point
from webapp.errors import InvalidRequest
from webapp.library import Library
from webapp.schema import MAX_PICTURES, MAX_SEED, GenerationRequest

SHIPPED = Library()


@dataclass(frozen=True)
class Sheet:
    """One contact sheet: which of the request's pictures are on it, row by row, and the words at its sides; none if it has no grid."""

    indices: tuple[int, ...]
    columns: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    title: str = ""


def pictures(request: GenerationRequest, library: Library = SHIPPED) -> tuple[GenerationRequest, ...]:
    """Every picture of a request as a request of its own: `count` 1, its seed set, nothing left to write out.

    Their order: prompt by prompt (`words.prompts`), each by its combinations (`words.matrix`), each `count` times, each time the whole
    grid row by row. Every prompt, combination and cell begins at the request's seed, so that they compare; the i-th time takes seed + i,
    or, as in AUTOMATIC1111, the same seed and subseed + i where `subseed_strength` is set. Words are drawn by the picture's seed.
    What a picture's request gives back is itself. Raises InvalidRequest, before anything is built, for more than MAX_PICTURES.
    """
    request = request.seeded()
    columns, rows = _sides(request, library)
    cells = [(row, column) for row in rows for column in columns]
    texts = _texts(request, len(cells))
    axis.check_replacements(request, texts)
    write = _Writer(request, library)
    return tuple(write(text, number, cell) for text in texts for number in range(request.count) for cell in cells)


def sheets(request: GenerationRequest, library: Library = SHIPPED) -> tuple[Sheet, ...]:
    """The contact sheets of a request, none for a single picture: one for each time its grid is drawn, or one of all pictures.

    `indices` count the request's `pictures`. Raises InvalidRequest as those do.
    """
    columns, rows = _sides(request, library)
    size = len(columns) * len(rows)
    texts = _texts(request, size)
    total = len(texts) * request.count * size
    if total == 1:
        return ()
    if request.x is None and request.y is None:
        return (Sheet(tuple(range(total))),)
    labels = tuple(point.label for point in columns), tuple(point.label for point in rows)
    titles = [_title(request, text if len(texts) > 1 else "", number) for text in texts for number in range(request.count)]
    return tuple(Sheet(tuple(range(i * size, (i + 1) * size)), *labels, title) for i, title in enumerate(titles))


class _Writer:
    """Writes out one picture after the other; reads each style and wildcard once."""

    def __init__(self, request: GenerationRequest, library: Library) -> None:
        self.fields = request.model_dump() | {"count": 1, "x": None, "y": None}
        self.subseed = int(random.Random(f"{request.seed} subseed").random() * (MAX_SEED + 1))  # if only a grid gives it a say
        self.style = functools.cache(library.style)
        self.wildcard = functools.cache(library.wildcard)

    def __call__(self, text: str, number: int, cell: tuple[Point, ...]) -> GenerationRequest:
        fields = self.fields | {"prompt": text}
        for point in cell:
            fields |= point.fields
            for name in ("prompt", "negative_prompt") if point.replace else ():
                fields[name] = fields[name].replace(*point.replace)
        advancing = "subseed" if fields["subseed_strength"] else "seed"
        start = self.subseed if fields[advancing] is None else fields[advancing]
        fields[advancing] = (start + number) % (MAX_SEED + 1)
        styles = [self.style(name) for name in fields.pop("styles")]
        for name in ("prompt", "negative_prompt"):
            worded = words.styled(fields[name], (getattr(style, name) for style in styles))
            fields[name] = self._drawn(worded, name, fields["seed"])
        return GenerationRequest.read(fields)

    def _drawn(self, text: str, name: str, seed: int) -> str:
        try:
            drawn = words.draw(text, self.wildcard, random.Random(f"{seed} {name}"))
        except InvalidRequest as error:
            raise InvalidRequest({name: error.sentence}) from None
        return drawn.replace("\n", " ")  # or it would be a list of prompts


def _sides(request: GenerationRequest, library: Library) -> tuple[list[Point], list[Point]]:
    """The grid's columns and rows; one of each that changes nothing if there is no grid."""
    if request.x and request.y and request.x.field == request.y.field != axis.REPLACE:
        raise InvalidRequest({"y": "Both sides of the grid change the same field. Please choose another for one of them."})
    return axis.points(request, "x", library), axis.points(request, "y", library)


def _texts(request: GenerationRequest, cells: int) -> list[str]:
    """The prompts and their combinations; refused if that makes too many pictures, before one is written."""
    prompts = words.prompts(request.prompt)
    total = sum(map(words.combinations, prompts)) * request.count * cells
    if total > MAX_PICTURES:
        number = f"{total:,}" if total < 10**9 else "more than a billion"
        raise InvalidRequest({"count": f"That makes {number} pictures; at most {MAX_PICTURES} can be asked for at once."})
    return [text for prompt in prompts for text in words.matrix(prompt)]


def _title(request: GenerationRequest, text: str, number: int) -> str:
    """What tells one sheet from the others: its prompt if there are several, its seed if the grid is drawn several times."""
    counted = f"no. {number + 1}" if request.count > 1 else ""
    name = "subseed" if request.subseed_strength else "seed"
    gridded = {side.field for side in (request.x, request.y) if side}
    if counted and getattr(request, name) is not None and not gridded & {"seed", "subseed", "subseed_strength"}:
        counted = f"{name} {(getattr(request, name) + number) % (MAX_SEED + 1)}"
    return " · ".join(filter(None, (text, counted)))
