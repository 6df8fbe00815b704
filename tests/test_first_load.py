"""What a first visit costs: few requests and few bytes, for each of them goes through somebody's tunnel."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

MOST_REQUESTS, MOST_BYTES = 8, 100_000


@pytest.mark.parametrize("locale", ["en-GB", "es-ES"])
@pytest.mark.parametrize("path", ["/", "/gallery"])
def test_a_first_visit_is_light(chromium: Browser, site, path: str, locale: str):
    context = chromium.new_context(locale=locale)
    page = context.new_page()
    wire = context.new_cdp_session(page)
    wire.send("Network.enable")
    asked: dict[str, str] = {}
    size: dict[str, float] = {}
    wire.on("Network.requestWillBeSent", lambda told: asked.setdefault(told["requestId"], told["request"]["url"]))
    wire.on(
        "Network.dataReceived", lambda told: size.update({told["requestId"]: size.get(told["requestId"], 0) + told["encodedDataLength"]})
    )
    wire.on("Network.loadingFinished", lambda told: size.update({told["requestId"]: told["encodedDataLength"]}))
    page.goto(site.address + path)
    page.wait_for_timeout(3000)
    fetched = {id: url for id, url in asked.items() if url.startswith(site.address)}
    weight = {url.removeprefix(site.address): round(size.get(id, 0)) for id, url in fetched.items()}
    pictures = sum(bytes for url, bytes in weight.items() if ".webp" in url or ".png" in url)
    print(path, locale, len(fetched), "requests,", sum(weight.values()) - pictures, "bytes", weight)
    assert len(fetched) <= MOST_REQUESTS, weight
    assert 10_000 < sum(weight.values()) - pictures < MOST_BYTES, weight
    context.close()
