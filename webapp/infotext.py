"""AUTOMATIC1111's "parameters" text, by which pictures tell other programs how they were made: a receipt into it, and its many
dialects (Forge, SD.Next, Civitai) back into a request's fields. A file of its own because clients also paste and send it without a picture."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from webapp import __version__, craft
from webapp.schema import MAX_PROMPT, GenerationRequest, Receipt

MAX_TEXT = 2**17  # characters; a longer text is no infotext
NEGATIVE = "Negative prompt:"
SCHEDULES = {"sgm_uniform": "SGM Uniform"}  # what a title's capitals do not make of our names
AUTOMATIC = {"DPM++ 2M": "karras"}  # what "Schedule type: Automatic" stands for
FIELDS = {  # their keys in lower case, SD.Next's after A1111's: our fields that take the value as it stands
    "steps": "steps",
    "seed": "seed",
    "cfg scale": "guidance",
    "cfg rescale": "guidance_rescale",
    "eta": "eta",
    "clip skip": "clip_skip",
    "variation seed": "subseed",
    "variation seed strength": "subseed_strength",
    "variation strength": "subseed_strength",
    "mask blur": "mask_blur",
    "masked area padding": "padding",
    "hires steps": "hires_steps",
    "hires upscale": "hires_scale",
    "hires scale": "hires_scale",
    "hires strength": "hires_strength",
}
HIRES = {"hires upscale", "hires scale", "hires resize", "hires steps", "hires upscaler", "first pass size"}
KNOWN = {*FIELDS, *HIRES, "sampler", "schedule type", "size", "model", "model hash", "vae", "denoising strength", "version", "app"}

_KEY = re.compile(r'\s*([^:,"\n]{1,60}):[ \t]*')
_END = re.compile(r"[,\n]")
_STEPS = re.compile(r"^Steps:\s*\d", re.MULTILINE)
_RUN_ON = re.compile(r"\s(?=Negative prompt:|Steps:\s*\d+\s*,)")
_SIZE = re.compile(r"(\d{1,5})\s*x\s*(\d{1,5})")
_HASH = re.compile(r"\s*\[[0-9a-fA-F]{6,64}\]$")
_DECODER = json.JSONDecoder()

Model = TypeVar("Model", bound=BaseModel)


def write(receipt: Receipt) -> str:
    """The receipt as A1111 writes it: the prompt, the negative prompt if any, and the settings in one last line."""
    request = receipt.request
    settings = ", ".join(f"{key}: {_quoted(value)}" for key, value in _written(receipt) if value not in (None, ""))
    negative = f"\n{NEGATIVE} {request.negative_prompt}" if request.negative_prompt else ""
    return f"{request.prompt}{negative}\n{settings}"


def read(text: str) -> dict[str, Any]:
    """The fields for `GenerationRequest.read` that the text names, the prompt among them if it has one. What is out of our
    ranges, or unknown to us, is left out; a prompt longer than MAX_PROMPT is cut."""
    prompt, negative, settings = parse(text)
    fields: dict[str, Any] = {ours: settings[theirs] for theirs, ours in FIELDS.items() if settings.get(theirs)}
    fields |= _size(settings) | _sampler(settings) | _strength(settings) | _names(settings)
    if settings.get("inpaint area") == "Only masked":
        fields["only_masked"] = True
    if settings.get("hires upscaler", "").startswith("Latent"):
        fields["hires_upscaler"] = "latent"
    request = salvage(GenerationRequest, {**fields, "prompt": prompt[:MAX_PROMPT] or "?", "negative_prompt": negative[:MAX_PROMPT]})
    found = _usable(request.model_dump(exclude_unset=True)) if request else {}
    return {name: value for name, value in found.items() if value not in (None, "") and (prompt or name != "prompt")}


def parse(text: str) -> tuple[str, str, dict[str, str]]:
    """Prompt, negative prompt, and the settings by their keys in lower case; where a key comes twice, the first counts.

    The settings begin at the last line that starts with "Steps:" and a number, or are the last line.
    """
    text = text[: MAX_TEXT + 1].replace("\r\n", "\n").replace("\0", "").strip()
    if len(text) > MAX_TEXT:
        return "", "", {}
    for layout in (text, _RUN_ON.sub("\n", text)):  # some sites lose the line breaks
        for start in (_last(_STEPS, layout), layout.rfind("\n") + 1):
            if start >= 0 and (settings := _settings(layout[start:])):
                return *_prompts(layout[:start]), settings
    return *_prompts(text), {}


def salvage(kind: type[Model], fields: Mapping[str, Any]) -> Model | None:
    """An instance of `kind` made of those `fields` that it accepts; None if one that it requires is not among them."""
    known = {name: value for name, value in fields.items() if name in kind.model_fields}
    while True:
        try:
            return kind.model_validate(known)
        except ValidationError as error:
            wrong = {e["loc"][0] for e in error.errors(include_url=False, include_context=False, include_input=False) if e["loc"]}
            if not wrong & known.keys():
                return None
            known = {name: value for name, value in known.items() if name not in wrong}


def _written(receipt: Receipt) -> list[tuple[str, Any]]:
    """A1111's keys in its order, with SD.Next's for what A1111 cannot say; an empty value is not written."""
    request = receipt.request
    varied, masked, hires = request.subseed_strength > 0, bool(request.mask), request.hires_scale > 1
    denoising = request.strength if request.image else request.hires_strength if hires else None
    return [
        ("Steps", request.steps),
        ("Sampler", request.sampler),
        ("Schedule type", SCHEDULES.get(request.schedule, request.schedule.replace("_", " ").title())),
        ("CFG scale", request.guidance),
        ("Seed", request.seed),
        ("Size", f"{request.width}x{request.height}" if request.width and request.height else None),
        ("Model hash", receipt.model_hash[:10]),
        ("Model", receipt.model),
        ("VAE", request.vae),
        ("Variation seed", request.subseed if varied else None),
        ("Variation seed strength", request.subseed_strength if varied else None),
        ("Denoising strength", denoising),
        ("Clip skip", request.clip_skip),
        ("Eta", request.eta),
        ("CFG rescale", request.guidance_rescale or None),
        ("Mask blur", request.mask_blur if masked else None),
        ("Inpaint area", "Only masked" if masked and request.only_masked else None),
        ("Masked area padding", request.padding if masked and request.only_masked else None),
        ("Hires upscale", request.hires_scale if hires else None),
        ("Hires steps", request.hires_steps if hires else None),
        ("Hires upscaler", request.hires_upscaler.capitalize() if hires else None),
        ("Hires strength", request.hires_strength if hires and request.image else None),
        ("RNG", "CPU"),
        ("Version", f"Text-to-Image Generator {__version__}"),
    ]


def _quoted(value: Any) -> str:
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    awkward = any(mark in text for mark in ',:\n"') or text[:1] in "[{"
    return json.dumps(text, ensure_ascii=False) if awkward else text


def _last(pattern: re.Pattern[str], text: str) -> int:
    """Where the pattern's last match begins, or -1."""
    return max((match.start() for match in pattern.finditer(text)), default=-1)


