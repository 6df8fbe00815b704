"""A picture that remembers how it was made: its receipt in the PNG's text, read back from our own files and from other
programs', compared with what would be drawn now, and taken out again."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from PIL import ExifTags, Image, PngImagePlugin

from webapp import __version__, infotext
from webapp.infotext import MAX_TEXT, salvage
from webapp.schema import MAX_PROMPT, Defaults, GenerationRequest, Receipt

KEY = "generation"  # our text chunk's keyword
MAX_BYTES = 128 * 2**20  # of a file that is read; a larger one is said to carry nothing
MAX_CHUNKS = 100_000  # of a PNG; pictures of MAX_BYTES that programs write have some ten thousand
SIGNATURE = b"\x89PNG\r\n\x1a\n"
TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"tIME")
PIXELS = (b"IDAT", b"fdAT", b"fcTL", b"acTL", b"IEND")
END = b"\0\0\0\0IEND\xaeB`\x82"
FILLED = {"seed", *Defaults.model_fields}  # a request of ours always has them; one of another program, not always


def to_png(image: Image.Image, receipt: Receipt) -> bytes:
    """The image as PNG bytes that carry the receipt twice: whole, as JSON for us, and as A1111's "parameters" for the others.

    The same image and receipt give the same bytes.
    """
    text = PngImagePlugin.PngInfo()
    text.add_itxt(
        KEY, json.dumps(_plain({**receipt.model_dump(), "software": f"Text-to-Image Generator {__version__}"}), ensure_ascii=False)
    )
    text.add_text("parameters", infotext.write(receipt))  # tEXt, or iTXt where Latin-1 does not hold it: as A1111 does
    out = io.BytesIO()
    image.save(out, "PNG", pnginfo=text)
    return out.getvalue()


def read(data: bytes) -> Receipt | None:
    """The receipt that a PNG, JPEG or WebP file carries: ours, or what A1111 and its kin say in `parameters`, Exif or a comment.

    Values that we cannot draw with are left out. None if there is no prompt to be found, and for every file that is broken, too
    large (MAX_BYTES, MAX_TEXT, Pillow's limits) or no image. Pixels are not decoded.
    """
    try:
        found = _texts(data)
    except Exception:  # what Pillow may raise on a hostile file is no closed list
        return None
    return _ours(found.get(KEY, "")) or next(filter(None, map(_theirs, found.values())), None)


def differences(then: Receipt, now: Receipt) -> list[str]:
    """Why a picture drawn `now` may differ from the one drawn `then`, in plain phrases; empty if nothing is known to have changed.

    What `then` does not record, being an older picture or another program's, is not compared.
    """
    return [*_models(then, now), *_add_ons(then, now), *_requests(then, now), *_schedulers(then, now), *_machines(then, now)]


def strip(data: bytes) -> bytes:
    """The PNG without its texts, Exif and time; every other chunk, the pixels among them, is untouched."""
    return data[:8] + b"".join(chunk for name, chunk in _chunks(data) if name not in TEXTS)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each whole chunk of a PNG: its name, and all its bytes."""
    start = len(SIGNATURE)
    while start + 12 <= len(data):
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")
        if end <= len(data):
            yield data[start + 4 : start + 8], data[start:end]
        start = end


def _texts(data: bytes) -> dict[str, str]:
    """The texts in which a file may say how it was made, the likeliest first."""
    if len(data) > MAX_BYTES:
        return {}
    if data.startswith(SIGNATURE):  # Pillow would decode all pixels to reach what comes behind them
        data = SIGNATURE + b"".join(chunk for name, chunk in islice(_chunks(data), MAX_CHUNKS) if name not in PIXELS) + END
    with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as image:
        info = image.info
    found = {name: str(info[name]) for name in (KEY, "parameters") if name in info}
    if "exif" in info:
        exif = Image.Exif()
        exif.load(info["exif"])
        found["exif"] = _comment(exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment, b""))
    if "comment" in info:
        found["comment"] = _comment(info["comment"])
    return found


def _comment(value: bytes | str) -> str:
    """Exif's UserComment: eight bytes name the encoding. The standard leaves UTF-16's byte order to the file, and programs do not
    keep to that either: the zero bytes of the settings' plain letters tell it."""
    if isinstance(value, str):
        return value
    head, body = value[:8], value[8:]
    if head == b"UNICODE\0":
        big = body[0::2].count(0) >= body[1::2].count(0)
        return body.decode("utf-16-be" if big else "utf-16-le", "replace").lstrip("\ufeff")
    return (body if head in (b"ASCII\0\0\0", bytes(8)) else value).decode("utf-8", "replace")


def _ours(text: str) -> Receipt | None:
    if not text or len(text) > MAX_TEXT:
        return None
    try:
        found = json.loads(text, parse_int=_integer, parse_constant=lambda name: None)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not isinstance(found.get("request"), dict):
        return None
    request = salvage(GenerationRequest, found["request"])
    model = found.get("model")
    given = {**found, "request": request, "model": model if isinstance(model, str) else "", "scheduler": _flat(found.get("scheduler"))}
    return salvage(Receipt, given) if request else None


