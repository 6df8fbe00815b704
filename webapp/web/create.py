"""The page on which pictures are asked for. It works without JavaScript; with it, the same comes as JSON."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from flask import Blueprint, jsonify, redirect, render_template, request, url_for
from werkzeug.datastructures import MultiDict

from webapp import axis, catalogue, craft, metadata, plan
from webapp.errors import Busy, InvalidRequest
from webapp.schema import MAX_PROMPT, RANGES, GenerationRequest, Receipt
from webapp.web import answers, forms, live
from webapp.web.access import person
from webapp.web.house import house
from webapp.web.language import told

LIKENESS = 0.2  # how far "more like this" goes towards other noise
EXAMPLES = (
    "a castle on a hill at sunset",
    "a penguin on an island in winter",
    "mount fuji at dawn, watercolour",
    "new york at night, neon lights",
    "three red apples on a white background",
)
KNOWN = json.loads((Path(__file__).parents[1] / "builtin" / "words.json").read_text())  # phrases of the built-in model's words, by kind
BROUGHT = {"loras": "<lora:{}:1>", "embeddings": "{}", "wildcards": "__{}__"}  # what a library has for prompts, and how one asks for it
READ = 16  # prompts of one form whose words are looked at
LISTED = 50  # words of them that are told
FROM_A_PICTURE = ("image", "mask", "strength", "only_masked", "outpaint_left", "outpaint_right", "outpaint_up", "outpaint_down")

create = Blueprint("create", __name__)


def _create_page(
    fields: dict[str, Any], errors: dict[str, str], status: int = 200, start: str = "", notes: tuple[str, ...] = ()
) -> tuple[str, int]:
    """The page with its form filled in; `start` is the address of the picture that it starts from, if there is one."""
    names = functools.partial(house().library.names, shipped=house().workers.model.name in catalogue.BUILTIN)  # it fits no other model
    brought = {kind: [way.format(name) for name in names(kind)] for kind, way in BROUGHT.items()}
    brought["embeddings"] = [word for word in brought["embeddings"] if "/" not in word]  # the engine reads none in sub-folders
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
        vaes=names("vaes"),
        controlnets=names("controlnets"),
        upscalers=[*names("upscalers"), *house().catalogue.upscalers],
        grid_fields=axis.FIELDS,
        ranges=RANGES,
        max_prompt=MAX_PROMPT,
        max_upload=forms.MAX_UPLOAD,
        examples=EXAMPLES,
        known=KNOWN.items(),
        built_in=catalogue.BUILTIN,
        brought=brought,
        filled=any(fields.values()),
        start=start,
        notes=[told(note) for note in notes],
    )
    return page, status


@create.get("/")
def page():
    """The form: empty, or filled in from the address, a request (`again`), or a picture: its `settings`, `like` it, `bigger`, or to
    `start` from. Raises NotFound for what is not the visitor's own."""
    fields: dict[str, Any] = request.args.to_dict() | {"styles": request.args.getlist("styles")}
    start, notes = "", ()
    if request.args.get("again"):
        fields = forms.write(house().queue.find(person(), request.args["again"]).request.model_dump())
    elif id := request.args.get("settings"):
        made, notes = _here(_receipt(id))
        fields = forms.write(made.model_dump())
    elif id := request.args.get("bigger"):
        made, notes = _here(_receipt(id))
        # not hires fix: the very picture is wanted, and a second pass far above a model's own size draws things twice
        fields = forms.write(made.model_dump() | {"upscale": min(2 * made.upscale, RANGES["upscale"][1])})
    elif id := request.args.get("like"):
        made, notes = _here(_receipt(id))
        fields = forms.write(made.model_dump() | {"subseed": None, "subseed_strength": LIKENESS, "count": 4})
    elif id := request.args.get("start"):
        made, start = _receipt(id).request, url_for("gallery.picture", id=id, kind="png")
        image = house().queue.take_in(person(), answers.file(f"{id}.png"))
        fields = {"prompt": made.prompt, "negative_prompt": made.negative_prompt, "image": image}
    return _create_page(fields, {}, start=start, notes=notes)


