"""Edges and strokes, on shapes whose outlines are known."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from webapp.engine import maps

SIDE = 256


def drawn(paper: str, ink: str, shape: str = "ellipse", **more: object) -> Image.Image:
    image = Image.new("RGB", (SIDE, SIDE), paper)
    getattr(ImageDraw.Draw(image), shape)((64, 64, 192, 192), **({"fill": ink} | more))
    return image


def bright(image: Image.Image) -> np.ndarray:
    assert image.mode == "RGB"
    values = np.asarray(image)
    assert (values == values[..., :1]).all()  # no colour
    return values[..., 0]


@pytest.mark.parametrize(
    "colours", [("white", "black"), ("black", "white"), ("#408040", "#c04040"), ("red", "lime"), ("#808080", "#bbbbbb")]
)
def test_an_edge_is_found_where_it_is_and_thin(colours: tuple[str, str]) -> None:
    found = bright(maps.canny(drawn(*colours)))
    assert set(np.unique(found)) == {0, 255}
    y, x = np.nonzero(found)
    radius = np.hypot(x - 128, y - 128)
    assert abs(radius - 64).max() <= 2
    assert len(x) >= 2 * 64 * 2.5  # all the way round, nearly as many pixels as the circle has: 2 * 64 * 2.83
    angles = np.degrees(np.arctan2(y - 128, x - 128)).astype(int)
    assert len(set(angles)) > 350
    assert ndimage.label(found, np.ones((3, 3)))[1] == 1  # one line, unbroken
    assert ndimage.distance_transform_edt(found).max() <= 1.5  # one or two pixels wide


def test_a_straight_edge_is_one_pixel_wide() -> None:
    image = Image.new("RGB", (64, 48), "black")
    image.paste("white", (32, 0, 64, 48))
    found = bright(maps.canny(image)) > 0
    assert found.shape == (48, 64)
    assert (found.sum(1) == 1).all()
    assert set(np.nonzero(found)[1]) <= {31, 32}
    turned = bright(maps.canny(image.transpose(Image.Transpose.ROTATE_90))) > 0
    assert (turned.sum(0) == 1).all()


def test_weak_edges_count_only_where_they_go_on_from_strong_ones() -> None:
    shades = np.full((SIDE, SIDE), 100, np.uint8)
    shades[100:] = np.linspace(230, 140, SIDE)  # an edge that fades from left to right,
    shades[20:40, 40:200] = 140  # and one as weak all along
    image = Image.fromarray(shades)
    found = bright(maps.canny(image, 100, 200)) > 0
    assert found[96:104].any(0).all()
    assert not found[:60].any()
    assert (bright(maps.canny(image, 50, 90))[:60] > 0).any()


@pytest.mark.parametrize("make", [maps.canny, maps.scribble])
@pytest.mark.parametrize("colour", ["white", "black", "#337799"])
def test_nothing_is_found_on_a_flat_picture(make, colour: str) -> None:
    assert bright(make(Image.new("RGB", (96, 64), colour))).max() == 0


@pytest.mark.parametrize("make", [maps.canny, maps.scribble])
@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "LA", "1", "CMYK", "I;16"])
@pytest.mark.parametrize("size", [(1, 1), (8, 3), (97, 64)])
def test_any_picture_will_do(make, mode: str, size: tuple[int, int]) -> None:
    assert make(Image.new(mode, size)).size == size


def test_noise_too_faint_to_see_has_no_edges() -> None:
    noise = np.random.default_rng(0).integers(120, 136, (SIDE, SIDE, 3), np.uint8)
    assert bright(maps.canny(Image.fromarray(noise))).max() == 0


def test_a_scribble_is_thick_soft_and_along_the_outline() -> None:
    found = bright(maps.scribble(drawn("#408040", "#c04040")))
    y, x = np.nonzero(found > 127)
    assert abs(np.hypot(x - 128, y - 128) - 64).max() < 6
    assert 1.5 < ndimage.distance_transform_edt(found > 127).max() < 5
    assert ((found > 20) & (found < 235)).sum() > 100  # soft


def test_a_hand_leaves_out_the_specks() -> None:
    image = drawn("#408040", "#c04040")
    image.paste("#c04040", (20, 20, 23, 23))
    assert (bright(maps.canny(image))[:40, :40] > 0).any()
    assert bright(maps.scribble(image))[:40, :40].max() == 0


def test_a_line_drawing_is_taken_as_it_is() -> None:
    black_on_white = drawn("white", None, outline="black", width=4)
    white_on_black = drawn("black", None, outline="white", width=4)
    assert np.array_equal(bright(maps.scribble(white_on_black)), np.asarray(white_on_black)[..., 0])
    assert np.array_equal(bright(maps.scribble(black_on_white)), np.asarray(white_on_black)[..., 0])
    clear = Image.new("RGBA", (SIDE, SIDE))
    ImageDraw.Draw(clear).ellipse((64, 64, 192, 192), outline="black", width=4)
    assert np.array_equal(bright(maps.scribble(clear)), np.asarray(white_on_black)[..., 0])  # transparent paper is white


def test_a_filled_shape_is_no_line_drawing() -> None:
    found = bright(maps.scribble(drawn("white", "black")))
    assert found[128, 128] == 0
    assert found[128, 62:67].max() > 127
