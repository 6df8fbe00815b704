"""The hub's cache on this disk: what a model takes there, how that grows while it is fetched, and getting rid of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from huggingface_hub import constants, scan_cache_dir, snapshot_download
from huggingface_hub.errors import CacheNotFound
from huggingface_hub.utils import tqdm

from webapp.errors import AppError, ModelError

LOOK = 0.2  # seconds between two looks at a download
ABANDONED = 600.0  # seconds without a byte, after which nobody fetches an unfinished file any more


def size(repo: str) -> int:
    """Bytes that the hub's model `repo` takes on this disk, unfinished files included."""
    total = 0
    for file in _blobs(repo).glob("*"):
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


def sweep(repo: str) -> None:
    """Delete what downloads of `repo` left that were killed: the hub's client never goes on with it. What changed lately may be on its way
    in another process."""
    for file in _blobs(repo).glob("*.incomplete"):
        with suppress(OSError):  # it got its name just now, or is not ours to delete
            if file.stat().st_mtime < time.time() - ABANDONED:
                file.unlink()


def download(
    repo: str,
    revision: str | None,
    names: Sequence[str],
    total: int,
    progress: Callable[[int, int], None] | None = None,
    stop: threading.Event | None = None,
) -> Path:
    """The folder of these files of the hub's `repo`, fetched. Meanwhile `progress`, if given, is told how many of the `total` bytes to fetch
    have come, and the hub's own bars keep quiet.

    An exception here, as by Ctrl+C, ends the download too, as soon as a piece of each file that is on its way has come. Raises ModelError
    once `stop` is set, and what the hub's client raises.
    """
    before, over = size(repo), threading.Event()

    class Bar(tqdm):
        """What the hub's client tells of each piece that has come, in the thread that fetches it."""

        def __init__(self, *given: Any, **more: Any) -> None:
            super().__init__(*given, **(more | {"disable": True} if progress else more))

        def update(self, n: float | None = 1) -> bool | None:
            if over.is_set():
                raise CancelledError
            return super().update(n)

    with ThreadPoolExecutor(1, "download") as thread:  # where the client waits, it waits for all its files, whatever is raised
        work = thread.submit(snapshot_download, repo, revision=revision, allow_patterns=names, tqdm_class=Bar)
        try:
            while wait([work], LOOK).not_done:
                if stop and stop.is_set():
                    raise ModelError(f"The download of {repo} was stopped.")
                if progress:
                    progress(min(size(repo) - before, total), total)
        except BaseException:
            over.set()
            raise
    folder = Path(work.result())
    if progress:
        progress(total, total)
    return folder


def _blobs(repo: str) -> Path:
    return Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}" / "blobs"
