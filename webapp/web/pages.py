"""The pages people see, and what their scripts ask for. Each works without JavaScript; with it, the same views come as JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response, jsonify, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from webapp import axis, craft
from webapp.errors import Busy, InvalidRequest, NotFound
from webapp.jobs.store import Job
from webapp.schema import MAX_PROMPT, RANGES, GenerationRequest, JobView
from webapp.web import forms, sheets
from webapp.web.access import person
from webapp.web.house import house

SHOWN = 40  # jobs on the light table
STREAMS = 6  # open event streams of one person
ALL_STREAMS = 96  # and of everybody together: each holds one of the server's 128 threads
HEARTBEAT = 15.0  # seconds between signs of life on a quiet stream
PACE = 0.1  # seconds between two messages on a stream at least
LIKENESS = 0.2  # how far "more like this" goes towards other noise
EXAMPLES = (
    "a castle on a hill at sunset",
    "a white elephant by the beach",
    "edinburgh castle in the snow",
    "a lighthouse in a storm at night",
    "a small red star left of a blue square on a white background",
)

pages = Blueprint("pages", __name__)


@pages.app_template_filter("ordinal")
def ordinal(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


@pages.app_template_filter("about")
def about(seconds: float | None, words: str) -> str:
    """ ", ready in about 20 s"; nothing when it is not known, or too soon to tell."""
    if not seconds or seconds < 2:
        return ""
    return f"{words} {round(seconds)} s" if seconds < 90 else f"{words} {round(seconds / 60)} min"


def wants_json() -> bool:
    """Whether a script asks, rather than a person's browser for a page."""
    return request.accept_mimetypes.best_match(["text/html", "application/json"]) == "application/json"


def _views(jobs: list[Job]) -> list[JobView]:
    return house().queue.views(jobs, house().workers.model.defaults)


def _table() -> list[JobView]:
    return _views(house().store.jobs_of(person(), SHOWN))


def _create_page(fields: dict[str, Any], errors: dict[str, str], status: int = 200) -> tuple[str, int]:
    page = render_template(
        "create.html",
        jobs=_table(),
        model=house().workers.model,
        fields=fields,
        errors=errors,
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


@pages.get("/")
def create():
    fields: dict[str, Any] = request.args.to_dict() | {"styles": request.args.getlist("styles")}
    if request.args.get("again"):
        fields = forms.write(house().queue.find(person(), request.args["again"]).request.model_dump())
    elif request.args.get("like"):
        kept = house().queue.picture(person(), request.args["like"]).receipt.request
        fields = forms.write(kept.model_dump() | {"subseed": None, "subseed_strength": LIKENESS, "count": 4})
    elif request.args.get("start"):
        found = house().queue.picture(person(), request.args["start"])
        kept = found.receipt.request
        image = house().queue.take_in(person(), _file(f"{found.id}.png"))
        fields = {"prompt": kept.prompt, "negative_prompt": kept.negative_prompt, "image": image}
    return _create_page(fields, {})


@pages.post("/generate")
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
        if wants_json():
            return jsonify(error=error.sentence, fields=error.fields), error.status
        return _create_page(fields, error.fields, error.status)
    except Busy as error:
        if wants_json():
            raise
        page, status = _create_page(fields, {"form": error.sentence}, error.status)
        return page, status, {"Retry-After": str(error.retry_after)}
    if wants_json():
        return jsonify(_views([job])[0].model_dump()), 202
    return redirect(url_for("pages.job", id=job.id), 303)


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


@pages.get("/jobs")
def jobs() -> Response:
    return jsonify(jobs=[view.model_dump() for view in _table()], model=house().workers.model.model_dump())


@pages.get("/jobs/<id>")
def job(id: str):
    found = house().queue.find(person(), id)
    view = _views([found])[0]
    if wants_json():
        return jsonify(view.model_dump())
    kept = house().store.pictures_of([id])[id]
    return render_template("job.html", job=view, kept=kept, sheets=len(sheets.of(found, house().library)), model=house().workers.model)


@pages.get("/jobs/<id>/sheet-<int:number>.png")
def contact_sheet(id: str, number: int) -> Response:
    """A grid's pictures on one sheet, as far as they are there."""
    found = sheets.of(house().queue.find(person(), id), house().library)
    if not 1 <= number <= len(found):
        raise NotFound("There is no such sheet.")
    wanted = found[number - 1]
    kept = {picture.number: picture.id for picture in house().store.pictures_of([id])[id]}
    names = [kept.get(index) for index in wanted.indices]
    return Response(sheets.png(wanted, names, house().files), mimetype="image/png")


@pages.post("/jobs/<id>/cancel")
def cancel(id: str) -> AnyResponse:
    cancelled = house().queue.cancel(person(), id)
    if wants_json():
        return jsonify(_views([cancelled])[0].model_dump())
    return redirect(url_for("pages.create"), 303)


@pages.get("/pictures/<id>.<any(png,webp):kind>")
def picture(id: str, kind: str) -> Response:
    found = house().queue.picture(person(), id)
    response = Response(_file(f"{found.id}.{kind}"), mimetype=f"image/{kind}")
    response.headers["Cache-Control"] = "private, max-age=31536000, immutable"
    if kind == "png":
        response.headers["Content-Disposition"] = f'inline; filename="picture-{found.receipt.request.seed}.png"'
    return response


def _file(name: str) -> bytes:
    try:
        return house().files.read(name)
    except FileNotFoundError:
        raise NotFound("The file of this picture is gone from the server's disk.") from None


@pages.get("/events")
def events() -> Response:
    """The light table as a stream of server-sent events: all of it first, then each job as it changes, and the model's state.

    A message holds the whole state of what it is about, so whoever lost some just connects again. A preview that this stream has
    sent already is left out.
    """
    home, owner = house(), person()
    if home.events.count(owner) >= STREAMS or home.events.count() >= ALL_STREAMS:
        raise Busy("Too many pages are open to tell them all live; this one asks now and then instead.")

    def stream() -> Iterator[str]:
        sent: dict[tuple[str, int], str] = {}
        with home.events.listen(owner) as listener:
            model = home.workers.model
            yield _message("model", model.model_dump())
            for view in reversed(home.queue.views(home.store.jobs_of(owner, SHOWN), model.defaults)):
                yield _message("job", _slim(view, sent))
            while (changed := listener.wait(1.0 if model.state == "loading" else HEARTBEAT)) is not None:
                if home.workers.model != model:
                    model = home.workers.model
                    yield _message("model", model.model_dump())
                found = [job for id in changed if (job := home.store.job(id, owner))]
                for view in home.queue.views(found, model.defaults):
                    yield _message("job", _slim(view, sent))
                if not changed:
                    yield ": still here\n\n"
                time.sleep(PACE)

    return Response(stream(), mimetype="text/event-stream", headers={"X-Accel-Buffering": "no"})


def _message(kind: str, facts: dict) -> str:
    return f"event: {kind}\ndata: {json.dumps(facts)}\n\n"


def _slim(view: JobView, sent: dict[tuple[str, int], str]) -> dict:
    facts = view.model_dump()
    for picture in facts["pictures"]:
        place = (view.id, picture["number"])
        if picture["preview"] == sent.get(place):
            picture["preview"] = ""
        else:
            sent[place] = picture["preview"]
    return facts
