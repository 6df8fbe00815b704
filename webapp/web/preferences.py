"""What each browser is remembered by besides who it is: its language, and dark or light."""

from __future__ import annotations

from flask import Blueprint, jsonify, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from webapp.web import language

THEMES = ("light", "dark")
YEAR = 365 * 24 * 3600  # seconds

preferences = Blueprint("preferences", __name__)


@preferences.post("/preferences")
def change() -> AnyResponse:
    """Remembers the `language` and the `theme` of the form, and goes back to `next`; an empty one is the system's own again."""
    back = request.form.get("next", "")
    answer = redirect(back if _ours(back) else url_for("create.page"), 303)
    for name, allowed in ((language.COOKIE, language.LANGUAGES), ("theme", THEMES)):
        value = request.form.get(name)
        if value in allowed:
            answer.set_cookie(name, value, max_age=YEAR, samesite="Lax", httponly=True)
        elif value == "":
            answer.delete_cookie(name)
    return answer


@preferences.get("/words/<name>.json")
def words(name: str):
    """The texts of one language, for scripts."""
    answer = jsonify(language.texts(name))
    answer.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return answer


def _ours(path: str) -> bool:
    """Whether it is a path on this server, and nothing that a browser takes for another's address."""
    return path.startswith("/") and not path.startswith(("//", "/\\")) and not any(ord(sign) < 32 for sign in path)
