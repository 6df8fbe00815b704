"""A small model hub on this machine, for tests of how models are fetched: it speaks as much of the real one's protocol as the hub's
client asks for, serving repositories from folders and refusing others in the real one's words."""

from __future__ import annotations

import hashlib
import json
import re
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
}


class FakeHub:
    """`repos` maps ids to folders. `asked` lists the paths that were asked for, and `continued` those from the middle on. Of the files
    whose paths end in one of `breaking`, the first answer stops half-way."""

    def __init__(self, repos: dict[str, Path], sizes: dict[str, int] | None = None, breaking: tuple[str, ...] = ()) -> None:
        self.repos, self.sizes = repos, sizes or {}
        self.asked: list[str] = []
        self.continued: list[str] = []
        self._breaking = set(breaking)
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                hub.asked.append(self.path)
                status, headers, body = hub.answer(unquote(urlsplit(self.path).path))
                begin = re.match(r"bytes=(\d+)-$", self.headers.get("Range", ""))
                if begin and status == 200:
                    hub.continued.append(self.path)
                    headers |= {"Content-Range": f"bytes {begin[1]}-{len(body) - 1}/{len(body)}"}
                    status, body = 206, body[int(begin[1]) :]
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "GET":
                    broken = next((name for name in hub._breaking if self.path.endswith(name)), None)
                    self.wfile.write(body[: len(body) // 2] if broken else body)
                    if broken:
                        hub._breaking.discard(broken)
                        self.close_connection = True

            do_HEAD = do_GET

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
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
        if not file.is_file():
            return 404, {"X-Error-Code": "EntryNotFound"}, b""
        body = file.read_bytes()
        return 200, {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha1(body).hexdigest()}"'}, body

    def _files(self, repo: str) -> dict[str, int]:
        paths = (path for path in self.repos[repo].rglob("*") if path.is_file())
        return {path.relative_to(self.repos[repo]).as_posix(): self.sizes.get(repo, path.stat().st_size) for path in paths}

    def _info(self, repo: str, commit: str) -> dict:
        files = [{"rfilename": name, "size": size, "blobId": "0"} for name, size in self._files(repo).items()]
        return {"id": repo, "modelId": repo, "sha": commit, "siblings": files, "private": False, "tags": [], "downloads": 0}

    def _tree(self, repo: str) -> list[dict]:
        return [{"type": "file", "path": name, "size": size, "oid": "0"} for name, size in self._files(repo).items()]
