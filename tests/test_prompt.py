"""The prompt grammar: what is meant by it, and that nothing a person may type breaks it."""

from __future__ import annotations

import math
import random
import time
from itertools import pairwise

import pytest

from webapp.errors import InvalidRequest
from webapp.prompt import MAX_WEIGHT, Span, loras, schedule, spans, taught, texts

PIECES = [
    *"()[]:|\\<>{}_,. \n",
    "BREAK",
    "BREAKFAST",
    "cat",
    "C++",
    ":)",
    "☀",
    "城",
    "e\u0301",
    "0.5",
    ":3]",
    "1.3)",
    ".",
    "-1",
    "lora:",
    "\\(",
    "９",
]


def odd_strings(count: int) -> list[str]:
    dice = random.Random(0)
    return ["".join(dice.choices(PIECES, k=dice.randrange(25))) for _ in range(count)]


@pytest.mark.parametrize(
    "text, left, tags",
    [
        ("a cat", "a cat", ()),
        ("  a cat ", "  a cat ", ()),
        ("a cat <lora:ink:0.8>", "a cat", (("ink", 0.8),)),
        ("<lora:ink> a cat", "a cat", (("ink", 1.0),)),
        ("<lora:ink:.5:1>x<lora: my style : -1 >", "x", (("ink", 0.5), ("my style", -1.0))),
        ("<lora:a:1><lora:a:2>", "", (("a", 1.0), ("a", 2.0))),
        ("<lora:> <lora: :1> <lora:a <lora", "<lora:> <lora: :1> <lora:a <lora", ()),
        ("<lora:a<lora:b:2>", "<lora:a", (("b", 2.0),)),
    ],
)
def test_lora_tags_are_taken_out(text: str, left: str, tags: tuple) -> None:
    assert loras(text) == (left, tags)


def test_a_lora_teaches_the_word_it_is_called() -> None:
    assert taught(loras("a snail <lora:Snail> <lora:people/ada:0.5>")[1]) == {"snail", "ada"}
    assert taught(()) == frozenset()


