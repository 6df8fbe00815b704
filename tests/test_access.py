"""Who may come in: by which links, how often, and as whom; nobody reaches what is another's, on any route; the host's name, our own
pages; and what every answer carries."""

from __future__ import annotations

import base64
import http.client
import re
import stat
import time
import urllib.request

import pytest
from conftest import Visitor, eventually
from PIL import Image

from webapp.jobs import people as people_module
from webapp.jobs.people import DAY
from webapp.schema import Receipt
from webapp.settings import Settings
from webapp.web.access import PUBLIC
from webapp.web.app import create_app

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def start(tmp_path, **settings):
    return create_app(Settings(**{"host": "0.0.0.0", **settings}, data=tmp_path, model=str(tmp_path / "none")))


@pytest.fixture
def shared(tmp_path):
    app = start(tmp_path)
    yield app
    app.extensions["house"].close()


@pytest.fixture
def private(tmp_path):
    app = start(tmp_path, host="127.0.0.1")
    yield app
    app.extensions["house"].close()


def house(app):
    return app.extensions["house"]


def guest(app, token: str = ""):
    """A browser that came by the guests' link, or by this token."""
    client = app.test_client()
    assert client.get(f"/?token={token or house(app).people.rules.link}").status_code == 303
    return client


def host_of(app):
    client = app.test_client()
    assert client.get(f"/host?token={house(app).host_key}").status_code == 303
    return client


def cookie_of(client) -> str:
    return client.get_cookie(client.application.config["SESSION_COOKIE_NAME"]).value


def person_of(client) -> str:
    with client.session_transaction() as session:
        return session["person"]


# -- every route


def test_shared_without_a_token_one_is_made(shared):
    assert len(house(shared).settings.token) >= 43


def theirs(app, client) -> dict[str, list[str]]:
    """What each parameter of a route may be, of what belongs to `client`; and in forms. Fails where the test does not know one."""
    home, person = house(app), person_of(client)
    drawn, waiting = (
        client.post("/generate", data={"prompt": "a quiet secret"}, headers={"Accept": "application/json"}).json["id"] for _ in "ab"
    )
    job = home.store.claim(drawn, "worker", 100)
    home.queue.keep(job, 0, Image.new("RGB", (64, 64)), Receipt(request=job.plan[0], model="none"))
    home.queue.end(job, "done", "", "worker")
    picture = home.store.pictures_of([drawn])[drawn][0].id
    handed_in = home.queue.take_in(person, b"a picture's file")
    home.people.invite("friends", 5, 1)
    return {
        "id": [drawn, waiting, picture, handed_in],
        "invite": [home.people.invites()[0].id],
        "number": ["1"],
        "kind": ["png", "webp"],
        "name": ["es"],
        "word": [home.gallery.share(person, picture)],
        "filename": ["style.css"],
    }


def paths(app, values: dict[str, list[str]]):
    """(rule, path) of every route, with each of the values for its parameters."""
    for rule in app.url_map.iter_rules():
        assert rule.arguments <= set(values), f"this test does not know what {rule} may be given: add it to `theirs`"
        found = [rule.rule]
        for name in rule.arguments:
            found = [re.sub(rf"<(?:[^<>]*:)?{name}>", value, path) for path in found for value in values[name]]
        assert not any("<" in path for path in found)
        yield from ((rule, path) for path in found)


def test_without_the_link_every_route_is_closed(shared):
    ann, tried = guest(shared), 0
    for rule, path in paths(shared, theirs(shared, ann)):
        for method in METHODS:
            answer = shared.test_client().open(path, method=method)
            if rule.endpoint in PUBLIC and method in rule.methods:
                assert answer.status_code in (200, 303), (method, path)
            else:
                assert answer.status_code == 403 and b"link" in answer.data, (method, path)
                assert "Set-Cookie" not in answer.headers
                tried += 1
    assert tried > 5 * 20


