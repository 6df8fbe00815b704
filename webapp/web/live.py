"""What becomes of what was asked for: each job's page, and all of them as a stream."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

from flask import Blueprint, Response, jsonify, redirect, render_template, stream_with_context, url_for
from werkzeug.wrappers import Response as AnyResponse

from webapp.errors import Busy, NotFound
from webapp.schema import JobView
from webapp.web import answers, sheets
from webapp.web.access import person
from webapp.web.house import house
from webapp.web.language import translate

SHOWN = 40  # jobs on the light table
STREAMS = 6  # open event streams of one person
ALL_STREAMS = 96  # and of everybody together: each holds one of the server's 128 threads
HEARTBEAT = 15.0  # seconds between signs of life on a quiet stream
PACE = 0.1  # seconds between two messages on a stream at least

live = Blueprint("live", __name__)


@live.app_template_filter("about")
def about(seconds: float | None, text: str) -> str:
    """`text` with its {time}, "20 s" or "3 min"; nothing when it is not known, or too soon to tell."""
    if not seconds or seconds < 2:
        return ""
    return translate(text, time=f"{round(seconds)} s" if seconds < 90 else f"{round(seconds / 60)} min")


def table() -> list[JobView]:
    """What lies on the light table of whoever asks."""
    return answers.views(house().store.jobs_of(person(), SHOWN))


@live.get("/jobs")
def jobs() -> Response:
    return jsonify(jobs=[view.model_dump() for view in table()], model=answers.model().model_dump())


@live.get("/jobs/<id>")
def job(id: str):
    found = house().queue.find(person(), id)
    view = answers.views([found])[0]
    if answers.wants_json():
        return jsonify(view.model_dump())
    kept = house().store.pictures_of([id])[id]
    return render_template("job.html", job=view, kept=kept, sheets=len(sheets.of(found, house().library)), model=answers.model())


@live.get("/jobs/<id>/sheet-<int:number>.png")
def contact_sheet(id: str, number: int) -> Response:
    """A grid's pictures on one sheet, as far as they are there."""
    found = sheets.of(house().queue.find(person(), id), house().library)
    if not 1 <= number <= len(found):
        raise NotFound("There is no such sheet.")
    wanted = found[number - 1]
    kept = {picture.number: picture.id for picture in house().store.pictures_of([id])[id]}
    names = [kept.get(index) for index in wanted.indices]
    return Response(sheets.png(wanted, names, house().files), mimetype="image/png")


@live.post("/jobs/<id>/cancel")
def cancel(id: str) -> AnyResponse:
    cancelled = house().queue.cancel(person(), id)
    if answers.wants_json():
        return jsonify(answers.views([cancelled])[0].model_dump())
    return redirect(url_for("create.page"), 303)


@live.get("/events")
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
            model = answers.model()
            yield _message("model", model.model_dump())
            for view in reversed(table()):
                yield _message("job", _slim(view, sent))
            while (changed := listener.wait(1.0 if model.state == "loading" else HEARTBEAT)) is not None:
                if (now := answers.model()) != model:
                    model = now
                    yield _message("model", model.model_dump())
                for view in answers.views([job for id in changed if (job := home.store.job(id, owner))]):
                    yield _message("job", _slim(view, sent))
                if not changed:
                    yield ": still here\n\n"
                time.sleep(PACE)

    return Response(stream_with_context(stream()), mimetype="text/event-stream", headers={"X-Accel-Buffering": "no"})


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
