"""Words to embeddings: what the UNet reads of a prompt at each step. A prompt of any length goes through the text encoder in chunks
of 75 tokens, as AUTOMATIC1111 does it; a short one without weights is bit for bit what diffusers' pipeline makes of it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

import torch
from transformers import CLIPTextModel, CLIPTokenizer

from webapp.engine.chunks import MAX_CHUNKS, Chunk, Reader, Reading
from webapp.prompt import schedule

LISTED = 20  # words in a note
Loras = tuple[tuple[Hashable, float], ...]


class Count(NamedTuple):
    """How long a prompt is, of an edited one the longest text: `tokens` of the `room` that its chunks have."""

    tokens: int
    room: int
    unknown: tuple[str, ...]  # words that the model does not know
    cut: tuple[str, ...]  # words beyond what is read


class Conditioning:
    """What the UNet reads of one picture's prompts. `notes` are sentences for the picture's owner. `read` is what the text encoder was
    given if something was cut, chunk by chunk with BREAK between, else empty."""

    def __init__(self, rows: list[list[tuple[int, torch.Tensor]]], notes: tuple[str, ...], read: str) -> None:
        """`rows` are pieces (end, embeddings), ends as `prompt.schedule` has them, embeddings (1, 77 * chunks, width)."""
        self.notes, self.read = notes, read
        self._rows = rows
        self._places: list[int] = []
        self._embeddings = torch.empty(0)

    def at(self, step: int) -> torch.Tensor:
        """The embeddings at a step, from 0: (rows, 77 * chunks, width), the negative prompt's row first. The same tensor as at the
        step asked for before, if nothing changes."""
        places = [next((i for i, (end, _) in enumerate(pieces) if step < end), len(pieces) - 1) for pieces in self._rows]
        if places != self._places:
            self._places = places
            self._embeddings = torch.cat([pieces[place][1] for pieces, place in zip(self._rows, places)])
        return self._embeddings


class Conditioner:
    """Reads prompts for one model, and remembers the latest chunks: a request's pictures share theirs, and nearly all requests share
    the empty negative prompt's.

    `using(loras)` is entered around each call of the text encoder; what was remembered with LoRAs counts while `stamps(loras)` is the
    same. `condition` is for one thread at a time, `count` for any.
    """

    def __init__(
        self,
        tokenizer: CLIPTokenizer,
        text_encoder: CLIPTextModel,
        using: Callable[[Loras], AbstractContextManager] = lambda loras: nullcontext(),
        stamps: Callable[[Loras], Hashable] = lambda loras: (),
    ) -> None:
        self._tokenizer, self._text_encoder, self._using, self._stamps = tokenizer, text_encoder, using, stamps
        self._layers = text_encoder.config.num_hidden_layers
        self._size = text_encoder.config.max_position_embeddings - 2  # 75: a start and an end go around each chunk
        self._reader = Reader(tokenizer, self._size)
        self._read = lru_cache(maxsize=64)(self._reader.read)
        self.embed = lru_cache(maxsize=128)(self._embed)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """For changing the tokenizer or the text encoder's weights: nobody reads meanwhile, and what was remembered is forgotten."""
        with self._reader.lock:
            try:
                yield
            finally:
                self._read.cache_clear()
                self.embed.cache_clear()

    def condition(
        self,
        prompt: str,
        negative_prompt: str,
        *,
        guided: bool,
        steps: int,
        clip_skip: int = 1,
        loras: Loras = (),
        taught: Collection[str] = (),
    ) -> Conditioning:
        """The embeddings for one picture's `steps`: of both prompts if `guided`, else of the prompt alone. They may be edited and
        weighted (`webapp.prompt`); their `<lora:..>` tags are removed already, and `loras` says what they were.
        `taught` are the words that these teach, in lower case: nobody is told that the model does not know them.

        `clip_skip` counts the text encoder's layers from its last, 1. As in diffusers it is the prompt's; the negative prompt always
        has the last.
        """
        texts = {"prompt": prompt} | ({"negative prompt": negative_prompt} if guided else {})
        pieces = {name: [(end, self._read(piece)) for end, piece in schedule(text, steps)] for name, text in texts.items()}
        readings = {name: list(dict.fromkeys(reading for _, reading in found)) for name, found in pieces.items()}
        chunks = max(len(reading.chunks) for found in readings.values() for reading in found)
        rows = []
        for name, found in pieces.items():
            layer = min(clip_skip, self._layers) if name == "prompt" else 1
            embeddings = {reading: self._row(reading, chunks, layer, loras) for reading in readings[name]}
            rows.insert(0, [(end, embeddings[reading]) for end, reading in found])
        notes = _notes(readings, taught, f"{MAX_CHUNKS} chunks of {self._size} tokens")
        if clip_skip > self._layers:
            notes.append(f"This model's text encoder has only {self._layers} layers, so a clip skip of {self._layers} was used.")
        return Conditioning(rows, tuple(notes), _kept(readings))

    def count(self, prompt: str, taught: Collection[str] = (), steps: int = 20) -> Count:
        """How long a prompt is, and what of it the model cannot use; `taught` as in `condition`."""
        readings = [self._reader.read(text) for text in dict.fromkeys(text for _, text in schedule(prompt, steps))]
        longest = max(readings, key=lambda reading: (len(reading.cut), len(reading.chunks), reading.tokens))
        return Count(longest.tokens, len(longest.chunks) * self._size, _unknown(readings, taught), longest.cut)

    def _row(self, reading: Reading, chunks: int, layer: int, loras: Loras) -> torch.Tensor:
        """(1, 77 * chunks, width); those chunks that the text does not fill are the empty prompt's."""
        filled = reading.chunks + ((),) * (chunks - len(reading.chunks))
        stamps = self._stamps(loras)
        return torch.cat([self.embed(chunk, layer, loras, stamps) for chunk in filled], dim=1)

    @torch.inference_mode()
    def _embed(self, chunk: Chunk, layer: int, loras: Loras, _stamps: Hashable) -> torch.Tensor:
        """Of one chunk, by itself so that it is the same in any company: (1, 77, width)."""
        tokenizer, encoder = self._tokenizer, self._text_encoder
        ids = [tokenizer.bos_token_id, *(token for token, _ in chunk), tokenizer.eos_token_id]
        ids += [tokenizer.pad_token_id] * (self._size + 2 - len(ids))
        with self._using(loras):
            output = encoder(torch.tensor([ids], device=encoder.device), output_hidden_states=layer > 1)
            if layer == 1:
                embeddings = output.last_hidden_state
            else:
                embeddings = getattr(encoder, "text_model", encoder).final_layer_norm(output.hidden_states[-layer])
        return _weighted(embeddings, [1.0, *(weight for _, weight in chunk)])


