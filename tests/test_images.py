"""Images that somebody hands in: every mode, every orientation, and bytes that mean harm."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from webapp.engine import images
from webapp.errors import InvalidRequest

RANDOM = np.random.default_rng(0)


def photo(width: int = 40, height: int = 30) -> Image.Image:
    return Image.fromarray(RANDOM.integers(0, 256, (height, width, 3), np.uint8))


def file(image: Image.Image, format: str = "PNG", **options) -> bytes:
    image.save(stream := io.BytesIO(), format, **options)
    return stream.getvalue()


def sentence(data: bytes, field: str = "image") -> str:
    with pytest.raises(InvalidRequest) as error:
        images.open_image(data, field)
    assert list(error.value.fields) == [field]
    return error.value.sentence


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


@pytest.mark.parametrize("format", images.FORMATS)
def test_the_usual_formats_are_read(format):
    image = Image.new("RGB", (40, 30), (200, 30, 30))
    read = images.rgb(images.open_image(file(image, format), "image"))
    assert read.mode == "RGB" and read.size == (40, 30)
    assert np.abs(np.asarray(read).astype(int) - np.asarray(image)).max() <= 4


def test_an_animation_gives_its_first_frame():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for format in ("GIF", "WEBP", "PNG"):
        read = images.open_image(file(frames[0], format, save_all=True, append_images=frames[1:], lossless=True), "image")
        assert images.rgb(read).getpixel((4, 4))[0] > 240, format


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_photographs_are_turned_upright(format):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    lying = Image.new("RGB", (32, 16))
    lying.paste((255, 255, 255), (0, 0, 16, 16))
    read = images.open_image(file(lying, format, exif=exif), "image")
    assert read.size == (16, 32)
    assert images.rgb(read).getpixel((8, 4))[0] > 240 and images.rgb(read).getpixel((8, 28))[0] < 15
    assert images.rgb(images.rgb(read)).size == (16, 32)  # and not turned twice


def test_broken_exif_does_not_spoil_a_picture():
    data = file(photo(), "JPEG")
    broken = b"Exif\0\0II*\0\xff\xff\xff\xff" + bytes(20)
    data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(broken) + 2) + broken + data[2:]
    assert images.open_image(data, "image").size == (40, 30)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "HSV", "I", "F"])
def test_any_mode_becomes_rgb(mode):
    grey = Image.new("L", (4, 4), 255).convert(mode) if mode != "HSV" else Image.new("RGB", (4, 4), "white").convert(mode)
    assert images.rgb(grey).getpixel((0, 0)) == (255, 255, 255)


def test_what_is_transparent_lies_on_white():
    half = (255 + 0) // 2
    for mode, pixel, seen in (("RGBA", (255, 0, 0, 0), 255), ("LA", (0, 0), 255), ("LA", (0, 128), half), ("RGBA", (0, 0, 0, 255), 0)):
        assert images.rgb(Image.new(mode, (2, 2), pixel)).getpixel((0, 0)) == pytest.approx((seen,) * 3, abs=1)
    palette = Image.new("P", (2, 2), 7)
    palette.putpalette([0] * 768)
    read = images.open_image(file(palette, transparency=7), "image")
    assert images.rgb(read).getpixel((0, 0)) == (255, 255, 255)


def test_sixteen_bits_are_rounded_to_eight():
    levels = np.array([[0, 257, 32768, 65535]], np.uint16)
    read = images.open_image(file(Image.fromarray(levels)), "image")
    assert np.asarray(images.rgb(read))[0, :, 0].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize("data", [b"", b"hello", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\0" * 1000])
def test_what_is_no_picture_gets_a_sentence(data):
    assert "PNG, JPEG, WebP" in sentence(data)


def test_other_formats_are_not_even_tried():
    assert "PNG, JPEG, WebP" in sentence(file(photo(), "TIFF"), "mask")
    assert "PNG, JPEG, WebP" in sentence(file(photo(), "PPM"))


@pytest.mark.parametrize("format", images.FORMATS)
def test_damaged_files_get_a_sentence(format):
    data = file(photo(), format)
    said = {sentence(data[: int(len(data) * share)]) for share in (0.3, 0.6, 0.9)}
    assert all(s.startswith("The image is") for s in said)


@pytest.mark.parametrize("format", images.FORMATS)
def test_scrambled_files_give_a_picture_or_a_sentence(format):
    data = np.frombuffer(file(photo(), format), np.uint8)
    for _ in range(60):
        scrambled = data.copy()
        scrambled[RANDOM.integers(0, len(data), 8)] = RANDOM.integers(0, 256, 8)
        try:
            images.rgb(images.open_image(scrambled.tobytes(), "image"))
        except InvalidRequest as error:
            assert "image" in error.fields


@pytest.mark.parametrize("side", [6400, 12000, 60000])
def test_bombs_are_refused_before_they_unfold(side):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    assert "40 megapixels" in sentence(bomb)


def test_a_bomb_of_text_gets_a_sentence():
    image = file(photo())
    bomb = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(80_000_000)))
    assert "damaged" in sentence(image[:33] + bomb + image[33:])


def test_images_at_hand_are_bounded_too():
    with pytest.raises(InvalidRequest, match="megapixels"):
        images.rgb(Image.new("1", (8000, 6000)))
    with pytest.raises(InvalidRequest, match="megapixels") as error:
        images.painted(Image.new("1", (8000, 6000)))
    assert "mask" in error.value.fields


SQUARE = np.zeros((20, 20), bool)
SQUARE[5:15, 5:15] = True


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "P", "LA", "RGBA", "I", "I;16"])
def test_a_mask_is_white_where_it_is_painted(mode):
    grey = Image.fromarray(np.where(SQUARE, np.uint8(255), np.uint8(0)))
    if mode == "I;16":
        grey = Image.fromarray(np.where(SQUARE, 65535, 0).astype(np.uint16))
    assert (images.painted(grey if mode == "I;16" else grey.convert(mode)) == SQUARE).all()


def test_a_mask_is_cut_at_half_white():
    assert images.painted(Image.fromarray(np.array([[0, 127, 128, 255]], np.uint8))).tolist() == [[False, False, True, True]]


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (200, 30, 30)])
@pytest.mark.parametrize("alpha", [255, 120])
def test_a_brush_layer_counts_where_it_is_not_transparent(colour, alpha):
    layer = np.zeros((20, 20, 4), np.uint8)
    layer[SQUARE] = (*colour, alpha)
    layer[5, 5:15] = (*(255 if c > 127 else 0 for c in colour), 3)  # the brush's faint edge
    assert (images.painted(Image.fromarray(layer)) == SQUARE).all()


def test_a_picture_with_holes_is_a_mask_by_its_brightness():
    layer = np.zeros((20, 20, 4), np.uint8)
    layer[SQUARE] = (255, 255, 255, 255)
    layer[:3] = (0, 0, 0, 255)  # painted black is painted, but not white
    assert (images.painted(Image.fromarray(layer)) == SQUARE).all()


def test_an_empty_layer_is_an_empty_mask():
    assert not images.painted(Image.new("RGBA", (8, 8), (255, 255, 255, 0))).any()
    assert not images.painted(Image.new("RGBA", (8, 8), (0, 0, 0, 255))).any()
    assert images.painted(Image.new("RGBA", (8, 8), (255, 255, 255, 255))).all()
