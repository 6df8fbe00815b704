"""What becomes of what was asked for: each job's page, and all of them as a stream."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from flask import Blueprint, Response, g, jsonify, redirect, render_template, request, stream_with_context, url_for
from werkzeug.wrappers import Response as AnyResponse

from webapp.errors import Busy, NotFound, Refused
from webapp.jobs.store import CANCELLED, Picture
from webapp.schema import JobView
from webapp.web import answers, sheets
from webapp.web.access import is_host, person
from webapp.web.house import house
from webapp.web.language import translate

SHOWN = 40  # jobs on the light table
LINGER = 300.0  # seconds after it was asked for that what was cancelled with nothing to show still lies there
STREAMS = 4  # open event streams of one person; browsers have six connections to a server, over which all else has to come
ALL_STREAMS = 96  # and of everybody together: each holds one of the server's 128 threads
HEARTBEAT = 15.0  # seconds between signs of life on a quiet stream
PACE, QUIET_PACE = 0.2, 2.0  # seconds between two messages on a stream at least; on one to a hidden page
EXAMPLES = Path(__file__).resolve().parents[2] / "static" / "examples"

live = Blueprint("live", __name__)


@live.app_template_filter("about")
def about(seconds: float | None, text: str) -> str:
    """`text` with its {time}, "20 s" or "3 min"; nothing when it is not known, or too soon to tell."""
    if not seconds or seconds < 2:
        return ""
    return translate(text, time=f"{round(seconds)} s" if seconds < 90 else f"{round(seconds / 60)} min")


@live.app_template_global()
@cache
def examples_drawn() -> list[dict]:
    """Pictures by the built-in model for a table that is empty: each has a `prompt`, `width`, `height`, and as `src` the file itself,
    for six more requests are dear where a tunnel counts them."""
    found = json.loads((EXAMPLES / "examples.json").read_text("utf-8")) if (EXAMPLES / "examples.json").is_file() else []
    read = {each["file"]: base64.b64encode((EXAMPLES / each["file"]).read_bytes()).decode() for each in found}
    return [each | {"src": f"data:image/webp;base64,{read[each['file']]}"} for each in found]


def table() -> list[JobView]:
    """What lies on the light table of whoever asks. `g.moment` is the id of the messages that are told there already."""
    g.moment = house().events.now
    views = answers.views(house().store.jobs_of(person(), SHOWN))
    return [
        view
        for view in views
        if view.pictures  # else all of them were thrown away
        and (view.state != CANCELLED or any(picture.id for picture in view.pictures) or view.created > time.time() - LINGER)
    ]


@live.get("/jobs")
def jobs() -> Response:
    """The light table, or of it what changed `after` that moment; for pages that no stream reaches."""
    moment = house().events.now
    found = _news(request.args.get("after", ""))[::-1]
    return jsonify(jobs=[view.model_dump() for view in found], model=answers.model().model_dump(), after=moment)


@live.get("/jobs/<id>")
def job(id: str):
    moment = house().events.now
    found = house().queue.find(person(), id)
    view = answers.views([found])[0]
    if answers.wants_json():
        return jsonify(view.model_dump())
    kept = _kept(id)
    number = len(sheets.of(found, house().library))
    return render_template("job.html", job=view, kept=kept, sheets=number, model=answers.model(), moment=moment)


@live.get("/jobs/<id>/sheet-<int:number>.png")
def contact_sheet(id: str, number: int) -> Response:
    """A grid's pictures on one sheet, as far as they are there."""
    found = sheets.of(house().queue.find(person(), id), house().library)
    if not 1 <= number <= len(found):
        raise NotFound("There is no such sheet.")
    wanted = found[number - 1]
    kept = {picture.number: picture.id for picture in _kept(id)}
    names = [kept.get(index) for index in wanted.indices]
    answer = Response(mimetype="image/png")
    answer.set_etag(hashlib.sha256(repr((wanted, names)).encode()).hexdigest())
    answer.headers["Cache-Control"] = "private, no-cache"
    if not request.if_none_match.contains(answer.get_etag()[0]):
        answer.data = sheets.png(wanted, names, house().files)
    return answer.make_conditional(request)


def _kept(id: str) -> list[Picture]:
    """The job's pictures that are there and were not thrown away."""
    return [picture for picture in house().store.pictures_of([id])[id] if not picture.deleted]


@live.post("/jobs/<id>/cancel")
def cancel(id: str) -> AnyResponse:
    cancelled = house().queue.cancel(person(), id)
    if answers.wants_json():
        return jsonify(answers.views([cancelled])[0].model_dump())
    return redirect(url_for("create.page"), 303)


