"""Who may come in, and as whom. Every route asks here first: the host is known, a change comes from our own page, whoever comes
over a shared address has a link that opens it, nobody asks too much, and each browser has a signed identity of its own."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import time
from collections.abc import Iterable
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from flask import Flask, Response, g, redirect, request, session
from flask.sessions import SecureCookieSessionInterface
from flask_limiter import ApplicationLimit, Limit, Limiter, RequestLimit
from limits import parse
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.wrappers import Response as AnyResponse

from webapp.errors import Busy, Paused, Refused
from webapp.jobs.people import GUESTS, HOST
from webapp.settings import Settings
from webapp.web.house import house, kept_secret

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# endpoints that need no link
PUBLIC = frozenset({"static", "preferences.words", "preferences.change", "gallery.shared", "gallery.shared_picture"})
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
LIGHT = frozenset({"gallery.picture", "gallery.before", "gallery.shared_picture", "create.reading"})  # what a page asks for by dozens
STREAMS = frozenset({"live.events"})  # these have limits of their own
EVERYTHING = "6000/minute"  # from one address; a page counts ten, a picture one
CHANGES = "60/minute"  # by one person, of each kind
WRONG_TRIES = parse("20/10 minutes")  # from one address
RENEWED = 30 * 24 * 3600  # seconds: how often the cookie is given anew to a browser that still comes
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)


def person() -> str:
    """The identity of whoever asks. A browser's is random, anonymous and signed; a program's is that of its token and user name."""
    if "person" not in g:
        if "person" not in session:
            session.permanent = True
            session["person"] = secrets.token_urlsafe(16)
        if session.get("since", 0) < time.time() - RENEWED:
            session["since"] = int(time.time())  # a changed cookie lives a year from now on
        g.person = session["person"]
    return g.person


def is_host() -> bool:
    """Whether the host asks: on a server that nobody else can reach, everybody is."""
    return not house().settings.shared or g.get("link") == HOST


def inside() -> bool:
    """Whether whoever asks was let in."""
    return g.get("link") is not None


def guard(app: Flask, settings: Settings) -> None:
    """Puts the checks before, and the headers behind, every route of `app`."""
    key = kept_secret(settings.data / "cookie.key")
    app.config.update(
        SECRET_KEY=key,  # signs cookies
        # of its own, for one of another folder on the same machine would write over it: browsers tell ports apart by nothing
        SESSION_COOKIE_NAME=f"t2i-{hashlib.sha256(key.encode()).hexdigest()[:8]}",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=timedelta(days=365),
        MAX_CONTENT_LENGTH=1 << 20,  # bytes; a form of words needs no more
    )
    app.session_interface = _Cookies()
    app.jinja_env.globals["is_host"] = is_host
    if settings.shared:
        app.wsgi_app = _through_tunnel(app.wsgi_app, _ip(settings.host))  # type: ignore[method-assign]

    @app.before_request
    def check() -> AnyResponse | None:
        _check_host(settings)
        _check_origin()
        if request.endpoint in PUBLIC:
            return None
        g.link, token = _link(limiter)
        if token:
            _remember(g.link, token)
            if request.method in SAFE:
                return redirect(request.path, 303)  # the token leaves the address bar
        if "person" in g or "person" in session:
            house().people.note(person(), g.link)
        return None

    # after the check, for it counts by person
    limiter = Limiter(
        _address,
        app=app,
        storage_uri="memory://",
        application_limits=[ApplicationLimit(EVERYTHING, key_function=_address, cost=_cost, exempt_when=_unlimited)],
        default_limits=[Limit(CHANGES, key_function=person, exempt_when=_changes_nothing)],
        on_breach=_too_much,
    )

    @app.after_request
    def close_up(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", CSP)
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        # not no-referrer: with that, browsers send "Origin: null" with our own forms, and over plain http nothing else tells them apart
        response.headers.setdefault("Referrer-Policy", "same-origin")
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        response.headers.setdefault("Cache-Control", "no-store")
        return response


# -- the link


def _link(limiter: Limiter) -> tuple[str, str]:
    """By what link whoever asks comes in: HOST, GUESTS, or an invitation's id; and the token, if the address bar has it now.

    A program sends its token as a bearer's or as the password of Basic authorization; of a browser that has a link, that is for a proxy
    before us. Raises Refused, Paused, and Busy after too many wrong tries.
    """
    shown, came = request.args.get("token", ""), bool({"host", "badge"} & set(session))
    if not (shown or came) and (sent := request.authorization) and (word := sent.token or sent.password):
        g.person = hashlib.sha256(f"{word}\n{sent.username or ''}".encode()).hexdigest()[:32]
        link = _opens(word, limiter) if house().settings.shared else HOST
    elif not house().settings.shared:
        return HOST, ""
    elif shown:
        try:
            link = _opens(shown, limiter)
        except Refused:
            if not came:
                raise
            link, shown = _remembered(), ""  # an old link in a browser that has come in before
    else:
        link = _remembered()
    if link != HOST and house().people.rules.paused:
        raise Paused("The host has closed this page for a while. Nothing of yours is lost; please come back later.", 300)
    return link, shown


def _opens(token: str, limiter: Limiter) -> str:
    """What this token opens."""
    home, address = house(), _address()
    if not limiter.limiter.test(WRONG_TRIES, address):
        reset = limiter.limiter.get_window_stats(WRONG_TRIES, address).reset_time
        raise Busy("There were too many wrong links from here. Please wait a few minutes.", max(1, int(reset - time.time()) + 1))
    for link, secret in ((HOST, home.host_key), (GUESTS, home.people.rules.link)):
        if hmac.compare_digest(token.encode(), secret.encode()):
            return link
    if invite := home.people.invited(token=token):
        if invite.ended:
            raise Refused(invite.ended)
        return invite.id
    limiter.limiter.hit(WRONG_TRIES, address)
    raise Refused("This page opens only with the link its host gave you. Please ask for the link.")


def _remember(link: str, token: str) -> None:
    """Writes into the cookie how this browser came in: what only the token can make, never the token itself."""
    person()
    if link == HOST:
        session["host"] = _badge(token)
    else:
        session["badge"] = _badge(token) if link == GUESTS else link


def _remembered() -> str:
    """What this browser's cookie opens. Being the host stays, also for one who tries the guests' link."""
    home = house()
    if session.get("host") == _badge(home.host_key):
        return HOST
    badge = session.get("badge", "")
    if badge == _badge(home.people.rules.link):
        return GUESTS
    if badge and (invite := home.people.invited(id=badge)):
        if invite.ended:
            raise Refused(invite.ended)
        return invite.id
    if badge:
        raise Refused("The host has changed the link to this page. Nothing of yours is lost; please ask for the new link.")
    raise Refused("This page opens only with the link its host gave you. Please ask for the link.")


def _badge(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


# -- limits


def _address() -> str:
    """Where whoever asks is."""
    peer = _ip(request.remote_addr or "")
    if isinstance(peer, IPv6Address) and not peer.is_loopback:
        return str(ipaddress.ip_network((peer, 64), strict=False))  # one household has all of these
    return str(peer)


def _ip(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _unlimited() -> bool:
    return is_host() or request.endpoint in STREAMS


def _changes_nothing() -> bool:
    return request.method in SAFE or request.endpoint in LIGHT | PUBLIC or _unlimited()


def _cost() -> int:
    return 1 if request.endpoint in LIGHT else 10


def _too_much(limit: RequestLimit) -> None:
    raise Busy("That was a lot at once. Please wait a moment.", max(1, int(limit.reset_at - time.time()) + 1))


# -- where a request comes from


class _Cookies(SecureCookieSessionInterface):
    def get_cookie_secure(self, app: Flask) -> bool:
        return request.is_secure


def _through_tunnel(plain: WSGIApplication, own: IPv4Address | IPv6Address | None) -> WSGIApplication:
    """A tunnel on this machine, which comes by loopback or by the server's `own` address, tells whose requests it brings, at the end of
    X-Forwarded-For; from elsewhere, anybody could write that."""
    brought = ProxyFix(plain, x_for=1, x_proto=1)

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        peer = _ip(environ.get("REMOTE_ADDR", ""))
        return (brought if peer and (peer.is_loopback or peer == own) else plain)(environ, start_response)

    return application


def is_tunnelled(app: Flask, environ: WSGIEnvironment) -> bool:
    """Whether a tunnel brings this request: it bears the public address."""
    public = app.config.get("PUBLIC_URL")
    return bool(public) and environ.get("HTTP_HOST", "").lower() == split(public).netloc


def split(address: str) -> SplitResult:
    """The parts of an address that a request brings; none of what is no address, such as "http://["."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")


def _check_host(settings: Settings) -> None:
    """On a server without a token only loopback names are ours: a foreign name that leads here is DNS rebinding."""
    if not (settings.shared or is_loopback(request.host_url)):
        raise Refused("This server answers only under its own address, such as http://127.0.0.1.")


def is_loopback(address: str) -> bool:
    """Whether a whole address leads to the machine of whoever opens it."""
    name = split(address).hostname or ""
    found = _ip(name)
    return name == "localhost" or bool(found and found.is_loopback)


def _check_origin() -> None:
    """A change must come from our own page (the check of Filippo Valsorda's "Cross-Site Request Forgery", 2025)."""
    if request.method in SAFE:
        return
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site in ("same-origin", "none") or (site is None and (origin is None or split(origin).netloc == request.host)):
        return
    raise Refused("This request came from another site, so it was refused. Please use the page itself.")
