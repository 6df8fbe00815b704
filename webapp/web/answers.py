"""What every page does to answer: the same views for people and for scripts, in the reader's language."""

from __future__ import annotations

from collections.abc import Sequence

from flask import current_app, request, url_for

from webapp.errors import NotFound
from webapp.jobs.store import Job
from webapp.schema import JobView, ModelView
from webapp.web.access import is_loopback
from webapp.web.house import house
from webapp.web.language import told


def wants_json() -> bool:
    """Whether a script asks, rather than a person's browser for a page."""
    return request.accept_mimetypes.best_match(["text/html", "application/json"]) == "application/json"


def outside_url(endpoint: str, **values: str) -> str:
    """A whole address for others: at the public one while a tunnel is open, and never at one that leads to their own machine, however the
    page's owner looks at it."""
    asked, own = request.host_url, current_app.config.get("ADDRESS", "")
    if own and is_loopback(asked) and not is_loopback(own):
        asked = own
    return (current_app.config.get("PUBLIC_URL") or asked).rstrip("/") + url_for(endpoint, **values)


def views(jobs: Sequence[Job]) -> list[JobView]:
    """What their owner, who asks, sees of these jobs."""
    found = house().queue.views(jobs, house().workers.model.defaults)
    for view in found:
        view.error = told(view.error)
        for place, picture in enumerate(view.pictures):
            spoken = {"error": told(picture.error), "notes": tuple(told(note) for note in picture.notes)}
            view.pictures[place] = picture.model_copy(update=spoken)
    return found


def model() -> ModelView:
    """How far the model is."""
    seen = house().workers.model
    return seen.model_copy(update={"sentence": told(seen.sentence)})


def file(name: str) -> bytes:
    """A picture's file. Raises NotFound."""
    try:
        return house().files.read(name)
    except FileNotFoundError:
        raise NotFound("The file of this picture is gone from the server's disk.") from None
