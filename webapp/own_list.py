"""A list that its user keeps in a JSON file of the library: read afresh, changed all or nothing, and never written over while it is
damaged, for it may still be mended by hand."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from webapp.errors import InvalidRequest

T = TypeVar("T")


class OwnList(Generic[T]):
    """The items in `path`; `trouble` is the sentence for a damaged file, told at `field`."""

    def __init__(self, path: Path, items: TypeAdapter[list[T]], field: str, trouble: str) -> None:
        self.path, self._items, self._field, self._trouble = path, items, field, trouble
        self._lock = threading.Lock()

    def read(self) -> tuple[list[T], str]:
        """The items, and the trouble with them, mostly empty."""
        try:
            return self._items.validate_json(self.path.read_bytes()), ""
        except FileNotFoundError:
            return [], ""
        except (OSError, ValidationError):
            return [], self._trouble

    def change(self, change: Callable[[list[T]], list[T]]) -> None:
        """Puts what `change` makes of the items in their place; a reader sees the old list or the new one. Raises InvalidRequest."""
        with self._lock:
            items, trouble = self.read()
            if trouble:
                raise InvalidRequest({self._field: trouble})
            data = self._items.dump_json(change(items), indent=2)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle, draft = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.stem}-")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                os.replace(draft, self.path)
            except BaseException:
                os.unlink(draft)
                raise
