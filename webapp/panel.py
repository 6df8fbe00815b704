"""The inline notebook's panel: words, settings and pictures as widgets below a cell. For ipywidgets 7.7, which Colab has, and 8.

A click only hands in the request, and the kernel stays free for other cells. What becomes of it is shown when the browser asks, which it
does every 0.4 seconds by a click on a hidden button: on Colab, nothing that a thread changes reaches the page (googlecolab/colabtools#3373),
and of ipywidgets' own clock, Play, the kernel cannot start the one of version 7.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import secrets
import threading
from html import escape
from pathlib import Path
from queue import SimpleQueue

import ipywidgets as widgets
from PIL import Image

from webapp import craft, metadata, plan
from webapp.engine import images
from webapp.engine.drawing import Drawing
from webapp.engine.engine import Engine
from webapp.engine.events import Cancelled, Event, Failed, Finished, Preview, Step, Waiting
from webapp.errors import AppError, InvalidRequest
from webapp.schema import RANGES, GenerationRequest, Receipt

NOTHING, PICTURE, RECTANGLE, MASK = (
    "words alone",
    "a picture",
    "a picture, a rectangle of it drawn anew",
    "a picture, a mask's white drawn anew",
)
AGAIN = (  # a picture that is none: the browser finds that out, and clicks. One clock, however often the panel is shown
    '<img alt="" src="data:,{number}" hidden onerror="clearTimeout(window.{name});'
    "window.{name} = setTimeout(() => document.querySelector('.{name}')?.click(), 400)\">"
)
SHOWN = 320  # pixels of a picture's longer side in the gallery
_WIDE, _LABEL = widgets.Layout(width="98%"), {"description_width": "90px"}


class Panel:
    """`widget` is the whole of it; each control is an attribute. Pictures are saved in `folder`, if their Save button is pressed."""

    def __init__(self, engine: Engine, folder: str | Path = "pictures") -> None:
        self.engine = engine
        self.tiles: list[Tile] = []
        self._drawing: Drawing | None = None
        self._events: SimpleQueue[Event | None] | None = None  # of what is being drawn; None is its end
        self._new: list[Tile] = []  # what is being drawn
        self._done: list[int] = []  # steps of each
        self._failed = False
        self._seed = 0  # that was drawn last
        self._make_controls(str(folder))
        self._make_start()
        self._gallery = widgets.Box(layout=widgets.Layout(flex_flow="row wrap"))
        self.widget = widgets.VBox(
            [
                self.prompt,
                self.negative,
                _row(self.style, self.size, self.count),
                _row(self.steps, self.guidance),
                _row(self.sampler, self.seed, self.lock),
                self.start,
                self._start_box,
                _row(self.draw, self.cancel, self.bar, self.look, self._clock),
                self.message,
                self._gallery,
                _row(self.folder, self.save_all),
            ]
        )

    def _make_controls(self, folder: str) -> None:
        own = self.engine.checkpoint.defaults
        self.prompt = widgets.Textarea(description="Prompt", placeholder="What to draw", rows=2, layout=_WIDE, style=_LABEL)
        self.negative = widgets.Text(description="Without", placeholder="What to keep out of the picture", layout=_WIDE, style=_LABEL)
        self.style = widgets.Dropdown(
            description="Style", options=[("none", ""), *((s, s) for s in self.engine.library.styles)], style=_LABEL
        )
        self.size = widgets.Dropdown(description="Size", options=_sizes(own.width, own.height), style=_LABEL)
        self.count = widgets.BoundedIntText(description="Pictures", min=1, max=8, value=1, style=_LABEL)
        low, high = RANGES["steps"]
        self.steps = widgets.BoundedIntText(description="Steps", min=low, max=high, value=own.steps, style=_LABEL)
        low, high = RANGES["guidance"]
        self.guidance = widgets.BoundedFloatText(description="Guidance", min=low, max=high, step=0.5, value=own.guidance, style=_LABEL)
        self.sampler = widgets.Dropdown(description="Sampler", options=craft.SAMPLERS, value=own.sampler, style=_LABEL)
        self.seed = widgets.Text(description="Seed", placeholder="any", layout=widgets.Layout(width="200px"), style=_LABEL)
        self.lock = widgets.Checkbox(description="Keep this seed", indent=False, layout=widgets.Layout(width="140px"))
        self.lock.observe(self._locked, "value")
        self.seed.observe(lambda change: setattr(self.lock, "value", bool(change["new"].strip())), "value")
        self.draw = widgets.Button(description="Draw", button_style="primary")
        self.cancel = widgets.Button(description="Cancel", disabled=True)
        self.draw.on_click(lambda button: self._draw())
        self.cancel.on_click(lambda button: self._cancel())
        self.bar = widgets.IntProgress(min=0, max=1)
        self.look, self._clock = widgets.Button(layout=widgets.Layout(display="none")), widgets.HTML(layout=widgets.Layout(display="none"))
        self._name, self._looks = f"t2i_{secrets.token_hex(8)}", 0
        self.look.add_class(self._name)
        self.look.on_click(lambda button: self._look())
        self.message = widgets.HTML()
        self.folder = widgets.Text(description="Save in", value=folder, style=_LABEL)
        self.save_all = widgets.Button(description="Save all")
        self.save_all.on_click(lambda button: [tile.keep() for tile in reversed(self.tiles) if tile.receipt and not tile.save.disabled])

    def _make_start(self) -> None:
        """Starting from a picture: only what the choice in `start` needs is shown."""
        self.start = widgets.Dropdown(description="Start from", options=[NOTHING, PICTURE, RECTANGLE, MASK], layout=_WIDE, style=_LABEL)
        self.picture = widgets.FileUpload(description="Picture", accept="image/*")
        self.mask = widgets.FileUpload(description="Mask", accept="image/*")
        strength = self.engine.checkpoint.defaults.strength
        self.strength = widgets.FloatSlider(description="Change", min=0, max=1, step=0.05, value=strength, style=_LABEL)
        self.across = widgets.IntRangeSlider(description="Across, %", min=0, max=100, value=(25, 75), style=_LABEL)
        self.down = widgets.IntRangeSlider(description="Down, %", min=0, max=100, value=(25, 75), style=_LABEL)
        self._shown = widgets.HTML()
        self._start_box = widgets.VBox()
        for control in (self.start, self.picture, self.mask, self.across, self.down):
            control.observe(lambda change: self._show_start(), "value")

    def _show_start(self) -> None:
        more = {NOTHING: [], PICTURE: [self.strength], RECTANGLE: [self.across, self.down, self.strength], MASK: [self.mask, self.strength]}
        self._start_box.children = [] if self.start.value == NOTHING else [self.picture, *more[self.start.value], self._shown]
        self._shown.value = ""
        try:
            if self.picture.value:
                self._shown.value = _marked(**_opened(self._handed_in()))
        except AppError as error:
            if self.start.value != MASK or self.mask.value:  # else it is only not there yet
                self._say(error.sentence, wrong=True)

    def _handed_in(self) -> dict[str, bytes]:
        """The files of the start picture, `image`, and of what is white where it is drawn anew, `mask`. Raises InvalidRequest."""
        if self.start.value == NOTHING:
            return {}
        if (image := _uploaded(self.picture)) is None:
            raise InvalidRequest({"image": "Please choose a picture to start from."})
        if self.start.value == PICTURE:
            return {"image": image}
        if self.start.value == RECTANGLE:
            return {"image": image, "mask": _rectangle(images.open_image(image, "image").size, self.across.value, self.down.value)}
        if (mask := _uploaded(self.mask)) is None:
            raise InvalidRequest({"mask": "Please choose a mask: a picture that is white where it is to be drawn anew."})
        return {"image": image, "mask": mask}

    def _draw(self) -> None:
        """Hands in what the controls say; a mistake in it is told at once."""
        try:
            handed = self._handed_in()
            opened = _opened(handed)
            names = {field: hashlib.sha256(data).hexdigest() for field, data in handed.items()}
            width, height = self.size.value
            request = GenerationRequest.read(
                {
                    "prompt": self.prompt.value,
                    "negative_prompt": self.negative.value,
                    "styles": [self.style.value] if self.style.value else [],
                    "seed": self.seed.value,
                    "steps": self.steps.value,
                    "guidance": self.guidance.value,
                    "sampler": self.sampler.value,
                    "count": self.count.value,
                    "width": width,
                    "height": height,
                    **({"strength": self.strength.value} if handed else {}),
                    **names,
                }
            )
            wanted = plan.pictures(request, self.engine.library)
            drawing = self.engine.submit(wanted, images={names[field]: image for field, image in opened.items()})
        except AppError as error:
            self._say(error.sentence, wrong=True)
            return
        self._drawing, self._seed, self._failed = drawing, wanted[0].seed, False
        self._new = [Tile(self, each.prompt, self._paper(each, opened.get("image"))) for each in wanted]
        self._done = [0] * len(wanted)
        self.tiles = [*self._new, *self.tiles]
        self._hang()
        self.draw.disabled, self.cancel.disabled, self.bar.value = True, False, 0
        self._say("Waiting to begin.")
        self._events = SimpleQueue()
        threading.Thread(target=_pass_on, args=(drawing, self._events), name="panel", daemon=True).start()
        self._look()

    def _cancel(self) -> None:
        if self._drawing:
            self._drawing.cancel()
            self.wait()  # for the next step

    def _look(self) -> None:
        """Shows what has come since the last time; until the end, the browser is to ask again."""
        while self._events and not self._events.empty():
            self._tell(self._events.get())
        self._looks += 1
        self._clock.value = AGAIN.format(number=self._looks, name=self._name) if self._events else ""

    def wait(self) -> None:
        """Until what is being drawn is done."""
        while self._events:
            self._tell(self._events.get())

    def _end(self) -> None:
        self._events = None
        self.tiles = [tile for tile in self.tiles if not tile.cancelled]
        self._hang()
        self.draw.disabled, self.cancel.disabled = False, True
        if not self._failed:
            self._say("Cancelled." if self._drawing.cancelled else f"Done. Seed {self._seed}.")

    def _tell(self, event: Event | None) -> None:
        """Shows what an event says."""
        if event is None:
            self._end()
            return
        tile = self._new[event.index]
        match event:
            case Waiting(ahead=ahead) if ahead:
                self._say(f"Waiting; {ahead} ahead.")
            case Step(index=index, step=step, steps=steps):
                self._done[index] = step
                self.bar.max, self.bar.value = steps * len(self._new), sum(self._done)
                self._say(f"Picture {index + 1} of {len(self._new)}: step {step} of {steps}.")
            case Preview(image=image):
                tile.show(image)
            case Finished(image=image, receipt=receipt):
                tile.finish(image, receipt)
            case Failed(sentence=sentence):
                tile.cancelled = self._failed = True
                self._say(sentence, wrong=True)
            case Cancelled():
                tile.cancelled = True

    def _say(self, sentence: str, wrong: bool = False) -> None:
        role, width = ("alert", 4) if wrong else ("status", 0)  # the text keeps the notebook's own colour, light or dark
        self.message.value = (
            f'<div role="{role}" style="border-left:{width}px solid #d32f2f;padding-left:{width}px">{escape(sentence)}</div>'
        )

    def _locked(self, change: dict) -> None:
        """Keeping the seed without having typed one keeps the latest; letting go empties the box."""
        if not change["new"]:
            self.seed.value = ""
        elif not self.seed.value.strip() and self.tiles:
            self.seed.value = str(self._seed)

    def _hang(self) -> None:
        self._gallery.children = [tile.widget for tile in self.tiles]

    def _paper(self, request: GenerationRequest, start: Image.Image | None) -> tuple[int, int]:
        """The size at which a picture is shown, so that nothing jumps when it is there."""
        own = self.engine.checkpoint.defaults
        width, height = (request.width, request.height) if request.width else start.size if start else (own.width, own.height)
        scale = SHOWN / max(width, height)
        return round(width * scale), round(height * scale)


class Tile:
    """One picture in the gallery, from empty paper to print."""

    def __init__(self, panel: Panel, prompt: str, size: tuple[int, int]) -> None:
        self._panel, self._prompt, self._size = panel, prompt, size
        self.image: Image.Image | None = None
        self.receipt: Receipt | None = None
        self.cancelled = False
        width, height = size
        self._print = widgets.HTML(f'<div style="width:{width}px;height:{height}px;background:rgba(128,128,128,.2)"></div>')
        self._caption = widgets.HTML(layout=widgets.Layout(width=f"{width}px"))
        self.save = widgets.Button(description="Save", disabled=True)
        self.save.on_click(lambda button: self.keep())
        self.widget = widgets.VBox([self._print, self._caption, self.save], layout=widgets.Layout(margin="0 12px 12px 0"))

    def show(self, image: Image.Image) -> None:
        width, height = self._size
        self._print.value = f'<img alt="{escape(self._prompt)}" width="{width}" height="{height}" src="{_data(image)}">'

    def finish(self, image: Image.Image, receipt: Receipt) -> None:
        self.image, self.receipt = image, receipt
        width, height = image.size
        scale = SHOWN / max(width, height)
        self._size = round(width * scale), round(height * scale)
        self.show(image)
        notes = "".join(f"<br>{escape(note)}" for note in receipt.notes)
        self._caption.value = f"{escape(self._prompt)}<br>seed {receipt.request.seed}, {width} x {height}{notes}"
        self.save.disabled = False

    def keep(self) -> None:
        """Writes the PNG, with its receipt, into the panel's folder; under a name of its own, so that nothing is overwritten."""
        folder = Path(self._panel.folder.value).expanduser()
        stem = f"{re.sub(r'[^a-z0-9]+', '-', self._prompt.casefold())[:40].strip('-')}-{self.receipt.request.seed}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path, number = folder / f"{stem}.png", 1
            while path.exists():
                number += 1
                path = folder / f"{stem}-{number}.png"
            path.write_bytes(metadata.to_png(self.image, self.receipt))
        except OSError as error:
            self._panel._say(f"{folder} cannot be written to: {error.strerror}.", wrong=True)
        else:
            self.save.disabled = True
            self._panel._say(f"Saved as {path}.")


