"""The hash that a file of weights is known by: SHA-256, as AUTOMATIC1111 and the hub name them too. Reading gigabytes takes
seconds, so a file that has not changed is read once."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

_CHUNK = 1 << 22  # bytes


def sha256(*files: Path) -> str:
    """In hex, of the contents of `files` one after the other."""
    states = [(file.resolve(), file.stat()) for file in files]
    return _sha256(tuple((path, state.st_size, state.st_mtime_ns) for path, state in states))


@lru_cache(maxsize=256)
def _sha256(files: tuple[tuple[Path, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for path, _, _ in files:
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()
