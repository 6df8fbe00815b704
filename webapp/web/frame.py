"""Lets the page live in Colab's frame below a cell, which is another site to the browser. Only there: Colab may frame it, the cookie is one
that frames keep, and the address that Colab's proxy gives the page counts as this machine's own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask, Response, request
from flask.sessions import SecureCookieSessionInterface

from webapp.web.access import CSP, split

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PROXIES = (".prod.colab.dev", "colab.googleusercontent.com")  # how the names end under which Colab shows a port of its machine
ANCESTORS = "https://colab.research.google.com https://*.googleusercontent.com https://*.prod.colab.dev"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def allow(app: Flask) -> None:
    """Before the app's first request."""
    app.session_interface = _Cookies()
    app.wsgi_app = _by_proxy(app.wsgi_app)  # type: ignore[method-assign]

    @app.after_request  # before the one that would set the usual policy, for the latest comes first
    def may_be_framed(response: Response) -> Response:
        if _framed():
            response.headers["Content-Security-Policy"] = CSP.replace("frame-ancestors 'self'", f"frame-ancestors 'self' {ANCESTORS}")
        return response


def _framed() -> bool:
    """Whether a request may come from the frame; what comes through a tunnel bears the tunnel's name."""
    return split(f"//{request.host}").hostname in LOOPBACK


def _by_proxy(application: WSGIApplication) -> WSGIApplication:
    """A request under the proxy's name is one under ours. Its Origin is changed alike, so that our own forms stay our own."""

    def renamed(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        name = environ.get("HTTP_HOST", "")
        if (split(f"//{name}").hostname or "").endswith(PROXIES):
            environ["HTTP_HOST"] = f"127.0.0.1:{environ['SERVER_PORT']}"
            if split(environ.get("HTTP_ORIGIN", "")).netloc == name:
                environ["HTTP_ORIGIN"] = f"http://{environ['HTTP_HOST']}"
        return application(environ, start_response)

    return renamed


class _Cookies(SecureCookieSessionInterface):
    def get_cookie_secure(self, app: Flask) -> bool:
        return _framed() or request.is_secure

    def get_cookie_samesite(self, app: Flask) -> str | None:
        return "None" if _framed() else super().get_cookie_samesite(app)

    def get_cookie_partitioned(self, app: Flask) -> bool:
        return _framed()
