"""A PNG carries its whole request, and whatever is no PNG of ours carries none."""

from __future__ import annotations

import io

import pytest
from PIL import Image, PngImagePlugin

from webapp import metadata
from webapp.schema import GenerationRequest

REQUEST = GenerationRequest(
    prompt='"quotes", 🦄 and\n</script>', negative_prompt="é", seed=7, width=64, height=72, steps=3, guidance=1.5, sampler="LMS"
)


def png(**text: str) -> bytes:
    info, out = PngImagePlugin.PngInfo(), io.BytesIO()
    for key, value in text.items():
        info.add_itxt(key, value)
    Image.new("RGB", (8, 8)).save(out, "PNG", pnginfo=info)
    return out.getvalue()


def test_what_goes_in_comes_out():
    image = Image.radial_gradient("L").convert("RGB")
    data = metadata.to_png(image, REQUEST, "builtin")
    assert metadata.from_png(data) == REQUEST
    assert Image.open(io.BytesIO(data)).tobytes() == image.tobytes()


def test_the_models_name_is_in_it():
    assert b'"model": "my/model"' in metadata.to_png(Image.new("RGB", (8, 8)), REQUEST, "my/model")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"request": 3}', '{"request": {"prompt": ""}}', '{"request": {"prompt": "a", "steps": -1}}']
)
def test_text_that_is_no_request_is_none(text):
    assert metadata.from_png(png(generation=text)) is None


@pytest.mark.parametrize("data", [b"", b"GIF89a", png(), metadata.to_png(Image.new("RGB", (64, 64)), REQUEST, "m")[:-40]])
def test_files_without_a_request_are_none(data):
    assert metadata.from_png(data) is None
