"""The page on which pictures are asked for. It works without JavaScript; with it, the same comes as JSON."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, jsonify, redirect, render_template, request, url_for

from webapp import axis, craft
from webapp.errors import Busy, InvalidRequest
from webapp.schema import MAX_PROMPT, RANGES, GenerationRequest
from webapp.web import answers, forms, live
from webapp.web.access import person
from webapp.web.house import house
from webapp.web.language import told

LIKENESS = 0.2  # how far "more like this" goes towards other noise
EXAMPLES = (
    "a castle on a hill at sunset",
    "a white elephant by the beach",
    "edinburgh castle in the snow",
    "a lighthouse in a storm at night",
    "a small red star left of a blue square on a white background",
)

create = Blueprint("create", __name__)


def _create_page(fields: dict[str, Any], errors: dict[str, str], status: int = 200) -> tuple[str, int]:
    page = render_template(
        "create.html",
        jobs=live.table(),
        model=answers.model(),
        fields=fields,
        errors={name: told(sentence) for name, sentence in errors.items()},
        samplers=craft.SAMPLERS,
        schedules=craft.SCHEDULES,
        styles=list(house().library.styles),
        models=[entry.name for entry in house().catalogue.entries.values()],
        vaes=house().library.names("vaes"),
        controlnets=house().library.names("controlnets"),
        upscalers=[*house().library.names("upscalers"), *house().catalogue.upscalers],
        grid_fields=axis.FIELDS,
        ranges=RANGES,
        max_prompt=MAX_PROMPT,
        max_upload=forms.MAX_UPLOAD,
        examples=EXAMPLES,
    )
    return page, status


@create.get("/")
def page():
    fields: dict[str, Any] = request.args.to_dict() | {"styles": request.args.getlist("styles")}
    if request.args.get("again"):
        fields = forms.write(house().queue.find(person(), request.args["again"]).request.model_dump())
    elif request.args.get("like"):
        kept = house().queue.picture(person(), request.args["like"]).receipt.request
        fields = forms.write(kept.model_dump() | {"subseed": None, "subseed_strength": LIKENESS, "count": 4})
    elif request.args.get("start"):
        found = house().queue.picture(person(), request.args["start"])
        kept = found.receipt.request
        image = house().queue.take_in(person(), answers.file(f"{found.id}.png"))
        fields = {"prompt": kept.prompt, "negative_prompt": kept.negative_prompt, "image": image}
    return _create_page(fields, {})


@create.post("/generate")
def generate():
    request.max_content_length = forms.MAX_UPLOAD
    fields, errors = forms.read(request.form, request.files, lambda data: house().queue.take_in(person(), data))
    try:
        if errors:
            raise InvalidRequest(errors)
        wish = GenerationRequest.read(fields)
        _check_models(wish)
        job = house().queue.submit(person(), wish, request.form.get("key", "")[:64])
    except InvalidRequest as error:
        if answers.wants_json():
            return jsonify(
                error=told(error.sentence), fields={name: told(sentence) for name, sentence in error.fields.items()}
            ), error.status
        return _create_page(fields, error.fields, error.status)
    except Busy as error:
        if answers.wants_json():
            raise
        page, status = _create_page(fields, {"form": error.sentence}, error.status)
        return page, status, {"Retry-After": str(error.retry_after)}
    if answers.wants_json():
        return jsonify(answers.views([job])[0].model_dump()), 202
    return redirect(url_for("live.job", id=job.id), 303)


def _check_models(wish: GenerationRequest) -> None:
    """Visitors choose among the catalogue's models: raises InvalidRequest at the field that names another, or a path."""
    named = {"model": (wish.model,)}
    named |= {side: getattr(wish, side).values for side in ("x", "y") if getattr(wish, side) and getattr(wish, side).field == "model"}
    for field, names in named.items():
        for name in filter(None, names):
            try:
                house().catalogue.find(name, listed_only=True)
            except InvalidRequest as error:
                raise InvalidRequest({field: error.sentence}) from None