def _receipt(id: str) -> Receipt:
    """How the visitor's picture was made. Raises NotFound."""
    return house().queue.picture(person(), id).receipt


@create.post("/reading")
def reading():
    """How the form reads while it is being filled in: the prompt's length in tokens and its `limit`, the words that the loaded model
    does not know or that are cut, how many pictures it makes, or why it makes none. A POST, so that no prompt stands in an address."""
    fields, _ = forms.read(request.form, MultiDict(), lambda data: "")
    fields = {name: value for name, value in fields.items() if name not in (*FROM_A_PICTURE, "controls")}
    prompts, pictures, problem = [str(fields.get("prompt", ""))[:MAX_PROMPT]], None, ""
    try:
        planned = plan.pictures(GenerationRequest.read(fields), house().library)
        prompts, pictures = list(dict.fromkeys(each.prompt for each in planned)), len(planned)
    except InvalidRequest as error:
        problem = next((sentence for name, sentence in error.fields.items() if name in ("count", "x", "y")), "")
    asked = request.form.get("model", "")
    counts = [] if asked not in ("", house().workers.model.name) else [house().workers.reading(prompt) for prompt in prompts[:READ]]
    seen: dict[str, Any] = {}
    if counts and None not in counts:
        longest = max(counts, key=lambda count: (len(count.cut), count.tokens))
        unknown = dict.fromkeys(word for count in counts for word in count.unknown)
        seen = {"tokens": longest.tokens, "limit": longest.room, "unknown": [*unknown][:LISTED], "cut": longest.cut[:LISTED]}
    return jsonify(seen | {"pictures": pictures, "problem": told(problem)})


@create.post("/settings")
def settings():
    """What a picture says of how it was made, as the form's fields: for a script as JSON, else as the page filled in."""
    request.max_content_length = forms.MAX_UPLOAD
    sent = request.files.get("picture")
    receipt = metadata.read(sent.read()) if sent else None
    if receipt is None:
        sentence = "This picture does not say how it was made." if sent else "Please choose a picture first."
        if answers.wants_json():
            return jsonify(error=told(sentence), fields={"picture": told(sentence)}), 400
        fields = request.form.to_dict() | {"styles": request.form.getlist("styles")}
        return _create_page(fields, {"picture": sentence}, 400)
    wish, notes = _here(receipt)
    fields = forms.write(wish.model_dump())
    if answers.wants_json():
        return jsonify(fields=fields, notes=[told(note) for note in notes])
    return _create_page(fields, {}, notes=notes)


def _here(receipt: Receipt) -> tuple[GenerationRequest, tuple[str, ...]]:
    """A picture's request as the visitor can ask for it here, and sentences on what of it cannot be had: a model that is not listed,
    pictures that they did not hand in."""
    wish, changes, notes = receipt.request, {}, []
    if lost := wish.images() - house().store.handed_in(person(), wish.images()):
        gone = FROM_A_PICTURE if wish.image in lost else ("mask",) if wish.mask in lost else ()
        changes = {name: GenerationRequest.model_fields[name].default for name in gone}
        changes["controls"] = tuple(control for control in wish.controls if control.image not in lost)
        notes.append("It was drawn from another picture, which it does not hold.")
    drawn_by = wish.model or receipt.model
    listed = {name.casefold(): name for name in house().catalogue.entries}
    if drawn_by and drawn_by != house().workers.model.name:
        changes["model"] = listed.get(drawn_by.casefold(), "")
        if not changes["model"]:
            notes.append(f"It was drawn by {drawn_by[:80]}, which is not among the models here.")
    return wish.model_copy(update=changes), tuple(notes)


@create.post("/generate")
def generate():
    request.max_content_length = forms.MAX_UPLOAD
    key, fields, errors = request.form.get("key", "")[:64], *forms.read(request.form, MultiDict(), lambda data: "")
    try:
        if any(request.files.values()):
            house().queue.check_turn(person(), key)  # before files are kept
            fields, errors = forms.read(request.form, request.files, lambda data: house().queue.take_in(person(), data))
        if errors:
            raise InvalidRequest(errors)
        wish = GenerationRequest.read(fields)
        _check_models(wish)
        job = house().queue.submit(person(), wish, key)
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
