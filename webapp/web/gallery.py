"""Everything one person has made, and each picture of it: looked at, marked, thrown away, taken along, compared, shown to others."""

from __future__ import annotations

import time
from typing import Any

from flask import Blueprint, Response, jsonify, redirect, render_template, request, url_for

from webapp import metadata
from webapp.errors import InvalidRequest, NotFound
from webapp.jobs.store import Picture
from webapp.web import answers, bundle, prints, receipts
from webapp.web.access import person
from webapp.web.house import house
from webapp.web.language import told

MOST = 10_000  # pictures changed at once
MOST_ZIPPED = 5_000
FOREVER = "private, max-age=31536000, immutable"  # a picture never changes
MARKS = {"favourite": True, "unfavourite": False}

gallery = Blueprint("gallery", __name__)


@gallery.app_template_filter("day")
def day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


@gallery.get("/gallery")
def page():
    asked, home = _asked(), house().gallery
    found = home.page(person(), request.args.get("after", ""), **asked)
    if answers.wants_json():
        return jsonify(pictures=[_view(picture) for picture in found.pictures], next=found.next)
    undo = request.args.get("undo", "")
    return render_template(
        "gallery.html",
        page=found,
        asked=_address(asked),
        total=home.count(person(), **asked),
        undo=undo,
        thrown=home.thrown(person(), undo) if undo else 0,
    )


@gallery.post("/gallery/change")
def change():
    """Marks the pictures of the form (`do`: favourite, unfavourite), throws them away (delete), or brings back (restore) what was
    thrown away together with the one it names."""
    ids, do, home = _ids(), request.form.get("do"), house().gallery
    if do in MARKS:
        changed = home.favour(person(), ids, MARKS[do])
    elif do == "delete":
        changed = home.delete(person(), ids)
    elif do == "restore":
        changed = home.restore(person(), ids[0])
    else:
        raise InvalidRequest({"do": "Please say what to do with the pictures: favourite, unfavourite, delete or restore."})
    if not changed:
        raise NotFound("There is no such picture of yours, or it was deleted more than an hour ago.")
    undo = next((id for id in ids if home.thrown(person(), id)), "") if do == "delete" else ""
    if answers.wants_json():
        return jsonify(changed=changed, undo=undo)
    if request.form.get("back") in ids and do != "delete":
        return redirect(url_for("gallery.show", id=ids[0], **_address(_asked())), 303)
    kept = {name: value for name in ("q", "favourites", "after") if (value := request.form.get(name))}
    return redirect(url_for("gallery.page", **kept, **({"undo": undo} if undo else {})), 303)


@gallery.post("/gallery/zip")
def download() -> Response:
    """A zip of the form's pictures, or (`all`) of everything that the search finds; `plain` without the settings inside."""
    home, owner, files = house().gallery, person(), house().files
    if request.form.get("all"):
        asked = _asked()
        number, pictures = home.count(owner, **asked), home.all(owner, **asked)
    else:
        found = home.pictures(owner, _ids())
        number, pictures = len(found), iter(found)
    if not number:
        raise NotFound("There is no such picture of yours.")
    if number > MOST_ZIPPED:
        raise InvalidRequest({"id": f"One file takes at most {MOST_ZIPPED:,} pictures, and these are {number:,}. Please choose fewer."})
    plain = bool(request.form.get("plain"))

    def png(picture: Picture) -> bytes | None:
        try:
            data = files.read(f"{picture.id}.png")
        except FileNotFoundError:
            return None
        return metadata.strip(data) if plain else data

    response = Response(bundle.zipped(pictures, png), mimetype="application/zip")
    response.headers.set("Content-Disposition", "attachment", filename="pictures.zip")
    return response


@gallery.get("/pictures/<id>")
def show(id: str):
    """One picture, large, with all that is known of it."""
    found, asked = house().queue.picture(person(), id), _asked()
    newer, older = house().gallery.neighbours(person(), found, **asked)
    link = answers.outside_url("gallery.shared", word=found.share) if found.share else ""
    if answers.wants_json():
        return jsonify(**_view(found), receipt=found.receipt.model_dump(mode="json"), newer=newer, older=older, link=link)
    width, height = prints.size(answers.file(f"{id}.png"))
    job = house().store.job(found.job, person())
    alone = job and len(job.plan) == 1 and job.started and job.finished
    return render_template(
        "picture.html",
        picture=found,
        width=width,
        height=height,
        full=not prints.is_small(width, height),
        seconds=job.finished - job.started if alone else None,
        facts=receipts.facts(found.receipt),
        craft=receipts.craft(found.receipt),
        notes=receipts.notes(found.receipt),
        siblings=[each for each in house().store.pictures_of([found.job])[found.job] if not each.deleted],
        started=_started_from(found),
        newer=newer,
        older=older,
        link=link,
        asked=_address(asked),
    )


