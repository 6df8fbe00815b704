"""A tokenizer exactly like CLIP's with a small vocabulary of our own: every word of the captions is one token.

The layout is OpenAI's: 256 bytes, the same bytes ending a word, the merges, then the two special tokens; so any text
whatever can be written in it, and id 0 is `!`, with which SD 2.1 pads.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, models, trainers
from transformers import CLIPTokenizer

END_OF_WORD = "</w>"
START, END, PAD = "<|startoftext|>", "<|endoftext|>", "!"
POSITIONS = 48
"""Places for tokens, more than any caption fills. With SD's 77, two in five would be padding that the UNet looks at in vain, for a seventh of its time."""


def build(words: Iterable[str]) -> CLIPTokenizer:
    """Learn merges until each of `words` (lower case, letters only) is a single token."""
    merges = _merges(sorted(set(words)))
    alphabet = _alphabet()
    pieces = [*alphabet, *(letter + END_OF_WORD for letter in alphabet), *("".join(pair) for pair in merges)]
    vocab = {piece: index for index, piece in enumerate(dict.fromkeys([*pieces, START, END]))}
    return CLIPTokenizer(vocab=vocab, merges=merges, pad_token=PAD, model_max_length=POSITIONS)


def save(tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Write `tokenizer.json` and the older `vocab.json` + `merges.txt`, so that every transformers from 4 on can load it."""
    tokenizer.save_pretrained(folder)
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    vocab = dict(sorted(tokenizer.get_vocab().items(), key=lambda piece: piece[1]))  # by id: the library's order is another each time
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")


def encode(tokenizer: CLIPTokenizer, captions: list[str]) -> list[list[int]]:
    """Ids padded to POSITIONS with `!`, as the Stable Diffusion pipeline does."""
    return tokenizer(captions, padding="max_length", max_length=POSITIONS, truncation=True).input_ids


def _merges(words: list[str]) -> list[tuple[str, str]]:
    """Byte-pair merges learned from the words alone; the splitting into words is CLIP's own."""
    learner = Tokenizer(models.BPE(end_of_word_suffix=END_OF_WORD))
    clip = CLIPTokenizer().backend_tokenizer
    learner.normalizer, learner.pre_tokenizer = clip.normalizer, clip.pre_tokenizer
    trainer = trainers.BpeTrainer(vocab_size=20_000, end_of_word_suffix=END_OF_WORD, show_progress=False)
    learner.train_from_iterator(words, trainer)
    learned = json.loads(learner.to_str())["model"]["merges"]
    return [tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair) for pair in learned]


def _alphabet() -> list[str]:
    """The 256 bytes as printable characters in OpenAI's order, `!` first."""
    shown = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return [chr(byte) for byte in shown] + [chr(256 + index) for index in range(len(hidden))]
