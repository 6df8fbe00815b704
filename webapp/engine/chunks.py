"""Text to tokens in chunks that the text encoder can take, and what of it the model cannot use. Apart from the embeddings because a
page's counter asks the same from another thread, and no tensor is needed for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import NamedTuple

from transformers import CLIPTokenizer

from webapp.prompt import Span, spans

MAX_CHUNKS = 8
SMALL = 10_000  # a vocabulary below this knows whole words only
Chunk = tuple[tuple[int, float], ...]  # (token, weight) each


@dataclass(frozen=True)
class Reading:
    """One text as the text encoder is given it: from 1 to MAX_CHUNKS chunks, without their start, end and padding."""

    chunks: tuple[Chunk, ...]
    kept: str  # the chunks' text
    cut: tuple[str, ...]  # the words beyond them
    unknown: tuple[str, ...]  # the words that the model does not know

    @property
    def tokens(self) -> int:
        return sum(map(len, self.chunks))


class _Token(NamedTuple):
    id: int
    weight: float
    text: str  # as written, with the space behind it; of a character's or an embedding's several tokens the last one has it


class Reader:
    """Reads for one tokenizer, chunks of `size` tokens. For any thread; whoever changes the tokenizer holds `lock`: a fast tokenizer
    that is in use in one thread refuses to be changed in another."""

    def __init__(self, tokenizer: CLIPTokenizer, size: int) -> None:
        self.lock = threading.RLock()
        self._tokenizer, self._size = tokenizer, size

    def read(self, text: str) -> Reading:
        """A text without prompt editing, with weights. BREAK begins a chunk, and so does a word that does not fit any more, so that
        only a word longer than a chunk is ever divided (AUTOMATIC1111 goes back to a comma instead, if one is near)."""
        chunks: list[list[_Token]] = []
        unknown: list[str] = []
        for part in spans(text):
            chunks.append([])
            for word in (word for span in part for word in self._words(span, unknown)):
                for piece in self._pieces(word):
                    if len(chunks[-1]) + len(piece) > self._size:
                        chunks.append([])
                    chunks[-1] += piece
        if len(chunks) > 1 and not chunks[-1]:
            chunks.pop()  # BREAK was the last word
        texts = ["".join(token.text for token in chunk).strip() for chunk in chunks]
        return Reading(
            chunks=tuple(tuple((token.id, token.weight) for token in chunk) for chunk in chunks[:MAX_CHUNKS]),
            kept=" BREAK ".join(texts[:MAX_CHUNKS]),
            cut=tuple(" ".join(texts[MAX_CHUNKS:]).split()),
            unknown=tuple(dict.fromkeys(unknown)),
        )

    def _words(self, span: Span, unknown: list[str]) -> Iterator[list[_Token]]:
        """The tokens word by word. Notes unknown words: those of more than one token, where the vocabulary is small."""
        with self.lock:  # and never with padding or truncation, which would change the tokenizer
            coding = self._tokenizer(span.text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
            vectors = self._vectors(coding.input_ids)
            small = len(self._tokenizer) < SMALL
        starts = [0, *(start for start, _ in coding.offset_mapping[1:]), len(span.text)]
        texts = [span.text[start:end] for start, end in pairwise(starts)]
        for _, places in groupby(range(len(vectors)), key=coding.word_ids().__getitem__):
            group = list(places)
            word = "".join(texts[i] for i in group).strip()
            if small and len(group) > 1 and word[:1].isalpha():
                unknown.append(word)
            tokens = []
            for i in group:
                *first, last = vectors[i]
                tokens += [*(_Token(id, span.weight, "") for id in first), _Token(last, span.weight, texts[i])]
            yield tokens

    def _pieces(self, word: list[_Token]) -> list[list[_Token]]:
        """What goes into one chunk: the word, or if it is longer than one, its characters."""
        if len(word) <= self._size:
            return [word]
        pieces: list[list[_Token]] = [[]]
        for token in word:
            pieces[-1].append(token)
            if token.text.strip() or len(pieces[-1]) == self._size:
                pieces.append([])
        return pieces

    def _vectors(self, tokens: list[int]) -> list[list[int]]:
        """Each token itself, or all vectors of the embedding that it names: diffusers adds them as `name`, `name_1`, .. (cf. its
        TextualInversionLoaderMixin.maybe_convert_prompt, which changes the text instead)."""
        ids = self._tokenizer.added_tokens_encoder
        names = {id: name for name, id in ids.items()}
        vectors = [[token] for token in tokens]
        for found in vectors:
            if name := names.get(found[0]):
                while (following := ids.get(f"{name}_{len(found)}")) is not None:
                    found.append(following)
        return vectors
