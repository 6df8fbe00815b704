"""The commands that draw without a server: `generate`, and `again`, which draws a picture anew from what it says of itself."""

from __future__ import annotations

import argparse
import hashlib
import io
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from webapp import craft, metadata, plan, sheet
from webapp.catalogue import Catalogue
from webapp.errors import AppError, DrawingFailed, InvalidRequest
from webapp.library import Library
from webapp.schema import RANGES, GenerationRequest, Receipt
from webapp.settings import Settings

if TYPE_CHECKING:
    from PIL import Image

    from webapp.engine.engine import Engine

FILES = ("image", "mask")
ROUNDING = 16  # of 255: libraries sum up in another order where several pictures share a step
_SPECIAL = {*FILES, "prompt", "model", "controls", "x", "y"}
_HELP = {
    "negative_prompt": "what to keep out of the picture",
    "styles": "names of styles, with commas between",
    "seed": "the same seed draws the same picture again",
    "guidance": "how closely to follow the prompt",
    "count": "how many pictures, from seeds that follow each other",
    "sampler": "one of: " + ", ".join(craft.SAMPLERS),
    "schedule": "how the noise levels are spaced: " + ", ".join(craft.SCHEDULES),
    "strength": "how much of the start image changes",
    "hires_scale": "draw again at this scale",
}


def add_to(commands: argparse._SubParsersAction) -> None:
    generate = commands.add_parser("generate", help="draw without a server")
    generate.set_defaults(command=_generate)
    generate.add_argument("prompt", help="what to draw; each line is a prompt of its own, and {red|blue} draws both")
    generate.add_argument("--out", type=Path, default=Path("picture.png"), help="the PNG file to write (picture.png)")
    Settings.add_flags(generate, ("model", "data"))
    given = argparse.SUPPRESS  # an option that is not used leaves the model's own default
    for name in FILES:
        generate.add_argument(f"--{name}", type=Path, default=given, metavar="FILE", help=f"the {name} to start from")
    generate.add_argument(
        "--control",
        action="append",
        default=given,
        metavar="NAME[:MAP[:WEIGHT]]=FILE",
        help="a ControlNet of the library and its picture; MAP: canny or scribble, if that is to be made of it first",
    )
    for side in ("x", "y"):
        generate.add_argument(f"--{side}", default=given, metavar="FIELD=VALUES", help="a side of a grid: steps=10,20,30")
    for name in (field for field in GenerationRequest.model_fields if field not in _SPECIAL):
        limits = "{:,} to {:,}".format(*RANGES[name]) if name in RANGES else ""
        flags = [f"--{name.replace('_', '-')}", *(["--negative"] if name == "negative_prompt" else [])]
        kind: dict[str, Any] = {"action": "store_true"} if name == "only_masked" else {"metavar": name.upper()}
        generate.add_argument(*flags, dest=name, default=given, help=_HELP.get(name, limits), **kind)

    again = commands.add_parser("again", help="draw a picture again, and say whether it comes out the same")
    again.set_defaults(command=_again)
    again.add_argument("picture", type=Path, help="a PNG that this program made")
    again.add_argument("--out", type=Path, default=None, help="where to write the new one (nowhere)")
    again.add_argument("--image", type=Path, action="append", default=[], metavar="FILE", help="a picture that it was made from")
    Settings.add_flags(again, ("model", "data"))


def _generate(options: dict[str, Any]) -> int:
    from tqdm import tqdm

    out: Path = options.pop("out")
    settings = Settings.from_environment({name: options.pop(name) for name in ("model", "data") if name in options})
    library = Library(settings.library)
    files = [_file(options, name) for name in FILES if name in options]
    options["controls"] = [_control(text, files) for text in options.pop("control", ())]
    for side in {"x", "y"} & options.keys():
        field, _, values = options[side].partition("=")
        options[side] = {"field": field, "values": values}
    request = GenerationRequest.read(options).seeded()
    wanted = plan.pictures(request, library)  # before the model loads: a typing mistake is told at once
    images = _images(files)
    _make_room(out)

    sheets = plan.sheets(request, library) if request.x or request.y else ()
    drawn: dict[int, Image.Image] = {}  # for the sheets
    failures: list[str] = []
    engine = _engine(settings, settings.model, library)
    try:
        for index, image, receipt in _draw(engine, wanted, images, failures):
            path = out if len(wanted) == 1 else out.with_stem(f"{out.stem}-{index + 1}")
            _write(path, metadata.to_png(image, receipt))
            tqdm.write(f"{path} (seed {receipt.request.seed})")
            for note in receipt.notes:
                tqdm.write(note, file=sys.stderr)
            if sheets:
                drawn[index] = image
    finally:
        engine.close()
    for number, page in enumerate(sheets, 1):
        path = out.with_stem(f"{out.stem}-sheet-{number}")
        png = io.BytesIO()
        sheet.compose([drawn.get(index) for index in page.indices], page.columns, page.rows, page.title).save(png, "PNG")
        _write(path, png.getvalue())
        print(path)
    for sentence in failures:
        print(sentence, file=sys.stderr)
    return 1 if failures else 0


