"""Values of a grid's side, as AUTOMATIC1111 writes them."""

from __future__ import annotations

import pytest

from webapp.axis import _FRACTIONS, FIELDS, REPLACE, numbers, points
from webapp.errors import InvalidRequest
from webapp.library import Library
from webapp.schema import RANGES, GenerationRequest


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("7", "7"),
        ("1-5", "1 2 3 4 5"),
        (" 1 - 3 ".strip(), "1 2 3"),
        ("1-10(+3)", "1 4 7 10"),
        ("1-10 (+4)", "1 5 9"),
        ("1-10 (4)", "1 5 9"),
        ("10-5 (-2)", "10 8 6"),
        ("3-1", "3 2 1"),
        ("5-5", "5"),
        ("1-10 [4]", "1 4 7 10"),
        ("0-100 [4]", "0 33 66 100"),
        ("10-1 [2]", "10 1"),
        ("3-9 [1]", "3"),
        ("abc", "abc"),
        ("1.5-3", "1.5-3"),
        ("-1", "-1"),
        ("", ""),
        ("1-2-3", "1-2-3"),
    ],
)
def test_whole_numbers(text, found):
    assert numbers(text, whole=True) == ([found] if text == found else found.split())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("7.5", "7.5"),
        ("1-3", "1 2 3"),
        ("0-1 [5]", "0 0.25 0.5 0.75 1"),
        ("0.1-0.5 (+0.1)", "0.1 0.2 0.3 0.4 0.5"),
        ("0-1 [4]", "0 0.333333 0.666667 1"),
        ("1-0 (-0.5)", "1 0.5 0"),
    ],
)
def test_fractions(text, found):
    assert numbers(text, whole=False) == ([found] if text == found else found.split())


@pytest.mark.parametrize("text", ["1-5 (-1)", "5-1 (+1)", "1-5 (+0)", "1-65", "1-5 [0]", "1-5 [65]", "0-999999999999"])
def test_ranges_without_end_or_sense_are_refused(text):
    with pytest.raises(ValueError, match="range"):
        numbers(text, whole=True)


@pytest.mark.parametrize("name", sorted(set(FIELDS) & set(RANGES)))
def test_a_grid_knows_which_numbers_have_fractions(name):
    request = GenerationRequest.read({"prompt": "a", "x": {"field": name, "values": [f"{RANGES[name][0] + 0.5}"]}})
    if name in _FRACTIONS:
        assert len(points(request, "x", Library())) == 1
    else:
        with pytest.raises(InvalidRequest, match="whole number"):
            points(request, "x", Library())


def test_fields_are_those_of_a_request():
    assert FIELDS[0] == REPLACE and set(FIELDS[1:]) < set(GenerationRequest.model_fields)
