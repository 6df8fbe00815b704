"""A small model hub on this machine, for tests of how models are fetched: it speaks as much of the real one's protocol as the hub's
client asks for, serving repositories from folders and refusing others in the real one's words."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_REFUSALS = {  # by the repository's owner: status, headers, body
    "missing": (404, {"X-Error-Code": "RepoNotFound"}, "Repository not found"),
    "gated": (403, {"X-Error-Code": "GatedRepo"}, "Access to this model is restricted"),
    "private": (401, {"X-Error-Code": "RepoNotFound"}, "Invalid username or password."),
    "token": (401, {"X-Error-Message": "Invalid credentials in Authorization header"}, "secret-in-a-raw-message"),
    "busy": (429, {}, "secret-in-a-raw-message"),
    "down": (503, {}, "secret-in-a-raw-message"),
    "broken": (500, {}, "secret-in-a-raw-message"),
    "moved": (404, {"X-Error-Code": "RevisionNotFound"}, "Revision not found"),
    "forbidden": (403, {"X-Error-Message": "secret-in-a-raw-message"}, "secret-in-a-raw-message"),
}
SIGNATURE = "CANARY_of_a_signed_address"


class FakeHub:
    """`repos` maps ids to folders. `asked` lists the paths that were asked for, `sent` those of files
    that were sent, and `continued` those from the middle on. Of the files
    whose paths end in one of `breaking`, the first answer stops half-way; of those in `cut` each does; in `stalling` the first one stands
    still there; those in `slow` come in small bits, those in `endless` never end, those in `lost` are listed but not there. Files of the owner "signed" are handed out from
    signed addresses, as the real hub does with large ones. A refusal of the owner "token" repeats the token that was sent."""

    def __init__(
        self,
        repos: dict[str, Path],
        sizes: dict[str, int] | None = None,
        breaking: tuple[str, ...] = (),
        cut: tuple[str, ...] = (),
        stalling: tuple[str, ...] = (),
        slow: tuple[str, ...] = (),
        endless: tuple[str, ...] = (),
        lost: tuple[str, ...] = (),
    ) -> None:
        self.repos, self.sizes, self._lost = repos, sizes or {}, lost
        self.asked: list[str] = []
        self.continued: list[str] = []
        self._breaking = {*breaking, *stalling}
        self.sent: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                hub.asked.append(self.path)
                status, headers, body = hub.answer(unquote(urlsplit(self.path).path))
                if status == 401:
                    body += self.headers.get("Authorization", "").encode()
                begin = re.match(r"bytes=(\d+)-$", self.headers.get("Range", ""))
                if begin and status == 200:
                    hub.continued.append(self.path)
                    headers |= {"Content-Range": f"bytes {begin[1]}-{len(body) - 1}/{len(body)}"}
                    status, body = 206, body[int(begin[1]) :]
                self.send_response(status)
                length = 10**9 if urlsplit(self.path).path.endswith(endless) else len(body)
                for name, value in {"Content-Length": str(length), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "GET":
                    if status in (200, 206) and "/api/" not in self.path:
                        hub.sent.append(self.path)
                    self.send_body(body, urlsplit(self.path).path)

            def send_body(self, body: bytes, path: str) -> None:
                broken = next((name for name in hub._breaking if path.endswith(name)), None)
                half = broken or path.endswith(cut)
                if path.endswith(slow):
                    for start in range(0, len(body), len(body) // 10 + 1):
                        self.wfile.write(body[start : start + len(body) // 10 + 1])
                        time.sleep(0.4)
                    return
                while path.endswith(endless):
                    self.wfile.write(bytes(1 << 18))
                    time.sleep(0.05)
                self.wfile.write(body[: len(body) // 2] if half else body)
                if half:
                    hub._breaking.discard(broken)
                    self.close_connection = True
                if broken in stalling:
                    time.sleep(10)

            do_HEAD = do_GET

            def handle(self) -> None:
                with contextlib.suppress(ConnectionError):  # who waits too long for a stalling file goes
                    super().handle()

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        signed = path.startswith("/at-a-signed-address")
        path = path.removeprefix("/at-a-signed-address")
        repo = re.match(r"(?:/api/models)?/([^/]+/[^/]+)", path)[1]
        rest = path.split(repo, 1)[1]
        if refusal := _REFUSALS.get(repo.split("/")[0]):
            status, headers, body = refusal
            return status, headers, body.encode()
        if repo not in self.repos:
            return 404, {"X-Error-Code": "RepoNotFound"}, b""
        commit = (re.findall(r"/([0-9a-f]{40})(?:/|$)", rest) or [COMMIT])[0]
        if path.startswith("/api/"):
            listing = self._tree(repo) if rest.startswith("/tree/") else self._info(repo, commit)
            return 200, {"Content-Type": "application/json"}, json.dumps(listing).encode()
        file = self.repos[repo] / rest.split("/", 3)[3]  # /resolve/<revision>/<file>
        if not file.is_file() or path.endswith(self._lost):
            return 404, {"X-Error-Code": "EntryNotFound"}, b""
        body = file.read_bytes()
        if repo.startswith("signed/") and not signed:
            known = {"X-Repo-Commit": commit, "X-Linked-ETag": f'"{hashlib.sha1(body).hexdigest()}"', "X-Linked-Size": str(len(body))}
            return 302, {**known, "Location": f"{self.url}/at-a-signed-address{path}?X-Amz-Signature={SIGNATURE}"}, b""
        return 200, {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha1(body).hexdigest()}"'}, body

    def _files(self, repo: str) -> dict[str, int]:
        paths = (path for path in self.repos[repo].rglob("*") if path.is_file())
        return {path.relative_to(self.repos[repo]).as_posix(): self.sizes.get(repo, path.stat().st_size) for path in paths}

    def _info(self, repo: str, commit: str) -> dict:
        files = [{"rfilename": name, "size": size, "blobId": "0"} for name, size in self._files(repo).items()]
        return {"id": repo, "modelId": repo, "sha": commit, "siblings": files, "private": False, "tags": [], "downloads": 0}

    def _tree(self, repo: str) -> list[dict]:
        return [{"type": "file", "path": name, "size": size, "oid": "0"} for name, size in self._files(repo).items()]
