"""A picture that remembers how it was made: its request as JSON in the PNG's text, written and read back."""

from __future__ import annotations

import io
import json

from PIL import Image, PngImagePlugin
from pydantic import ValidationError

from webapp import __version__
from webapp.schema import GenerationRequest

KEY = "generation"  # the text chunk's keyword


def to_png(image: Image.Image, request: GenerationRequest, model: str) -> bytes:
    """The image as PNG bytes that carry the request that draws it alone, and the name of the model that drew it."""
    text = PngImagePlugin.PngInfo()
    receipt = {"request": request.model_dump(), "model": model, "software": f"Text-to-Image Generator {__version__}"}
    text.add_itxt(KEY, json.dumps(receipt, ensure_ascii=False))
    out = io.BytesIO()
    image.save(out, "PNG", pnginfo=text)
    return out.getvalue()


def from_png(data: bytes) -> GenerationRequest | None:
    """The request that a PNG of ours carries, or None if it carries none."""
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            image.load()
            return GenerationRequest.model_validate(json.loads(image.info[KEY])["request"])
    except (KeyError, OSError, ValueError, ValidationError, TypeError):
        return None
