"""Where pictures lie, in a folder or any place fsspec knows: of those drawn one PNG and one small WebP each, by random name; of
those handed in the file as it came, by its SHA-256."""

from __future__ import annotations

import hashlib
import io
import math
import secrets
import shutil

import fsspec
from fsspec.implementations.local import LocalFileSystem
from PIL import Image

THUMBNAIL = 512  # pixels, the longer side at most


class Files:
    """Pictures at `place`, a folder or an fsspec URL. Names come from the store, never from a visitor."""

    def __init__(self, place: str) -> None:
        self.system, self.root = fsspec.core.url_to_fs(place)
        self.system.makedirs(self.root, exist_ok=True)

    def save(self, name: str, png: bytes) -> None:
        """Both files of a picture; each is there whole or not at all."""
        small = io.BytesIO()
        with Image.open(io.BytesIO(png)) as image:
            image.thumbnail((THUMBNAIL, THUMBNAIL))
            image.save(small, "WEBP", quality=85)
        self._write(f"{name}.webp", small.getvalue())
        self._write(f"{name}.png", png)

    def remove(self, name: str) -> None:
        """Both files of a picture, as far as they are there."""
        for path in (f"{self.root}/{name}.webp", f"{self.root}/{name}.png"):
            if self.system.exists(path):
                self.system.rm_file(path)

    def take_in(self, data: bytes) -> str:
        """Keeps a file that was handed in to draw from; its SHA-256, by which requests name it. One that is there already is written
        anew: it counts as handed in now."""
        name = self.name_of(data)
        self._write(name, data)
        return name

    @staticmethod
    def name_of(data: bytes) -> str:
        """By which requests name a file that is handed in."""
        return hashlib.sha256(data).hexdigest()

    def size(self, name: str) -> int:
        """Bytes; none if it is not there."""
        try:
            return self.system.size(f"{self.root}/{name}")
        except FileNotFoundError:
            return 0

    def free(self) -> float:
        """Bytes that the disk still takes. What is no disk takes any number."""
        return shutil.disk_usage(self.root).free if isinstance(self.system, LocalFileSystem) else math.inf

    def read(self, name: str) -> bytes:
        """Raises FileNotFoundError."""
        return self.system.cat_file(f"{self.root}/{name}")

    def _write(self, name: str, data: bytes) -> None:
        """First under another name, then moved: fsspec's own transactions are one for all threads. That name is used once, for two
        threads may be handed the same picture."""
        draft = f"{self.root}/{name}.{secrets.token_hex(8)}.part"
        try:
            self.system.pipe_file(draft, data)
            self.system.mv(draft, f"{self.root}/{name}")
        except Exception:
            if self.system.exists(draft):
                self.system.rm_file(draft)
            raise