def test_nobody_reaches_what_is_anothers_on_any_route(shared):
    ann, bob = guest(shared), guest(shared)
    values, person = theirs(shared, ann), person_of(ann)
    drawn, waiting, picture, handed_in = values["id"]

    def as_it_is():
        home = house(shared)
        return [(job.id, job.state) for job in home.store.jobs_of(person, 99)], home.store.picture(picture, person), home.people.invites()

    before, tried = as_it_is(), 0
    for rule, path in paths(shared, values):
        if rule.endpoint in PUBLIC or not rule.arguments & {"id", "invite"}:
            continue
        for method in METHODS:
            answer = bob.open(path, method=method, data={} if method == "POST" else None)
            assert answer.status_code == (404 if method in rule.methods else 405), (method, path, answer.status_code)
            assert b"quiet secret" not in answer.data
            tried += 1
    assert tried > 50 and as_it_is() == before
    # the ids in forms and queries, which the walk through addresses does not see
    for field in ("id", "ids", "picture", "job", "image", "a", "b"):
        for value in (drawn, waiting, picture):
            for rule in shared.url_map.iter_rules():
                if rule.arguments or rule.endpoint in PUBLIC | {"live.events"}:
                    continue
                for method in rule.methods & {"GET", "POST"}:
                    given = {"data" if method == "POST" else "query_string": {field: value, "do": "delete", "prompt": "mine"}}
                    assert b"quiet secret" not in bob.open(rule.rule, method=method, **given).data, (method, rule.rule, field)
    assert bob.post("/generate", data={"prompt": "mine", "image": handed_in}).status_code == 400
    for name in ("again", "like", "start", "settings", "bigger", "id"):
        for value in (drawn, waiting, picture):
            assert b"quiet secret" not in bob.get("/", query_string={name: value}).data
    assert as_it_is() == before
    assert ann.get(f"/jobs/{drawn}").status_code == ann.get(f"/pictures/{picture}.png").status_code == 200  # hers they are


def test_the_hosts_routes_are_not_there_for_guests(shared):
    ann, host = guest(shared), host_of(shared)
    values = theirs(shared, ann)
    tried = 0
    for rule, path in paths(shared, values):
        if rule.endpoint.startswith("host."):
            for method in rule.methods & {"GET", "POST"}:
                assert ann.open(path, method=method).status_code == 404, path
                tried += 1
    assert tried >= 9
    assert b"/host" not in ann.get("/").data and b"/host" in host.get("/").data
    assert ann.get("/host", headers={"Authorization": f"Bearer {house(shared).people.rules.link}"}).status_code == 404
    assert host.get("/host").status_code == 200 and not house(shared).people.rules.paused


# -- the link


def test_the_link_lets_in_and_leaves_the_address_bar(shared):
    client, token = shared.test_client(), house(shared).settings.token
    answer = client.get(f"/?token={token}")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and token not in cookie
    assert client.get("/").status_code == 200
    assert shared.test_client().get("/?token=" + token[:-1]).status_code == 403
    assert shared.test_client().get("/?token=ü").status_code == 403
    for path in ("//evil.example/", "/%5Cevil.example"):
        assert not (shared.test_client().get(f"{path}?token={token}").headers.get("Location", "/")).startswith(("//", "/\\", "http"))


def test_what_is_sent_along_with_the_token_is_not_lost(shared):
    client = shared.test_client()
    assert client.post(f"/generate?token={house(shared).settings.token}", data={"prompt": "a"}).status_code == 303
    assert len(client.get("/jobs").json["jobs"]) == 1


def test_what_is_public_knows_nobody(shared):
    for client in (guest(shared), shared.test_client()):
        for path in (f"{shared.static_url_path}/style.css", "/words/es.json"):
            headers = client.get(path).headers
            assert "Cookie" not in headers.get("Vary", "") and "Set-Cookie" not in headers
        assert "Set-Cookie: t2i" not in str(client.post("/preferences", data={"theme": "dark"}).headers)


