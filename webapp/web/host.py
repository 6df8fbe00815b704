"""What the host sees and does: who is here, how the machine fares, and who may come in. Nobody's prompts and nobody's pictures."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from webapp.errors import InvalidRequest, NotFound
from webapp.jobs.people import MOST_DAYS, MOST_PICTURES
from webapp.web import answers
from webapp.web.access import is_host
from webapp.web.house import House, house
from webapp.web.language import translate
from webapp.web.meter import FREE

HERE = 300.0  # seconds since their last request that somebody counts as being here
TODAY = 86_400.0
LOOKS, LOOKS_FROM_AFAR = 5, 30  # seconds between two looks of an open page; a tunnel has few requests to spend

host = Blueprint("host", __name__, url_prefix="/host")


@host.before_request
def host_only() -> None:
    if not is_host():
        raise NotFound("There is nothing at this address.")


@host.app_template_filter("size")
def size(number: float) -> str:
    """Bytes as people read them: "1.2 GB"."""
    for unit in ("B", "KB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if number >= 10 or unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"


@host.app_template_filter("ago")
def ago(when: float) -> str:
    minutes = (time.time() - when) / 60
    if minutes < 1:
        return translate("just now")
    if minutes < 60:
        return translate("{number} min ago", number=round(minutes))
    return translate("{number} h ago", number=round(minutes / 60)) if minutes < 48 * 60 else translate("on {day}", day=date(when))


@host.app_template_filter("date")
def date(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%d")


@host.get("")
def page() -> str:
    return _page()


@host.get("/now")
def now() -> str:
    """The part of the page that changes by itself."""
    return render_template("_host_now.html", **_now(house()))


@host.post("/model")
def model() -> AnyResponse:
    house().workers.use(request.form.get("name", ""))
    return _back("model")


@host.post("/link")
def rotate() -> AnyResponse:
    """Another link for the guests: everybody who came by the old one is out."""
    house().people.rules.rotate()
    house().events.hang_up()
    return _back("links")


@host.post("/pause")
def pause() -> AnyResponse:
    house().people.rules.pause(request.form.get("paused") == "yes")
    house().events.hang_up()
    return _back("links")


@host.post("/invites")
def invite() -> str:
    """Shows the new invitation's link, this once."""
    form = request.form
    token = house().people.invite(form.get("label", ""), _number("quota"), _number("days"))
    return _page(invitation=answers.outside_url("create.page", token=token))


@host.post("/invites/<invite>/revoke")
def revoke(invite: str) -> AnyResponse:
    if not house().people.revoke(invite):
        raise NotFound("There is no such invitation.")
    house().events.hang_up()
    return _back("links")


@host.post("/words")
def words() -> AnyResponse:
    house().people.rules.block(request.form.get("words", ""))
    return _back("words")


@host.post("/clean")
def clean() -> str:
    """Takes out for good what can be done without."""
    bin, handed_in = house().gallery.purge(), house().storage.drop_unneeded()
    return _page(cleaned=translate("Cleared away: {pictures} deleted pictures, {files} unused files.", pictures=bin, files=handed_in))


@host.post("/forget")
def forget() -> str:
    """Removes everything of people who have not come for long; first asks, telling how much that is."""
    days = _number("days")
    if not 0 < days <= 10 * MOST_DAYS:
        raise InvalidRequest({"days": f"The number of days must be from 1 to {10 * MOST_DAYS:,}."})
    if request.form.get("sure") != "yes":
        people, pictures = house().storage.absent(days)
        return render_template("forget.html", days=days, people=people, pictures=pictures)
    return _page(cleaned=translate("Removed: everything of {number} people.", number=house().storage.forget(days)))


def _back(part: str) -> AnyResponse:
    return redirect(url_for("host.page", _anchor=part), 303)


def _number(name: str) -> int:
    """That field of the form. Raises InvalidRequest."""
    try:
        return int(request.form.get(name, ""))
    except ValueError:
        raise InvalidRequest({name: "Please give a whole number."}) from None


def _page(**news: str) -> str:
    home = house()
    rules = home.people.rules
    return render_template(
        "host.html",
        **_now(home),
        **news,
        models=list(home.catalogue.entries.values()),
        link=answers.outside_url("create.page", token=rules.link) if rules.link else "",
        rules=rules,
        invites=home.people.invites(),
        most_pictures=MOST_PICTURES,
        most_days=MOST_DAYS,
        pause=LOOKS_FROM_AFAR if request.headers.get("X-Forwarded-For") else LOOKS,
    )


def _now(home: House) -> dict[str, Any]:
    """What changes by itself."""
    guests, used, month = home.people.seen(), home.storage.used(), home.meter.month
    for guest in guests:
        guest.storage = used.people[guest.id]
    here = [guest for guest in guests if time.time() - guest.seen < HERE or home.events.count(guest.id)]
    waiting, drawing = home.people.waiting()
    drawn = home.people.drawn_since(home.meter.since)
    return {
        "model": answers.model(),
        "facts": home.workers.facts(),
        "here": here,
        "today": [guest for guest in guests if guest not in here and time.time() - guest.seen < TODAY],
        "others": sum(time.time() - guest.seen >= TODAY for guest in guests),
        "waiting": waiting,
        "drawing": drawing,
        "month": month,
        "free": FREE,
        "drawn": drawn,
        "each": [number / drawn for number in home.meter.run] if drawn else [],
        "used": used,
        "shared": home.settings.shared,
    }
