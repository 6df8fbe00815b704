"""What may be asked for, and what is said of the rest."""

from __future__ import annotations

import pytest

from webapp.craft import SAMPLERS
from webapp.errors import InvalidRequest
from webapp.schema import MAX_PICTURES, MAX_SEED, RANGES, Axis, Control, Defaults, GenerationRequest

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
        ("prompt", "x" * 10_000, "4,000 characters"),
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
        ("sampler", "Foo", "DPM++ 2M"),
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


CANNY = {"model": "canny"}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"hires_upscaler": "best"}, "The upscaler of the second pass must be lanczos or latent."),
        ({"hires_upscaler": 3}, "The upscaler of the second pass must be lanczos or latent."),
        ({"hires_steps": 1.5}, "The number of steps of the second pass must be a whole number."),
        ({"hires_scale": "9"}, "The scale of the second pass must be from 1 to 4."),
        ({"hires_strength": "inf"}, "The strength of the second pass must be a number."),
        ({"only_masked": "perhaps"}, "The choice to draw only the masked part must be yes or no."),
        ({"only_masked": []}, "The choice to draw only the masked part must be yes or no."),
        ({"mask_blur": {}}, "The mask's blur must be a whole number."),
        ({"outpaint_left": 2000}, "The border on the left must be from 0 to 1,024."),
        ({"clip_skip": 0}, "The clip skip must be from 1 to 12."),
        ({"eta": "x"}, "The eta must be a number."),
        ({"strength": 1.1}, "The strength must be from 0 to 1."),
        ({"subseed_strength": "x"}, "The variation's strength must be a number."),
        ({"image": "zz"}, "The image must be a picture that was handed in before."),
        ({"mask": 3}, "The mask must be text."),
        ({"model": "x" * 201}, "The model's name is longer than 200 characters. Please shorten it."),
        ({"negative_prompt": "x" * 4001}, "The negative prompt is longer than 4,000 characters. Please shorten it."),
        ({"prompt": None}, "The prompt must be text."),
        ({"prompt": b"\xff"}, "The prompt must be text."),
        ({"height": 100}, "The height must be a multiple of 8; the nearest is 96."),
        ({"height": 65}, "The height must be a multiple of 8; the nearest is 64."),
        ({"styles": 5}, "The styles must be a list."),
        ({"styles": [5]}, "The name of a style must be text."),
        ({"styles": ["x" * 201]}, "The name of a style is longer than 200 characters. Please shorten it."),
        ({"styles": "a," * 20}, "There are too many styles (20); at most 16 can be given."),
        ({"controls": "canny"}, "The controls must be a list."),
        ({"controls": ["canny"]}, "Control 1 must be given by the names of its parts, such as model."),
        ({"controls": [CANNY] * 5}, "There are too many controls (5); at most 4 can be given."),
        ({"controls": [{}]}, "The model of control 1 is missing."),
        ({"controls": [CANNY, {"model": " "}]}, "The model of control 2 is missing."),
        ({"controls": [CANNY | {"weight": 9}]}, "The weight of control 1 must be from 0 to 2."),
        ({"controls": [CANNY | {"start": "x"}]}, "The start of control 1 must be a number."),
        ({"controls": [CANNY, CANNY | {"map": "depth"}]}, "The map of control 2 must be "),
        ({"controls": [CANNY | {"image": "x"}]}, "The image of control 1 must be a picture that was handed in before."),
        ({"x": "steps"}, "The grid's x must be given by the names of its parts, such as field."),
        ({"x": {"field": "steps"}}, "The list of values of the grid's x is missing."),
        ({"x": {"field": "steps", "values": ""}}, "The list of values of the grid's x is missing."),
        ({"x": {"field": "steps", "values": 5}}, "The list of values of the grid's x must be a list."),
        ({"y": {"field": "steps", "values": [None]}}, "A value of the grid's y must be text."),
        ({"y": {"field": "steps", "values": ["x" * 501]}}, "A value of the grid's y is longer than 500 characters. Please shorten it."),
        ({"y": {"field": "steps", "values": "x" * 200_000}}, "The list of values of the grid's y is longer than 4,000 characters."),
        ({"y": {"field": "steps", "values": "1," * 80}}, "There are too many values (81); at most 64 can be given."),
        ({"y": {"field": 5, "values": "1"}}, "The field of the grid's y must be text."),
    ],
)
def test_sentences_name_things_as_the_page_does(fields, sentence):
    with pytest.raises(InvalidRequest) as caught:
        read(**fields)
    assert list(caught.value.fields) == list(fields)
    assert caught.value.sentence.startswith(sentence) and caught.value.sentence.endswith(".")


def test_every_wrong_field_is_named_at_once():
    with pytest.raises(InvalidRequest) as caught:
        read(prompt="", steps="0", sampler="x")
    assert set(caught.value.fields) == {"prompt", "steps", "sampler"}


@pytest.mark.parametrize(
    ("fields", "side"),
    [
        ({"width": 2048, "height": 512, "hires_scale": 4}, "width 8192"),
        ({"height": 1032, "hires_scale": 2}, "height 2064"),
        ({"hires_scale": 4}, "width 2560"),  # the model's
        ({"width": 512, "height": 512, "hires_scale": 4}, ""),
        ({"width": 2048, "height": 2048}, ""),
        ({"width": 2048, "height": 2048, "hires_scale": 4, "image": "0" * 64, "mask": "1" * 64}, ""),  # has no second pass
        ({"width": 2048, "height": 2048, "hires_scale": 4, "image": "0" * 64, "outpaint_left": 8}, ""),
    ],
)
def test_a_second_pass_has_sides_as_long_as_a_first_ones_at_most(fields, side):
    defaults = DEFAULTS.model_copy(update={"width": 640})
    if not side:
        assert read(**fields).resolved(defaults).hires_scale == fields.get("hires_scale", 1)
        return
    with pytest.raises(InvalidRequest, match=f"would make the {side} pixels, and 2048 is the most") as caught:
        read(**fields).resolved(defaults)
    assert list(caught.value.fields) == ["hires_scale"]


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_are_known_in_any_case_and_spacing(name):
    assert read(sampler=f" {name.upper()}  ".replace(" ", "  ")).sampler == name


def test_empty_fields_take_the_checkpoints_defaults():
    blank = {"width": "", "height": "", "steps": "", "guidance": " ", "sampler": "", "seed": "", "count": "", "strength": ""}
    request = read(image="0" * 64, **blank).resolved(DEFAULTS)
    assert request.model_dump(include=set(Defaults.model_fields)) == DEFAULTS.model_dump()
    assert 0 <= request.seed <= MAX_SEED and request.count == 1
    assert read(**blank).resolved(DEFAULTS).strength is None  # nothing to change
    assert read(image="0" * 64, mask="1" * 64).resolved(DEFAULTS).strength == 1  # what is painted over is to be forgotten


def test_what_is_given_goes_before_defaults():
    given = {"width": 256, "height": 64, "steps": 3, "guidance": 0.0, "sampler": "Heun", "seed": 0, "count": 2}
    assert read(**given).resolved(DEFAULTS).model_dump(include=set(given)) == given


def test_minus_one_means_any_seed():
    assert len({read(seed="-1").seeded().seed for _ in range(20)}) > 15


def test_a_sampler_may_bring_its_schedule():
    assert read(sampler="DPM++ 2M Karras").model_dump(include={"sampler", "schedule"}) == {"sampler": "DPM++ 2M", "schedule": "karras"}


@pytest.mark.parametrize("name", sorted(set(RANGES) - set(Control.model_fields)))
def test_the_page_and_the_schema_know_the_same_ranges(name):
    low, high = RANGES[name]
    step = 8 if name in ("width", "height") else 1
    start = {"image": "0" * 64}  # without one there is no border to grow
    for good in (low, high):
        assert getattr(read(**{name: good}, **start), name) == good
    for bad in (low - step, high + step):
        if (name, bad) not in (("seed", -1), ("subseed", -1)):
            with pytest.raises(InvalidRequest, match=f"must be from {low:,} to {high:,}"):
                read(**{name: bad})


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ("10, 20 ,30", ("10", "20", "30")),
        ('"a, b", c', ("a, b", "c")),
        ("red,", ("red", "")),
        ("a\nb, c", ("a", "b", "c")),
        ([10, 0.5, "x"], ("10", "0.5", "x")),
        ("'", ("'",)),
        ('"', ("",)),
    ],
)
def test_a_grids_values_are_a_list_or_have_commas_between(values, found):
    assert read(x={"field": "steps", "values": values}).x == Axis(field="steps", values=found)


@pytest.mark.parametrize("blank", [None, "", " ", {"field": "", "values": ""}, {"field": " ", "values": "1"}, {}])
def test_a_form_without_a_grid_has_none(blank):
    assert read(x=blank).x is None


def test_a_grids_side_holds_no_more_than_a_request():
    assert len(read(x={"field": "seed", "values": [*range(MAX_PICTURES)]}).x.values) == MAX_PICTURES


def test_a_request_with_everything_is_read_from_its_own_dump():
    request = read(x={"field": "steps", "values": "1, 2"}, y={"field": "styles", "values": ["Anime", ""]}, controls=[CANNY], styles="a,b")
    assert read(**request.model_dump()) == request
