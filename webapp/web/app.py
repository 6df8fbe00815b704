"""The app put together: the house behind the door, the checks at it, and the pages in front."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from datetime import timedelta
from functools import partial
from pathlib import Path

from flask import Flask, Response, jsonify, render_template, request
from flask_compress import Compress
from werkzeug.exceptions import HTTPException

from webapp.errors import AppError, Busy
from webapp.settings import Settings
from webapp.web import access, answers, create, gallery, host, language, live, preferences
from webapp.web.house import House

ROOT = Path(__file__).resolve().parents[2]
log = logging.getLogger(__name__)


def create_app(settings: Settings) -> Flask:
    """The app, its workers already loading the model. A run that others can reach opens only with a link; one is made if it has none."""
    stamp = _stamp()
    app = Flask("webapp", template_folder=ROOT / "templates", static_folder=ROOT / "static", static_url_path=f"/static/{stamp}")
    app.jinja_env.globals["stamp"] = stamp
    app.config.update(SEND_FILE_MAX_AGE_DEFAULT=timedelta(days=365))
    Compress(app)
    home = app.extensions["house"] = House.build(settings)
    access.guard(app, home.settings)
    language.teach(app)
    for pages in (create.create, live.live, gallery.gallery, host.host, preferences.preferences):
        app.register_blueprint(pages)
    app.register_error_handler(AppError, _show_error)
    app.register_error_handler(HTTPException, _show_http_error)
    app.register_error_handler(Exception, _show_surprise)

    app.wsgi_app = home.meter.around(app.wsgi_app, partial(access.is_tunnelled, app))  # type: ignore[method-assign]
    home.workers.start()
    return app


def _stamp() -> str:
    """In the address of what pages are made of: another as soon as any of it changes, so that browsers may keep it for ever."""
    files = sorted(path for folder in ("static", "locales") for path in (ROOT / folder).rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:8]


def _answer(sentence: str, status: int) -> tuple[Response | str, int]:
    sentence = language.told(sentence)
    if answers.wants_json():
        return jsonify(error=sentence), status
    return render_template("error.html", sentence=sentence, outside=not access.inside()), status


def _show_error(error: AppError):
    answer, status = _answer(error.sentence, error.status)
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, Busy) else {}
    return answer, status, headers


_SENTENCES = {
    404: "There is nothing at this address.",
    405: "This address does not take that kind of request.",
    413: "That is more than this page takes at once. Please send less.",
}


MOST_DRAINED = 512 << 20  # bytes


def _show_http_error(error: HTTPException):
    status = error.code or 500
    if status == 413:
        _drain()
    return _answer(_SENTENCES.get(status, "That request could not be understood."), status)


def _drain() -> None:
    """Reads what is still being sent, and throws it away: a browser reads no answer before it has sent all. What never ends is cut off."""
    left, stream = MOST_DRAINED, request.environ["wsgi.input"]
    with contextlib.suppress(OSError):
        while left > 0 and (read := stream.read(1 << 20)):
            left -= len(read)


def _show_surprise(error: Exception):
    log.exception("%s %s", request.method, request.path)
    return _answer("Something went wrong on the server. Nothing of yours is lost; please try again.", 500)