@pytest.mark.parametrize("weight", ["", "much", "nan", "inf", "1e999", "0,8", "te=1"])
def test_a_lora_weight_that_is_no_number_is_named(weight: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        loras(f"a cat <lora:ink:{weight}>")
    assert "<lora:ink:" in error.value.fields["prompt"]


@pytest.mark.parametrize(
    "text, pieces",
    [
        ("a cat", [(10, "a cat")]),
        ("", [(10, "")]),
        ("a [cat:dog:0.3]!", [(3, "a cat!"), (10, "a dog!")]),
        ("a [cat:dog:4]", [(4, "a cat"), (10, "a dog")]),
        ("a [cat:dog: 4 ]", [(4, "a cat"), (10, "a dog")]),
        ("a [cat:dog:.25]", [(2, "a cat"), (10, "a dog")]),
        ("a [cat:dog:1.0]", [(10, "a cat")]),
        ("a [cat:dog:1]", [(1, "a cat"), (10, "a dog")]),
        ("a [cat:dog:0]", [(10, "a dog")]),
        ("a [cat:dog:-1]", [(10, "a dog")]),
        ("a [cat:dog:99]", [(10, "a cat")]),
        ("a [cat:dog:" + "9" * 1000 + "]", [(10, "a cat")]),
        ("a [cat:5]", [(5, "a "), (10, "a cat")]),
        ("a [cat::5]", [(5, "a cat"), (10, "a ")]),
        ("a [:cat:5]", [(5, "a "), (10, "a cat")]),
        ("[a:b:2] [c:d:6]", [(2, "a c"), (6, "b c"), (10, "b d")]),
        ("[a:[b:c:6]:2]", [(2, "a"), (6, "b"), (10, "c")]),
        ("[[a|b]:c:2]", [(1, "a"), (2, "b"), (10, "c")]),
        ("([a:b:5]:1.2)", [(5, "(a:1.2)"), (10, "(b:1.2)")]),
        ("[(a:1.2):(b:1.3):5]", [(5, "(a:1.2)"), (10, "(b:1.3)")]),
        ("[[cat]:5]", [(5, ""), (10, "[cat]")]),
        ("[same:same:5]", [(10, "same")]),
        (r"[a\:b:c:5]", [(5, r"a\:b"), (10, "c")]),
    ],
)
def test_prompts_are_edited(text: str, pieces: list[tuple[int, str]]) -> None:
    assert schedule(text, 10) == pieces


@pytest.mark.parametrize(
    "text, texts",
    [
        ("[a|b]", ["a", "b", "a", "b", "a"]),
        ("[a|b|(c:1.1)]", ["a", "b", "(c:1.1)", "a", "b"]),
        ("[fe|]male", ["female", "male", "female", "male", "female"]),
        ("[a|[b|c]]", ["a", "c", "a", "c", "a"]),
    ],
)
def test_prompts_alternate(text: str, texts: list[str]) -> None:
    assert schedule(text, 5) == list(enumerate(texts, start=1))


@pytest.mark.parametrize(
    "text",
    [
        *(
            "(a|b)",
            "a|b",
            "[dog]",
            "[a:b]",
            "[a:b:c]",
            "[a:b:c:3]",
            "[a|b:3]",
            "[a:b:3",
            "a:b:3]",
            "[a:(b:3]",
            "[(a:b:3]",
            "[a:b:3)",
            "[a:(b])c:3]",
        ),
        *("{a|b}", "__animal__", "[", "]", "][", "\\", "[]", "[:]", "[::]", r"\[a:b:3\]", r"\[a|b\]", "[a:b:1.2.3]", "[a:b:x]", "[a:b:３]"),
    ],
)
def test_what_is_no_edit_is_text(text: str) -> None:
    assert schedule(text, 10) == [(10, text)]


def test_an_unmatched_bracket_does_not_spoil_the_edits_after_it() -> None:
    assert schedule("((a][:b [c:d:5]", 10) == [(5, "((a][:b c"), (10, "((a][:b d")]
    assert schedule("a :) [c:d:5]", 10) == [(5, "a :) c"), (10, "a :) d")]


EDITS = [*"[[[]]]:::|", "a", "b", "c", "0", "1", "7", "0.", ".5", "0.25", "0.9", ".07", "1.0", "-1"]


def edited_strings(count: int) -> list[str]:
    """Such as change in every way, one within the other; also when they change may change."""
    dice = random.Random(1)
    made = ["[a:b:0.3] [c:d:0.31]", "[a:b:[0.9|0.1]]", "[a:[b::0.5]:[.2:.8:.4]] [x|y|z]", "[a:b:0[.2|.7]] [c:d:5]", "[a:b:7][c:d:.1]"]
    for _ in range(count):
        nested = "a"
        for _ in range(dice.randrange(1, 5)):
            when = dice.choice(["0.5", ".3", "3", "0.[1|8]", "[.1:.9:.5]", nested])
            nested = dice.choice([f"[{nested}:b:{when}]", f"[c:{nested}:{when}]", f"[{nested}|d]", f"[{nested}::{when}] [e:{when}]"])
        made += [nested, "".join(dice.choices(EDITS, k=dice.randrange(30)))]
    return made


def test_all_texts_are_those_of_every_number_of_steps() -> None:
    found = []
    for text in [*odd_strings(100), *edited_strings(300)]:
        found.append(texts(text, 24, 10**6))
        assert found[-1] == {now for steps in range(1, 25) for _, now in schedule(text, steps)}, text
    assert sum(len(each) > 3 for each in found) > 40


def test_looks_at_a_prompt_are_counted() -> None:
    assert texts("a cat", 300, 1) == {"a cat"}
    assert texts("[a|b]", 300, 300) == {"a", "b"}
    assert texts("[a:b:0.5]", 300, 600) == {"a", "b"}
    for text, looks in (("[a|b]", 299), ("[a:b:0.5]", 300)):
        with pytest.raises(InvalidRequest, match="fewer square brackets"):
            texts(text, 300, looks)


def test_schedules_cover_all_steps() -> None:
    for text in odd_strings(3000):
        for steps in (1, 7):
            pieces = schedule(text, steps)
            ends = [end for end, _ in pieces]
            assert ends == sorted(set(ends)) and ends[0] > 0 and ends[-1] == steps, text
            assert all(first[1] != second[1] for first, second in pairwise(pieces)), text
            if "[" not in text or "]" not in text:
                assert pieces == [(steps, text)]


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("a cat", [("a cat", 1)]),
        ("", []),
        ("()", []),
        ("a (cat)", [("a ", 1), ("cat", 1.1)]),
        ("((cat))", [("cat", 1.21)]),
        ("[cat]", [("cat", 1 / 1.1)]),
        ("([cat])", [("cat", 1)]),
        ("a (cat:1.3), sat", [("a ", 1), ("cat", 1.3), (", sat", 1)]),
        ("(cat: 1.3 )", [("cat", 1.3)]),
        ("(cat:.5)(dog:-1.)", [("cat", 0.5), ("dog", -1)]),
        ("(cat:0)", [("cat", 0)]),
        ("((a:2) b:3)", [("a", 6), (" b", 3)]),
        ("(a [b] c)", [("a ", 1.1), ("b", 1), (" c", 1.1)]),
        ("(a)(b)", [("ab", 1.1)]),
        ("(a:1)b", [("ab", 1)]),
        (r"\(a\) \[b\] \\", [("(a) [b] \\", 1)]),
        (r"(a \(b\):1.5)", [("a (b)", 1.5)]),
        (r"\\(a)", [("\\", 1), ("a", 1.1)]),
        ("(a", [("a", 1.1)]),
        ("x [a (b", [("x ", 1), ("a ", 1 / 1.1), ("b", 1)]),
        ("a)", [("a)", 1)]),
        ("a] b:1.3)", [("a] b:1.3)", 1)]),
        ("(a:b)", [("a:b", 1.1)]),
        ("(a:1.2.3)", [("a:1.2.3", 1.1)]),
        ("(a:1.2", [("a:1.2", 1.1)]),
        ("(a:２)", [("a:２", 1.1)]),
        ("(a:1e3)", [("a:1e3", 1.1)]),
        ("[a:1.3)", [("a:1.3)", 1 / 1.1)]),
        ("C++ :) c:\\x ☀️ 👩‍🚀 {a|b} __c__ 12:30, a:b", [("C++ :) c:\\x ☀️ 👩‍🚀 {a|b} __c__ 12:30, a:b", 1)]),
        ("(a:" + "9" * 999 + ")", [("a", MAX_WEIGHT)]),
        ("((a:0):" + "9" * 999 + ")", [("a", 0)]),
    ],
)
def test_weights(text: str, wanted: list[tuple[str, float]]) -> None:
    (part,) = spans(text)
    assert [span.text for span in part] == [words for words, _ in wanted]
    assert [span.weight for span in part] == pytest.approx([weight for _, weight in wanted], abs=1e-5)


