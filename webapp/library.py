"""What lies on this machine by name, besides models: styles, wildcards, and the files that LoRAs, embeddings, ControlNets,
autoencoders and upscalers are kept in. A file of its own, so that names become paths in one place, and never outside its folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter

from webapp.errors import InvalidRequest
from webapp.own_list import OwnList

KINDS = {  # a kind is the name of its folder: what one of it is called, and the request's field that names it
    "wildcards": ("wildcard", "prompt"),
    "loras": ("LoRA", "prompt"),
    "embeddings": ("embedding", "prompt"),
    "controlnets": ("ControlNet", "controls"),
    "vaes": ("autoencoder", "vae"),
    "upscalers": ("upscaler", "upscaler"),
}
_MARKS = ("config.json", "model_index.json", "adapter_config.json", "pytorch_lora_weights.safetensors", "learned_embeds.safetensors")
"""A folder that holds one of these was saved by diffusers or peft, and is one thing with the folder's name."""
_SHIPPED = Path(__file__).with_name("styles.json")
SHIPPED = Path(__file__).parent / "builtin" / "library"
"""What comes with the built-in model, in folders as a library has them. It fits no other model."""


def _name(value: str) -> str:
    name = " ".join(value.split())
    if not name or "," in name or "\0" in name:
        raise ValueError("needs a name, without commas")
    return name


class Style(BaseModel):
    """Words around a prompt: `{prompt}` stands for it; without that, they follow after a comma. So for the negative prompt."""

    model_config = ConfigDict(frozen=True)

    name: Annotated[str, Field(max_length=200), AfterValidator(_name)]
    prompt: Annotated[str, Field(max_length=4000)] = ""
    negative_prompt: Annotated[str, Field(max_length=4000)] = ""


_STYLES = TypeAdapter(list[Style])