def _again(options: dict[str, Any]) -> int:
    from webapp.engine import images

    path: Path = options["picture"]
    settings = Settings.from_environment({name: options[name] for name in ("model", "data") if name in options})
    try:
        data = path.read_bytes()
    except OSError as error:
        raise AppError(f"{path} cannot be read: {error.strerror}.") from None
    then = metadata.read(data)
    if then is None:
        raise AppError(f"{path} does not say how it was made.")
    kept = [path for name in then.request.images() if (path := settings.data / "pictures" / name).is_file()]
    given = _images([*options["image"], *kept])
    if out := options["out"]:
        _make_room(out)
    model = settings.model if "model" in options else _model_of(then, path, settings)
    engine = _engine(settings, model, Library(settings.library))
    failures: list[str] = []
    try:
        drawn = list(_draw(engine, [then.request.model_copy(update={"model": ""})], given, failures))
    finally:
        engine.close()
    if failures:
        raise DrawingFailed(failures[0])
    _, image, now = drawn[0]
    now = now.model_copy(update={"request": now.request.model_copy(update={"model": then.request.model})})
    png = metadata.to_png(image, now)
    if out:
        _write(out, png)
    if png == data:
        print("same")
        return 0
    reasons = metadata.differences(then, now)
    most = _apart(images.open_image(data, path.name), image)
    if not reasons and most <= ROUNDING:
        print(
            f"same, but for rounding, as when several are drawn together: {most} of 255 at most" if most else "same picture in another file"
        )
        return 0
    reasons = reasons or ["nothing that it says of itself has changed; the file may have been edited"]
    print("differs, because " + "; ".join(reasons) + ".")
    return 1


def _model_of(then: Receipt, path: Path, settings: Settings) -> str:
    """The model that a picture names, if it is one that is known here: a stranger's picture does not choose what is fetched."""
    name = then.request.model or then.model or settings.model
    known = {entry.name: entry.source for entry in Catalogue(settings.library).entries.values()} | {settings.model: settings.model}
    for model, source in known.items():
        if name.casefold() in (model.casefold(), source.casefold(), Path(source).name.casefold(), Path(source).stem.casefold()):
            return model
    raise AppError(f"{path} was drawn with {name[:80]}, which is not among the models here. Say where it is with --model.")


def _apart(old: Image.Image, new: Image.Image) -> int:
    """The largest difference of any colour of two pictures, of 255; 255 if their sizes differ."""
    from PIL import ImageChops

    if old.size != new.size:
        return 255
    return max(high for _, high in ImageChops.difference(old.convert("RGB"), new.convert("RGB")).getextrema())


def _engine(settings: Settings, model: str, library: Library) -> Engine:
    from webapp.engine import checkpoint
    from webapp.engine.engine import Engine

    catalogue = Catalogue(settings.library)
    entry = catalogue.find(model)
    loaded = checkpoint.load(entry.source, report=lambda sentence: print(sentence, file=sys.stderr), prediction=entry.prediction)
    return Engine(loaded, library=library, catalogue=catalogue)


def _draw(
    engine: Engine, wanted: Sequence[GenerationRequest], images: Mapping[str, Image.Image], failures: list[str]
) -> Iterator[tuple[int, Image.Image, Receipt]]:
    """Draws with a progress bar: each picture as soon as it is finished, its place before it and its receipt behind. `failures` gets the
    sentences about what failed."""
    from tqdm import tqdm

    from webapp.engine.events import Failed, Finished, Step

    steps: dict[int, int] = {}
    with tqdm(unit="step") as bar:
        for event in engine.submit(wanted, images=images):
            match event:
                case Step(index=number, step=step, steps=total):
                    bar.total, steps[number] = total * len(wanted), step
                    bar.update(sum(steps.values()) - bar.n)
                case Finished(index=number, image=image, receipt=receipt):
                    yield number, image, receipt
                case Failed(sentence=sentence) if sentence not in failures:
                    failures.append(sentence)


def _file(options: dict[str, Any], name: str) -> Path:
    """The file given for the field, whose hash takes its place among the options."""
    path: Path = options[name]
    options[name] = _hash(path)
    return path


def _control(text: str, files: list[Path]) -> dict[str, Any]:
    """NAME[:MAP[:WEIGHT]]=FILE as a control; the file joins `files`."""
    told, sign, file = text.partition("=")
    name, *more = told.split(":")
    if not (sign and file and name and len(more) <= 2):
        raise InvalidRequest({"controls": f"I do not understand the control {text}. Write NAME=FILE or NAME:canny:0.8=FILE."})
    files.append(Path(file))
    return {"model": name, "image": _hash(Path(file)), **dict(zip(("map", "weight"), more, strict=False))}


def _make_room(out: Path) -> None:
    """The folder for `out`; what can be known to fail is told before anything is drawn. Raises AppError."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritten(out, error) from None
    if out.is_dir():
        raise AppError(f"{out} is a folder. Please name the picture in it, such as {out / 'picture.png'}.")


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise _unwritten(path, error) from None


def _unwritten(path: Path, error: OSError) -> AppError:
    return AppError(f"The picture could not be written to {path}: {error.strerror}.")


def _hash(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise AppError(f"{path} cannot be read: {error.strerror}.") from None


def _images(files: Iterable[Path]) -> dict[str, Image.Image]:
    """The images of these files, by their hash."""
    from webapp.engine import images

    return {_hash(path): images.open_image(path.read_bytes(), path.name) for path in files}
