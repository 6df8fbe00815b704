"""One picture's way from a request to pixels: what it starts from, its passes, and what is done to it when it is drawn."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace

import torch
from PIL import Image

from webapp import prompt
from webapp.engine import canvas, images, maps, receipts, upscale
from webapp.engine.drawing import Drawing
from webapp.engine.events import Event
from webapp.engine.model import Model
from webapp.engine.task import Start, Task
from webapp.errors import InvalidRequest
from webapp.schema import Control, GenerationRequest, Receipt, enlarged

NOT_ENLARGED = "It could not be enlarged, so it is as it was drawn."


class Picture:
    """A place in the engine's line. Nothing is held for it until `begin`, so waiting costs no latents; after that it is in one `task`
    after the other (`second_pass`), or in the `run` of an upscaler (`upscaled`, `enlarge`)."""

    def __init__(self, drawing: Drawing, index: int, request: GenerationRequest, model: str) -> None:
        self.drawing, self.index, self.request = drawing, index, request
        self.model = model  # by the shelf's name
        self.previewed = 0.0  # by time.monotonic
        self.ahead = -1  # as last told
        self.seconds = 0.0  # of the engine's time
        self.notes: list[str] = []
        self.task: Task | None = None
        self.run: upscale.Run | None = None
        self.drawn: Image.Image | None = None  # waits for its upscaler
        self._written: Receipt | None = None  # as long as there is no task to write it from
        self._hires = False
        self._steps = 0  # of the passes before the one in progress

    @property
    def owner(self) -> Hashable:
        return self.drawing.owner

    @property
    def shape(self) -> Hashable | None:
        if self.run:
            return "upscaler", id(self)
        return self.task.shape if self.task else None

    @property
    def done(self) -> bool:
        """Whether the pass in progress is at its end."""
        return self.run.done if self.run else bool(self.task and self.task.done)

    @property
    def progress(self) -> tuple[int, int]:
        """Steps done, and steps in all as far as is known, of all passes."""
        now, request = self.run or self.task, self.request
        if now is None and not self.drawn:
            return 0, 0
        later = max(1, int((request.hires_steps or request.steps) * request.hires_strength)) if self._hires else 0
        if request.upscaler != upscale.LANCZOS and not self.run:
            later += upscale.steps(request.steps)
        done, whole = (now.step, now.steps) if now else (0, 0)
        return self._steps + done, self._steps + whole + later

    @property
    def size(self) -> tuple[int, int]:
        """What is being drawn, width and height in pixels."""
        return self._start.width, self._start.height

    @property
    def outcome(self) -> tuple[int, int]:
        """What will be there to enlarge, width and height in pixels; after `begin`."""
        if self._canvas and self._canvas.weight:
            return self._canvas.whole.size
        return self._larger() if self._hires else self.size

    def tell(self, kind: Callable[..., Event], *facts: object) -> None:
        self.drawing.tell(kind(self.index, *facts))

    def begin(self, model: Model) -> None:
        """The first pass, with `model`. Raises AppError."""
        request, handed = self.request, self.drawing.images
        defaults = model.checkpoint.defaults
        if request.image and not (request.width and request.height):
            image = handed_in(handed, request.image, "image")
            width, height = canvas.size_for(image.size, defaults.width, defaults.height)
            request = request.model_copy(update={"width": width, "height": height})
        self.request = request = request.resolved(defaults)
        self._canvas = None
        start = Start(request.width, request.height, request.steps)
        if request.image:
            image = handed_in(handed, request.image, "image")
            mask = handed_in(handed, request.mask, "mask") if request.mask else None
            self._canvas = canvas.Canvas.of(request, image, mask)
            width, height = self._canvas.size
            start = Start(width, height, request.steps, request.strength, self._canvas.start, self._canvas.mask)
        self._start = replace(start, maps=tuple(_map(control, start.image, handed) for control in request.controls))
        self._hires = request.hires_scale > 1 and start.mask is None
        self.task = Task(request, self._start, model)
        self.notes.extend(note for note in self.task.notes if note not in self.notes)

    def again(self, model: str) -> None:
        """Back to the line, to be drawn from the beginning with `model`."""
        self.model, self.task, self._steps = model, None, 0

    def second_pass(self, drawn: Callable[[], Image.Image]) -> bool:
        """Begins the hires pass if there is one to come: larger, from what the first pass made, which `drawn` decodes."""
        if not self._hires:
            return False
        self._hires, task, request = False, self.task, self.request
        width, height = self._larger()
        start = replace(
            self._start, width=width, height=height, steps=request.hires_steps or request.steps, strength=request.hires_strength
        )
        if request.hires_upscaler == "latent":
            size = height // task.model.checkpoint.space.factor, width // task.model.checkpoint.space.factor
            larger = torch.nn.functional.interpolate(task.latents.float(), size, mode="bilinear").to(task.latents)
            start = replace(start, image=None, latents=larger)
        else:
            start = replace(start, image=drawn().resize((width, height), Image.Resampling.LANCZOS))
        self.task, self._start = Task(request, start, task.model), start
        self._steps += task.steps
        return True

    def _larger(self) -> tuple[int, int]:
        width, height = (enlarged(side, self.request.hires_scale) for side in (self._start.width, self._start.height))
        return width, height

    def upscaled(self, image: Image.Image) -> Image.Image | None:
        """The drawn picture, put back into the one it came from and enlarged; None when it is back in line for its upscaler."""
        request = self.request
        if self._canvas:
            image = self._canvas.finish(image)
        if request.upscaler == upscale.LANCZOS:
            return upscale.lanczos(image, request.upscale) if request.upscale > 1 else image
        self.drawn, self._written = image, self.receipt()
        self._steps += self.task.steps
        self.model, self.task = upscale.KEY + request.upscaler, None
        return None

    def enlarge(self, upscaler: upscale.Upscaler) -> None:
        """Begins what makes the drawn picture larger. Raises DrawingFailed."""
        request, (words, _) = self.request, prompt.loras(self.request.prompt)
        self.run = upscaler.begin(self.drawn, words, request.negative_prompt, request.seed, upscale.steps(request.steps))

    def receipt(self) -> Receipt:
        return self._written or receipts.write(self.request, self.task, tuple(self.notes))

    def receipt_as_drawn(self, why: str) -> Receipt:
        """Of the drawn picture, when its upscaler failed for the reason that this sentence tells."""
        receipt = self.receipt()
        request = receipt.request.model_copy(update={"upscaler": upscale.LANCZOS, "upscale": 1.0})
        return receipt.model_copy(update={"request": request, "notes": (*receipt.notes, f"{NOT_ENLARGED} {why}")})


def _map(control: Control, start: Image.Image | None, handed: Mapping[str, Image.Image]) -> Image.Image:
    """What a ControlNet is shown: its image or, without one, what the picture starts from; or a map of that."""
    image = images.rgb(handed_in(handed, control.image, "controls")) if control.image else start
    if image is None:
        raise InvalidRequest({"controls": "A ControlNet needs a picture to go by, its own or one to start from."})
    match control.map:
        case "canny":
            return maps.canny(image)
        case "scribble":
            return maps.scribble(image)
    return image


def handed_in(handed: Mapping[str, Image.Image], name: str, field: str) -> Image.Image:
    """Raises InvalidRequest when it is not there."""
    if name not in handed:
        raise InvalidRequest({field: "A picture that this starts from is not there. Please hand it in again."})
    return handed[name]
