"""Pictures side by side, with words that can be read."""

from __future__ import annotations

import pytest
from PIL import Image, ImageChops

from webapp.sheet import LONGEST, compose

COLOURS = ["red", "lime", "blue", "yellow", "cyan", "magenta", "black"]


def plain(colour: str, size: tuple[int, int] = (64, 64), mode: str = "RGB") -> Image.Image:
    return Image.new(mode, size, colour)


def where(sheet: Image.Image, colour: str) -> tuple[int, int, int, int]:
    """The box of exactly that colour."""
    box = ImageChops.difference(sheet, plain(colour, sheet.size)).convert("L").point(lambda value: 255 * (value == 0)).getbbox()
    assert box, colour
    return box


def ink(sheet: Image.Image, box: tuple[int, int, int, int]) -> int:
    """How many dark grey pixels of text are in there."""
    return sum(sheet.crop(box).convert("L").histogram()[:120])


def test_pictures_stand_row_by_row_at_their_own_size():
    sheet = compose([plain(colour) for colour in COLOURS[:6]], ["a", "b", "c"], ["1", "2"])
    boxes = [where(sheet, colour) for colour in COLOURS[:6]]
    assert all((right - left, bottom - top) == (64, 64) for left, top, right, bottom in boxes)
    assert boxes[0][0] < boxes[1][0] < boxes[2][0] and boxes[0][1] == boxes[1][1] == boxes[2][1]
    assert boxes[3][1] >= boxes[0][3] and boxes[3][0] == boxes[0][0]


def test_without_labels_the_sheet_is_about_square_and_has_no_margin():
    sheet = compose([plain(colour) for colour in COLOURS[:6]])
    assert sheet.size == (3 * 72 + 8, 2 * 72 + 8)
    assert where(sheet, "red")[:2] == (8, 8)


def test_labels_stand_beside_their_pictures_and_a_title_above():
    bare = compose([plain("red"), plain("lime")], ["", ""], [""])
    assert ink(bare, (0, 0, bare.width, bare.height)) == ink(bare, where(bare, "red")[:2] + where(bare, "lime")[2:])
    sheet = compose([plain("red"), plain("lime")], ["", "steps 20"], ["Euler"], "a fox")
    red, lime = where(sheet, "red"), where(sheet, "lime")
    assert ink(sheet, (0, red[1], red[0], red[3])) > 20  # Euler
    assert ink(sheet, (lime[0], lime[1] - 24, lime[2], lime[1])) > 20  # steps 20
    assert ink(sheet, (red[0], red[1] - 24, red[2], red[1])) == 0
    assert ink(sheet, (0, 0, sheet.width, 28)) > 20  # a fox


def test_a_missing_picture_is_an_empty_cell_with_a_mark():
    sheet = compose([plain("red", (80, 64)), None, None, plain("blue", (80, 64))])
    left, top, right, bottom = where(sheet, "#eeeeee")
    assert (right - left, bottom - top) == (2 * 80 + 8, 2 * 64 + 8)
    where(sheet, "#b0b0b0")
    assert compose([None]).size == (272, 272)


def test_unequal_pictures_are_centred_in_their_cells():
    sheet = compose([plain("red", (100, 40)), plain("lime", (50, 80)), plain("blue", (20, 20)), plain("cyan", (64, 64))])
    red, lime, blue, cyan = (where(sheet, colour) for colour in ("red", "lime", "blue", "cyan"))
    assert (blue[0] + blue[2]) == (red[0] + red[2]) and (lime[1] + lime[3]) == (red[1] + red[3])
    assert cyan[0] + cyan[2] == lime[0] + lime[2]


@pytest.mark.parametrize("mode", ["RGBA", "L", "P", "LA", "1", "CMYK"])
def test_any_kind_of_picture_goes_in(mode):
    assert compose([plain("red").convert(mode)]).mode == "RGB"


def test_what_is_transparent_is_paper():
    assert compose([Image.new("RGBA", (64, 64))]).getcolors() == [(80 * 80, (255, 255, 255))]


@pytest.mark.parametrize(
    ("count", "size", "columns", "rows"),
    [
        (64, (512, 512), 64, 1),
        (64, (512, 512), 1, 64),
        (16, (2048, 2048), 8, 2),
        (64, (2048, 128), 1, 64),
        (2, (8000, 40), 1, 2),
        (64, (1, 1), 64, 1),
    ],
)
def test_no_side_is_longer_than_the_bound_and_labels_stay_readable(count, size, columns, rows):
    words = "some rather long words that need several lines " * 5
    sheet = compose([plain("red", size)] * count, [words] * columns, [words] * rows, words)
    assert max(sheet.size) <= LONGEST
    if size[0] > 100 and columns > 1:
        assert ink(sheet, (0, 0, sheet.width, where(sheet, "red")[1])) > 200


def test_a_sheet_within_the_bound_is_not_scaled():
    sheet = compose([plain("red", (700, 700)), plain("lime", (700, 700))])
    left, top, right, bottom = where(sheet, "lime")
    assert (right - left, bottom - top) == (700, 700)


@pytest.mark.parametrize("label", ["x" * 10_000, "a " * 5000, "\n\n", "日本語 🦄 é", "\u202e\u0000\x07", " "])
def test_any_label_is_drawn(label):
    sheet = compose([plain("red")], [label], [label], label)
    assert max(sheet.size) < 1000


def test_long_labels_are_cut_and_accents_are_letters():
    short = compose([plain("red", (300, 300))], ["word " * 12], [""])
    long = compose([plain("red", (300, 300))], ["word " * 500], [""])
    assert short.height <= long.height < short.height + 150


def test_nothing_makes_a_small_empty_sheet():
    assert max(compose([]).size) < 500
