"""One model is built at a time. While diffusers and transformers build one, they change torch for the whole process: modules made
meanwhile by another thread get no weights, and if two threads do it at once, torch may stay changed for good."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P, T = ParamSpec("P"), TypeVar("T")
_LOCK = threading.RLock()


def alone(build: Callable[P, T]) -> Callable[P, T]:
    """Decorates what calls a library's `from_pretrained` or `from_single_file`."""

    @functools.wraps(build)
    def locked(*args: P.args, **kwargs: P.kwargs) -> T:
        with _LOCK:
            return build(*args, **kwargs)

    return locked
