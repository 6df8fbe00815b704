#!/usr/bin/env python3
"""A stand-in for ngrok's agent, which the real pyngrok starts and drives: it says the agent's three lines, serves its API, and really
lets people in at a "public" address, with ngrok's notice page before the first visit of each browser.

What it is to do comes from a JSON file beside it, `fake_ngrok.json`: {"error": code} fails at the start, {"refuse": [status, code]}
when an address is asked for, {"silent": true} says nothing at all. Each request is logged, as the agent logs each connection. Whoever comes in is forwarded as ngrok forwards them.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

COOKIE = "abuse_interstitial"
NOTICE = """<!doctype html><html lang="en"><title>ERR_NGROK_6024</title><h1>You are about to visit {host}</h1>
<p>This website is served for free through ngrok.com.</p><form method="post" action="/.ngrok/visit"><button>Visit Site</button></form></html>"""
HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "proxy-authorization", "proxy-authenticate"}


def say(level: str, message: str, **facts: str) -> None:
    """Logs a line. As Go's programs it ends when nobody can read that, and only then: a browser that leaves in the middle of an answer is no reason."""
    more = "".join(f' {name}="{value}"' for name, value in facts.items())
    try:
        print(f't={time.strftime("%Y-%m-%dT%H:%M:%S%z")} lvl={level} msg="{message}"{more}', flush=True)
    except BrokenPipeError:
        os._exit(1)


class Public(BaseHTTPRequestHandler):
    """The address that others open."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    upstream = ""

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            super().handle()

    def forward(self) -> None:
        host = self.headers.get("Host", "")
        say(
            "info",
            "join connections",
            obj="join",
            id=secrets.token_hex(6),
            l=self.upstream,
            r=f"{self.client_address[0]}:{self.client_address[1]}",
        )
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/.ngrok/visit":
            self.answer(303, b"", {"Location": "/", "Set-Cookie": f"{COOKIE}=1; Max-Age=604800; Path=/"})
        elif "ngrok-skip-browser-warning" not in self.headers and COOKIE not in self.headers.get("Cookie", "") and self.browser():
            self.answer(200, NOTICE.format(host=host).encode(), {"Content-Type": "text/html", "Ngrok-Error-Code": "ERR_NGROK_6024"})
        else:
            self.relay(body)

    do_GET = do_POST = do_HEAD = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = forward

    def browser(self) -> bool:
        return "Mozilla" in self.headers.get("User-Agent", "") and "text/html" in self.headers.get("Accept", "")

    def relay(self, body: bytes) -> None:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
        known = headers.get("X-Forwarded-For")
        headers["X-Forwarded-For"] = f"{known}, {self.client_address[0]}" if known else self.client_address[0]
        headers["X-Forwarded-Proto"], headers["X-Forwarded-Host"] = "http", self.headers.get("Host", "")
        try:
            connection = http.client.HTTPConnection(self.upstream, timeout=300)
            connection.request(self.command, self.path, body or None, headers)
            answer = connection.getresponse()
        except OSError:
            self.answer(502, b"ERR_NGROK_8012", {"Ngrok-Error-Code": "ERR_NGROK_8012"})
            return
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in HOP | {"content-length", "date", "server"}:
                self.send_header(name, value)
        length = answer.getheader("Content-Length")
        self.send_header("Content-Length", length) if length else self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = not length
        while part := answer.read1(65536):
            self.wfile.write(part)
            self.wfile.flush()

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Agent(BaseHTTPRequestHandler):
    """The agent's own API, version 3."""

    wish: ClassVar[dict] = {}
    endpoints: ClassVar[dict[str, dict]] = {}

    def do_GET(self) -> None:
        self.tell(200, {"endpoints": list(self.endpoints.values())})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "refuse" in self.wish:
            status, code = self.wish["refuse"]
            self.tell(
                status, {"error_code": 103, "status_code": status, "msg": "failed", "details": {"err": f"failed\n\nERR_NGROK_{code}\n"}}
            )
            return
        public = ThreadingHTTPServer(("127.0.0.1", 0), type("Here", (Public,), {"upstream": asked["upstream"]["url"].split("://")[1]}))
        public.daemon_threads = True
        threading.Thread(target=public.serve_forever, daemon=True).start()
        name = asked["name"]
        word = asked.get("url", "").split("://")[-1].split(".")[0] or secrets.token_hex(4)
        self.endpoints[name] = {"name": name, "url": f"http://{word}.localhost:{public.server_port}", "upstream": asked["upstream"]}
        self.tell(201, self.endpoints[name])

    def do_DELETE(self) -> None:
        self.endpoints.pop(self.path.rsplit("/", 1)[-1], None)
        self.send_response(204)
        self.end_headers()

    def tell(self, status: int, facts: dict) -> None:
        body = json.dumps(facts).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    told = Path(sys.argv[0]).with_suffix(".json")
    Agent.wish = json.loads(told.read_text()) if told.is_file() else {}
    token = sys.argv[sys.argv.index("--authtoken") + 1] if "--authtoken" in sys.argv else ""
    if Agent.wish.get("silent"):
        time.sleep(3600)
    if code := Agent.wish.get("error"):
        said = f"authentication failed: Your authtoken: {token} ERR_NGROK_{code}" if code in (105, 107) else f"failed ERR_NGROK_{code}"
        say("eror", "session closing", err=said)
        sys.exit(1)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Agent)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    say("info", "starting web service", obj="web", addr=f"127.0.0.1:{server.server_port}")
    say("info", "client session established", obj="csess")
    say("info", "tunnel session started", obj="tunnels.session")
    threading.Event().wait()


if __name__ == "__main__":
    main()
