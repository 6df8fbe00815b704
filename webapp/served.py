"""The app as a notebook serves it: what this machine has, the model's files, the server in the kernel, the ways in to it, and taking the
pictures along. A terminal's `serve --share` uses the same way in."""

from __future__ import annotations

import html
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from webapp import place
from webapp.catalogue import Catalogue
from webapp.errors import AppError
from webapp.settings import Settings
from webapp.web.tunnel import Tunnel, open_tunnel

SHOWN = ("torch", "diffusers", "transformers", "huggingface_hub", "flask")
AUTHTOKEN, HUB_TOKEN = "NGROK_AUTHTOKEN", "HF_TOKEN"
NO_TOKEN = (
    "For a link that others can open, get a free authtoken at dashboard.ngrok.com/get-started/your-authtoken, keep it as the secret "
    "NGROK_AUTHTOKEN, and run this cell again."
)
DRIVE = "/content/drive"
_running: list = []  # servers and tunnels of this kernel


class Stop(Exception):
    """Ends a cell, and "Run all" with it, with a sentence in place of a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


# -- before


def checks() -> None:
    """Prints what this machine has; nothing is changed."""
    import psutil

    print(f"Place:     {place.here()}, Python {sys.version.split()[0]}")
    print(f"GPU:       {_gpu()}")
    print(f"Memory:    {psutil.virtual_memory().total / 1e9:.0f} GB")
    print(f"Disk:      {shutil.disk_usage('.').free / 1e9:.0f} GB free")
    print(f"Libraries: {', '.join(f'{name} {metadata.version(name)}' for name in SHOWN)}")


def _gpu() -> str:
    from webapp.engine import checkpoint

    kind = checkpoint.best_device().type
    if kind == "cpu":
        return "none. The built-in model draws well without; Stable Diffusion 2.1 takes many minutes a picture"
    name, memory = checkpoint.gpu()
    return f"{name}, {memory / 1e9:.0f} GB" if name else kind


def fetch(model: str, data: str = "") -> None:
    """Has the model's files on this disk, with a bar for those that still come; what has come before is not fetched again. Raises Stop."""
    from webapp import models_command

    if token := place.secret(HUB_TOKEN):
        os.environ[HUB_TOKEN] = token  # where the hub's client looks
    try:
        entry = Catalogue(_settings(data=data).library).find(model)
        here = models_command.path(entry)
        if here is None or not here.exists():
            models_command.fetch(entry, print)
    except AppError as error:
        offer = "" if "built-in model" in error.sentence else " The built-in model needs no download."
        raise Stop(f"{error.sentence}{offer} To go on with it, set MODEL to builtin and run this again.") from None
    print(f"{entry.name} is on this disk.")


# -- the server


def serve(link: bool = False, ask: bool = False, domain: str = "", **settings: object):
    """The app, served from this kernel, and shown: on Colab in a frame that needs no token, elsewhere by a link. `settings` are those of
    Settings. What an earlier run of the cell started is stopped first.

    With `link`, and an ngrok authtoken among the secrets or, with `ask`, typed in, others can come in by a link too; the page is closed
    to everyone else then. Returns the Server. Raises Stop.
    """
    from webapp.web.app import create_app
    from webapp.web.frame import allow
    from webapp.web.server import Server

    stop()
    authtoken = place.secret(AUTHTOKEN, ask) if link else ""
    chosen = _settings(**settings)
    try:
        server = Server(create_app(closed(chosen) if authtoken else chosen), chosen.host, chosen.port)
    except AppError as error:
        raise Stop(error.sentence.replace("with --port", "in the settings")) from None
    if place.here() == "colab":
        allow(server.app)
    server.start()
    _running.append(server)
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


def _settings(**given: object) -> Settings:
    return Settings.from_environment({name: value for name, value in given.items() if value != ""})