def test_who_comes_now_and_then_is_the_same_person_for_years(shared, monkeypatch):
    ann, day, now = guest(shared), 86_400, time.time
    first = person_of(ann)
    renewed = 0
    for days in range(0, 800, 20):
        monkeypatch.setattr(time, "time", lambda days=days: now() + days * day)
        answer = ann.get("/jobs")
        assert answer.status_code == 200 and person_of(ann) == first, days
        renewed += "Set-Cookie" in answer.headers
    assert 10 < renewed < 30, "but the cookie is not sent with each answer"


def test_the_cookie_is_secure_where_the_tunnel_is(shared):
    token = house(shared).settings.token
    plain, tunnelled = (shared.test_client().get(f"/?token={token}", headers=headers) for headers in ({}, {"X-Forwarded-Proto": "https"}))
    assert "Secure" not in plain.headers["Set-Cookie"] and "Secure" in tunnelled.headers["Set-Cookie"]


def test_a_tunnel_may_come_by_the_servers_own_address(tmp_path):
    app = start(tmp_path, host="192.0.2.1")
    for peer in ("192.0.2.1", "192.0.2.2"):
        answer = app.test_client().get(
            f"/?token={house(app).settings.token}", headers={"X-Forwarded-Proto": "https"}, environ_base={"REMOTE_ADDR": peer}
        )
        assert ("Secure" in answer.headers["Set-Cookie"]) == (peer == "192.0.2.1")
    house(app).close()


def test_programs_bring_the_token_in_a_header(shared):
    token = house(shared).settings.token

    def submitted(header: str):
        return shared.test_client().post("/generate", data={"prompt": "a"}, headers={"Authorization": header, "Accept": "application/json"})

    def basic(user: str, password: str) -> str:
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    for header in (f"Bearer {token}", basic("ann", token), basic("bob", token)):
        assert submitted(header).status_code == 202 and "Set-Cookie" not in submitted(header).headers
        jobs = shared.test_client().get("/jobs", headers={"Authorization": header}).json["jobs"]
        assert len(jobs) == 2  # its own, every time, and nobody else's
    for header in ("Bearer nonsense", basic("ann", "nonsense"), basic(token, ""), "Bearer", "Basic !", "Digest x"):
        assert submitted(header).status_code == 403, header
    assert shared.test_client().get("/host", headers={"Authorization": f"Bearer {house(shared).host_key}"}).status_code == 200


def test_a_proxy_that_asks_for_a_password_does_not_shut_out_who_has_the_link(shared):
    """Browsers send that password with every request."""
    header, link = {"Authorization": "Basic " + base64.b64encode(b"proxy:secret").decode()}, house(shared).people.rules.link
    browser = shared.test_client()
    assert browser.get(f"/?token={link}", headers=header).status_code == 303
    for _ in range(25):
        assert browser.get("/jobs", headers=header).status_code == 200
    assert guest(shared).get("/", headers=header).status_code == 200, "and none of it was a wrong link"


def test_another_runs_token_closes_the_old_one_and_without_a_token_the_link_lasts(shared, tmp_path):
    client = guest(shared)
    cookie, link = cookie_of(client), house(shared).settings.token
    house(shared).close()
    for token, status in (("", 200), ("another", 403)):
        later = start(tmp_path, token=token)
        visitor = later.test_client()
        visitor.set_cookie(later.config["SESSION_COOKIE_NAME"], cookie)
        assert visitor.get("/").status_code == status
        assert later.test_client().get(f"/?token={link}").status_code == (303 if status == 200 else 403)
        house(later).close()


def test_wrong_links_are_tried_twenty_times(shared):
    token = house(shared).settings.token
    inside = guest(shared)
    answers = [shared.test_client().get("/?token=wrong") for _ in range(20)]
    assert {answer.status_code for answer in answers} == {403}
    for given in ("/?token=wrong", f"/?token={token}", f"/host?token={house(shared).host_key}"):  # nothing can be told from the answer
        answer = shared.test_client().get(given)
        assert answer.status_code == 429 and 1 <= int(answer.headers["Retry-After"]) <= 601
    spoofed = shared.test_client().get("/?token=wrong", headers={"Authorization": "Bearer wrong"})
    assert spoofed.status_code == 429
    assert inside.get("/").status_code == 200  # who is in stays in
    assert shared.test_client().get("/").status_code == 403  # no try at all


