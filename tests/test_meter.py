"""What is counted is what went over the wire."""

from __future__ import annotations

import socket
import threading
import time

import pytest
from conftest import eventually
from flask import Flask
from sqlalchemy import insert

from webapp.jobs.store import Store
from webapp.jobs.traffic import TRAFFIC, Ledger, Traffic
from webapp.web import meter as meter_module
from webapp.web.meter import Meter
from webapp.web.server import Server


@pytest.fixture
def ledger(tmp_path):
    store = Store(tmp_path)
    yield Ledger(store)
    store.close()


def asked(meter: Meter, tunnelled: bool = True, **environ: str) -> bytes:
    """The body of an answer of 1,000 bytes in three parts, through the meter."""

    def application(_environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield from (b"a" * 500, b"", b"b" * 500)

    answer = meter.around(application, lambda _: tunnelled)({"REQUEST_METHOD": "GET", "PATH_INFO": "/x", **environ}, lambda *_: None)
    body = b"".join(answer)
    answer.close()
    return body


def test_requests_and_bytes_are_counted(ledger):
    meter = Meter(ledger)
    assert len(asked(meter)) == 1000 and meter.requests == 1
    plain = meter.month
    assert 1000 < plain.bytes_out < 1300 and 0 < plain.bytes_in < 60
    asked(meter, CONTENT_LENGTH="5000", HTTP_COOKIE="c" * 300)
    assert meter.requests == 2 and 5300 < meter.bytes_in - plain.bytes_in < 5400
    asked(meter, CONTENT_LENGTH="nonsense")
    assert meter.run == meter.month == (3, meter.bytes_in, meter.bytes_out)
    meter.close()


def test_what_no_tunnel_brought_is_not_of_the_month(ledger):
    meter = Meter(ledger)
    asked(meter)
    month = meter.month
    asked(meter, tunnelled=False)
    assert meter.month == month and meter.run == month.and_(month)
    meter.close()
    assert Meter(ledger).month == month


def test_a_stream_counts_as_it_goes_and_is_closed(ledger):
    closed = []

    class Body:
        def __iter__(self):
            yield b"x" * 100
            yield b"x" * 100

        def close(self):
            closed.append(True)

    meter = Meter(ledger)
    answer = meter.around(lambda environ, start: Body(), lambda _: True)({}, lambda *_: None)
    parts = iter(answer)
    next(parts)
    assert meter.bytes_out == 100 and not closed
    next(parts)
    assert meter.bytes_out == 200
    answer.close()  # a reader may leave in the middle
    assert closed
    meter.close()


def test_it_lasts_from_run_to_run(ledger):
    first = Meter(ledger)
    asked(first)
    first.close()
    second = Meter(ledger)
    assert second.month == first.month and second.requests == 1 and second.run == Traffic()
    asked(second)
    second.close()
    assert Meter(ledger).requests == 2


def test_it_is_kept_while_it_runs(ledger, monkeypatch):
    monkeypatch.setattr(meter_module, "PAUSE", 0.05)
    meter = Meter(ledger)
    asked(meter)
    eventually(lambda: Meter(ledger).requests == 1, 5)
    asked(meter)
    eventually(lambda: Meter(ledger).requests == 2, 5)
    assert meter.requests == 2
    meter.close()


def test_each_month_begins_at_nothing_and_the_last_stays_counted(ledger, monkeypatch):
    monkeypatch.setattr(meter_module, "_month", lambda: "2026-01")
    meter = Meter(ledger)
    asked(meter)
    monkeypatch.setattr(meter_module, "_month", lambda: "2026-02")
    assert meter.requests == 0
    asked(meter)
    asked(meter)
    meter.close()
    assert (ledger.of("2026-01").requests, ledger.of("2026-02").requests, meter.requests, meter.run.requests) == (1, 2, 2, 3)


def test_many_threads_lose_nothing(ledger):
    meter = Meter(ledger)
    crowd = [threading.Thread(target=lambda: [asked(meter) for _ in range(200)]) for _ in range(8)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    meter.close()
    assert meter.requests == ledger.of(time.strftime("%Y-%m", time.gmtime())).requests == 1600


def test_the_estimate_is_close_to_what_crosses_the_wire(app: Flask):
    server = Server(app, "127.0.0.1", 0)
    server.start()
    meter = app.extensions["house"].meter
    for path in ("/", f"{app.static_url_path}/style.css", "/nothing"):
        before = meter.run
        sent = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nAccept: text/html\r\nX-Long: {'x' * 500}\r\n\r\n".encode()
        got = b""
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as line:
            line.sendall(sent)
            while part := line.recv(65536):
                got += part
        eventually(lambda before=before: meter.run.requests == before.requests + 1, 5)
        assert meter.run.bytes_in - before.bytes_in == pytest.approx(len(sent), abs=40)
        assert meter.run.bytes_out - before.bytes_out == pytest.approx(len(got), abs=150)
    server.stop()


def test_while_the_database_is_slow_nobody_at_the_door_waits(ledger):
    meter = Meter(ledger)
    asked(meter)
    writing, add = threading.Event(), ledger.add
    ledger.add = lambda *facts: (writing.set(), add(*facts))
    with ledger._database.begin() as db:
        db.execute(insert(TRAFFIC).values(month="2020-01"))  # somebody writes for long
        closing = threading.Thread(target=meter.close)
        closing.start()
        assert writing.wait(60)
        asked(meter)  # would wait until nobody writes any more, that is for ever, if it waited for the other
        assert closing.is_alive() and meter.requests == 2
    closing.join()
    assert ledger.of(time.strftime("%Y-%m", time.gmtime())).requests == 1