@gallery.get("/pictures/<id>.<any(png,webp):kind>")
def picture(id: str, kind: str) -> Response:
    """The PNG (`plain`: without the settings inside; `download`: to be saved), or a WebP for the page (`full`: at full size)."""
    found = house().queue.picture(person(), id)
    return _file(found, kind, "plain" in request.args)


@gallery.get("/pictures/<id>/before.webp")
def before(id: str) -> Response:
    """What the picture was started from."""
    found = house().queue.picture(person(), id)
    if not _started_from(found):
        raise NotFound("This picture was not started from another, or that one is gone.")
    made = found.receipt.request
    return _webp(prints.before(answers.file(made.image), made), FOREVER)


@gallery.get("/compare")
def compare():
    ids = [*request.args.getlist("id"), *(request.args[side] for side in ("a", "b") if request.args.get(side))]
    if len(ids) != 2:
        raise InvalidRequest({"id": "Please choose two pictures to compare."})
    pair = [house().queue.picture(person(), id) for id in ids]
    rows = receipts.differences(*(picture.receipt for picture in pair))
    if answers.wants_json():
        return jsonify(pictures=[_view(picture) for picture in pair], differences=rows)
    sizes = [prints.size(answers.file(f"{picture.id}.png")) for picture in pair]
    return render_template("compare.html", pair=pair, sizes=sizes, rows=rows, is_small=prints.is_small)


# -- shown to others


@gallery.post("/pictures/<id>/share")
def share(id: str):
    word = house().gallery.share(person(), id)
    if answers.wants_json():
        return jsonify(link=url_for("gallery.shared", word=word))
    return redirect(url_for("gallery.show", id=id, _anchor="share", **_address(_asked())), 303)


@gallery.post("/pictures/<id>/withdraw")
def withdraw(id: str):
    house().queue.picture(person(), id)
    house().gallery.withdraw(person(), id)
    if answers.wants_json():
        return jsonify(link="")
    return redirect(url_for("gallery.show", id=id, _anchor="share", **_address(_asked())), 303)


@gallery.get("/shared/<word>")
def shared(word: str):
    """The picture and its prompt, to whoever has the link."""
    try:
        found = house().gallery.shared(word)
        width, height = prints.size(answers.file(f"{found.id}.png"))
    except NotFound as error:
        return _unlisted(Response(render_template("error.html", sentence=told(error.sentence), outside=True), error.status))
    page = render_template("shared.html", word=word, prompt=found.receipt.request.prompt, width=width, height=height, outside=True)
    return _unlisted(Response(page))


@gallery.get("/shared/<word>.<any(png,webp):kind>")
def shared_picture(word: str, kind: str) -> Response:
    """Never with its settings inside, and never kept by a browser: the link may be withdrawn."""
    return _unlisted(_file(house().gallery.shared(word), kind, plain=True, shared=True))


def _unlisted(response: Response) -> Response:
    response.headers["X-Robots-Tag"] = "noindex"
    return response


# -- what several of them do


def _asked() -> dict[str, Any]:
    """Which of their pictures a person looks at."""
    return {"search": request.values.get("q", "").strip(), "favourites": bool(request.values.get("favourites"))}


def _address(asked: dict[str, Any]) -> dict[str, str]:
    """The same for an address."""
    return ({"q": asked["search"]} if asked["search"] else {}) | ({"favourites": "1"} if asked["favourites"] else {})


def _ids() -> list[str]:
    """The pictures that a form names. Raises InvalidRequest for none or too many."""
    ids = request.form.getlist("id")
    if not ids:
        raise InvalidRequest({"id": "Please choose a picture first."})
    if len(ids) > MOST:
        raise InvalidRequest({"id": f"At most {MOST:,} pictures can be changed at once. Please choose fewer."})
    return ids


def _view(picture: Picture) -> dict[str, Any]:
    made = picture.receipt.request
    return {
        "id": picture.id,
        "job": picture.job,
        "prompt": made.prompt,
        "seed": made.seed,
        "width": made.width,
        "height": made.height,
        "created": picture.created,
        "favourite": picture.favourite,
    }


def _started_from(picture: Picture) -> str:
    """The name of the file it was started from, if its owner handed that in."""
    name = picture.receipt.request.image
    return name if name and house().store.handed_in(person(), [name]) else ""


def _file(picture: Picture, kind: str, plain: bool, shared: bool = False) -> Response:
    kept = "no-store" if shared else FOREVER
    if kind == "webp":
        small = "full" not in request.args
        return _webp(answers.file(f"{picture.id}.webp") if small else prints.full(picture.id, answers.file), kept)
    data = answers.file(f"{picture.id}.png")
    response = Response(metadata.strip(data) if plain else data, mimetype="image/png")
    response.headers["Cache-Control"] = kept
    disposition = "attachment" if "download" in request.args else "inline"
    response.headers.set("Content-Disposition", disposition, **bundle.header(picture, seed=not shared))
    return response


def _webp(data: bytes, kept: str) -> Response:
    response = Response(data, mimetype="image/webp")
    response.headers["Cache-Control"] = kept
    return response
