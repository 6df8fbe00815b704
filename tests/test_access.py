"""Who may come in: the link's token, the host's name, our own pages; and what every answer carries."""

from __future__ import annotations

import http.client
import stat

import pytest
from conftest import Visitor

from webapp.settings import Settings
from webapp.web.access import PUBLIC
from webapp.web.app import create_app


@pytest.fixture
def shared(tmp_path, monkeypatch):
    app = create_app(Settings(host="0.0.0.0", data=tmp_path, model=str(tmp_path / "none")))
    yield app
    app.extensions["house"].close()


@pytest.fixture
def private(tmp_path):
    app = create_app(Settings(data=tmp_path, model=str(tmp_path / "none")))
    yield app
    app.extensions["house"].close()


def test_shared_without_a_token_one_is_made(shared):
    assert len(shared.extensions["house"].settings.token) >= 43


def test_without_the_link_every_route_is_closed(shared):
    tried = 0
    for rule in shared.url_map.iter_rules():
        for method in rule.methods - {"OPTIONS"}:
            path = (
                rule.rule.replace("<id>", "x")
                .replace("<any(png,webp):kind>", "png")
                .replace("<int:number>", "1")
                .replace("<path:filename>", "style.css")
                .replace("<name>", "es")
                .replace("<word>", "x")
            )
            answer = shared.test_client().open(path, method=method)
            if rule.endpoint in PUBLIC:
                assert answer.status_code in ((404,) if "<word>" in rule.rule else (200, 303))
            else:
                assert answer.status_code == 403 and b"link" in answer.data + b"link" * (method == "HEAD")
                tried += 1
    assert tried > 8


def test_the_link_lets_in_and_leaves_the_address_bar(shared):
    client, token = shared.test_client(), shared.extensions["house"].settings.token
    answer = client.get(f"/?token={token}")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert "HttpOnly" in answer.headers["Set-Cookie"] and token not in answer.headers["Set-Cookie"]
    assert client.get("/").status_code == 200
    assert shared.test_client().get("/?token=" + token[:-1]).status_code == 403
    assert shared.test_client().get("/?token=ü").status_code == 403


def test_an_old_runs_cookie_opens_nothing(shared, tmp_path):
    client = shared.test_client()
    client.get(f"/?token={shared.extensions['house'].settings.token}")
    later = create_app(Settings(token="another", data=tmp_path, model=str(tmp_path / "none")))
    stranger = later.test_client()
    stranger.set_cookie("t2i", client.get_cookie("t2i").value)
    assert stranger.get("/").status_code == 403
    later.extensions["house"].close()


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:7860", "192.168.1.5", ""])
def test_a_foreign_name_for_this_machine_is_refused(private, host):
    assert private.test_client().get("/", headers={"Host": host}).status_code in (400, 403)


@pytest.mark.parametrize("host", ["localhost", "localhost:7860", "127.0.0.1:7860", "[::1]:7860"])
def test_loopback_names_are_ours(private, host):
    assert private.test_client().get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
        {"Origin": "http://localhost:81"},
    ],
)
def test_a_change_from_another_site_is_refused(private, headers):
    assert private.test_client().post("/generate", data={"prompt": "a"}, headers=headers).status_code == 403


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {"Origin": "http://localhost"}])
def test_a_change_from_our_own_page_passes(private, headers):
    assert private.test_client().post("/generate", data={"prompt": "a"}, headers=headers).status_code == 303


def test_every_answer_closes_what_browsers_leave_open(private):
    client = private.test_client()
    for path in ("/", "/nothing", "/jobs", "/static/app.js"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["Content-Security-Policy"] and "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "same-origin"
        assert "Access-Control-Allow-Origin" not in headers


def test_the_key_that_signs_is_kept_and_private(private, tmp_path):
    key = tmp_path / "cookie.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert create_and_close(tmp_path) == private.secret_key == key.read_text()


def create_and_close(place) -> str:
    app = create_app(Settings(data=place, model=str(place / "none")))
    app.extensions["house"].close()
    return app.secret_key


def test_a_forged_cookie_is_nobody(private):
    client = private.test_client()
    client.set_cookie("t2i", "eyJwZXJzb24iOiJhbm4ifQ.aaaa.bbbb")
    assert client.get("/").status_code == 200
    with client.session_transaction() as session:
        assert session["person"] != "ann"


def test_never_in_debug_and_only_on_loopback(site):
    assert site.address.startswith("http://127.0.0.1:")
    assert b"Traceback" not in Visitor(site.address).ask("/generate", {"prompt": "\0"})[1]


def test_a_request_without_a_host_is_refused_plainly(site):
    connection = http.client.HTTPConnection(site.address.removeprefix("http://"), timeout=10)
    connection.putrequest("GET", "/", skip_host=True)
    connection.endheaders()
    assert connection.getresponse().status in (400, 403)
