"""The server in a notebook's kernel and the ways in to it: Colab's frame, a link, ngrok's public address. A terminal's `serve --share` uses
the same public address."""

from __future__ import annotations

import html
import logging
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import quote

from webapp import cells, place
from webapp.errors import AppError
from webapp.settings import Settings
from webapp.web.tunnel import Tunnel, open_tunnel

AUTHTOKEN = "NGROK_AUTHTOKEN"
NO_TOKEN = (
    "For a link that others can open, get a free authtoken at dashboard.ngrok.com/get-started/your-authtoken, keep it as the secret "
    "NGROK_AUTHTOKEN, and run this cell again."
)
logging.getLogger("pyngrok").addHandler(logging.NullHandler())  # what it logs is for a log, not for a cell: the sentence says it
_running: list[Callable[[], None]] = []  # what ends the servers and tunnels of this kernel


# -- the server


def serve(link: bool = False, ask: bool = False, domain: str = "", **settings: object):
    """The app, served from this kernel, and shown: on Colab in a frame that needs no token, elsewhere by a link. `settings` are those of
    Settings. What an earlier run of the cell started is stopped first.

    With `link`, and an ngrok authtoken among the secrets or, with `ask`, typed in, others can come in by a link too; the page is closed
    to everyone else then. Returns the Server. Raises cells.Stop.
    """
    from webapp.web.app import create_app
    from webapp.web.frame import allow
    from webapp.web.server import Server

    stop()
    authtoken = place.secret(AUTHTOKEN, ask) if link else ""
    chosen = cells.settings(**settings)
    (chosen.data / "host.key").unlink(missing_ok=True)  # the host's old link may be in a notebook's outputs
    app = create_app(closed(chosen) if authtoken else chosen)
    try:
        server = Server(app, chosen.host, chosen.port)
    except AppError as error:
        app.extensions["house"].close()
        raise cells.Stop(error.sentence.replace("with --port", "in the settings")) from None
    if place.here() == "colab":
        allow(app)
    server.start()
    _running.append(server.stop)
    opened = None
    if authtoken:
        try:
            opened = share(server, authtoken, domain)
        except AppError as error:
            print(f"{error.sentence} Nobody else can come in meanwhile.")
    elif link:
        print(NO_TOKEN)
    _show(server, opened)
    return server


def closed(settings: Settings) -> Settings:
    """The same for a run that others can reach: it opens only with a link, which lasts from run to run."""
    from webapp.web.house import kept_secret

    return replace(settings, token=settings.token or kept_secret(settings.data / "link.key"))


def share(server, authtoken: str, domain: str = "") -> Tunnel:
    """Opens a public address for a server whose settings are `closed`. Raises AppError."""
    opened = open_tunnel(server.upstream, authtoken, domain)
    server.app.config["PUBLIC_URL"] = opened.url  # for links that are meant for others

    def end() -> None:
        server.app.config.pop("PUBLIC_URL", None)
        opened.close()

    _running.append(end)
    return opened


def stop() -> None:
    """Ends the tunnel and the server of this kernel, if there are any. Pictures and unfinished jobs stay on the disk."""
    while _running:
        _running.pop()()


def links(server, address: str = "") -> tuple[str, str]:
    """The guests' link and the host's, at this public address or the server's own; the same where everybody is the host."""
    house, address = server.app.extensions["house"], address or server.address
    if not house.host_key:
        return f"{address}/", f"{address}/"
    guests, host = (quote(token, safe="") for token in (house.people.rules.link, house.host_key))
    return f"{address}/?token={guests}", f"{address}/?token={host}"


# -- what is shown


def _show(server, opened: Tunnel | None) -> None:
    """The frame on Colab, else a link; and the card of the public link if there is one."""
    from IPython.display import HTML, display

    _, own = links(server)
    if opened:
        display(HTML(_card(server, opened)))
    if place.here() == "colab":
        from google.colab import output

        output.serve_kernel_port_as_iframe(server.port, path=own.removeprefix(server.address), height="900")
    elif place.here() == "kaggle" and not opened:
        print("On Kaggle the page can be reached by a public link only.")
    elif place.here() != "kaggle":
        shown = html.escape(own, quote=True)
        display(HTML(f'<p><a href="{shown}" target="_blank" rel="noopener">Open the page: {server.address}</a></p>'))


def _card(server, opened: Tunnel) -> str:
    import segno

    guests, host = (html.escape(link, quote=True) for link in links(server, opened.url))
    code = segno.make(links(server, opened.url)[0], micro=False).svg_inline(scale=4, border=3, light="white", title="The link as a QR code")
    button = "display:inline-block;padding:.6em 1.2em;border-radius:.4em;background:#a83d18;color:#fff;text-decoration:none;font-weight:600"
    return f"""<div style="display:flex;flex-wrap:wrap;gap:1.5em;align-items:flex-start;max-width:52em;font-family:system-ui,sans-serif">
<div>{code}</div>
<div style="flex:1;min-width:18em;line-height:1.45">
<p><a style="{button}" href="{guests}" target="_blank" rel="noopener">Open the public link</a></p>
<p><b>Who can come in:</b> everyone who has this link, or an invitation that you make on
<a style="color:inherit" href="{host}" target="_blank" rel="noopener">the host's page</a>, and nobody else. Each sees only their own pictures.
Change or close the link there. That second link makes its bearer the host: keep it to yourself.</p>
<p>ngrok shows its own notice before the first visit of each browser: press <b>Visit Site</b> there.</p>
<p>{html.escape(budget(server))}</p>
<p>Both links are in this cell's output: clear it before you pass this notebook on.</p>
</div></div>"""


def budget(server) -> str:
    """A sentence about how much of ngrok's free month is used, as this data folder knows it."""
    from webapp.web.meter import FREE

    month = server.app.extensions["house"].meter.month
    return (
        f"Of ngrok's free month, this page has used {month.requests:,} of {FREE.requests:,} requests and "
        f"{month.bytes_out / 1e6:,.0f} of {FREE.bytes_out / 1e6:,.0f} MB."
    )


# -- in a terminal


def authtoken() -> str:
    """ngrok's, of the environment. Raises AppError without one."""
    if found := place.secret(AUTHTOKEN):
        return found
    raise AppError(
        "Sharing takes an ngrok authtoken. Get a free one at dashboard.ngrok.com/get-started/your-authtoken, and set NGROK_AUTHTOKEN to it."
    )


def announce(server, opened: Tunnel, out: Callable[[str], None] = print) -> None:
    """The public link, with a QR code where there is somebody to see it."""
    guests, host = links(server, opened.url)
    out(f"Public link: {guests}")
    out(f"Host's page: {host}")
    out("ngrok shows a notice before a browser's first visit: press Visit Site there.")
    if sys.stdout.isatty():
        import segno

        segno.make(guests, micro=False).terminal(compact=True)


def follow(server) -> None:
    """Tells on standard error, in the background, what the model is doing until it is ready; its download with a bar."""
    workers = server.app.extensions["house"].workers
    threading.Thread(target=_follow, args=(workers,), daemon=True, name="follow").start()


def _follow(workers) -> None:
    from tqdm import tqdm

    said, bar = "", None
    while True:
        model = workers.model
        if bar and not model.total:
            bar.update(bar.total - bar.n if model.state != "failed" else 0)
            bar.close()
            bar = None
        if model.sentence != said:
            said = model.sentence
            print(said, file=sys.stderr, flush=True)
        if model.total:
            bar = bar or tqdm(total=model.total, unit="B", unit_scale=True)
            bar.update(model.done - bar.n)
        if model.state != "loading":
            return
        time.sleep(0.3)
