"""Everything one person has made, and each picture of it."""

from __future__ import annotations

from flask import Blueprint, Response, render_template

from webapp.web import answers
from webapp.web.access import person
from webapp.web.house import house

gallery = Blueprint("gallery", __name__)


@gallery.get("/gallery")
def page() -> str:
    return render_template("gallery.html", page=house().gallery.page(person()))


@gallery.get("/pictures/<id>.<any(png,webp):kind>")
def picture(id: str, kind: str) -> Response:
    found = house().queue.picture(person(), id)
    response = Response(answers.file(f"{found.id}.{kind}"), mimetype=f"image/{kind}")
    response.headers["Cache-Control"] = "private, max-age=31536000, immutable"
    if kind == "png":
        response.headers["Content-Disposition"] = f'inline; filename="picture-{found.receipt.request.seed}.png"'
    return response
