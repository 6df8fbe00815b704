"""Words to embeddings, as diffusers' own pipeline has them."""

from __future__ import annotations

import pytest
import tiny
import torch

from webapp.engine.conditioning import Conditioner

PROMPTS = ["a red circle", "", "C++ (cat:1.5) [dog] {x|y}", "城のある島, à côté ☀", "words " * 200]


@pytest.fixture(scope="module")
def pipe():
    return tiny.pipeline()


@pytest.fixture
def conditioner(pipe) -> Conditioner:
    return Conditioner(pipe.tokenizer, pipe.text_encoder)


@pytest.mark.parametrize("prompt", PROMPTS)
@torch.inference_mode()
def test_it_reads_a_prompt_as_the_pipeline_does(pipe, conditioner: Conditioner, prompt: str) -> None:
    wanted, negative = pipe.encode_prompt(prompt, "cpu", 1, True, negative_prompt="blurry")
    rows = conditioner.rows(prompt, "blurry", guided=True)
    assert rows.shape == (2, 77, 32)
    assert torch.equal(rows, torch.cat([negative, wanted]))
    assert torch.equal(conditioner.rows(prompt, "blurry", guided=False), wanted)


@torch.inference_mode()
def test_different_words_are_different(conditioner: Conditioner) -> None:
    assert not torch.equal(conditioner.embed("a cat"), conditioner.embed("a dog"))


@torch.inference_mode()
def test_the_latest_prompts_are_remembered_and_no_more(conditioner: Conditioner) -> None:
    assert conditioner.embed("a cat") is conditioner.embed("a cat")
    for number in range(100):
        conditioner.embed(f"prompt {number}")
    assert conditioner.embed.cache_info().currsize == conditioner.embed.cache_info().maxsize == 64