def test_a_spoofed_address_does_not_help(shared):
    def tried(peer: str, forwarded: str, times: int) -> set[int]:
        headers = {"X-Forwarded-For": forwarded} if forwarded else {}
        return {
            shared.test_client().get("/?token=wrong", headers=headers, environ_base={"REMOTE_ADDR": peer}).status_code for _ in range(times)
        }

    assert tried("203.0.113.5", "", 20) == {403}
    assert tried("203.0.113.5", "198.51.100.7", 1) == {429}  # from outside, the header is not believed
    assert tried("198.51.100.7", "", 1) == {403}
    assert tried("127.0.0.1", "198.51.100.8", 20) == {403}  # the tunnel's is: its last address is the one that it saw itself
    assert tried("127.0.0.1", "1.2.3.4, 198.51.100.8", 1) == {429}
    assert tried("127.0.0.1", "198.51.100.9", 1) == {403}
    assert tried("2001:db8::1", "", 20) == {403} and tried("2001:db8::ffff:1", "", 1) == {429}  # one household, one address


def test_a_crowd_of_requests_is_slowed(shared, monkeypatch):
    ann, bob = guest(shared), guest(shared)
    answers = [ann.post("/generate", data={"prompt": ""}, headers={"Accept": "application/json"}) for _ in range(61)]
    assert [answer.status_code for answer in answers] == [400] * 60 + [429]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 61 and "wait" in answers[-1].json["error"]
    assert b"<h1>" in ann.post("/generate", data={"prompt": ""}).data
    assert bob.post("/generate", data={"prompt": ""}).status_code == 400  # it is hers alone
    assert {bob.get("/jobs").status_code for _ in range(600)} == {200, 429}
    assert bob.get(f"{shared.static_url_path}/style.css").status_code == 200
    host = shared.test_client()
    host.get(f"/host?token={house(shared).host_key}")
    assert host.get("/jobs").status_code == 200


def test_pictures_count_less(shared):
    ann = guest(shared)
    assert {ann.get("/pictures/none.webp").status_code for _ in range(700)} == {404}


def test_a_private_run_slows_nobody(private):
    client = private.test_client()
    assert {client.post("/generate", data={"prompt": ""}).status_code for _ in range(70)} == {400}


# -- rotate, pause, invitations


def test_a_new_link_keeps_out_who_came_by_the_old_one_until_they_have_it(shared):
    ann, host = guest(shared), host_of(shared)
    job = ann.post("/generate", data={"prompt": "a"}, headers={"Accept": "application/json"}).json["id"]
    old = house(shared).people.rules.link
    assert host.post("/host/link").status_code == 303
    answer = ann.get("/")
    assert answer.status_code == 403 and b"changed the link" in answer.data
    assert ann.get(f"/?token={old}").status_code == shared.test_client().get(f"/?token={old}").status_code == 403
    assert host.get("/host").status_code == 200
    assert ann.get(f"/?token={house(shared).people.rules.link}").status_code == 303
    assert ann.get(f"/jobs/{job}").status_code == 200  # what was hers still is


def test_a_pause_keeps_guests_out_and_the_host_in(shared, tmp_path):
    ann, host, token = guest(shared), host_of(shared), house(shared).people.rules.link
    host.post("/host/pause", data={"paused": "yes"})
    invited = house(shared).people.invite("friends", 5, 1)
    for client, path in (
        (ann, "/"),
        (ann, "/jobs"),
        (shared.test_client(), f"/?token={token}"),
        (shared.test_client(), f"/?token={invited}"),
    ):
        answer = client.get(path)
        assert answer.status_code == 503 and answer.headers["Retry-After"] == "300" and b"closed this page for a while" in answer.data
    assert shared.test_client().get("/").status_code == 403  # a stranger is told nothing
    assert host.get("/").status_code == 200
    cookie = cookie_of(ann)
    house(shared).close()
    later = start(tmp_path)  # it outlives the run
    visitor = later.test_client()
    visitor.set_cookie(later.config["SESSION_COOKIE_NAME"], cookie)
    assert visitor.get("/").status_code == 503
    host_of(later).post("/host/pause", data={"paused": "no"})
    assert visitor.get("/").status_code == 200
    house(later).close()


