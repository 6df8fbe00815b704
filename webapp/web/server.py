"""Serves an app, from a thread (a notebook's kernel, a test) or in the foreground, with cheroot: it holds many open streams and
stops at once."""

from __future__ import annotations

import errno
import threading

from cheroot.wsgi import Server as Cheroot
from flask import Flask

from webapp.errors import AppError


class Server:
    """`app` on `host`:`port` (0: any free port). Raises AppError if the port is taken."""

    def __init__(self, app: Flask, host: str, port: int) -> None:
        self.app = app
        self._cheroot = Cheroot((host, port), app, numthreads=128, request_queue_size=256, server_name="text-to-image")
        try:
            self._cheroot.prepare()
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE or "already in use" in str(error)
            reason = "something else uses it" if taken else "the address cannot be used here"
            raise AppError(f"Port {port} on {host} could not be opened: {reason}. Choose another with --port.") from None
        self.port: int = self._cheroot.bind_addr[1]
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
        self.address = f"http://{f'[{shown}]' if ':' in shown else shown}:{self.port}"

    def start(self) -> None:
        """Serves from a thread."""
        threading.Thread(target=self._cheroot.serve, daemon=True, name="server").start()

    def serve(self) -> None:
        """Serves until interrupted."""
        try:
            self._cheroot.serve()
        finally:
            self.stop()

    def stop(self) -> None:
        house = self.app.extensions["house"]
        house.events.close()  # first, so that open streams end and the server can
        self._cheroot.stop()
        house.close()