def _theirs(text: str) -> Receipt | None:
    prompt, negative, settings = infotext.parse(text)
    request = salvage(GenerationRequest, infotext.read(text)) if settings else None
    if request is None:
        return None
    model_hash = settings.get("model hash", "").casefold()
    if len(model_hash) < 10 or set(model_hash) - set("0123456789abcdef"):
        model_hash = ""  # before 2023 it was eight digits of something else than the SHA-256
    cut = max(len(prompt), len(negative)) > MAX_PROMPT
    notes = (f"The prompt was longer than {MAX_PROMPT:,} characters; its end is left out.",) if cut else ()
    return Receipt(request=request, model=request.model, model_hash=model_hash, notes=notes)


def _integer(digits: str) -> int | None:
    """Python refuses to read an integer of thousands of digits; none of ours has twenty."""
    return int(digits) if len(digits) < 20 else None


def _plain(value: Any) -> Any:
    """As JSON can hold it. It has no infinity, which schedulers' configurations do have: that becomes text."""
    match value:
        case dict():
            return {str(key): _plain(value[key]) for key in sorted(value, key=str)}
        case list() | tuple():
            return [_plain(each) for each in value]
        case float() if not math.isfinite(value):
            return str(value)
        case None | bool() | int() | float() | str():
            return value
        case _:
            return str(value)


def _flat(settings: Any) -> dict[str, Any]:
    """A scheduler's settings, without what no scheduler of ours has: values in deeper layers."""

    def small(value: Any) -> bool:
        return not isinstance(value, dict | list) or (isinstance(value, list) and not any(isinstance(each, dict | list) for each in value))

    settings = settings if isinstance(settings, Mapping) else {}
    return {name: float(value) if value in ("inf", "-inf") else value for name, value in settings.items() if small(value)}


def _models(then: Receipt, now: Receipt) -> Iterator[str]:
    old, new = then.model_hash, now.model_hash
    if old and new:
        if not (old.startswith(new) or new.startswith(old)):  # other programs write its first ten digits
            yield "the model's weights are others"
    elif then.model and now.model and then.model != now.model:
        yield f"drawn with the model {then.model} then, {now.model} now"


def _add_ons(then: Receipt, now: Receipt) -> Iterator[str]:
    for name in sorted(then.add_ons.keys() | now.add_ons.keys()):
        if name not in now.add_ons:
            yield f"the add-on {name} is missing"
        elif name not in then.add_ons:
            if then.versions:  # else it recorded none
                yield f"the add-on {name} is new"
        elif then.add_ons[name] != now.add_ons[name]:
            yield f"the add-on {name} is another file"


def _requests(then: Receipt, now: Receipt) -> Iterator[str]:
    old, new = then.request.model_dump(), now.request.model_dump()
    for name in GenerationRequest.model_fields:
        unknown = name in ("model", "count") or (old[name] is None and name in FILLED)  # the model is told by its weights
        if old[name] != new[name] and not unknown:
            yield _change(name.replace("_", " "), old[name], new[name])
    if then.versions and then.prompt_read != now.prompt_read and then.request.prompt == now.request.prompt:
        yield "the text encoder reads other words of the prompt"


def _change(label: str, old: Any, new: Any) -> str:
    if "prompt" in label or not (_short(old) and _short(new)):
        return f"the {label} changed"
    old, new = ("unset" if value in (None, "") else str(value).removesuffix(".0") for value in (old, new))
    return f"{label} {old} then, {new} now"


def _short(value: Any) -> bool:
    return not isinstance(value, dict | list | tuple) and len(str(value)) <= 40


def _schedulers(then: Receipt, now: Receipt) -> Iterator[str]:
    # JSON's way, which has lists for tuples and None for infinity, so that a receipt from a file or a database compares
    old, new = (receipt.model_dump(mode="json", include={"scheduler"}, fallback=str)["scheduler"] for receipt in (then, now))
    if not old or not new:
        return
    if old.get("_class_name") != new.get("_class_name"):
        yield f"drawn by {old.get('_class_name')} then, {new.get('_class_name')} now"
        return
    for name in sorted(old.keys() | new.keys()):
        was, is_now = old.get(name), new.get(name)
        if not name.startswith("_") and was != is_now:
            yield f"sampler setting {name} " + (f"was {was}, is {is_now}" if _short(was) and _short(is_now) else "changed")


def _machines(then: Receipt, now: Receipt) -> Iterator[str]:
    if then.dtype and now.dtype and then.dtype != now.dtype:
        yield f"drawn in {then.dtype} then, {now.dtype} now"
    if then.device and now.device and then.device != now.device:
        yield f"on {then.device} then, on {now.device} now"
    for name, version in sorted(then.versions.items()):
        if version != now.versions.get(name, version):
            yield f"{name} {version} then, {now.versions[name]} now"
