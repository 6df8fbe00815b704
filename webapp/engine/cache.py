"""The hub's cache on this disk: what a model takes there, how that grows while it is fetched, and getting rid of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from huggingface_hub import constants, scan_cache_dir
from huggingface_hub.errors import CacheNotFound
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

from webapp.errors import AppError


def size(repo: str) -> int:
    """Bytes that the hub's model `repo` takes on this disk, unfinished files included."""
    blobs = Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}" / "blobs"
    total = 0
    for file in blobs.glob("*"):
        try:
            total += file.stat().st_size
        except FileNotFoundError:  # an unfinished file got its name just now
            continue
    return total


def remove(repo: str) -> int:
    """Delete all that the cache holds of `repo`. How many bytes that were. Raises AppError."""
    held = size(repo)
    try:
        found = scan_cache_dir()
    except CacheNotFound:
        return 0
    ours = frozenset(model for model in found.repos if (model.repo_type, model.repo_id) == ("model", repo))
    alone = replace(found, repos=ours)  # copies of a repository share its commits, and deleting goes by commit
    alone.delete_revisions(*(revision.commit_hash for model in ours for revision in model.revisions)).execute()
    left = size(repo)
    if left:
        raise AppError(f"Not all files of {repo} could be deleted. Are they in use, or are you not allowed to?")
    return held


def drop(file: Path) -> bool:
    """Delete a file of the cache, so that it is fetched again; whether it is one, and could be."""
    blob = file.resolve()
    if Path(constants.HF_HUB_CACHE).resolve() not in blob.parents:
        return False
    try:
        blob.unlink()
        file.unlink(missing_ok=True)  # the link to it
    except OSError:
        return False
    return True


@contextmanager
def watched(repo: str, total: int, progress: Callable[[int, int], None]) -> Iterator[None]:
    """Meanwhile `progress` is told in another thread how many of the `total` bytes to fetch have come; the hub's own bars keep quiet."""
    before, ended, quiet = size(repo), threading.Event(), are_progress_bars_disabled()

    def watch() -> None:
        while not ended.wait(0.2):
            progress(min(size(repo) - before, total), total)

    disable_progress_bars()
    thread = threading.Thread(target=watch, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        if not quiet:
            enable_progress_bars()
    progress(total, total)
