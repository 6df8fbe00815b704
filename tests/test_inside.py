"""What is said of the model's inside is so: its words, its noise, its loop, and that a word's attention lies on its thing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tiny
import torch
from conftest import NATIVE
from PIL import Image

from webapp import plots
from webapp.engine import checkpoint, inside
from webapp.engine.conditioning import Conditioner
from webapp.engine.engine import Engine
from webapp.engine.events import Finished
from webapp.schema import GenerationRequest

PROMPT = "a red circle on a blue background"
SEEDS = range(20)
GRID = NATIVE // 8  # latents a side


@pytest.fixture(scope="module")
def model():
    return checkpoint.load("builtin")


@pytest.fixture(scope="module")
def engine(model):
    engine = Engine(model, max_batch=2)
    yield engine
    engine.close()


def request(model, **fields) -> GenerationRequest:
    return GenerationRequest.read({"prompt": PROMPT, "seed": 7, **fields}).resolved(model.defaults)


def drawn(engine, wanted: GenerationRequest) -> np.ndarray:
    (image,) = [event.image for event in engine.submit(wanted) if isinstance(event, Finished)]
    return np.asarray(image)


def test_words_are_the_engines_own(model):
    read = inside.read(model, PROMPT)
    assert [text for _, text, _ in read.tokens] == PROMPT.split()
    assert read.words == {"a": [1, 5], "red": [2], "circle": [3], "on": [4], "blue": [6], "background": [7]}
    theirs = Conditioner(model.tokenizer, model.text_encoder).condition(PROMPT, "", guided=False, steps=1).at(0)
    assert torch.equal(read.embeddings, theirs)
    assert not torch.equal(read.embeddings, inside.read(model, "a blue circle on a red background").embeddings)


def test_a_long_prompt_is_cut_and_an_unknown_word_is_in_pieces(model):
    read = inside.read(model, "red circle " * 60)
    places = model.text_encoder.config.max_position_embeddings
    assert len(read.tokens) == places - 2 and read.embeddings.shape == (1, places, model.unet.config.cross_attention_dim)
    read = inside.read(model, "a quixotic cat")
    assert len(read.words["quixotic"]) > 1 and list(read.words) == ["a", "quixotic", "cat"]
    assert inside.read(model, "").tokens == []


@pytest.mark.parametrize(
    "fields",
    [{}, {"guidance": 1, "steps": 5}, {"sampler": "Euler a", "steps": 6, "negative_prompt": "a star"}, {"width": 192, "steps": 4}],
    ids=["its own settings", "without guidance", "a sampler that draws noise, a negative prompt", "wide"],
)
def test_drawing_to_look_at_equals_the_engines_picture(model, engine, fields):
    wanted = request(model, **fields)
    embeddings = inside.read(model, PROMPT).embeddings
    mine = np.asarray(inside.decode(model, inside.denoise(model, wanted, embeddings)))
    assert np.array_equal(mine, drawn(engine, wanted))
    other = inside.denoise(model, wanted.model_copy(update={"seed": 8}), embeddings)
    assert not np.array_equal(mine, np.asarray(inside.decode(model, other)))


@pytest.mark.parametrize("scheduler", ["epsilon", "v_prediction", "zero terminal SNR"])
def test_so_it_is_with_other_models_of_the_kind(tmp_path, scheduler):
    """Shaped as Stable Diffusion 1 and 2.1 are, with random weights, letters for tokens, and a schedule each."""
    model = checkpoint.load(tiny.folder(tmp_path, scheduler), device="cpu", dtype=torch.float32)
    engine = Engine(model, max_batch=1)
    wanted = request(model, steps=3, width=64, height=64, guidance=7.5)
    seen, maps = inside.attention(model, wanted)
    assert np.array_equal(np.asarray(seen), drawn(engine, wanted))
    engine.close()
    assert list(maps) == ["a", "red", "circle", "on", "blue", "background"] and maps["red"].shape == (8, 8)
    assert 0 < sum(maps.values()).max() < 1
    assert (inside.signal(model).diff() < 1e-6).all()


@torch.inference_mode()
def test_what_overflows_in_half_precision_is_decoded_in_float32_and_the_difference_is_said(tmp_path):
    model = checkpoint.load(tiny.folder(tmp_path), device="cpu", dtype=torch.bfloat16)
    model.vae.decoder.register_forward_hook(lambda _, __, output: output * torch.nan if output.dtype == torch.bfloat16 else output)
    engine = Engine(model, max_batch=1)
    (end,) = [event for event in engine.submit(request(model, steps=2)) if isinstance(event, Finished)]
    engine.close()
    latents = inside.denoise(model, request(model, steps=2), inside.read(model, PROMPT).embeddings)
    assert np.array_equal(np.asarray(inside.decode(model, latents)), np.asarray(end.image))
    assert "overflowed" in inside.apart(model, end.receipt)
    assert inside.decode(model, latents * torch.nan).size == end.image.size, "and what is no number at all is shown for what it is"


@pytest.mark.parametrize(
    ("fields", "same"),
    [({}, True), ({"guidance": 1, "negative_prompt": "a (very:2) big star"}, True), ({"prompt": "a (red:1.3) circle"}, False),
     ({"prompt": "circle " * 80}, False), ({"prompt": "a [red:blue:0.5] circle"}, False), ({"clip_skip": 2}, False)],
)  # fmt: skip
def test_it_is_said_when_the_engine_reads_a_prompt_otherwise(model, engine, fields, same):
    wanted = request(model, steps=2, **fields)
    (end,) = [event for event in engine.submit(wanted) if isinstance(event, Finished)]
    mine = np.asarray(inside.decode(model, inside.denoise(model, wanted, inside.read(model, wanted.prompt).embeddings)))
    assert np.array_equal(mine, np.asarray(end.image)) is same
    assert (inside.apart(model, end.receipt) == "") is same


def test_the_signal_falls_from_all_to_nearly_nothing(model):
    share = inside.signal(model)
    assert share.shape == (1000,) and share[0] > 0.99 and share[-1] < 0.01 and (share.diff() < 0).all()


def test_there_and_back_loses_little_and_something(model, engine):
    picture = Image.fromarray(drawn(engine, request(model)))
    latents = inside.encode(model, picture)
    assert latents.shape == (1, 4, GRID, GRID)
    back = inside.decode(model, latents)
    assert 25 < plots.likeness(picture, back) < 60
    assert plots.likeness(picture, picture) == math.inf


def test_a_walk_begins_and_ends_at_its_prompts(model):
    short, other = request(model, steps=6), "a yellow star on a green background"
    first, middle, last = inside.walk(model, short, other, 3)
    for frame, prompt in ((first, PROMPT), (last, other)):
        alone = inside.decode(model, inside.denoise(model, short, inside.read(model, prompt).embeddings))
        assert np.array_equal(np.asarray(frame), np.asarray(alone))
    assert plots.likeness(first, middle) < 40 and plots.likeness(middle, last) < 40


def test_looking_changes_nothing(model, engine):
    wanted = request(model)
    seen, maps = inside.attention(model, wanted)
    assert np.array_equal(np.asarray(seen), drawn(engine, wanted))
    assert set(maps) == set(PROMPT.split())
    total = sum(maps.values())
    assert all(each.shape == (GRID, GRID) and each.min() >= 0 for each in maps.values()) and total.max() < 1, "shares of one attention"


@pytest.mark.parametrize(("width", "height"), [(192, 104), (104, 72), (264, 136)])
def test_maps_have_the_pictures_shape(model, width, height):
    _, maps = inside.attention(model, request(model, width=width, height=height, steps=2))
    assert {each.shape for each in maps.values()} == {(height // 8, width // 8)}


def test_the_attention_of_circle_lies_on_the_circle(model):
    """Against the red pixels of each picture, over 20 seeds. A map's share inside would be the circle's share of the picture if the
    word did not matter; `blue` and `background` are the controls that must fail."""
    inside_it, overlap, areas = {}, {}, []
    for seed in SEEDS:
        picture, maps = inside.attention(model, request(model, seed=seed))
        pixels = np.asarray(picture).astype(int)
        red = (pixels[..., 0] > pixels[..., 2] + 40).reshape(GRID, 8, GRID, 8).mean((1, 3))  # of each latent's place
        areas.append(red.mean())
        assert 0.03 < areas[-1] < 0.5, "there is a red thing"
        for word, seen in maps.items():
            inside_it.setdefault(word, []).append((seen * red).sum() / seen.sum())
            bright, thing = seen > (seen.min() + seen.max()) / 2, red >= 0.5
            overlap.setdefault(word, []).append((bright & thing).sum() / (bright | thing).sum())
    mean = {word: (float(np.mean(inside_it[word])), float(np.mean(overlap[word]))) for word in overlap}
    print(
        {word: f"{share:.3f} of the attention inside, IoU {iou:.3f}" for word, (share, iou) in mean.items()}, f"area {np.mean(areas):.3f}"
    )
    assert mean["circle"][1] > 0.75 and min(overlap["circle"]) > 0.6
    assert mean["circle"][0] > 2.5 * np.mean(areas)
    for control in ("blue", "background"):
        assert mean[control][1] < 0.15 and mean[control][0] < 1.1 * np.mean(areas)
    assert all(c > b and c > k for c, b, k in zip(overlap["circle"], overlap["blue"], overlap["background"])), "for each seed"
