"""Flags, environment and defaults, in that order."""

from __future__ import annotations

import pytest

from webapp.errors import InvalidRequest
from webapp.settings import Settings


def test_a_flag_goes_before_the_environment_and_that_before_the_default(monkeypatch):
    monkeypatch.setenv("T2I_PORT", "9000")
    monkeypatch.setenv("T2I_MODEL", "somewhere")
    settings = Settings.from_environment({"port": "9001"})
    assert (settings.port, settings.model, settings.host) == (9001, "somewhere", "127.0.0.1")


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_a_port_that_is_none_gets_a_sentence(port):
    with pytest.raises(InvalidRequest, match="port"):
        Settings(port=port)


@pytest.mark.parametrize(
    ("host", "shared"),
    [
        ("127.0.0.1", False),
        ("localhost", False),
        ("::1", False),
        ("127.8.8.8", False),
        ("0.0.0.0", True),
        ("::", True),
        ("lan.example", True),
    ],
)
def test_shared_is_whatever_others_can_reach(host, shared):
    assert Settings(host=host).shared is shared
    assert Settings(host=host, token="t").shared
