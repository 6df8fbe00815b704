"""A picture's receipt in plain words, in the reader's language: for its page, and beside another's."""

from __future__ import annotations

from webapp.schema import GenerationRequest, Receipt
from webapp.web.language import told, translate


def facts(receipt: Receipt) -> dict[str, str]:
    """What decides how it looks besides the prompt: a name for each thing, and what it was; in the order to show them."""
    made = receipt.request
    rows = {
        translate("Left out"): made.negative_prompt,
        translate("Seed"): _text(made.seed),
        translate("Variation"): _variation(made),
        translate("Size"): f"{made.width} × {made.height}" if made.width and made.height else "",
        translate("Steps"): _text(made.steps),
        translate("Guidance"): _text(made.guidance),
        translate("Sampler"): ", ".join(filter(None, (made.sampler, made.schedule))),
        translate("Model"): receipt.model,
        translate("Autoencoder"): made.vae,
        translate("With"): ", ".join(receipt.add_ons),
        translate("How much changes"): f"{made.strength:.0%}" if made.image and made.strength is not None else "",
        translate("Painted over"): _painted(made),
        translate("Grown by"): _grown(made),
        translate("Guided by"): ", ".join(f"{control.model} ({_text(control.weight)})" for control in made.controls),
        translate("Second pass"): _second_pass(made),
        translate("Enlarged"): f"{_text(made.upscale)} × ({made.upscaler})" if made.upscale > 1 or made.upscaler != "lanczos" else "",
    }
    return {name: value for name, value in rows.items() if value}


def notes(receipt: Receipt) -> list[str]:
    return [told(note) for note in receipt.notes]


def craft(receipt: Receipt) -> dict[str, str]:
    """The rest, for who wants to draw it again to the pixel."""
    made = receipt.request
    rows = {
        translate("Weights"): receipt.model_hash[:10],
        translate("Precision"): " ".join(filter(None, (receipt.dtype, receipt.device))),
        translate("Scheduler"): str(receipt.scheduler.get("_class_name", "")),
        translate("Eta"): _text(made.eta),
        translate("Guidance rescale"): _text(made.guidance_rescale or None),
        translate("Clip skip"): _text(made.clip_skip if made.clip_skip > 1 else None),
        translate("Read of the prompt"): receipt.prompt_read,
        **{name: file[:10] for name, file in receipt.add_ons.items()},
        **receipt.versions,
    }
    return {name: value for name, value in rows.items() if value}


def differences(one: Receipt, other: Receipt) -> list[tuple[str, str, str]]:
    """(name, the one's value, the other's) of each fact in which they differ."""
    left, right = ({translate("Prompt"): each.request.prompt, **facts(each)} for each in (one, other))
    return [(name, left.get(name, "–"), right.get(name, "–")) for name in {**left, **right} if left.get(name) != right.get(name)]


def _text(value: float | None) -> str:
    return "" if value is None else str(value).removesuffix(".0")


def _variation(made: GenerationRequest) -> str:
    if not made.subseed_strength:
        return ""
    return translate("{share} of the way to seed {seed}", share=_text(made.subseed_strength), seed=_text(made.subseed))


def _painted(made: GenerationRequest) -> str:
    if not made.mask:
        return ""
    return translate("a part, drawn at full size") if made.only_masked else translate("a part")


def _grown(made: GenerationRequest) -> str:
    sides = {
        "←": made.outpaint_left,
        "→": made.outpaint_right,
        "↑": made.outpaint_up,
        "↓": made.outpaint_down,
    }
    return ", ".join(f"{arrow} {pixels}" for arrow, pixels in sides.items() if pixels)


def _second_pass(made: GenerationRequest) -> str:
    if made.hires_scale <= 1:
        return ""
    return ", ".join(filter(None, (f"{_text(made.hires_scale)} ×", made.hires_upscaler, _text(made.hires_strength))))
