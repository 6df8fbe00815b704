"""What the host sees and does: who is here, how the machine fares, and who may come in. Nobody's prompts."""

from __future__ import annotations

from flask import Blueprint, render_template

from webapp.errors import NotFound
from webapp.web.access import is_host

host = Blueprint("host", __name__)


@host.get("/host")
def page() -> str:
    if not is_host():
        raise NotFound("There is nothing at this address.")
    return render_template("host.html")
