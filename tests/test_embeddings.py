"""Textual inversion: a folder's files become words."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import tiny
import tiny_addons
import torch
from safetensors.torch import load_file, save_file

from webapp.engine import embeddings
from webapp.engine.checkpoint import Checkpoint
from webapp.engine.conditioning import Conditioner
from webapp.engine.digest import sha256


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    return tiny_addons.checkpoint(tmp_path / "model" / "tiny")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "embeddings"
    folder.mkdir()
    return folder


@torch.inference_mode()
def read(model, text: str) -> torch.Tensor:
    return model.text_encoder(model.tokenizer(text, return_tensors="pt").input_ids)[0]


def test_a_file_becomes_a_word(checkpoint: Checkpoint, folder: Path) -> None:
    before = read(checkpoint, "a party in a house")
    path = tiny_addons.embedding(folder / "Art.safetensors")
    assert embeddings.load(checkpoint, folder) == ({"art": sha256(path)}, [])
    assert len(checkpoint.tokenizer("ART, art").input_ids) == 2 + 3
    assert not torch.equal(read(checkpoint, "art"), read(checkpoint, "arr"))
    assert torch.equal(read(checkpoint, "a party in a house"), before)  # other words are read as ever, also those around it


@pytest.mark.parametrize("vectors", [1, 3])
def test_it_is_read_as_the_librarys_loader_has_it(checkpoint: Checkpoint, folder: Path, vectors: int) -> None:
    path = tiny_addons.embedding(folder / "zzart.safetensors", vectors, name="<token>")
    pipe = tiny.pipeline()
    pipe.load_textual_inversion(load_file(path), token="zzart")
    text = pipe.maybe_convert_prompt("a zzart house", pipe.tokenizer)
    embeddings.load(checkpoint, folder)
    assert torch.equal(read(checkpoint, text), read(pipe, text))
    assert not torch.equal(read(checkpoint, text), read(checkpoint, "a house"))


@torch.inference_mode()
def test_prompts_read_all_of_its_vectors(checkpoint: Checkpoint, folder: Path) -> None:
    path = tiny_addons.embedding(folder / "zzart.safetensors", 3)
    embeddings.load(checkpoint, folder)
    seen: list[torch.Tensor] = []
    checkpoint.text_encoder.get_input_embeddings().register_forward_hook(lambda module, inputs, output: seen.append(output))
    Conditioner(checkpoint.tokenizer, checkpoint.text_encoder).condition("zzart", "", guided=False, steps=1)
    assert any(torch.equal(words[0, 1:4], load_file(path)["emb_params"]) for words in seen)


def test_loading_twice_does_no_harm(checkpoint: Checkpoint, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for the copy in higher precision, which has the first one's tokenizer."""
    tiny_addons.embedding(folder / "zzart.safetensors", 2)
    learned = embeddings.load(checkpoint, folder)
    wanted = read(checkpoint, "zzart zzart_1")
    higher = tiny_addons.upcast(checkpoint, torch.float64)
    monkeypatch.setattr(checkpoint.tokenizer, "add_tokens", None)  # which may be in use by now
    assert embeddings.load(higher, folder) == learned
    assert len(checkpoint.tokenizer) == higher.text_encoder.get_input_embeddings().num_embeddings
    torch.testing.assert_close(read(higher, "zzart zzart_1").float(), wanted, atol=1e-6, rtol=1e-5)


def test_what_does_not_do_is_left_out_with_a_sentence(checkpoint: Checkpoint, folder: Path) -> None:
    good = tiny_addons.embedding(folder / "good one.safetensors")
    tiny_addons.embedding(folder / "wide.safetensors", width=768)
    save_file({"clip_l": torch.ones(1, 768), "clip_g": torch.ones(1, 1280)}, folder / "xl.safetensors")
    save_file({"a": torch.ones(2, 32), "b": torch.ones(2, 32)}, folder / "two.safetensors")
    save_file({"a": torch.ones(2, 3, 32)}, folder / "cube.safetensors")
    (folder / "pickle.safetensors").write_bytes(pickle.dumps({"string_to_param": 1}))
    (folder / "cut.safetensors").write_bytes(good.read_bytes()[:-5])
    (folder / "empty.safetensors").write_bytes(b"")
    tiny_addons.embedding(folder / "a.safetensors")
    tiny_addons.embedding(folder / "GOOD ONE.safetensors")
    (folder / "old.pt").write_bytes(b"PK")

    learned, notices = embeddings.load(checkpoint, folder)
    assert learned.keys() == {"good one"}
    sentences = " ".join(notices)
    for words in (
        "wide is an embedding for models of width 768; this model's width is 32.",
        "xl is an embedding for models of width 2048",
        "two is not an embedding",
        "cube is not an embedding",
        "pickle.safetensors is a pickle",
        "cut.safetensors is cut off",
        "empty.safetensors is empty",
        "a is a word that the model knows already",
        "there twice",
    ):
        assert words in sentences
    assert len(notices) == 9
    assert str(folder) not in sentences


def test_a_word_of_an_earlier_folder_counts(checkpoint: Checkpoint, folder: Path, tmp_path: Path) -> None:
    own, other = tiny_addons.embedding(folder / "Mist.safetensors", 2), tmp_path / "other"
    other.mkdir()
    tiny_addons.embedding(other / "mist.safetensors", 3)
    more = tiny_addons.embedding(other / "haze.safetensors")
    assert embeddings.load(checkpoint, folder, other) == ({"mist": sha256(own), "haze": sha256(more)}, [])


def test_no_folder_no_words(checkpoint: Checkpoint, folder: Path) -> None:
    table = checkpoint.text_encoder.get_input_embeddings()
    assert embeddings.load(checkpoint, folder) == ({}, [])
    assert embeddings.load(checkpoint, folder / "none") == ({}, [])
    assert checkpoint.text_encoder.get_input_embeddings() is table