@live.post("/model")
def model() -> AnyResponse:
    """The host changes the model that draws; what waits is drawn by the new one."""
    if not is_host():
        raise Refused("Only the host can change the model.")
    house().workers.use(request.form.get("name", ""))
    if answers.wants_json():
        return jsonify(answers.model().model_dump())
    return redirect(url_for("create.page"), 303)


@live.get("/events")
def events() -> Response:
    """The light table as a stream of server-sent events: the model's state, what changed `after` a message's id, then each job as it
    changes.

    The first message about a job holds its whole state, later ones only what is new of it and its pictures. Without an id that is
    known here all of the table comes first. A `tab` has one stream; to a `quiet` one no previews are sent, and less often.
    """
    home, owner = house(), person()
    after, tab, quiet = request.args.get("after", ""), request.args.get("tab", "")[:32], bool(request.args.get("quiet"))
    after = request.headers.get("Last-Event-ID", after)
    if home.events.count(owner, besides=tab) >= STREAMS or home.events.count() >= ALL_STREAMS:
        raise Busy("Too many pages are open to tell them all live; this one asks now and then instead.")

    def stream() -> Iterator[str]:
        told = Told(previews=not quiet)
        with home.events.listen(owner, tab) as listener:
            moment, model = home.events.now, answers.model()
            yield _message("model", model.model_dump())
            yield from told.messages(_news(after))
            yield _all_before(moment)
            moment = home.events.now
            while (changed := listener.wait(1.0 if model.state == "loading" else HEARTBEAT)) is not None:
                if (now := answers.model()) != model:
                    model = now
                    yield _message("model", model.model_dump())
                yield from told.messages(answers.views(home.store.jobs(owner, changed))[::-1])
                yield _all_before(moment) if changed else ": still here\n\n"
                moment = home.events.now
                time.sleep(QUIET_PACE if quiet else PACE)

    return Response(stream_with_context(stream()), mimetype="text/event-stream", headers={"X-Accel-Buffering": "no"})


def _news(after: str) -> list[JobView]:
    """What changed on the light table after that moment, or all that lies there, oldest first."""
    changed = house().events.since(person(), after)
    return (table() if changed is None else answers.views(house().store.jobs(person(), changed)))[::-1]


class Told:
    """What one stream has told of each job."""

    def __init__(self, previews: bool) -> None:
        self._previews = previews
        self._jobs: dict[str, tuple[float, dict]] = {}  # when, and all that is known of it there

    def messages(self, views: Iterable[JobView]) -> Iterator[str]:
        """One for each job of which there is news."""
        return (_message("job", facts) for facts in map(self.news, views) if facts)

    def news(self, view: JobView) -> dict | None:
        """All about a job that was not told of yet, later only what is new; None if nothing is."""
        facts, now = view.model_dump(), time.monotonic()
        for picture in facts["pictures"]:
            picture["preview"] = picture["preview"] if self._previews else ""
        then, before = self._jobs.get(view.id, (now, {}))
        for name in ("starts", "ends"):
            facts[name] = _as_foreseen(before.get(name), now - then, facts[name])
        self._jobs[view.id] = now, facts
        if [picture["number"] for picture in before.get("pictures", ())] != [picture["number"] for picture in facts["pictures"]]:
            return facts
        expected = before | {name: _later(before[name], now - then) for name in ("starts", "ends")}
        pairs = zip(facts["pictures"], before["pictures"], strict=True)
        pictures = [{"number": new["number"], **_changes(new, old)} for new, old in pairs if new != old]
        changes = _changes({**facts, "pictures": pictures}, {**expected, "pictures": []})
        return {"id": view.id, **changes} if changes else None


def _changes(new: dict, old: dict) -> dict:
    return {name: value for name, value in new.items() if value != old[name]}


def _later(seconds: float | None, passed: float) -> float | None:
    """What was told to be so many seconds away, so many seconds later."""
    return None if seconds is None else round(max(0.0, seconds - passed), 1)


def _as_foreseen(told: float | None, passed: float, seconds: float | None) -> float | None:
    """The seconds to tell now: those that the page counts down to by itself, as long as they are about right."""
    expected = _later(told, passed)
    if seconds is None or expected is None or abs(seconds - expected) > max(1.0, 0.1 * seconds):
        return None if seconds is None else round(seconds, 1)
    return expected


def _message(kind: str, facts: dict) -> str:
    """One server-sent event."""
    return f"event: {kind}\ndata: {json.dumps(facts, ensure_ascii=False, separators=(',', ':'))}\n\n"


def _all_before(moment: str) -> str:
    """The id of that moment: whoever has it has been told all before it."""
    return f"id: {moment}\n\n"
