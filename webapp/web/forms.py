"""The form as browsers send it, into the fields of a request and back: files that are handed in are kept and named, and what takes
several boxes of the form is one field of the request."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from werkzeug.datastructures import FileStorage, MultiDict

from webapp.engine import images
from webapp.errors import InvalidRequest

MAX_UPLOAD = 32 << 20  # bytes of a form with its pictures
FILES = ("image", "mask", "control_image")
CONTROL = ("model", "image", "map", "weight", "start", "end")
_opening = ThreadPoolExecutor(1, "opening")  # a small file may unpack to 160 MB; several threads would each keep as much for the next


def read(
    form: MultiDict[str, str], files: MultiDict[str, FileStorage], take_in: Callable[[bytes], str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """The fields for GenerationRequest.read, those as the form wrote them among them; and a sentence for each file that is no picture.

    A file in FILES goes before the name of one that was handed in before. Each good one is kept, whatever else is wrong.
    """
    fields: dict[str, Any] = {**form.to_dict(), "styles": [name for name in form.getlist("styles") if name]}
    errors: dict[str, str] = {}
    for name in FILES:
        if sent := files.get(name):
            data = sent.read()
            try:
                _opening.submit(images.open_image, data, "mask" if name == "mask" else "image").result()
                fields[name] = take_in(data)
            except InvalidRequest as error:
                errors[name] = error.sentence
    control = {part: value for part in CONTROL if (value := fields.get(f"control_{part}"))}
    fields["controls"] = [control] if "model" in control else []
    for side in ("x", "y"):
        fields[side] = {"field": fields.get(f"{side}_field", ""), "values": fields.get(f"{side}_values", "")}
    return fields, errors


def write(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A request's fields, as `model_dump` gives them, as the form's: the way back, for "use these settings"."""
    shown = {name: value for name, value in fields.items() if value not in (None, "", (), [], {}) and name not in ("controls", "x", "y")}
    for control in fields.get("controls", ())[:1]:
        shown |= {f"control_{part}": value for part, value in control.items()}
    for side in ("x", "y"):
        if axis := fields.get(side):
            shown |= {f"{side}_field": axis["field"], f"{side}_values": _line(axis["values"])}
    return shown


def _line(values: Sequence[str]) -> str:
    """Values with commas between, as the schema reads them: quotes around one that has commas or quotes itself."""
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(values)
    return out.getvalue()