def _pass_on(drawing: Drawing, events: SimpleQueue[Event | None]) -> None:
    for event in drawing:
        events.put(event)
    events.put(None)


def _row(*controls: widgets.Widget) -> widgets.Box:
    return widgets.Box(controls, layout=widgets.Layout(flex_flow="row wrap", align_items="center"))


def _sizes(width: int, height: int) -> list[tuple[str, tuple[int | None, int | None]]]:
    """The model's own size, which from a picture takes on that one's shape, and half as wide or high again."""
    wide, high = (round(side * 1.5 / 64) * 64 for side in (width, height))
    return [(f"the model's own, {width} x {height}", (None, None))] + [
        (f"{name}, {w} x {h}", (w, h)) for name, w, h in (("wide", wide, height), ("tall", width, high), ("large", wide, high))
    ]


def _uploaded(control: widgets.FileUpload) -> bytes | None:
    """The file that was chosen: ipywidgets 7 has a dict by name, 8 a tuple."""
    files = list(control.value.values() if isinstance(control.value, dict) else control.value)
    return bytes(files[-1]["content"]) if files else None


def _opened(files: dict[str, bytes]) -> dict[str, Image.Image]:
    """Raises InvalidRequest for what is no picture."""
    return {field: images.open_image(data, field) for field, data in files.items()}


