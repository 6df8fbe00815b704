"""That a picture's bits do not depend on who is drawn beside it, on the model that ships: its layers are long enough for a CPU's
library to round them by the number of rows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from studio import Studio, ends, wish

from webapp import metadata
from webapp.engine import checkpoint, model
from webapp.engine.drawing import Drawing
from webapp.engine.events import Finished
from webapp.engine.rows import apart
from webapp.schema import GenerationRequest

WISHES = [  # 192 by 128 pixels: latents of 24 by 16, where the rounding was seen to differ
    wish(prompt=f"a {colour} circle on a white background", seed=seed, width=192, height=128, steps=6, sampler=sampler)
    for seed, (colour, sampler) in enumerate(zip(("red", "blue", "green", "black") * 2, ("DDIM", "Euler a") * 4, strict=True))
]


DTYPES = sorted({checkpoint.best_dtype(torch.device("cpu")), torch.float32}, key=str)  # a CPU that only imitates bf16 rounds by other rules


@pytest.fixture(params=DTYPES, ids=str)
def studio(request: pytest.FixtureRequest) -> Iterator[Studio]:
    studio = Studio(checkpoint.load("builtin", "cpu", request.param))
    yield studio
    studio.close()


def drawn(studio: Studio, requests: list[GenerationRequest]) -> dict[int, bytes]:
    ended = ends(studio.draw(requests))
    assert all(isinstance(end, Finished) for end in ended), ended
    return {end.receipt.request.seed: metadata.to_png(end.image, end.receipt) for end in ended}


def test_eight_together_are_the_bytes_of_each_alone(studio: Studio) -> None:
    together = drawn(studio, WISHES)
    assert max(len(call.timesteps) for call in studio.calls) == 16
    latents = dict(studio.latents)
    alone = [drawn(studio, [request])[request.seed] for request in WISHES]
    assert [together[request.seed] for request in WISHES] == alone
    assert all(torch.equal(studio.latents[request], latents[request]) for request in WISHES)


def test_without_it_they_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some machines round alike in bf16, none yet in fp32 too. Should one do so in every precision, this fails, and `rows.py` can go."""

    def differ(dtype: torch.dtype) -> bool:
        studio = Studio(checkpoint.load("builtin", "cpu", dtype))
        together = drawn(studio, WISHES)
        with monkeypatch.context() as patch:
            patch.setattr(model, "apart", lambda owners, device: apart([0] * len(owners), device))
            without = drawn(studio, WISHES)
        studio.close()
        return without != together

    assert any(differ(dtype) for dtype in DTYPES)


def test_who_joins_on_the_way_has_the_same_bytes_too(studio: Studio) -> None:
    first, *others = WISHES
    joining: list[Drawing] = []
    for place, request in enumerate(others[:3]):
        studio.at[1 + place] = lambda request=request: joining.append(studio.engine.submit(request))
    drawn(studio, [first])
    ended = [end for drawing in joining for end in drawing if isinstance(end, Finished)]
    assert [end.receipt.request for end in ended] == others[:3]
    company = dict(studio.latents)
    for request in WISHES[:4]:
        drawn(studio, [request])
        assert torch.equal(studio.latents[request], company[request])
