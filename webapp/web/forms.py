"""The form as browsers send it, into the fields of a request: files that are handed in are kept and named, and what takes several
boxes of the form becomes one field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from werkzeug.datastructures import FileStorage, MultiDict

from webapp.engine import images

MAX_UPLOAD = 32 << 20  # bytes of a form with its pictures


def read(form: MultiDict[str, str], files: MultiDict[str, FileStorage], take_in: Callable[[bytes], str]) -> dict[str, Any]:
    """The fields for GenerationRequest.read. A picture in `image`, `mask` or `control_image` goes before one named in the form.

    Raises InvalidRequest for a file that is no picture.
    """
    fields: dict[str, Any] = form.to_dict()
    fields["styles"] = [name for name in form.getlist("styles") if name]
    for name in ("image", "mask", "control_image"):
        if (sent := files.get(name)) and (data := sent.read()):
            images.open_image(data, name.removeprefix("control_"))
            fields[name] = take_in(data)
    if fields.get("control_model"):
        parts = ("model", "image", "map", "weight", "start", "end")
        fields["controls"] = [{part: fields[f"control_{part}"] for part in parts if fields.get(f"control_{part}")}]
    for side in ("x", "y"):
        fields[side] = {"field": fields.get(f"{side}_field", ""), "values": fields.get(f"{side}_values", "")}
    return fields


def write(fields: dict[str, Any]) -> dict[str, Any]:
    """A request's fields, as `model_dump` gives them, as the form's: the way back, for "use these settings"."""
    shown = {name: value for name, value in fields.items() if value not in (None, "", (), [], {}) and name not in ("controls", "x", "y")}
    for control in fields.get("controls", ())[:1]:
        shown |= {f"control_{part}": value for part, value in control.items()}
    for side in ("x", "y"):
        if axis := fields.get(side):
            shown |= {f"{side}_field": axis["field"], f"{side}_values": ", ".join(f'"{v}"' if "," in v else v for v in axis["values"])}
    return shown