def _rectangle(size: tuple[int, int], across: tuple[int, int], down: tuple[int, int]) -> bytes:
    """A mask's PNG, white from one to the other hundredth of the width and of the height. Raises InvalidRequest."""
    (left, right), (top, bottom) = ((low * side // 100, high * side // 100) for (low, high), side in zip((across, down), size))
    if left >= right or top >= bottom:
        raise InvalidRequest({"mask": "The rectangle is empty. Please make it larger."})
    mask, out = Image.new("L", size), io.BytesIO()
    mask.paste(255, (left, top, right, bottom))
    mask.save(out, "PNG")
    return out.getvalue()


def _marked(image: Image.Image | None = None, mask: Image.Image | None = None) -> str:
    """The start picture, small, and tinted where it will be drawn anew."""
    if image is None:
        return ""
    small = images.rgb(image)
    small.thumbnail((SHOWN, SHOWN))
    if mask:
        anew = Image.fromarray(images.painted(mask)).convert("L").resize(small.size)
        tint = Image.blend(small, Image.new("RGB", small.size, "#e0338a"), 0.55)
        small = Image.composite(tint, small, anew)
    return f'<img alt="What is drawn from; the part to be drawn anew is tinted" src="{_data(small)}">'


def _data(image: Image.Image) -> str:
    out = io.BytesIO()
    image.save(out, "WEBP", quality=90)
    return f"data:image/webp;base64,{base64.b64encode(out.getvalue()).decode()}"