class Library:
    """The things in `folder`: `styles.json`, `wildcards/*.txt`, and in `loras/`, `embeddings/`, `controlnets/`, `vaes/` and `upscalers/`
    each a `.safetensors` file or a folder that diffusers saved. With them, and without a folder alone, what ships with the program.

    A thing's name is its file's stem or its folder's name, with the sub-folders it lies in before it ("animals/birds"). All is read
    anew each time, so files may come and go while the program runs. InvalidRequest says which name is missing, and which exist.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.root = folder
        trouble = "Your own styles cannot be read: the library's styles.json is damaged. Correct or remove that file."
        self._own = OwnList(folder / "styles.json", _STYLES, "styles", trouble) if folder else None

    @property
    def styles(self) -> dict[str, Style]:
        """The styles that ship with the program and then the user's own, which replace those of the same name in any case."""
        own = self._own.read()[0] if self._own else []
        hidden = {style.name.casefold() for style in own}
        shipped = [style for style in _STYLES.validate_json(_SHIPPED.read_bytes()) if style.name.casefold() not in hidden]
        return {style.name: style for style in (*shipped, *own)}

    @property
    def trouble(self) -> str:
        """A sentence if the user's own styles cannot be read, else empty."""
        return self._own.read()[1] if self._own else ""

    def style(self, name: str) -> Style:
        """The style of that name in any case."""
        styles = self.styles
        for style in styles.values():
            if style.name.casefold() == name.strip().casefold():
                return style
        raise InvalidRequest({"styles": f"There is no style called {_shown(name)}. There are: {_listed(styles)}. {self.trouble}".strip()})

    def add_style(self, style: Style) -> None:
        """Keep `style` among the user's own, in place of one of the same name."""
        self._kept().change(lambda own: [*(old for old in own if old.name.casefold() != style.name.casefold()), style])

    def remove_style(self, name: str) -> None:
        """Remove one of the user's own styles; those that ship with the program stay."""

        def without(own: list[Style]) -> list[Style]:
            kept = [style for style in own if style.name.casefold() != name.strip().casefold()]
            if len(kept) == len(own):
                raise InvalidRequest({"styles": f"There is no style of your own called {_shown(name)}."})
            return kept

        self._kept().change(without)

    def wildcard(self, name: str) -> tuple[str, ...]:
        """The lines of that wildcard's file; blank lines, and comments after a `#` at a line's start, are skipped."""
        try:
            text = self.path("wildcards", name).read_text("utf-8-sig", errors="replace")
        except OSError:
            raise InvalidRequest({"prompt": f"The file of the wildcard {_shown(name)} cannot be read."}) from None
        lines = tuple(line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#"))
        if not lines:
            raise InvalidRequest({"prompt": f"The wildcard {_shown(name)} has no lines. Write some into its file."})
        return lines

    def folder(self, kind: str) -> Path:
        """Where the user's own things of a kind (a key of KINDS) are kept, or what ships if there is no folder; nothing need be there."""
        assert kind in KINDS, kind
        return (self.root or SHIPPED) / kind

    def folders(self, kind: str, shipped: bool = True) -> list[Path]:
        """Where things of a kind (a key of KINDS) are looked for: among the user's own, and then among what ships, if that is wanted."""
        own = [self.folder(kind)] if self.root else []
        return [*own, SHIPPED / kind] if shipped else own

    def names(self, kind: str, shipped: bool = True) -> list[str]:
        """The names of all things of a kind (a key of KINDS), of the user's own alone if what ships is not wanted, in the alphabet's order."""
        return sorted(self._things(kind, shipped), key=str.casefold)

    def path(self, kind: str, name: str) -> Path:
        """Where the thing of that name lies. The case does not matter, and sub-folders may be left out."""
        wanted = name.strip().casefold()
        things = self._things(kind)
        known = sorted(things, key=lambda key: (key != name, key.casefold() != wanted, key))  # the best match first
        for key in known:
            if wanted in (key.casefold(), key.casefold().rpartition("/")[2]):
                return things[key]
        noun, field = KINDS[kind]
        there = f"There are: {_listed(self.names(kind))}." if things else f"There are none yet; they go into the library's folder {kind}."
        raise InvalidRequest({field: f"There is no {noun} called {_shown(name)}. {there}"})

    def _things(self, kind: str, shipped: bool = True) -> dict[str, Path]:
        """Names are looked up among what is there, never joined to a path: `..` or an absolute path is merely unknown. What ships makes way
        for the user's own of that name in any case."""
        suffix = ".txt" if kind == "wildcards" else ".safetensors"
        found: dict[str, Path] = {}
        for folder in self.folders(kind, shipped):
            taken = {name.casefold() for name in found}
            for path in _walk(folder, folder.resolve(), suffix):
                name = path.relative_to(folder).as_posix().removesuffix(suffix)
                if name.casefold() not in taken:
                    found[name] = path
        return found

    def _kept(self) -> OwnList[Style]:
        """The user's own styles. Raises InvalidRequest where there is no folder to keep them in."""
        if self._own is None:
            raise InvalidRequest({"styles": "There is no library to keep styles in."})
        return self._own


def _walk(folder: Path, root: Path, suffix: str) -> Iterator[Path]:
    """The things in a folder and its sub-folders, but nothing that a link leads to outside of `root`, nor through linked folders."""
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith(".") or (entry.is_symlink() and not Path(os.path.realpath(entry)).is_relative_to(root)):
            continue
        if entry.is_file():
            if entry.suffix.casefold() == suffix:
                yield entry
        elif suffix == ".safetensors" and any((entry / mark).is_file() for mark in _MARKS):
            yield entry
        elif not entry.is_symlink():
            yield from _walk(entry, root, suffix)


def _shown(name: str) -> str:
    return name if len(name) <= 80 else f"{name[:79]}…"


def _listed(names: Iterable[str]) -> str:
    first, rest = (names := list(names))[:20], len(names) - 20
    return ", ".join(first) + (f" and {rest} more" if rest > 0 else "")