def _prompts(text: str) -> tuple[str, str]:
    prompt, _, negative = f"\n{text}".partition(f"\n{NEGATIVE}")
    return prompt.strip(), negative.strip()


def _settings(text: str) -> dict[str, str]:
    """The settings that the text is, or none: it begins with a known key and holds two."""
    opening = _KEY.match(text)
    if not opening or opening[1].strip().casefold() not in KNOWN:
        return {}
    settings = _pairs(text)
    return settings if len(KNOWN & settings.keys()) >= 2 else {}


def _pairs(text: str) -> dict[str, str]:
    """ "Key: value, Key: value" as a dict; a value may be JSON, with commas in it."""
    found: dict[str, str] = {}
    position = 0
    while position < len(text):
        if match := _KEY.match(text, position):
            value, position = _value(text, match.end())
            found.setdefault(match[1].strip().casefold(), value.strip())
        position = _end(text, position) + 1
    return found


def _value(text: str, start: int) -> tuple[str, int]:
    """The value that begins at `start`, and where it ends."""
    if text[start : start + 1] in ('"', "[", "{"):
        try:
            value, end = _DECODER.raw_decode(text, start)
            return value if isinstance(value, str) else text[start:end], end
        except (ValueError, RecursionError):
            pass  # it only looks like JSON
    end = _end(text, start)
    return text[start:end], end


def _end(text: str, start: int) -> int:
    """Where the next comma or line break is, or the text's end."""
    match = _END.search(text, start)
    return match.start() if match else len(text)


def _pixels(value: str) -> tuple[int, int] | None:
    match = _SIZE.fullmatch(value)
    return (int(match[1]), int(match[2])) if match else None


def _size(settings: Mapping[str, str]) -> dict[str, Any]:
    """Width and height to the nearest multiple of 8, and the second pass's scale where it is given as a size."""
    size = _pixels(settings.get("size", ""))
    if not size:
        return {}
    scale = {}
    first, final = _pixels(settings.get("first pass size", "")), _pixels(settings.get("hires resize", ""))
    if first and all(first):  # before 2023 "Size" was the second pass's
        size, final = first, size
    if final and all(final) and all(size):
        scale = {"hires_scale": round(max(final[0] / size[0], final[1] / size[1]), 3)}
    return {"width": round(size[0] / 8) * 8, "height": round(size[1] / 8) * 8} | scale


def _sampler(settings: Mapping[str, str]) -> dict[str, Any]:
    """The sampler and its schedule; neither if we do not know the sampler."""
    name, ending = craft.split(settings.get("sampler", ""))
    try:
        sampler = craft.sampler(name)
    except ValueError:
        return {}
    wanted = settings.get("schedule type") or settings.get("sampler sigma") or ending
    schedule = AUTOMATIC.get(sampler, "") if wanted.casefold() == "automatic" else wanted
    return {"sampler": sampler, "schedule": schedule} if schedule else {"sampler": sampler}


def _strength(settings: Mapping[str, str]) -> dict[str, Any]:
    """Their one denoising strength belongs to the second pass where there is one, else to image-to-image."""
    value = settings.get("denoising strength")
    if not value:
        return {}
    second = HIRES & settings.keys() and "hires strength" not in settings
    return {"hires_strength" if second else "strength": value}


def _usable(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Without a schedule that the sampler cannot use here: other programs space any sampler's noise in any way."""
    try:
        craft.check(fields.get("sampler") or craft.SAMPLERS[0], fields.get("schedule") or "")
    except ValueError:
        return {name: value for name, value in fields.items() if name != "schedule"}
    return dict(fields)


def _names(settings: Mapping[str, str]) -> dict[str, Any]:
    found = {name: _HASH.sub("", settings.get(name, "")) for name in ("model", "vae")}
    return {name: value for name, value in found.items() if value.casefold() not in ("", "none", "automatic")}
