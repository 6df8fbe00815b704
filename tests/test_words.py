"""One text becomes the texts it stands for."""

from __future__ import annotations

import random
import time

import pytest

from webapp.errors import InvalidRequest
from webapp.words import combinations, draw, matrix, prompts, styled

CARDS = {"colour": ("red", "blue", "green"), "animals/bird": ("a __colour__ finch", "{an owl|a hawk}"), "circle": ("x __circle__",)}


def drawn(text: str, seed: int = 1) -> str:
    return draw(text, CARDS.__getitem__, random.Random(seed))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a cat", ["a cat"]),
        ("a cat\na dog", ["a cat", "a dog"]),
        ("\n a cat \n\n\ta dog\n", ["a cat", "a dog"]),
        ("a cat,\nin the rain,\n\nat night\na dog", ["a cat, in the rain, at night", "a dog"]),
        ("a cat BREAK\na dog", ["a cat BREAK a dog"]),
        ("a cat\nBREAK a dog", ["a cat BREAK a dog"]),
        ("an OUTBREAK\na dog", ["an OUTBREAK", "a dog"]),
        ("a {red|\nblue} cat\n{\nbig\n| small\n} dog", ["a {red| blue} cat", "{ big | small } dog"]),
        ("| a\nBREAK", ["| a BREAK"]),
        (",", [","]),
    ],
)
def test_a_list_has_a_prompt_on_each_line_unless_it_goes_on(text, found):
    assert prompts(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a cat", ["a cat"]),
        ("a {red|blue} {cat|dog}", ["a red cat", "a red dog", "a blue cat", "a blue dog"]),
        ("a {|big }cat", ["a cat", "a big cat"]),
        ("{a|b {c|d}}", ["a", "b c", "b d"]),
        ("{{a|b}|c}", ["a", "b", "c"]),
        ("{|}", ["", ""]),
        (r"\{a|b\} {c|d}", [r"\{a|b\} c", r"\{a|b\} d"]),
        ("{a", ["{a"]),
        ("a}|{b", ["a}|{b"]),
        ("{a} {prompt}", ["{a} {prompt}"]),
        ("{x{a|b}", ["{xa", "{xb"]),
        ("{a|b", ["{a|b"]),
        ("{[cat|dog] in rain|a bird}", ["[cat|dog] in rain", "a bird"]),
        ("{a [b|c}", ["a [b", "c"]),
        ("[{a|b}|c]", ["[a|c]", "[b|c]"]),
        ("{a]|b}", ["a]", "b"]),
        ("\\", ["\\"]),
        ("a\n{b|c}", ["a\nb", "a\nc"]),
    ],
)
def test_a_matrix_takes_every_alternative(text, found):
    assert matrix(text) == found
    assert combinations(text) == len(found)


@pytest.mark.parametrize("text", ["{" * 10_000, "}" * 10_000, "{" * 5000 + "}" * 5000, "[{|" * 3000 + "}]" * 3000, "\\" * 9999])
def test_hostile_braces_are_text_or_counted_and_quick(text):
    begun = time.thread_time()
    if combinations(text) == 1:
        assert matrix(text) == [text]
    assert time.thread_time() - begun < 2


def test_combinations_are_counted_without_being_made():
    assert combinations("{a|b}" * 800) == 2**800


def test_a_wildcard_is_a_line_drawn_by_chance_and_the_same_each_time():
    texts = {drawn("a __colour__ cat", seed) for seed in range(30)}
    assert texts == {"a red cat", "a blue cat", "a green cat"}
    assert drawn("__colour__ __colour__ __colour__", 5) == drawn("__colour__ __colour__ __colour__", 5)
    assert len({drawn("__colour__ __colour__", seed) for seed in range(50)}) == 9  # each of its own draw


def test_lines_may_hold_wildcards_and_alternatives():
    texts = {drawn("__animals/bird__", seed) for seed in range(60)}
    assert texts == {"a red finch", "a blue finch", "a green finch", "an owl", "a hawk"}


def test_only_the_alternative_that_was_drawn_draws_on():
    assert drawn("{a|a}{b|b}") == "ab"
    assert {drawn("{__colour__|cat}", seed) for seed in range(40)} == {"red", "blue", "green", "cat"}


@pytest.mark.parametrize("text", [r"\__colour__", "<lora:a__colour__b:0.7>", "____", "snake_case__x", "__ colour __", "__", "_" * 4000])
def test_what_is_no_wildcard_stays(text):
    assert drawn(text) == text


def test_a_wildcard_that_leads_to_itself_is_refused():
    with pytest.raises(InvalidRequest, match="circle leads back to itself"):
        drawn("__circle__")


def test_wildcards_that_explode_are_refused_quickly():
    bomb = {"b": ("__b__" * 50,)}
    with pytest.raises(InvalidRequest, match="too long"):
        draw("__b__", bomb.__getitem__, random.Random(1))


@pytest.mark.parametrize("text", ["{a|b} {x", "__animals/bird__ {a} }|{", r"\{a|b\}", "{ {a|b} }|", "{[a|b]|c}"])
def test_what_was_written_out_stays_as_it_is(text):
    for seed in range(20):
        once = drawn(text, seed)
        assert drawn(once, seed + 1) == once and matrix(once) == [once]


@pytest.mark.parametrize(
    ("text", "templates", "found"),
    [
        ("a cat", [], "a cat"),
        ("a cat", ["oil painting of {prompt}, thick"], "oil painting of a cat, thick"),
        ("a cat", ["sharp"], "a cat, sharp"),
        ("", ["sharp"], "sharp"),
        ("a cat", ["", "  "], "a cat"),
        ("a cat", ["photo of {prompt}", "grainy", "[{prompt}]"], "[photo of a cat, grainy]"),
        ("{0} {prompt!r}", ["a {prompt} {x}"], "a {0} {prompt!r} {x}"),
    ],
)
def test_styles_stand_around_a_text_in_order(text, templates, found):
    assert styled(text, templates) == found