def closed(settings: Settings) -> Settings:
    """The same for a run that others can reach: it opens only with a link, which lasts from run to run. The host's key is a new one, for the
    old one may be in a notebook's outputs."""
    from webapp.web.house import kept_secret

    (settings.data / "host.key").unlink(missing_ok=True)
    return replace(settings, token=settings.token or kept_secret(settings.data / "link.key"))


def share(server, authtoken: str, domain: str = "") -> Tunnel:
    """Opens a public address for a server whose settings are `closed`. Raises AppError."""
    opened = open_tunnel(server.port, authtoken, domain)
    _running.append(opened)
    return opened


def stop() -> None:
    """Ends the tunnel and the server of this kernel, if there are any. Pictures and unfinished jobs stay on the disk."""
    while _running:
        last = _running.pop()
        last.close() if isinstance(last, Tunnel) else last.stop()


def links(server, address: str = "") -> tuple[str, str]:
    """The guests' link and the host's, at this public address or the server's own; the same where everybody is the host."""
    house, address = server.app.extensions["house"], address or server.address
    if not house.host_key:
        return f"{address}/", f"{address}/"
    return f"{address}/?token={house.people.rules.link}", f"{address}/?token={house.host_key}"


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
    button = "display:inline-block;padding:.6em 1.2em;border-radius:.4em;background:#1f5f57;color:#fff;text-decoration:none;font-weight:600"
    return f"""<div style="display:flex;flex-wrap:wrap;gap:1.5em;align-items:flex-start;max-width:52em;font-family:system-ui,sans-serif">
<div>{code}</div>
<div style="flex:1;min-width:18em;line-height:1.45">
<p><a style="{button}" href="{guests}" target="_blank" rel="noopener">Open the public link</a></p>
<p><b>Who can come in:</b> everyone who has this link, or an invitation that you make on
<a href="{host}" target="_blank" rel="noopener">the host's page</a>, and nobody else. Each sees only their own pictures.
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
        if model.sentence != said:
            said = model.sentence
            print(said, file=sys.stderr, flush=True)
        if model.total:
            bar = bar or tqdm(total=model.total, unit="B", unit_scale=True)
            bar.update(model.done - bar.n)
        elif bar:
            bar.close()
            bar = None
        if model.state != "loading":
            return
        time.sleep(0.3)


# -- after


def save(to: str, data: str = "data", drive: str = DRIVE) -> Path | None:
    """A zip of the host's own pictures, not of the guests': `to` "zip" beside the notebook, to "drive" in Google Drive. Raises Stop."""
    from webapp.jobs.files import Files
    from webapp.jobs.gallery import Gallery
    from webapp.jobs.people import HOST, People
    from webapp.jobs.store import Store
    from webapp.web import bundle

    chosen = _settings(data=data)
    store, files = Store(chosen.data), Files(str(chosen.data / "pictures"))
    gallery = Gallery(store, files)
    mine = [guest.id for guest in People(store).seen() if guest.link == HOST]
    pictures = [picture for owner in mine for picture in gallery.all(owner)]
    if not pictures:
        store.close()
        print("There are no pictures of yours yet.")
        return None
    target = Path(f"pictures-{time.strftime('%Y%m%d-%H%M%S')}.zip")
    with target.open("wb") as out:
        out.writelines(bundle.zipped(pictures, lambda picture: _png(files, picture.id)))
    store.close()
    if to == "drive":
        target = _to_drive(target, drive)
    print(f"{len(pictures)} pictures are in {target}.")
    if to == "zip" and place.here() == "colab":
        from google.colab import files as browser

        browser.download(str(target))
    return target


def _png(files, name: str) -> bytes | None:
    try:
        return files.read(f"{name}.png")
    except FileNotFoundError:
        return None


def _to_drive(path: Path, drive: str) -> Path:
    if place.here() != "colab":
        raise Stop(f"Google Drive is there on Colab only. The pictures are in {path}.")
    from google.colab import drive as colab_drive

    colab_drive.mount(drive)
    folder = Path(drive) / "MyDrive" / "text-to-image-generator"
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.move(path, folder / path.name))
