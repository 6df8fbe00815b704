"""`python -m webapp models`: which models and upscalers there are by name; fetching, adding and removing them. Beside `__main__`, for
it is a command with commands of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from webapp.catalogue import BUILTIN, SHIPPED, Catalogue, Entry
from webapp.errors import AppError
from webapp.settings import Settings

KINDS = ("model", "upscaler")


def add_to(commands: Any) -> None:
    """Adds `models` to argparse's sub-commands."""
    parser = commands.add_parser("models", help="list the models; fetch, add or remove one")
    parser.set_defaults(command=_list)
    actions = parser.add_subparsers(metavar="ACTION")
    listing = actions.add_parser("list", help="list the models, and what is on this disk")
    listing.set_defaults(command=_list)
    add = actions.add_parser("add", help="give a model a name")
    add.set_defaults(command=_add)
    add.add_argument("name", metavar="NAME")
    add.add_argument("source", metavar="SOURCE", help="a folder, a .safetensors file, or an id on the hub")
    add.add_argument("--prediction", default="", metavar="v|epsilon", help="what the model predicts, where it does not say so itself")
    download = actions.add_parser("download", help="fetch a model, so that it is there without a net too")
    download.set_defaults(command=_download)
    download.add_argument("name", metavar="NAME")
    remove = actions.add_parser("remove", help="take a model off the list")
    remove.set_defaults(command=_remove)
    remove.add_argument("name", metavar="NAME")
    remove.add_argument("--files", action="store_true", help="delete what was fetched of it, too")
    for action in (parser, listing, add, download, remove):
        Settings.add_flags(action, ("data",))


def _catalogue(options: dict[str, Any]) -> Catalogue:
    given = {name: value for name, value in options.items() if name == "data"}
    return Catalogue(Settings.from_environment(given).data / "library")


def _list(options: dict[str, Any]) -> int:
    catalogue = _catalogue(options)
    rows = [
        (entry.name, _amount(entry), entry.source, entry.note) for entry in (*catalogue.entries.values(), *catalogue.upscalers.values())
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    for row in rows:
        print("  ".join([*(text.ljust(width) for text, width in zip(row, widths)), row[3]]).rstrip())
    if catalogue.trouble:
        print(catalogue.trouble, file=sys.stderr)
    return 0


def _add(options: dict[str, Any]) -> int:
    source = options["source"]
    place = path(Entry(options["name"], source))
    if place is None or not place.exists():
        from webapp.engine import hub

        hub.identify(source)  # says what is wrong, if it is no name there either
    entry = _catalogue(options).add(options["name"], source, options["prediction"])
    print(f"{entry.name} is {entry.source}.")
    return 0


def _download(options: dict[str, Any]) -> int:
    entry = _catalogue(options).find(options["name"], kinds=KINDS)
    place = path(entry)
    if place and place.is_file():
        from webapp.engine import single_file

        single_file.vocabulary(place, _say)
    elif place is None or not place.exists():
        fetch(entry, _say)
    print(f"{entry.name} is on this disk: {_amount(entry)}.")
    return 0


def fetch(entry: Entry, say: Callable[[str], None]) -> None:
    """Has the files of a hub's model on this disk, with a bar for those that still come. Raises ModelError."""
    from tqdm import tqdm

    from webapp.engine import hub

    repo, notice = hub.identify(entry.source)
    if notice:
        say(notice)
    with tqdm(unit="B", unit_scale=True, delay=0.1) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        hub.fetch(repo, say, show, entry.kind)


def _remove(options: dict[str, Any]) -> int:
    catalogue = _catalogue(options)
    entry = catalogue.find(options["name"], listed_only=True, kinds=KINDS)
    if not (options["files"] and entry in SHIPPED):
        catalogue.remove(entry.name)
        print(f"{entry.name} is off the list.")
    if options["files"]:
        print(_delete(entry))
    return 0


def _delete(entry: Entry) -> str:
    from webapp.engine import cache, hub

    place = path(entry)
    if place:
        return f"Its files at {place} were not fetched by this program, so they stay."
    repo, _ = hub.identify(entry.source)
    freed = cache.remove(repo)
    return f"{hub.amount(freed)} deleted." if freed else f"Nothing of {repo} is on this disk."


def path(entry: Entry) -> Path | None:
    """Where the model lies, unless it is one of the hub's."""
    if entry.source in BUILTIN:
        return BUILTIN[entry.source]
    place = Path(entry.source).expanduser()
    return place if place.exists() or place.is_absolute() else None


def _amount(entry: Entry) -> str:
    """What of the model is on this disk."""
    from webapp.engine import cache, hub

    place = path(entry)
    if place is None:
        try:
            repo, _ = hub.identify(entry.source)
        except AppError:
            return "not a model"
        if hub.on_disk(repo):
            return hub.amount(cache.size(repo))
        return "in part" if cache.size(repo) else "not here"
    if not place.exists():
        return "gone"
    return hub.amount(place.stat().st_size if place.is_file() else sum(hub.files(place).values()))


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)
