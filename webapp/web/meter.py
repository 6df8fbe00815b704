"""Counts what goes through the door, streams too: requests, and bytes as a tunnel sees them. Around the whole app, so that nothing
passes by it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from werkzeug.wsgi import ClosingIterator

from webapp.jobs.traffic import Ledger, Traffic

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

FREE = Traffic(requests=20_000, bytes_out=1_000_000_000)  # ngrok's free month
PAUSE = 5.0  # seconds; what was counted since is lost by a kill -9
SERVER = 120  # bytes, about: the lines that the server itself adds to an answer's head


class Meter:
    """This month's `requests`, `bytes_in` and `bytes_out` of what a tunnel brought; and `run`, all that was counted since the start."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()  # never held while the database is asked: every request takes it
        self._keeping = threading.Lock()
        self._timer: threading.Timer | None = None
        self._month, self._kept, self._new = _month(), ledger.of(_month()), Traffic()
        self.run, self.since = Traffic(), time.time()
        self._closed = False

    @property
    def month(self) -> Traffic:
        with self._lock:
            return self._kept.and_(self._new) if self._month == _month() else Traffic()

    @property
    def requests(self) -> int:
        return self.month.requests

    @property
    def bytes_in(self) -> int:
        return self.month.bytes_in

    @property
    def bytes_out(self) -> int:
        return self.month.bytes_out

    def around(self, application: WSGIApplication, tunnelled: Callable[[WSGIEnvironment], bool]) -> WSGIApplication:
        """The WSGI application, counted; `tunnelled` says of a request whether a tunnel brought it."""

        def counted(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            through = tunnelled(environ)
            self._count(Traffic(1, _asked(environ)), through)

            def begin(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
                self._count(Traffic(0, 0, SERVER + len(status) + sum(len(name) + len(value) + 4 for name, value in headers)), through)
                return start_response(status, headers, *rest)

            answer = application(environ, begin)
            return ClosingIterator(self._passing(answer, through), [getattr(answer, "close", lambda: None)])

        return counted

    def close(self) -> None:
        """Keeps what was counted."""
        with self._lock:
            self._closed = True
            if self._timer:
                self._timer.cancel()
        self._keep()

    def _passing(self, answer: Iterable[bytes], through: bool) -> Iterator[bytes]:
        for chunk in answer:
            self._count(Traffic(0, 0, len(chunk)), through)
            yield chunk

    def _count(self, more: Traffic, through: bool) -> None:
        if self._month != _month():
            self._keep()
        with self._lock:
            self.run = self.run.and_(more)
            if not through:
                return
            self._new = self._new.and_(more)
            if not (self._timer or self._closed):
                self._timer = threading.Timer(PAUSE, self._keep)
                self._timer.daemon = True
                self._timer.start()

    def _keep(self) -> None:
        with self._keeping:
            with self._lock:
                self._timer, month, new = None, self._month, self._new
            if any(new):
                self._ledger.add(month, new)
            now = _month()
            kept = self._kept.and_(new) if month == now else self._ledger.of(now)
            with self._lock:
                self._month, self._kept = now, kept
                self._new = Traffic(*(counted - written for counted, written in zip(self._new, new)))


def _asked(environ: WSGIEnvironment) -> int:
    """The bytes of a request: its line, its headers, its body."""
    line = len(environ.get("REQUEST_METHOD", "")) + len(environ.get("PATH_INFO", "")) + len(environ.get("QUERY_STRING", "")) + 14
    headers = sum(len(name) - 5 + len(value) + 4 for name, value in environ.items() if name.startswith("HTTP_"))
    length = str(environ.get("CONTENT_LENGTH") or "")
    return line + headers + (int(length) if length.isdecimal() else 0)


def _month() -> str:
    return time.strftime("%Y-%m", time.gmtime())
