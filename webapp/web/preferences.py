"""What each browser is remembered by besides who it is: its language, and dark or light."""

from __future__ import annotations

from flask import Blueprint, current_app, jsonify, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from webapp.errors import NotFound
from webapp.web import answers, language

THEMES = ("light", "dark")
YEAR = 365 * 24 * 3600  # seconds

preferences = Blueprint("preferences", __name__)


@preferences.post("/preferences")
def change() -> AnyResponse:
    """Remembers the `language` and the `theme` of the form, and leads people back to `next`; an empty one is the system's own again."""
    back, cookies = request.form.get("next", ""), current_app.session_interface
    answer = jsonify() if answers.wants_json() else redirect(back if _ours(back) else url_for("create.page"), 303)
    kept = {  # as the cookie that says who it is, which frames keep too
        "secure": cookies.get_cookie_secure(current_app),
        "samesite": cookies.get_cookie_samesite(current_app),
        "partitioned": cookies.get_cookie_partitioned(current_app),
        "httponly": True,
    }
    for name, allowed in ((language.COOKIE, language.LANGUAGES), ("theme", THEMES)):
        value = request.form.get(name)
        if value in allowed:
            answer.set_cookie(name, value, max_age=YEAR, **kept)
        elif value == "":
            answer.delete_cookie(name, **kept)
    return answer


@preferences.get("/words/<name>.json")
def words(name: str):
    """The texts of one language, for scripts. Raises NotFound for another: whatever is asked for is remembered."""
    if name not in language.LANGUAGES:
        raise NotFound("There is nothing at this address.")
    answer = jsonify(language.texts(name))
    answer.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return answer


def _ours(path: str) -> bool:
    """Whether it is a path on this server, and nothing that a browser takes for another's address."""
    return path.startswith("/") and not path.startswith(("//", "/\\")) and not any(ord(sign) < 32 for sign in path)
