"""The tunnel, by the real pyngrok with a stand-in for ngrok's agent: it opens, lets people in, closes; each failure has its sentence, and
the authtoken is in none of them."""

from __future__ import annotations

import http.client
import json
import logging
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from webapp import served as shares
from webapp.errors import AppError
from webapp.web import tunnel
from webapp.web.server import Server

ROOT = Path(__file__).parent.parent
TOKEN = "2abcCANARY_authtoken"
NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """The path of a stand-in agent that does as it is told."""
    from pyngrok import conf, ngrok

    monkeypatch.setattr(conf, "DEFAULT_NGROK_CONFIG_PATH", str(tmp_path / "ngrok.yml"), raising=False)
    monkeypatch.setattr(conf, "DEFAULT_CONFIG_PATH", None, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    place = tmp_path / "fake_ngrok.py"
    source = (Path(__file__).parent / "fake_ngrok.py").read_text().split("\n", 1)[1]
    place.write_text(f"#!{sys.executable}\n{source}")
    place.chmod(0o755)

    def told(**wish: object) -> str:
        place.with_suffix(".json").write_text(json.dumps(wish))
        return str(place)

    yield told
    ngrok.kill(conf.PyngrokConfig(ngrok_path=str(place)))


@pytest.fixture
def served() -> Iterator[str]:
    """The address of something that answers with what it was asked."""

    class Echo(BaseHTTPRequestHandler):
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            body = json.dumps({"path": self.path, **{name.lower(): value for name, value in self.headers.items()}}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def get(url: str, **headers: str) -> tuple[int, str]:
    here = url.replace(url.split("://")[1].split(":")[0], "127.0.0.1")
    try:
        with urllib.request.urlopen(urllib.request.Request(here, headers=headers), timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_it_opens_lets_in_and_closes(agent, served):
    opened = tunnel.open_tunnel(served, TOKEN, agent=agent())
    assert opened.url.startswith("http") and not opened.url.endswith("/")
    told = json.loads(get(opened.url + "/hello?x=1")[1])
    assert (told["path"], told["x-forwarded-for"]) == ("/hello?x=1", "127.0.0.1")
    opened.close()
    with pytest.raises(OSError):
        get(opened.url)
    opened.close()


def test_a_browser_sees_the_notice_first_unless_it_says_it_knows(agent, served):
    opened = tunnel.open_tunnel(served, TOKEN, agent=agent())
    browser = {"User-Agent": "Mozilla/5.0", "Accept": "text/html"}
    assert "ERR_NGROK_6024" in get(opened.url, **browser)[1]
    assert json.loads(get(opened.url, **browser, Cookie="abuse_interstitial=1")[1])["path"] == "/"
    assert json.loads(get(opened.url, **browser, **{"ngrok-skip-browser-warning": "1"})[1])["path"] == "/"


def test_it_lasts_as_long_as_the_agent_has_something_to_log(agent, served):
    opened = tunnel.open_tunnel(served, TOKEN, agent=agent())
    connection = http.client.HTTPConnection("127.0.0.1", int(opened.url.rsplit(":")[-1]), timeout=10)
    for _ in range(1500):
        connection.request("GET", "/", headers={"Host": opened.url.split("://")[1]})
        assert connection.getresponse().read()


def sharing(served: str, agent: str) -> list[str]:
    """The command of a program that shares and tells its agent's number."""
    code = (
        "import psutil, sys; from webapp.web import tunnel; "
        f"tunnel.open_tunnel({served!r}, {TOKEN!r}, agent={agent!r}); print(psutil.Process().children()[0].pid, flush=True); sys.stdin.read()"
    )
    return [sys.executable, "-c", code]


def test_an_agent_whose_program_crashed_is_ended(agent, served):
    """And one whose program lives is not."""
    programs, agents = [], []
    for _ in range(2):
        programs.append(subprocess.Popen(sharing(served, agent()), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        agents.append(psutil.Process(int(programs[-1].stdout.readline())))
    alive, crashed = agents
    programs[1].kill()
    programs[1].wait()
    assert crashed.is_running() and crashed.status() != psutil.STATUS_ZOMBIE, "it outlives its program"
    tunnel.open_tunnel(served, TOKEN, agent=agent())
    assert not crashed.is_running() or crashed.status() == psutil.STATUS_ZOMBIE
    assert alive.is_running() and alive.status() != psutil.STATUS_ZOMBIE
    programs[0].communicate()


@pytest.mark.parametrize(("name", "ended"), [("systemd", True), ("somebody", False)])
def test_an_orphan_is_ended_that_a_desktops_session_has_taken_in(agent, served, name, ended):
    """And none that somebody else has."""
    session = (  # prctl: 15 is PR_SET_NAME, 36 PR_SET_CHILD_SUBREAPER
        f"import ctypes, signal, subprocess, sys; system = ctypes.CDLL(None); system.prctl(15, {name.encode()!r}); system.prctl(36, 1)\n"
        f"program = subprocess.Popen({sharing(served, agent())!r}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)\n"
        "agent = program.stdout.readline(); program.kill(); program.wait(); signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "print(agent, flush=True); sys.stdin.read()"
    )
    keeper = subprocess.Popen([sys.executable, "-c", session], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    orphan = psutil.Process(int(keeper.stdout.readline()))
    assert orphan.ppid() == keeper.pid
    tunnel.open_tunnel(served, TOKEN, agent=agent())
    assert orphan.is_running() != ended
    if not ended:
        orphan.kill()
    keeper.communicate()


@pytest.mark.parametrize("host", ["127.0.0.2", "0.0.0.0"])
def test_it_leads_to_where_the_server_is(agent, app, monkeypatch, host):
    monkeypatch.setenv("PYNGROK_NGROK_PATH", agent())
    server = Server(app, host, 0)
    server.start()
    opened = shares.share(server, TOKEN)
    status, _ = get(opened.url)
    shares.stop()
    server.stop()
    assert status == 200


def test_opening_again_ends_the_first(agent, served):
    first = tunnel.open_tunnel(served, TOKEN, agent=agent())
    second = tunnel.open_tunnel(served, TOKEN, agent=agent())
    assert get(second.url)[0] == 200
    with pytest.raises(OSError):
        get(first.url)


def test_opening_again_while_another_thread_notices_the_firsts_death(agent, served):
    """As pyngrok's own, which reads the agent's log: while it asks, the dead agent counts as running."""
    from pyngrok import process

    tunnel.open_tunnel(served, TOKEN, agent=agent())
    asking = process._current_processes[agent()].proc._waitpid_lock
    asking.acquire()
    threading.Timer(1, asking.release).start()
    assert get(tunnel.open_tunnel(served, TOKEN, agent=agent()).url)[0] == 200


def test_a_reserved_domain_is_asked_for(agent, served):
    assert tunnel.open_tunnel(served, TOKEN, domain="mine.ngrok.app", agent=agent()).url.startswith("http://mine.")


def test_nothing_behind_it_is_told_by_ngrok(agent):
    opened = tunnel.open_tunnel(NOBODY, TOKEN, agent=agent())
    assert get(opened.url) == (502, "ERR_NGROK_8012")


@pytest.mark.parametrize("code", [105, 107, 108, 120, 121, 4018])
def test_what_the_agent_dies_of_is_told(agent, caplog, capfd, code: int):
    caplog.set_level(logging.DEBUG)
    with pytest.raises(AppError) as caught:
        tunnel.open_tunnel(NOBODY, TOKEN, agent=agent(error=code))
    assert caught.value.sentence == tunnel.SENTENCES[code]
    assert caught.value.__cause__ is None and caught.value.__suppress_context__
    said = caplog.text + "".join(capfd.readouterr())
    assert f"ERR_NGROK_{code}" in said, "it went through the log"
    assert TOKEN not in said


@pytest.mark.parametrize("code", [334, 725, 726, 727])
def test_what_is_refused_at_the_opening_is_told(agent, code: int):
    with pytest.raises(AppError) as caught:
        tunnel.open_tunnel(NOBODY, TOKEN, agent=agent(refuse=[502, code]))
    assert caught.value.sentence == tunnel.SENTENCES[code]


def test_what_is_not_known_is_not_repeated(agent):
    with pytest.raises(AppError) as caught:
        tunnel.open_tunnel(NOBODY, TOKEN, agent=agent(error=9999))
    assert caught.value.sentence == tunnel.UNKNOWN


def test_an_agent_that_says_nothing_is_not_waited_for(agent):
    began = time.monotonic()
    with pytest.raises(AppError) as caught:
        tunnel.open_tunnel(NOBODY, TOKEN, agent=agent(silent=True), patience=2)
    assert caught.value.sentence == tunnel.SILENT
    assert time.monotonic() - began < 20


def test_without_a_token_it_says_where_to_get_one(agent):
    with pytest.raises(AppError, match=r"dashboard\.ngrok\.com"):
        tunnel.open_tunnel(NOBODY, " ", agent=agent())


def test_a_broken_agent_is_told(tmp_path):
    broken = tmp_path / "ngrok"
    shutil.copy("/bin/true", broken)
    with pytest.raises(AppError) as caught:
        tunnel.open_tunnel(NOBODY, TOKEN, agent=str(broken))
    assert caught.value.sentence == tunnel.UNKNOWN