@pytest.mark.parametrize(
    "text, parts",
    [
        ("a BREAK b", [["a"], ["b"]]),
        ("a\nBREAK, b", [["a"], [", b"]]),
        ("BREAK", [[], []]),
        ("a BREAK BREAK b BREAK", [["a"], [], ["b"], []]),
        ("BREAKFAST break aBREAK BREAK_", [["BREAKFAST break aBREAK BREAK_"]]),
    ],
)
def test_break_divides(text: str, parts: list[list[str]]) -> None:
    assert [[span.text for span in part] for part in spans(text)] == parts


def test_break_divides_within_brackets() -> None:
    assert spans("(a BREAK b:1.2) c") == [[Span("a", 1.2)], [Span("b", 1.2), Span(" c", 1.0)]]


def test_no_text_breaks_the_weights() -> None:
    for text in odd_strings(5000):
        for part in spans(text):
            assert all(span.text and math.isfinite(span.weight) and abs(span.weight) <= MAX_WEIGHT for span in part), text
            assert all(first.weight != second.weight for first, second in pairwise(part)), text


def test_text_without_brackets_stays_as_it_is() -> None:
    for text in odd_strings(5000):
        if not set("()[]\\") & set(text) and "BREAK" not in text:
            assert spans(text) == ([[Span(text, 1.0)]] if text else [[]])


def test_escaped_text_is_neither_edited_nor_weighted() -> None:
    for text in odd_strings(3000):
        escaped = "".join(f"\\{letter}" if letter in "()[]\\" else letter for letter in text)
        assert schedule(escaped, 10) == [(10, escaped)]
        read = " ".join("".join(span.text for span in part) for part in spans(escaped))
        assert read.replace("BREAK", " ").split() == text.replace("BREAK", " ").split()
        assert {span.weight for part in spans(escaped) for span in part} <= {1.0}


@pytest.mark.parametrize(
    "text", ["[" * 2000 + "a" + "]" * 1999, "(" * 2000 + "a" + ")" * 2000, "[a|" * 1000 + "]" * 1000, "(a" * 2000, " " * 4000 + "[a|b]"]
)
def test_the_longest_prompts_are_read_in_good_time(text: str) -> None:
    start = time.thread_time()
    assert len(schedule(text, 150)) in (1, 2, 150) and len(spans(text)) == 1 and loras(text) == (text, ())
    assert time.thread_time() - start < 3
