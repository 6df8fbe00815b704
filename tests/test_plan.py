"""One request, and the pictures it asks for."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from webapp.errors import InvalidRequest
from webapp.library import Library, Style
from webapp.plan import Sheet, pictures, sheets
from webapp.schema import MAX_PICTURES, MAX_SEED, GenerationRequest


@pytest.fixture
def library(tmp_path: Path) -> Library:
    (tmp_path / "wildcards").mkdir()
    (tmp_path / "wildcards/colour.txt").write_text("red\nblue\ngreen\nyellow\nblack\nwhite\n")
    (tmp_path / "wildcards/loop.txt").write_text("again __loop__\n")
    (tmp_path / "wildcards/long.txt").write_text("x" * 4100)
    (tmp_path / "wildcards/lines.txt").write_text("one {two|two}\n")
    library = Library(tmp_path)
    library.add_style(Style(name="Plain", prompt="soft", negative_prompt="hard"))
    library.add_style(Style(name="Tall", prompt="tall {prompt},\nhigh", negative_prompt="low, {prompt}"))
    library.add_style(Style(name="Wild", prompt="{prompt} in __colour__ {a|a}"))
    return library


def asked(prompt: str = "a cat", **fields: object) -> GenerationRequest:
    return GenerationRequest.read({"prompt": prompt, "seed": 100, **fields})


def refusal(request: GenerationRequest, library: Library | None = None) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as caught:
        pictures(request, library or Library())
    assert all(sentence.endswith(".") for sentence in caught.value.fields.values())
    return caught.value.fields


def test_a_plain_request_is_one_picture_as_it_stands():
    request = asked("a cat (big:1.2) [a|b] <lora:x_y:1> C++ {x}", steps=7, controls=[{"model": "canny"}], image="a" * 64)
    assert pictures(request) == (request,)
    assert sheets(request) == ()


def test_a_picture_of_a_request_without_seed_has_one():
    assert pictures(GenerationRequest.read({"prompt": "a"}))[0].seed is not None


def test_pictures_come_prompt_by_prompt_combination_by_combination_and_count_by_count():
    found = pictures(asked("a {red|blue} cat\na dog", count=2))
    assert [(p.prompt, p.seed) for p in found] == [
        ("a red cat", 100),
        ("a red cat", 101),
        ("a blue cat", 100),
        ("a blue cat", 101),
        ("a dog", 100),
        ("a dog", 101),
    ]
    assert {p.count for p in found} == {1}


def test_the_last_seed_is_followed_by_the_first():
    assert [p.seed for p in pictures(asked(seed=MAX_SEED, count=2))] == [MAX_SEED, 0]


def test_variations_keep_the_seed_and_count_on_the_subseed():
    found = pictures(asked(subseed=7, subseed_strength=0.3, count=3))
    assert [(p.seed, p.subseed) for p in found] == [(100, 7), (100, 8), (100, 9)]
    found = pictures(asked(subseed=7, count=2))
    assert [(p.seed, p.subseed) for p in found] == [(100, 7), (101, 7)]


def test_a_grid_over_the_variations_strength_has_one_subseed():
    request = asked(x={"field": "subseed_strength", "values": "0, 0.5, 1"})
    found = pictures(request)
    assert found == pictures(request)
    assert found[0].subseed is None and found[1].subseed == found[2].subseed is not None


def test_styles_are_applied_in_order_and_emptied(library):
    (found,) = pictures(asked("a cat", negative_prompt="dog", styles="plain, Tall"), library)
    assert found.prompt == "tall a cat, soft, high" and found.negative_prompt == "low, dog, hard" and found.styles == ()
    assert refusal(asked(styles="Plain, nosuch"), library)["styles"].startswith("There is no style called nosuch. There are: Realism")


def test_words_are_drawn_by_the_pictures_seed_and_the_same_again(library):
    request = asked("a __colour__ cat", negative_prompt="__COLOUR__ {a|b}", count=16)
    found = pictures(request, library)
    assert found == pictures(request, library)
    assert len({p.prompt for p in found}) > 3 and len({p.negative_prompt for p in found}) > 3
    assert found[5].prompt == pictures(asked("a __colour__ cat", seed=105), library)[0].prompt
    assert not any("_" in p.prompt + p.negative_prompt or "{" in p.negative_prompt for p in found)


def test_known_words_for_a_known_seed(library):
    """What a seed draws must not change from version to version."""
    found = pictures(asked("__colour__", seed=1, count=6), library)
    assert [p.prompt for p in found] == ["yellow", "black", "black", "black", "black", "red"]


@pytest.mark.parametrize(
    ("field", "prompt", "word"),
    [
        ("prompt", "a __nosuch__", "There are: colour, lines, long, loop."),
        ("prompt", "__../../etc/passwd__", "no wildcard called ../../etc/passwd"),
        ("prompt", "__/etc/passwd__", "no wildcard"),
        ("prompt", "__loop__", "loop leads back"),
        ("prompt", "__long__", "longer than 4,000"),
        ("prompt", "{|a cat}", "empty"),
        ("negative_prompt", "__nosuch__", "There are: colour"),
        ("negative_prompt", "__long__", "The negative prompt is longer"),
    ],
)
def test_words_that_cannot_be_written_out_get_a_sentence(library, field, prompt, word):
    assert word in refusal(asked(**{"prompt": "a cat", field: prompt}), library)[field]


@pytest.mark.parametrize(
    "request_",
    [
        asked("a __colour__ {red|blue} __lines__\n{x|y\n", styles="Wild, Tall", count=2, negative_prompt="{a|b},\n__lines__"),
        asked(
            "a red cat",
            x={"field": "prompt_replace", "values": ["red", "{a|b}", "__colour__", "a\nb"]},
            y={"field": "seed", "values": "1-3"},
        ),
        asked(subseed_strength=0.5, count=3),
        asked("a", x={"field": "sampler", "values": "DPM++ 2M Karras, Euler"}),
    ],
)
def test_a_picture_asked_for_again_is_itself(library, request_):
    for picture in pictures(request_.seeded(), library):
        assert pictures(picture, library) == (picture,)


@pytest.mark.parametrize(
    ("fields", "number"),
    [
        ({"prompt": "{a|b}" * 6, "count": 2}, "128"),
        ({"prompt": "a\n" * 65}, "65"),
        ({"x": {"field": "seed", "values": "1-10"}, "y": {"field": "steps", "values": "1-10"}}, "100"),
        ({"x": {"field": "seed", "values": "1-6"}, "count": 16}, "96"),
        ({"prompt": "{a|b}" * 700}, "more than a billion"),
    ],
)
def test_too_many_pictures_are_refused_before_they_are_built(fields, number):
    begun = time.thread_time()
    assert refusal(asked(**{"prompt": "a", **fields})) == {
        "count": f"That makes {number} pictures; at most {MAX_PICTURES} can be asked for at once."
    }
    assert time.thread_time() - begun < 1


def test_as_many_as_allowed_are_planned_quickly():
    begun = time.thread_time()
    assert len(pictures(asked("{a|b}" * 6 + r"\{" * 1900))) == MAX_PICTURES
    assert time.thread_time() - begun < 5


def test_a_grid_is_drawn_row_by_row_once_for_each_count():
    request = asked("a {red|blue} cat", count=2, x={"field": "steps", "values": "10, 20"}, y={"field": "guidance", "values": "1-2(+0.5)"})
    found = pictures(request)
    assert [(p.guidance, p.steps) for p in found[:6]] == [(1, 10), (1, 20), (1.5, 10), (1.5, 20), (2, 10), (2, 20)]
    assert [p.seed for p in found] == [100] * 6 + [101] * 6 + [100] * 6 + [101] * 6
    assert [p.prompt for p in found] == ["a red cat"] * 12 + ["a blue cat"] * 12
    assert all(p.x is p.y is None for p in found)
    made = sheets(request)
    assert [sheet.title for sheet in made] == [f"a {colour} cat · seed {seed}" for colour in ("red", "blue") for seed in (100, 101)]
    assert made[1].indices == (6, 7, 8, 9, 10, 11)
    assert made[0].columns == ("steps 10", "steps 20") and made[0].rows == ("guidance 1", "guidance 1.5", "guidance 2")


def test_sheets_of_other_requests():
    assert sheets(asked(count=3)) == (Sheet((0, 1, 2)),)
    assert sheets(asked(x={"field": "sampler", "values": "Euler, DDIM"})) == (Sheet((0, 1), ("Euler", "DDIM"), ("",)),)
    (only_y,) = sheets(asked(y={"field": "styles", "values": ["Realism", ""]}))
    assert only_y == Sheet((0, 1), ("",), ("Realism", "no styles"))
    gridded = sheets(asked(count=2, x={"field": "seed", "values": "1, 5"}))
    assert [sheet.title for sheet in gridded] == ["no. 1", "no. 2"]
    unseeded = sheets(GenerationRequest.read({"prompt": "a", "count": 2, "x": {"field": "steps", "values": "1, 2"}}))
    assert [sheet.title for sheet in unseeded] == ["no. 1", "no. 2"]
    with pytest.raises(InvalidRequest):
        sheets(asked("{a|b}" * 7))


def test_every_pictures_place_is_on_one_sheet():
    request = asked("a\nb", count=3, x={"field": "seed", "values": "1-4"})
    assert [index for sheet in sheets(request) for index in sheet.indices] == list(range(len(pictures(request))))


def test_words_are_searched_and_replaced(library):
    request = asked("a red cat, red", negative_prompt="red dog", x={"field": "prompt_replace", "values": 'red, blue, "light, green", '})
    assert [(p.prompt, p.negative_prompt) for p in pictures(request)] == [
        ("a red cat, red", "red dog"),
        ("a blue cat, blue", "blue dog"),
        ("a light, green cat, light, green", "light, green dog"),
        ("a  cat,", "dog"),
    ]
    assert sheets(request)[0].columns == ("red", "blue", "light, green", "nothing")
    both = asked("a red cat", x={"field": "prompt_replace", "values": "red, blue"}, y={"field": "prompt_replace", "values": "cat, dog"})
    assert [p.prompt for p in pictures(both)] == ["a red cat", "a blue cat", "a red dog", "a blue dog"]
    assert "not in the prompt" in refusal(asked("a cat", y={"field": "prompt_replace", "values": "red, blue"}))["y"]
    assert "first value" in refusal(asked("a cat", x={"field": "prompt_replace", "values": ["", "blue"]}))["x"]


def test_styles_and_samplers_can_be_compared(library):
    request = asked("a cat", styles="Plain", schedule="beta", x={"field": "styles", "values": ["Tall", "", "Plain, Tall"]})
    assert [p.prompt for p in pictures(request, library)] == ["tall a cat, high", "a cat", "tall a cat, soft, high"]
    request = asked(schedule="beta", x={"field": "sampler", "values": "DPM++ 2M Karras, Euler"})
    assert [(p.sampler, p.schedule) for p in pictures(request)] == [("DPM++ 2M", "karras"), ("Euler", "beta")]


@pytest.mark.parametrize(
    ("field", "values", "word"),
    [
        ("nosuch", "1", "A grid cannot change “nosuch”. Choose one of: prompt_replace, negative_prompt"),
        ("image", "a" * 64, "cannot change “image”"),
        ("x", "1", "cannot change"),
        ("controls", "1", "cannot change"),
        ("count", "1", "cannot change"),
        ("__class__", "1", "cannot change"),
        ("steps", "10, many", "“many” cannot be drawn: The number of steps must be a whole number."),
        ("steps", "0-3", "from 1 to 150"),
        ("width", "256, 300", "multiple of 8"),
        ("sampler", "Foo", "not one I know"),
        ("hires_upscaler", "best", "must be lanczos or latent"),
        ("only_masked", "perhaps", "yes or no"),
        ("styles", "nosuch", "no style called nosuch"),
        ("seed", "1, -1", "must be written out"),
        ("subseed", "", "must be written out"),
        ("seed", "1-1000000000", "from 1 to 64 values"),
        ("steps", "1-5 (-1)", "never arrives"),
        ("steps", "1-5 (+0)", "never arrives"),
        ("seed", "1-40, 1-40", "80 values"),
        ("negative_prompt", "\0", "NUL"),
    ],
)
def test_a_grid_that_cannot_be_drawn_gets_a_sentence_at_its_side(field, values, word):
    for side in ("x", "y"):
        with pytest.raises(InvalidRequest) as caught:
            pictures(asked(**{side: {"field": field, "values": values or [values]}}))
        assert list(caught.value.fields) == [side] and word in caught.value.fields[side]


def test_both_sides_cannot_change_one_field():
    axis = {"field": "steps", "values": "1, 2"}
    assert "same field" in refusal(asked(x=axis, y=axis))["y"]
