"""Textual inversion: a folder's learned embeddings become words of a checkpoint (Gal et al. 2022, arXiv 2208.01618)."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AddedToken, CLIPTokenizer

from webapp.engine import weights
from webapp.engine.checkpoint import Checkpoint
from webapp.engine.digest import sha256
from webapp.errors import ModelError

log = logging.getLogger(__name__)


def load(checkpoint: Checkpoint, *folders: Path) -> tuple[dict[str, str], list[str]]:
    """Teach the checkpoint a word for each `.safetensors` file in `folders`, called as the file is; a word of an earlier folder counts. Loading
    twice does no harm.

    Returns the words with their files' SHA-256, in hex, and a sentence on each file that was left out. An embedding of several
    vectors becomes the tokens `word`, `word_1`, `word_2`..., as in diffusers.
    """
    learned: dict[str, str] = {}
    notices: list[str] = []
    rows: dict[str, torch.Tensor] = {}  # (width,) a token
    files: list[Path] = []
    for folder in folders:
        taken = {path.stem.lower() for path in files}
        files += [
            path for path in sorted(folder.glob("*.safetensors"), key=lambda path: path.name.lower()) if path.stem.lower() not in taken
        ]
    for path in files:
        try:
            word = path.stem.lower()  # as the tokenizer reads it
            vectors = _read(path, checkpoint.text_encoder.config.hidden_size)
            _check_word(word, path.stem, checkpoint.tokenizer, learned)
        except ModelError as error:
            log.warning(error.sentence)
            notices.append(error.sentence)
            continue
        rows |= {word if i == 0 else f"{word}_{i}": row for i, row in enumerate(vectors)}
        learned[word] = sha256(path)
    if rows:
        _teach(checkpoint, rows)
    return learned, notices


def _read(path: Path, wanted: int) -> torch.Tensor:
    """(vectors, width), whatever the one tensor is called."""
    shapes = weights.check(path).shapes
    if {"clip_l", "clip_g"} & shapes.keys():
        raise weights.misfit(path.stem, "an embedding", 2048, wanted)
    name = "emb_params" if "emb_params" in shapes else next(iter(shapes), "")
    if not name or (name != "emb_params" and len(shapes) > 1) or len(shapes[name]) not in (1, 2):
        raise ModelError(f"{path.stem} is not an embedding (textual inversion).")
    width = shapes[name][-1]
    if width != wanted:
        raise weights.misfit(path.stem, "an embedding", width, wanted)
    return load_file(path)[name].reshape(-1, width)


def _check_word(word: str, name: str, tokenizer: CLIPTokenizer, learned: dict[str, str]) -> None:
    known = tokenizer.get_vocab().keys() - tokenizer.get_added_vocab().keys()
    if word in learned:
        raise ModelError(f"{name} is there twice, in capitals and in small letters, which the model reads alike.")
    if {word, f"{word}</w>"} & known or word in tokenizer.all_special_tokens:
        raise ModelError(f"{name} is a word that the model knows already. Please rename the embedding's file.")


def _teach(checkpoint: Checkpoint, rows: dict[str, torch.Tensor]) -> None:
    """As diffusers' `load_textual_inversion`, but for all files at once, and without finding the word `art` in `party`."""
    tokenizer, encoder = checkpoint.tokenizer, checkpoint.text_encoder
    if new := rows.keys() - tokenizer.get_added_vocab().keys():  # a tokenizer that others are reading with must be left alone
        tokenizer.add_tokens([AddedToken(word, single_word=True) for word in rows if word in new])
    size = encoder.get_input_embeddings().num_embeddings
    if len(tokenizer) > size:
        encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    table = encoder.get_input_embeddings().weight.data
    for word, row in rows.items():
        table[tokenizer.convert_tokens_to_ids(word)] = row.to(table)
