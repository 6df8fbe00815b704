"""Who may come in, and as whom. Every route asks here first: the host is known, a change comes from our own page, whoever comes
over a shared address knows the link's token, and each browser has a signed identity of its own."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import secrets
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from flask import Flask, Response, redirect, request, session
from werkzeug.wrappers import Response as AnyResponse

from webapp.errors import Refused
from webapp.settings import Settings
from webapp.web.house import house

PUBLIC = frozenset({"static", "preferences.words", "preferences.change"})  # endpoints that need no token
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)


def person() -> str:
    """The identity of the browser that asks: random, anonymous, signed."""
    return session["person"]


def is_host() -> bool:
    """Whether the host asks: on a server that nobody else can reach, everybody is."""
    return not house().settings.shared


def guard(app: Flask, settings: Settings) -> None:
    """Puts the checks before, and the headers behind, every route of `app`."""
    app.config.update(
        SECRET_KEY=_signing_key(settings.data),
        SESSION_COOKIE_NAME="t2i",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=timedelta(days=365),
        MAX_CONTENT_LENGTH=1 << 20,  # bytes; a form of words needs no more
    )
    app.jinja_env.globals["is_host"] = is_host
    badge = hashlib.sha256(settings.token.encode()).hexdigest()  # what a cookie holds instead of the token

    @app.before_request
    def check() -> AnyResponse | None:
        _check_host(settings)
        _check_origin()
        if settings.shared and request.endpoint not in PUBLIC and session.get("badge") != badge:
            if not hmac.compare_digest(request.args.get("token", "").encode(), settings.token.encode()):
                raise Refused("This page opens only with the link its host gave you. Please ask for the link.")
            session["badge"] = badge
            _introduce()
            return redirect(request.path, 303)  # the token leaves the address bar
        _introduce()
        return None

    @app.after_request
    def close_up(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", CSP)
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        # not no-referrer: with that, browsers send "Origin: null" with our own forms, and over plain http nothing else tells them apart
        response.headers.setdefault("Referrer-Policy", "same-origin")
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        response.headers.setdefault("Cache-Control", "no-store")
        return response


def _introduce() -> None:
    if "person" not in session:
        session.permanent = True
        session["person"] = secrets.token_urlsafe(16)


def _check_host(settings: Settings) -> None:
    """On a server without a token only loopback names are ours: a foreign name that leads here is DNS rebinding."""
    name = urlsplit(f"//{request.host}").hostname or ""
    if settings.shared or name == "localhost":
        return
    try:
        if ipaddress.ip_address(name).is_loopback:
            return
    except ValueError:
        pass
    raise Refused("This server answers only under its own address, such as http://127.0.0.1.")


def _check_origin() -> None:
    """A change must come from our own page (the check of Filippo Valsorda's "Cross-Site Request Forgery", 2025)."""
    if request.method in SAFE:
        return
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site in ("same-origin", "none") or (site is None and (origin is None or urlsplit(origin).netloc == request.host)):
        return
    raise Refused("This request came from another site, so it was refused. Please use the page itself.")


def _signing_key(data: Path) -> str:
    """The key that signs cookies, made once for this data folder and readable by its owner alone."""
    path = data / "cookie.key"
    data.mkdir(parents=True, exist_ok=True)
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32))
    except FileExistsError:
        pass
    return path.read_text()
