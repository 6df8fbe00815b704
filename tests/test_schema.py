"""What may be asked for, and what is said of the rest."""

from __future__ import annotations

import pytest

from webapp.errors import InvalidRequest
from webapp.schema import MAX_SEED, RANGES, SAMPLERS, Defaults, GenerationRequest

DEFAULTS = Defaults(width=128, height=96, steps=20, guidance=4, sampler="DPM++ 2M")


def read(**fields: object) -> GenerationRequest:
    return GenerationRequest.read({"prompt": "a cat", **fields})


@pytest.mark.parametrize("prompt", ["123", "#", "\"'`", "🦄 in the rain", "<script>alert(1)</script>", "a\nb", "C++ (art:1.3)", "\u202e"])
def test_any_text_is_a_prompt_and_stays_as_it_is(prompt):
    assert read(prompt=prompt).prompt == prompt


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        ("prompt", "", "empty"),
        ("prompt", " \n ", "empty"),
        ("prompt", "x" * 10_000, "2,000 characters"),
        ("prompt", "a\0b", "NUL"),
        ("negative_prompt", "\0", "NUL"),
        ("prompt", ["a"], "text"),
        ("width", "1e9", "whole number"),
        ("width", 10**9, "from 64 to 2,048"),
        ("width", 100, "nearest is 96"),
        ("height", "-8", "from 64"),
        ("steps", "0", "from 1 to 150"),
        ("steps", "9" * 5000, "whole number"),
        ("steps", "1.5", "whole number"),
        ("guidance", "nan", "number"),
        ("guidance", "inf", "number"),
        ("guidance", "31", "from 0 to 30"),
        ("sampler", "Foo", "DPM++ 2M Karras"),
        ("seed", str(2**32), "4,294,967,295"),
        ("seed", "x", "whole number"),
        ("count", "17", "from 1 to 16"),
    ],
)
def test_what_cannot_be_drawn_gets_a_sentence_at_its_field(field, value, word):
    with pytest.raises(InvalidRequest) as caught:
        read(**{field: value})
    assert list(caught.value.fields) == [field]
    assert word in caught.value.fields[field]
    assert caught.value.sentence.endswith(".")


def test_every_wrong_field_is_named_at_once():
    with pytest.raises(InvalidRequest) as caught:
        read(prompt="", steps="0", sampler="x")
    assert set(caught.value.fields) == {"prompt", "steps", "sampler"}


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_are_known_in_any_case_and_spacing(name):
    assert read(sampler=f" {name.upper()}  ".replace(" ", "  ")).sampler == name


def test_empty_fields_take_the_checkpoints_defaults():
    request = read(width="", height="", steps="", guidance=" ", sampler="", seed="", count="").resolved(DEFAULTS)
    assert request.model_dump(exclude={"prompt", "negative_prompt", "seed", "count"}) == DEFAULTS.model_dump()
    assert 0 <= request.seed <= MAX_SEED and request.count == 1


def test_what_is_given_goes_before_defaults():
    given = {"width": 256, "height": 64, "steps": 3, "guidance": 0.0, "sampler": "Heun", "seed": 0, "count": 2}
    assert read(**given).resolved(DEFAULTS).model_dump(include=set(given)) == given


def test_minus_one_means_any_seed():
    assert len({read(seed="-1").seeded().seed for _ in range(20)}) > 15


def test_each_picture_of_a_request_can_be_asked_for_alone():
    request = read(seed=MAX_SEED, count=2)
    assert [request.picture(i).seed for i in (0, 1)] == [MAX_SEED, 0]
    assert request.picture(1).count == 1


def test_the_page_and_the_schema_know_the_same_ranges():
    for name, (low, high) in RANGES.items():
        step = 8 if name in ("width", "height") else 1
        for good in (low, high):
            assert getattr(read(**{name: good}), name) == good
        for bad in (low - step, high + step):
            if (name, bad) != ("seed", -1):
                with pytest.raises(InvalidRequest):
                    read(**{name: bad})
