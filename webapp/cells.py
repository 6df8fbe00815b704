"""What the app notebook's cells call before and after the server: what this machine has, the model's files, and taking the pictures along."""

from __future__ import annotations

import os
import shutil
import sys
import time
from importlib import metadata
from pathlib import Path

from webapp import place
from webapp.catalogue import Catalogue
from webapp.errors import AppError
from webapp.place import Stop
from webapp.settings import Settings

SHOWN = ("torch", "diffusers", "transformers", "huggingface_hub", "flask")
HUB_TOKEN = "HF_TOKEN"
DRIVE = "/content/drive"
_lent = ""  # the token that the hub's client was given here


def checks() -> None:
    """Prints what this machine has, and what of it will not do; nothing is changed."""
    import psutil

    for sentence in place.unfit():
        print(sentence)
    print(f"Place:     {place.here()}, Python {sys.version.split()[0]}")
    print(f"GPU:       {_gpu()}")
    print(f"Memory:    {psutil.virtual_memory().total / 1e9:.0f} GB")
    print(f"Disk:      {shutil.disk_usage('.').free / 1e9:.0f} GB free")
    print(f"Libraries: {', '.join(f'{name} {metadata.version(name)}' for name in SHOWN)}")


def _gpu() -> str:
    from webapp.engine import checkpoint

    kind = checkpoint.best_device().type
    name, memory = checkpoint.gpu()
    if kind == "cpu":
        found = f"{name}, which is too old for torch {metadata.version('torch')}" if name else "none"
        return f"{found}. The built-in model draws well without; Stable Diffusion 2.1 takes many minutes a picture"
    return f"{name}, {memory / 1e9:.0f} GB" if name else kind


def fetch(model: str, data: str = "") -> None:
    """Has the model's files on this disk, with a bar for those that still come; what has come before is not fetched again. Raises Stop."""
    from webapp import models_command

    _lend_token()
    library = settings(data=data).library
    try:
        entry = Catalogue(library).find(model)
        here = models_command.path(entry)
        if here is None or not here.exists():
            models_command.fetch(entry, print)
    except AppError as error:
        offer = "" if "built-in model" in error.sentence else " The built-in model needs no download."
        raise Stop(f"{error.sentence}{offer} To go on with it, set MODEL to builtin and run this again.") from None
    print(f"{entry.name} is on this disk.")


def _lend_token() -> None:
    """Puts the secret where the hub's client looks; one that was put there and is no secret any more is taken away."""
    global _lent
    if _lent and os.environ.get(HUB_TOKEN) == _lent:
        del os.environ[HUB_TOKEN]
    token = place.secret(HUB_TOKEN)
    if token != os.environ.get(HUB_TOKEN, ""):
        os.environ[HUB_TOKEN] = _lent = token


def settings(**given: object) -> Settings:
    """The environment's settings, with those `given` before them; an empty one is none. Raises Stop."""
    try:
        return Settings.from_environment({name: value for name, value in given.items() if value != ""})
    except AppError as error:
        raise Stop(error.sentence) from None


def save(to: str, data: str = "data", drive: str = DRIVE) -> Path | None:
    """A zip of the host's own pictures, not of the guests': `to` "zip" beside the notebook, to "drive" in Google Drive. Raises Stop."""
    from webapp.jobs.files import Files
    from webapp.jobs.gallery import Gallery
    from webapp.jobs.people import HOST, PEOPLE
    from webapp.jobs.store import Store
    from webapp.web import bundle

    chosen = settings(data=data)
    store, files = Store(chosen.data), Files(str(chosen.data / "pictures"))
    gallery = Gallery(store, files)
    with store.database.connect() as db:
        mine = [person.id for person in db.execute(PEOPLE.select().where(PEOPLE.c.link == HOST))]
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


def _to_drive(path: Path, mount: str) -> Path:
    try:
        return Path(shutil.move(path, drive_folder(mount) / path.name))
    except Stop as stop:
        raise Stop(f"{stop} The pictures are in {path}.") from None
    except OSError as error:
        raise Stop(f"Google Drive did not take the file: {error.strerror}. The pictures are in {path}.") from None


def drive_folder(mount: str = DRIVE) -> Path:
    """The folder for pictures in Google Drive, which is brought in first; Colab asks for leave. Raises Stop."""
    if place.here() != "colab":
        raise Stop("Google Drive is there on Colab only.")
    from google.colab import drive

    try:
        drive.mount(mount)
    except Exception:  # ValueError, and Colab's own when leave is not given
        raise Stop("Google Drive was not opened. Please run this cell again, and allow it when Colab asks.") from None
    folder = Path(mount) / "MyDrive" / "text-to-image-generator"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
