"""Text to tokens in chunks: where they are divided, what is left out, and which words a small vocabulary does not know."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest
import tiny
from transformers import CLIPTokenizer

from webapp.engine.chunks import MAX_CHUNKS, Reader, Reading

BUILTIN = Path(__file__).parent.parent / "webapp/builtin/tokenizer"


@pytest.fixture
def letters() -> Reader:
    """Of a tokenizer that makes a token of each letter."""
    return Reader(tiny.pipeline().tokenizer, 75)


@pytest.fixture(scope="module")
def builtin() -> Reader:
    return Reader(CLIPTokenizer.from_pretrained(BUILTIN), 75)


def lengths(reading: Reading) -> list[int]:
    return [len(chunk) for chunk in reading.chunks]


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("", [0]),
        ("words " * 15, [75]),
        ("words " * 16, [75, 5]),
        ("w " + "words " * 15, [71, 5]),  # the last word fits no more
        ("w " + "x" * 100, [75, 26]),  # this one fits nowhere
        ("a BREAK b", [1, 1]),
        ("BREAK b", [0, 1]),
        ("a BREAK BREAK b BREAK", [1, 0, 1]),
        ("BREAK", [0]),
        ("(words:1.2) " * 16, [75, 5]),
        ("words " * 500, [75] * MAX_CHUNKS),
    ],
)
def test_chunks_are_divided_between_words(letters: Reader, text: str, wanted: list[int]) -> None:
    assert lengths(letters.read(text)) == wanted


def test_the_tokens_are_the_tokenizers_own(builtin: Reader) -> None:
    tokenizer = CLIPTokenizer.from_pretrained(BUILTIN)
    for text in ("a red circle", "C++ :) don't, e\u0301 ☀ 城のある島 12", "<|endoftext|> a !"):
        (chunk,) = builtin.read(text).chunks
        assert chunk == tuple((token, 1.0) for token in tokenizer(text).input_ids[1:-1])


def test_each_token_has_the_weight_of_its_words(letters: Reader) -> None:
    (chunk,) = letters.read("ab (cd:1.5) [e]").chunks
    assert [weight for _, weight in chunk] == pytest.approx([1, 1, 1.5, 1.5, 1 / 1.1], abs=1e-5)


def test_what_is_cut_is_named_as_it_was_written(letters: Reader) -> None:
    reading = letters.read("(words:1.1) " * 120 + "Then, a Cat: " + "(x" * 3)
    assert reading.cut == ("Then,", "a", "Cat:", "xxx")
    assert lengths(letters.read(reading.kept)) == lengths(reading) == [75] * MAX_CHUNKS
    assert letters.read(" words" * 120).cut == ()


def test_the_middle_of_an_overlong_word_may_be_cut(letters: Reader) -> None:
    reading = letters.read("x" * 600 + "yz")
    assert lengths(reading) == [75] * MAX_CHUNKS and reading.cut == ("yz",)


def test_what_is_kept_reads_the_same_again(letters: Reader) -> None:
    """What stands in a picture's text must lead back to what was drawn."""
    dice = random.Random(0)
    for _ in range(50):
        text = " ".join(dice.choices(["word", "longer", "x" * 60, ",", "城", "e\u0301", "☀", "BREAK BREAK cat"], k=300))
        reading = letters.read(text)
        again = letters.read(reading.kept)
        assert reading.cut and not again.cut
        assert again.chunks == reading.chunks[: len(again.chunks)] and not any(reading.chunks[len(again.chunks) :])


def test_a_character_is_never_divided(letters: Reader) -> None:
    reading = letters.read("x" + "城" * 60)  # three tokens each, in one word
    assert lengths(reading) == [73, 75, 33]
    assert reading.kept == " BREAK ".join(("x" + "城" * 24, "城" * 25, "城" * 11))


@pytest.mark.parametrize(
    "text, unknown",
    [
        ("a red circle", ()),
        ("A RED, circle! (red:1.2) 42 :) ☀ ++ 's", ()),
        ("a Zebra versus a zebra-vase", ("Zebra", "versus", "zebra", "vase")),
        ("zebra, zebra BREAK (zebra)", ("zebra",)),
        ("城のある島 e\u0301te\u0301", ("城のある島", "e\u0301te\u0301")),
    ],
)
def test_a_small_vocabulary_knows_whole_words_only(builtin: Reader, text: str, unknown: tuple[str, ...]) -> None:
    assert builtin.read(text).unknown == unknown


def test_a_large_vocabulary_knows_everything() -> None:
    tokenizer = CLIPTokenizer.from_pretrained(BUILTIN)
    tokenizer.add_tokens([f"filler{number}" for number in range(10_000)])
    assert Reader(tokenizer, 75).read("a zebra").unknown == ()


def test_an_embeddings_name_stands_for_all_its_vectors() -> None:
    tokenizer = tiny.pipeline().tokenizer
    tokenizer.add_tokens(["<ink>", "<ink>_1", "<ink>_2", "plain", "Many", *(f"Many_{number}" for number in range(1, 100))])
    ink, plain, many = tokenizer.convert_tokens_to_ids(["<ink>", "plain", "Many"])
    reader = Reader(tokenizer, 75)
    (chunk,) = reader.read("a (<ink>:1.2) plain").chunks
    assert chunk[1:] == ((ink, 1.2), (ink + 1, 1.2), (ink + 2, 1.2), (plain, 1.0))
    assert reader.read("<ink> plain many").unknown == ()
    assert lengths(reader.read("a " * 74 + "<ink>")) == [74, 3]
    assert [token for chunk in reader.read("many").chunks for token, _ in chunk] == [*range(many, many + 100)]


def test_nobody_reads_while_the_tokenizer_is_changed(letters: Reader) -> None:
    reader = threading.Thread(target=letters.read, args=("a cat",))
    with letters.lock:
        reader.start()
        reader.join(0.1)
        assert reader.is_alive()
    reader.join(10)
    assert not reader.is_alive()


def test_many_threads_read_while_the_tokenizer_grows() -> None:
    tokenizer = tiny.pipeline().tokenizer
    reader, failures, done = Reader(tokenizer, 75), [], threading.Event()

    def count(number: int) -> None:
        try:
            for turn in range(10_000):
                reader.read(f"{number} {turn} a red circle")
                if done.is_set():
                    return
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=count, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for number in range(100):
        with reader.lock:
            tokenizer.add_tokens(f"new{number}")
            tokenizer("a", padding="max_length", truncation=True, max_length=77)
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []
