"""Words to embeddings: as diffusers' own pipeline has them, and beyond what it can: length, weights, editing, LoRAs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tiny
import torch
from conftest import PLACES
from diffusers import StableDiffusionPipeline
from safetensors.torch import save_file
from transformers import CLIPTextModel, CLIPTokenizer

from webapp.engine.conditioning import Conditioner, Conditioning, _weighted

PROMPTS = ["a red circle", "", "C++ {x|y} a:b, :) 12", "城のある島, à côté ☀", "words " * 15, "<|endoftext|> a"]
BUILTIN = Path(__file__).parent.parent / "webapp/builtin"


@pytest.fixture(params=[torch.float32, torch.bfloat16], scope="module", ids=["fp32", "bf16"])
def pipe(request: pytest.FixtureRequest) -> StableDiffusionPipeline:
    return tiny.pipeline().to(dtype=request.param)


@pytest.fixture
def conditioner(pipe: StableDiffusionPipeline) -> Conditioner:
    return Conditioner(pipe.tokenizer, pipe.text_encoder)


@pytest.fixture(scope="module")
def builtin() -> Conditioner:
    return Conditioner(CLIPTokenizer.from_pretrained(BUILTIN / "tokenizer"), CLIPTextModel.from_pretrained(BUILTIN / "text_encoder"))


@torch.inference_mode()
def pipelines(pipe: StableDiffusionPipeline, prompt: str, negative_prompt: str = "", clip_skip: int | None = None) -> torch.Tensor:
    """(2, 77, width) as the pipeline makes it."""
    wanted, negative = pipe.encode_prompt(prompt, "cpu", 1, True, negative_prompt=negative_prompt, clip_skip=clip_skip)
    return torch.cat([negative, wanted])


def condition(
    conditioner: Conditioner, prompt: str, negative_prompt: str = "", steps: int = 10, guided: bool = True, **more
) -> Conditioning:
    return conditioner.condition(prompt, negative_prompt, guided=guided, steps=steps, **more)


def row(conditioner: Conditioner, prompt: str, **more) -> torch.Tensor:
    """(1, 77 * chunks, width)"""
    return condition(conditioner, prompt, guided=False, **more).at(0)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_it_reads_a_prompt_as_the_pipeline_does(pipe: StableDiffusionPipeline, conditioner: Conditioner, prompt: str) -> None:
    wanted = pipelines(pipe, prompt, "blurry")
    read = condition(conditioner, prompt, "blurry")
    assert read.at(0).shape == (2, 77, 32) and read.at(0).dtype == pipe.text_encoder.dtype
    assert torch.equal(read.at(0), wanted) and torch.equal(read.at(9), wanted) and read.read == ""
    assert torch.equal(row(conditioner, prompt), wanted[1:])


@pytest.mark.parametrize("pad", ["!", "<|endoftext|>"])
def test_it_pads_as_the_tokenizer_does(pad: str) -> None:
    pipe = tiny.pipeline()
    pipe.tokenizer.pad_token = pad
    assert torch.equal(condition(Conditioner(pipe.tokenizer, pipe.text_encoder), "a cat").at(0), pipelines(pipe, "a cat"))


@pytest.mark.parametrize("clip_skip", [1, 2])
def test_clip_skip_is_the_pipelines_less_one(
    pipe: StableDiffusionPipeline, conditioner: Conditioner, clip_skip: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not hasattr(pipe.text_encoder, "text_model"):  # transformers took it away, and diffusers 0.42 still asks for it
        monkeypatch.setattr(CLIPTextModel, "text_model", property(lambda self: self), raising=False)
    wanted = pipelines(pipe, "a red circle", "blurry", clip_skip - 1 or None)
    assert torch.equal(condition(conditioner, "a red circle", "blurry", clip_skip=clip_skip).at(0), wanted)


def test_clip_skip_ends_at_the_first_layer(conditioner: Conditioner) -> None:
    assert not torch.equal(row(conditioner, "a cat", clip_skip=2), row(conditioner, "a cat"))
    assert torch.equal(row(conditioner, "a cat", clip_skip=12), row(conditioner, "a cat", clip_skip=2))
    assert any("2 layers" in note for note in condition(conditioner, "a cat", clip_skip=3).notes)
    assert not any("layers" in note for note in condition(conditioner, "a cat", clip_skip=2).notes)


def test_a_long_prompt_is_its_chunks_one_after_the_other(pipe: StableDiffusionPipeline, conditioner: Conditioner) -> None:
    chunks = ["words " * 15, "other " * 15, "ends here"]
    read = condition(conditioner, " ".join(chunks), "blurry")
    assert read.at(0).shape == (2, 3 * 77, 32) and read.read == ""
    assert torch.equal(read.at(0)[1:], torch.cat([pipelines(pipe, chunk)[1:] for chunk in chunks], dim=1))
    assert torch.equal(read.at(0)[:1], torch.cat([pipelines(pipe, text)[1:] for text in ("blurry", "", "")], dim=1))
    assert torch.equal(condition(conditioner, "a", " ".join(chunks)).at(0)[0], read.at(0)[1])
    assert torch.equal(row(conditioner, "words BREAK other"), torch.cat([row(conditioner, "words"), row(conditioner, "other")], dim=1))


def test_what_is_too_long_is_cut_and_said(conditioner: Conditioner) -> None:
    read = condition(conditioner, "words " * 120 + "left behind", "other " * 130)
    assert read.at(0).shape == (2, 8 * 77, 32)
    assert torch.equal(read.at(0), condition(conditioner, "words " * 120, "other " * 120).at(0))
    (first, second) = [note for note in read.notes if "longer" in note]
    assert first == "The prompt is longer than 8 chunks of 75 tokens. Left out: left behind"
    assert second.startswith("The negative prompt is longer") and second.endswith("Left out: " + "other " * 9 + "other")
    kept, negative = read.read.split("\nNegative prompt: ")
    assert torch.equal(condition(conditioner, kept, negative).at(0), read.at(0))
    assert all(len(note) < 500 for note in condition(conditioner, "words " * 660).notes)


def test_an_unguided_picture_has_no_negative_prompt(conditioner: Conditioner) -> None:
    read = condition(conditioner, "a cat", "other " * 130, guided=False)
    assert read.at(0).shape == (1, 77, 32) and read.read == "" and not any("longer" in note for note in read.notes)


def test_a_prompt_changes_at_its_step(conditioner: Conditioner) -> None:
    read = condition(conditioner, "a [cat:dog:0.5]", "[x:y:7]")
    before, after = condition(conditioner, "a cat", "x").at(0), condition(conditioner, "a dog", "y").at(0)
    assert not torch.equal(before, after)
    for step in range(10):
        assert torch.equal(read.at(step)[1], (before if step < 5 else after)[1])
        assert torch.equal(read.at(step)[0], (before if step < 7 else after)[0])
    assert read.at(3) is read.at(4)


def test_a_prompt_alternates(conditioner: Conditioner) -> None:
    read = condition(conditioner, "[cat|dog] here", steps=5, guided=False)
    for step in range(5):
        assert torch.equal(read.at(step), row(conditioner, "cat here" if step % 2 == 0 else "dog here"))


def test_edited_prompts_of_any_length_have_one_shape(conditioner: Conditioner) -> None:
    read = condition(conditioner, "[cat:" + "words " * 40 + ":5]", "[" + "words " * 20 + "|x]")
    assert {read.at(step).shape for step in range(10)} == {(2, 3 * 77, 32)}


def test_each_text_is_embedded_once(conditioner: Conditioner) -> None:
    condition(conditioner, "[cat|dog] here", "[x|y|x|y]", steps=150)
    assert conditioner.embed.cache_info().misses == 4


def test_weights_move_the_embeddings_and_keep_their_mean(pipe: StableDiffusionPipeline, conditioner: Conditioner) -> None:
    plain = row(conditioner, "a red circle").float()
    for prompt in ("a (red:1.5) circle", "a [red] circle", "a (red:0) circle", "(a red circle:-1)"):
        weighted = row(conditioner, prompt)
        assert weighted.dtype == pipe.text_encoder.dtype and not torch.equal(weighted.float(), plain)
        assert weighted.float().mean().item() == pytest.approx(plain.mean().item(), rel=0.1, abs=1e-3)
    stronger = row(conditioner, "a (red:1.5) circle").float()
    share = stronger / plain  # a start, "a", the letters of "red", ..
    assert (share[:, 2:5].median() / share[:, 5:].median()).item() == pytest.approx(1.5, rel=0.01)


def test_weights_are_auto1111s_original_emphasis() -> None:
    torch.manual_seed(0)
    embeddings = torch.randn(1, 77, 32) + 0.1
    factors = torch.ones(77)
    factors[1:3] = torch.tensor([1.3, 0.5])
    weighted = _weighted(embeddings, [1.0, 1.3, 0.5])
    assert weighted.mean().item() == pytest.approx(embeddings.mean().item(), rel=1e-4)
    scaled = embeddings * factors[:, None]
    assert torch.allclose(weighted, scaled * (embeddings.mean() / scaled.mean()), rtol=1e-5)
    assert _weighted(embeddings, [1.0, 1.0]) is embeddings
    assert _weighted(torch.zeros(1, 77, 32), [1.0, 2.0]).isfinite().all()


def test_weight_one_is_no_weight(conditioner: Conditioner) -> None:
    assert torch.equal(row(conditioner, "a (red:1) ([circle])"), row(conditioner, "a red circle"))


@pytest.mark.parametrize("weight", ["9" * 99, "-" + "9" * 99, "0"])
def test_no_weight_makes_what_is_no_number(conditioner: Conditioner, weight: str) -> None:
    assert row(conditioner, f"(a cat:{weight})").isfinite().all()


def test_unknown_words_are_named(builtin: Conditioner) -> None:
    read = condition(builtin, "a red Zebra [zebra:vase:0.5]", "zebra veil")
    assert read.notes == ("This model does not know the words: Zebra, zebra, vase, veil.",)
    assert condition(builtin, "a red circle!", "7").notes == ()
    assert condition(builtin, "a zebra").notes == ("This model does not know the word: zebra.",)
    assert builtin.condition("a Zebra", "", guided=True, steps=20, taught={"zebra"}).notes == ()
    assert builtin.count("a Zebra, a vase", {"zebra"}).unknown == ("vase",)
    (note,) = condition(builtin, " ".join(f"zebra{chr(97 + number)}" for number in range(26))).notes
    assert note.endswith("and 6 more.")


def test_it_counts(builtin: Conditioner) -> None:
    pieces = len(CLIPTokenizer.from_pretrained(BUILTIN / "tokenizer").tokenize("zebra"))
    assert builtin.count("") == (0, PLACES, (), ())
    assert builtin.count("a (red:1.3) zebra") == (2 + pieces, PLACES, ("zebra",), ())
    assert builtin.count("red " * (PLACES + 5)) == (PLACES + 5, 2 * PLACES, (), ())
    assert builtin.count("[red:red circle:0.5]") == (2, PLACES, (), ())
    assert builtin.count("red " * (8 * PLACES) + "circle") == (8 * PLACES, 8 * PLACES, (), ("circle",))


def test_an_embedding_is_read_as_the_pipeline_does(tmp_path: Path) -> None:
    pipe = tiny.pipeline()
    conditioner = Conditioner(pipe.tokenizer, pipe.text_encoder)
    before = row(conditioner, "a cat in mystyle")
    torch.manual_seed(0)
    save_file({"emb_params": torch.randn(3, 32)}, tmp_path / "mystyle.safetensors")
    with conditioner.changing():
        pipe.load_textual_inversion(tmp_path, weight_name="mystyle.safetensors", token="mystyle")
    for prompt in ("a cat in mystyle", "mystyle, mystyle", "mystyle"):
        assert torch.equal(condition(conditioner, prompt, "mystyle").at(0), pipelines(pipe, prompt, "mystyle"))
    assert not torch.equal(row(conditioner, "a cat in mystyle"), before)
    assert conditioner.count("a mystyle").tokens == 4
    assert conditioner.count("a mystyle").unknown == ()


def test_loras_are_in_force_around_each_call_of_the_text_encoder_alone() -> None:
    pipe, used = tiny.pipeline(), []

    @contextmanager
    def using(loras: tuple) -> Iterator[None]:
        used.append(loras)
        strength = 1 + sum(weight for _, weight in loras)
        norm = (
            pipe.text_encoder.final_layer_norm
            if hasattr(pipe.text_encoder, "final_layer_norm")
            else pipe.text_encoder.text_model.final_layer_norm
        )
        with torch.no_grad():
            norm.weight *= strength
            yield
            norm.weight /= strength

    conditioner = Conditioner(pipe.tokenizer, pipe.text_encoder, using=using)
    ink = ((Path("ink.safetensors"), 1.0),)
    plain, inked = row(conditioner, "a cat"), row(conditioner, "a cat", loras=ink)
    assert used == [(), ink]
    assert torch.allclose(inked, 2 * plain, atol=1e-5) and torch.equal(row(conditioner, "a cat"), plain)
    assert torch.equal(row(conditioner, "a cat", loras=ink), inked) and used == [(), ink]


def test_the_latest_chunks_are_remembered_and_no_more(conditioner: Conditioner) -> None:
    row(conditioner, "a cat")
    row(conditioner, "a cat")
    assert conditioner.embed.cache_info().misses == 1
    for number in range(200):
        row(conditioner, f"prompt {number}")
    assert conditioner.embed.cache_info().currsize == conditioner.embed.cache_info().maxsize == 128
    with conditioner.changing():
        pass
    assert conditioner.embed.cache_info().currsize == 0
