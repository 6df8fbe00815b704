"""What several test files use: a server started as a user starts it, and visitors with identities of their own."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest
from flask import Flask

from webapp.settings import Settings
from webapp.web.app import create_app

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parent.parent
PLACES = json.loads((ROOT / "webapp/builtin/text_encoder/config.json").read_text())["max_position_embeddings"] - 2  # for a prompt's tokens
NATIVE = json.loads((ROOT / "webapp/builtin/defaults.json").read_text())["width"]  # pixels a side of what the built-in model draws best
ENDS = ("done", "failed", "cancelled")
T = TypeVar("T")


class Running:
    """`python -m webapp serve` in a process of its own, on a free port."""

    def __init__(self, data: Path, *flags: str, model: str = "builtin") -> None:
        command = [sys.executable, "-m", "webapp", "serve", "--port", "0", "--data", str(data), "--model", model, *flags]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("T2I_")}
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.log: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()
        self.link = eventually(lambda: next(iter(re.findall(r"http://\S+", "".join(self.log))), None), 60)
        self.address = self.link.split("/?")[0].rstrip("/")

    def _read(self) -> None:
        for line in self.process.stdout:
            self.log.append(line)

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()


class Visitor:
    """A browser's identity without a browser: keeps cookies, follows redirects."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.open = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar())).open

    def ask(
        self, path: str, form: dict | None = None, accept: str = "text/html", files: dict[str, bytes] | None = None, **headers: str
    ) -> tuple[int, bytes, str]:
        """(status, body, final address) of a GET, or of a POST if there is a `form`, with `files` as browsers send them."""
        data = None if form is None else urllib.parse.urlencode(form, doseq=True).encode()
        if files:
            data, headers["Content-Type"] = _multipart(form or {}, files)
        request = urllib.request.Request(self.address + path, data, {"Accept": accept, **headers})
        try:
            with self.open(request, timeout=60) as answer:
                return answer.status, answer.read(), answer.url
        except urllib.error.HTTPError as error:
            return error.code, error.read(), self.address + path

    def json(self, path: str, form: dict | None = None, files: dict[str, bytes] | None = None) -> dict:
        status, body, _ = self.ask(path, form, accept="application/json", files=files)
        return {"status": status, **json.loads(body)}

    def wait_for(self, job: str, *states: str, seconds: float = 300) -> dict:
        """The job once it is in one of the states, "done" if none is given; fails when it ends in another."""
        wanted = states or ("done",)
        view = eventually(lambda: (view := self.json(f"/jobs/{job}"))["state"] in (*wanted, *ENDS) and view, seconds)
        assert view["state"] in wanted, view
        return view


def _multipart(form: dict, files: dict[str, bytes]) -> tuple[bytes, str]:
    """The body and its type."""
    parts = [(f'name="{name}"', str(value).encode()) for name, value in form.items()]
    parts += [(f'name="{name}"; filename="{name}.png"\r\nContent-Type: image/png', data) for name, data in files.items()]
    body = b"".join(b"--frontier\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % (head.encode(), data) for head, data in parts)
    return body + b"--frontier--\r\n", "multipart/form-data; boundary=frontier"


def eventually(question: Callable[[], T], seconds: float, pause: float = 0.05) -> T:
    """The first true answer; fails after so many seconds without one."""
    end = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < end, f"still {answer!r} after {seconds} seconds"
        time.sleep(pause)
    return answer


def free_port() -> int:
    """A port below those that the kernel hands out, so that nobody gets it between one server and the next."""
    for port in random.sample(range(20_000, 32_768), 50):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no free port")


LONG = (  # these files take the longest
    "test_colab", "test_effects", "test_single_file", "test_server", "test_docs", "test_live_browser", "test_cli", "test_parity",
    "test_notebooks", "test_accessibility", "test_browser", "test_turns", "test_training", "test_panel", "test_hub", "test_create_browser",
    "test_gallery_browser", "test_samplers",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first: where several run at a time, none is left to the end alone."""
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts servers, all on one data folder, and stops them in the end."""
    started: list[Running] = []

    def start(*flags: str, model: str = "builtin") -> Running:
        started.append(Running(tmp_path / "data", *flags, model=model))
        return started[-1]

    yield start
    for running in started:
        running.process.terminate()
        running.process.wait(timeout=120)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    """The app in this process, without a model: nothing that is asked for is drawn."""
    app = create_app(Settings(data=tmp_path, model=str(tmp_path / "none")))
    yield app
    app.extensions["house"].close()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server with the built-in model, for the tests that leave it as it is."""
    running = Running(tmp_path_factory.mktemp("site"))
    eventually(lambda: Visitor(running.address).json("/jobs")["model"]["state"] == "ready", 300)
    yield running
    running.process.terminate()
    running.process.wait(timeout=120)


def chromium_path() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert found, "the browser tests need Chromium"
    return found


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright  # not in every environment that these tests run in

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=["--no-sandbox", "--disable-background-networking"])
        yield browser
        browser.close()
