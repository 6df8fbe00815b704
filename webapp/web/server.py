"""Serves an app, from a thread (a notebook's kernel, a test) or in the foreground, with cheroot: it holds many open streams and
stops at once."""

from __future__ import annotations

import errno
import socket
import threading

from cheroot.wsgi import Server as Cheroot
from flask import Flask

from webapp.errors import AppError

MOST_HEADERS = 64 << 10  # bytes of a request's head


class Server:
    """`app` on `host`:`port` (0: any free port); `address` is how people reach it, `upstream` how a tunnel on this machine does. Raises
    AppError if the port is taken."""

    def __init__(self, app: Flask, host: str, port: int) -> None:
        self.app = app
        self._cheroot = Cheroot((host, port), app, numthreads=128, request_queue_size=256, server_name="text-to-image")
        self._cheroot.max_request_header_size = MOST_HEADERS
        try:
            self._cheroot.prepare()
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE or "already in use" in str(error)
            reason = "something else uses it" if taken else "the address cannot be used here"
            raise AppError(f"Port {port} on {host} could not be opened: {reason}. Choose another with --port.") from None
        self.port: int = self._cheroot.bind_addr[1]
        shown = _own_name(host) if host in ("0.0.0.0", "::") else host
        self.address = app.config["ADDRESS"] = _url(shown, self.port)
        bound: str = self._cheroot.bind_addr[0]
        self.upstream = _url("127.0.0.1" if bound in ("0.0.0.0", "::") else bound, self.port)

    def start(self) -> None:
        """Serves from a thread."""
        threading.Thread(target=self._cheroot.serve, daemon=True, name="server").start()

    def serve(self) -> None:
        """Serves until interrupted; it is still to be stopped then."""
        self._cheroot.serve()

    def stop(self) -> None:
        house = self.app.extensions["house"]
        house.events.close()  # first, so that open streams end and the server can
        self._cheroot.stop()
        house.close()


def _url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _own_name(every: str) -> str:
    """By what others reach a machine that listens on `every` address of its own: the one it goes out by, or else its name."""
    family, outside = (socket.AF_INET6, "2001:db8::1") if ":" in every else (socket.AF_INET, "192.0.2.1")
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as way:
            way.connect((outside, 9))  # nothing is sent
            return way.getsockname()[0]
    except OSError:
        return socket.gethostname()