def test_an_invitation_opens_until_it_ends_or_is_withdrawn(shared, monkeypatch):
    token = house(shared).people.invite("friends", 2, 1)
    ann, bob = guest(shared, token), guest(shared, token)
    submit = {"data": {"prompt": "a", "count": "2"}, "headers": {"Accept": "application/json"}}
    assert ann.post("/generate", **submit).status_code == 202
    answer = bob.post("/generate", **submit)
    assert answer.status_code == 429 and "All pictures of your invitation" in answer.json["error"]
    assert bob.get("/").status_code == 200
    later = time.time() + DAY + 1
    monkeypatch.setattr(people_module.time, "time", lambda: later)
    for answer in (bob.get("/"), shared.test_client().get(f"/?token={token}")):
        assert answer.status_code == 403 and b"invitation has ended" in answer.data
    monkeypatch.undo()
    assert bob.get("/").status_code == 200
    host_of(shared).post(f"/host/invites/{house(shared).people.invites()[0].id}/revoke")
    for answer in (bob.get("/"), shared.test_client().get(f"/?token={token}")):
        assert answer.status_code == 403 and b"withdrawn" in answer.data
    assert bob.get(f"/?token={house(shared).people.rules.link}").status_code == 303  # the guests' link is another way in
    assert bob.get("/").status_code == 200


def test_a_stream_ends_when_its_reader_is_out(serve):
    running = serve("--host", "0.0.0.0")
    eventually(lambda: "Host's page" in "".join(running.log), 10)
    ann, host = Visitor(running.address), Visitor(running.address)
    assert ann.ask("/?" + running.link.split("?")[1])[0] == 200
    assert host.ask("/host?token=" + re.search(r"/host\?token=(\S+)", "".join(running.log))[1])[0] == 200
    with ann.open(urllib.request.Request(running.address + "/events"), timeout=30) as stream:
        assert stream.readline()
        assert host.ask("/host/link", {})[0] == 200
        ended = time.monotonic()
        while stream.readline():
            assert time.monotonic() - ended < 10
    assert ann.ask("/jobs")[0] == 403
    # and no token is in the log but where it is told to the host
    assert ann.ask("/?token=canary")[0] == 403
    log = "".join(running.log)
    assert "canary" not in log and log.count("token=") == 2


# -- other sites, other names


def test_the_hosts_key_is_kept_and_private(shared, tmp_path):
    key = tmp_path / "host.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600 and key.read_text() == house(shared).host_key and len(house(shared).host_key) >= 43
    later = start(tmp_path)
    assert house(later).host_key == house(shared).host_key
    house(later).close()


def test_on_this_machine_alone_everybody_is_the_host(private, tmp_path):
    assert private.test_client().get("/host").status_code == 200
    assert house(private).host_key == "" and not (tmp_path / "host.key").exists()


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
        {"Origin": "http://["},
        {"Origin": "http://[", "Host": "["},
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
    app = start(place, host="127.0.0.1")
    house(app).close()
    return app.secret_key


def test_another_run_on_the_same_machine_leaves_ones_identity_alone(private, tmp_path):
    browser = private.test_client()
    browser.get("/")
    first = person_of(browser)
    other = start(tmp_path / "other", host="127.0.0.1")
    beside = other.test_client()
    beside._cookies = browser._cookies  # browsers send cookies to every port of a machine
    beside.get("/")
    second = person_of(beside)
    browser.get("/")
    assert person_of(browser) == first != second == person_of(beside)
    house(other).close()


def test_a_forged_cookie_is_nobody(private):
    client = private.test_client()
    client.set_cookie(private.config["SESSION_COOKIE_NAME"], "eyJwZXJzb24iOiJhbm4ifQ.aaaa.bbbb")
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