def _weighted(embeddings: torch.Tensor, weights: list[float]) -> torch.Tensor:
    """A chunk's embeddings, (1, 77, width), times the first tokens' weights and brought back to the mean they had: "Original" of
    AUTOMATIC1111's modules/sd_emphasis.py."""
    if all(weight == 1 for weight in weights):
        return embeddings
    exact = embeddings.float()
    factors = exact.new_ones(exact.shape[1], 1)
    factors[: len(weights), 0] = exact.new_tensor(weights)
    weighted = exact * factors  # (1, 77, width)
    back = exact.mean() / weighted.mean()
    return (weighted * back if back.isfinite() else weighted).to(embeddings.dtype)


def _notes(read: dict[str, list[Reading]], taught: Collection[str], limit: str) -> list[str]:
    notes = []
    if unknown := _unknown(chain.from_iterable(read.values()), taught):
        more = f" and {len(unknown) - LISTED} more" if len(unknown) > LISTED else ""
        notes.append(f"This model does not know the word{'s' * (len(unknown) > 1)}: {', '.join(unknown[:LISTED])}{more}.")
    for name, readings in read.items():
        if cut := max((reading.cut for reading in readings), key=len):
            words = textwrap.shorten(" ".join(cut).strip(" ,"), 300, placeholder=" …")
            notes.append(f"The {name} is longer than {limit}. Left out: {words}")
    return notes


def _kept(read: dict[str, list[Reading]]) -> str:
    """What was left of a prompt that was cut, and of a negative prompt that was; of an edited one, of the first such text."""
    kept = {name: next((reading.kept for reading in readings if reading.cut), "") for name, readings in read.items()}
    return "\n".join(text if name == "prompt" else f"Negative prompt: {text}" for name, text in kept.items() if text)


def _unknown(readings: Iterable[Reading], taught: Collection[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for reading in readings for word in reading.unknown if word.casefold() not in taught))
