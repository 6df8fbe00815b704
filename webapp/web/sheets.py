"""The contact sheets of a job's grid, made anew whenever there is more on them. Beside the pages, for it handles pixels."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image

from webapp import plan, sheet
from webapp.errors import InvalidRequest
from webapp.jobs.files import Files
from webapp.jobs.store import Job
from webapp.library import Library
from webapp.web.prints import InTurn

_composing = InTurn("sheets")  # the pictures of a sheet may unpack to a gigabyte


def of(job: Job, library: Library) -> list[plan.Sheet]:
    """The sheets of the job's grid; none if it has no grid, or one that cannot be labelled any more, a style of it being gone."""
    if not (job.request.x or job.request.y):
        return []
    try:
        return list(plan.sheets(job.request, library))
    except InvalidRequest:
        return []


def png(wanted: plan.Sheet, names: Sequence[str | None], files: Files) -> bytes:
    """The sheet as a PNG, of the pictures of these names, None for one that is not there. Raises Busy."""
    return _composing.do(lambda: _composed(wanted, names, files)).result()


def _composed(wanted: plan.Sheet, names: Sequence[str | None], files: Files) -> bytes:
    drawn = [_opened(name, files) for name in names]
    out = io.BytesIO()
    sheet.compose(drawn, wanted.columns, wanted.rows, wanted.title).save(out, "PNG", compress_level=1)
    return out.getvalue()


def _opened(name: str | None, files: Files) -> Image.Image | None:
    try:
        return Image.open(io.BytesIO(files.read(f"{name}.png"))) if name else None
    except FileNotFoundError:
        return None
