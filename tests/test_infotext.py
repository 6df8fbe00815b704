"""Infotext goes out as AUTOMATIC1111 writes it and comes back from each of its dialects; nothing in it can do harm."""

from __future__ import annotations

import random
import time

import pytest

from webapp import craft, infotext
from webapp.schema import MAX_PROMPT, GenerationRequest, Receipt

SHA = "0123456789abcdef" * 4
WORDS = [
    "a cat",
    "C++",
    "(fox:1.2)",
    "<lora:ink:0.7>",
    "“é”",
    "猫, 犬",
    "🦄",
    "a, b: c",
    '"quoted"',
    "\n",
    "\nSteps: 3",
    "Seed: 5,",
    "{x|y}",
    "\\",
]


def receipt(prompt="a cat", model="builtin", model_hash=SHA, **fields) -> Receipt:
    return Receipt(request=GenerationRequest(prompt=prompt, **fields), model=model, model_hash=model_hash)


def test_written_as_a1111_does():
    text = infotext.write(
        receipt(
            "a cat,\non a mat",
            negative_prompt="dogs",
            steps=20,
            sampler="DPM++ 2M",
            schedule="karras",
            guidance=7,
            seed=5,
            width=512,
            height=768,
        )
    )
    assert text.startswith(
        "a cat,\non a mat\nNegative prompt: dogs\nSteps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 5, Size: 512x768, "
        "Model hash: 0123456789, Model: builtin, "
    )
    assert text.count("\n") == 3


def test_values_with_commas_are_quoted():
    text = infotext.write(receipt(model='my "model", v1: Seed: 9', seed=5, steps=3))
    assert r'Model: "my \"model\", v1: Seed: 9", ' in text
    assert infotext.read(text) == {"prompt": "a cat", "seed": 5, "steps": 3, "clip_skip": 1, "model": 'my "model", v1: Seed: 9'}


def anything(dice: random.Random) -> Receipt:
    """A receipt that names each field that infotext has a word for, if it has a meaning there."""
    some = {
        "negative_prompt": " ".join(dice.choices(WORDS, k=dice.randrange(5))),
        "steps": dice.randint(1, 150),
        "seed": dice.randrange(2**32),
        "guidance": dice.choice([0, 1, 7, 7.5, dice.uniform(0, 30)]),
        "sampler": (sampler := dice.choice(craft.SAMPLERS)),
        "schedule": dice.choice(["", *sorted(craft.SUPPORTED[sampler])]),
        "width": dice.randrange(64, 2049, 8),
        "height": dice.randrange(64, 2049, 8),
        "clip_skip": dice.randint(1, 12),
        "eta": dice.choice([None, 0, dice.random()]),
        "guidance_rescale": dice.choice([0, dice.random()]),
        "vae": dice.choice(["", "kl-f8.safetensors", "a, b"]),
    }
    if dice.random() < 0.5:
        some |= {"subseed": dice.randrange(2**32), "subseed_strength": dice.uniform(0.01, 1)}
    if dice.random() < 0.5:
        some |= {"image": SHA, "strength": dice.random()}
        if dice.random() < 0.5:
            some |= {"mask": SHA, "mask_blur": dice.randrange(65), "only_masked": True, "padding": dice.randrange(513)}
    if dice.random() < 0.5:
        some |= {"hires_scale": dice.uniform(1.01, 4), "hires_strength": dice.random(), "hires_steps": dice.choice([None, 7])}
        some |= {"hires_upscaler": dice.choice(["lanczos", "latent"])}
    prompt = " ".join(["a cat", *dice.choices(WORDS, k=dice.randrange(8))])
    return receipt(prompt, dice.choice(["builtin", "me/model v2", "x: y, z"]), **some)


def test_every_field_comes_back():
    dice = random.Random(0)
    for _ in range(500):
        first = anything(dice)
        text = infotext.write(first)
        again = GenerationRequest.model_validate(infotext.read(text))  # not read(): the text cannot hold the picture
        wanted = first.request.model_copy(update={"model": first.model, "image": "", "mask": ""})
        assert again == wanted, text


@pytest.mark.parametrize("name", craft.SCHEDULES)
def test_every_schedule_has_a_name_there(name):
    assert infotext.read(infotext.write(receipt(sampler="Euler", schedule=name)))["schedule"] == name


SETTINGS = "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512"
BASE = {"prompt": "a fox", "steps": 20, "sampler": "Euler a", "guidance": 7, "seed": 1, "width": 512, "height": 512}


def test_a1111_of_2022():
    text = f"a fox\nNegative prompt: blurry\n{SETTINGS}, Face restoration: CodeFormer, Model hash: 45dee52b, Batch size: 8, Batch pos: 1, ENSD: 31337"
    assert infotext.read(text) == {**BASE, "negative_prompt": "blurry"}


@pytest.mark.parametrize(
    ("settings", "more"),
    [
        ("Model hash: 72bd94132e, Model: CuteMix, VAE: None, Clip skip: 2, Version: v1.5.1", {"model": "CuteMix", "clip_skip": 2}),
        ("Model: film.safetensors [372b6a05], RNG: CPU, User: me", {"model": "film.safetensors"}),
        ("Variation seed: 9, Variation seed strength: 0.2, Seed resize from: -1x-1", {"subseed": 9, "subseed_strength": 0.2}),
        ("Denoising strength: 0.75, Mask blur: 8", {"strength": 0.75, "mask_blur": 8}),
        (
            "Denoising strength: 0.75, Inpaint area: Only masked, Masked area padding: 64",
            {"strength": 0.75, "only_masked": True, "padding": 64},
        ),
        (
            "Denoising strength: 0.5, Hires upscale: 2, Hires steps: 10, Hires upscaler: Latent (bicubic antialiased)",
            {"hires_scale": 2, "hires_steps": 10, "hires_strength": 0.5, "hires_upscaler": "latent"},
        ),
        ("Denoising strength: 0.56, Hires resize: 768x768, Hires upscaler: R-ESRGAN 4x+", {"hires_strength": 0.56, "hires_scale": 1.5}),
        ("Denoising strength: 0.7, First pass size: 256x256", {"hires_strength": 0.7, "hires_scale": 2, "width": 256, "height": 256}),
        ('ControlNet 0: "preprocessor: openpose, weight: 1, Seed: 4, starting/ending: (0, 1)", TI hashes: "n: 33, m: 66"', {}),
        ('Hashes: {"model": "ab", "lora:Clip skip: 3": "cd"}, Lora hashes: "a: 1, Clip skip: 5", Version: f2.0.1v1.10.1', {}),
        ('Civitai resources: [{"type":"checkpoint","modelName":"A, Seed: 7"}], Civitai metadata: {}', {}),
        ("Hires upscale: 2\n\nUsed embeddings: fox [e687], Seed: 4", {"hires_scale": 2}),
        ("Hires upscale: 2\nTemplate: a {fox|cat}, Steps\nNegative Template: x", {"hires_scale": 2}),
    ],
)
def test_dialects(settings, more):
    assert infotext.read(f"a fox\n{SETTINGS}, {settings}") == {**BASE, **more}


def test_sdnext():
    text = (
        "a fox\r\nNegative prompt: \r\nSteps: 30, Size: 832x1216, Sampler: DPM++ 2M, Seed: 7, CFG scale: 6, CFG rescale: 0.7, Model: fae, App: SD.Next,\r\n"
        "Version: cb0eb55, Operations: upscale; img2img, Hires scale: 2, Hires strength: 0.3, Denoising strength: 0.4, Sampler sigma: karras"
    )
    assert infotext.read(text) == {
        "prompt": "a fox",
        "steps": 30,
        "width": 832,
        "height": 1216,
        "sampler": "DPM++ 2M",
        "schedule": "karras",
        "seed": 7,
        "guidance": 6,
        "guidance_rescale": 0.7,
        "model": "fae",
        "hires_scale": 2,
        "hires_strength": 0.3,
        "strength": 0.4,
    }


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("DPM++ 2M Karras", {"sampler": "DPM++ 2M", "schedule": "karras"}),
        ("DPM++ 2M Karras, Schedule type: Karras", {"sampler": "DPM++ 2M", "schedule": "karras"}),
        ("Euler, Schedule type: SGM Uniform", {"sampler": "Euler", "schedule": "sgm_uniform"}),
        ("DPM++ 2M, Schedule type: Automatic", {"sampler": "DPM++ 2M", "schedule": "karras"}),
        ("Euler, Schedule type: Automatic", {"sampler": "Euler"}),
        ("Euler, Schedule type: Align Your Steps", {"sampler": "Euler"}),
        ("Undefined, Schedule type: Karras", {}),
    ],
)
def test_samplers(said, read):
    assert infotext.read(f"a fox\nSteps: 4, Sampler: {said}, Seed: 1") == {"prompt": "a fox", "steps": 4, "seed": 1, **read}


def test_lost_line_breaks():
    text = f"Negative space, a fox Negative prompt: blurry {SETTINGS}, Created Date: 2025-11-28T09:18:43.5Z"
    assert infotext.read(text) == {**BASE, "prompt": "Negative space, a fox", "negative_prompt": "blurry"}


@pytest.mark.parametrize(
    ("settings", "read"),
    [
        ("Steps: 0, Seed: 1099633777240739, CFG scale: NaN, Size: 99999x0, Clip skip: -3, Eta: 1e999", {}),
        ("Steps: many, Seed: -1, CFG scale: inf, Size: axb, Model: " + "m" * 999, {}),
        ("Steps: 20, Seed: " + "9" * 9999, {"steps": 20}),
        ("Steps: 20, Size: 511x517", {"steps": 20, "width": 512, "height": 520}),
        ("steps:20,seed:4,cfg Scale: 7", {"steps": 20, "seed": 4, "guidance": 7}),
    ],
)
def test_what_is_out_of_range_is_left_out(settings, read):
    assert infotext.read(f"a fox\n{settings[0].upper()}{settings[1:]}") == {"prompt": "a fox", **read}


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("", {}),
        ("\0\n\r\n", {}),
        ("a fox", {"prompt": "a fox"}),
        ("style: ink, mood: calm, light: low", {"prompt": "style: ink, mood: calm, light: low"}),
        ("\nSteps: 3, Seed: 4", {"steps": 3, "seed": 4}),
        ("Negative prompt: dogs\nSteps: 3, Seed: 4", {"negative_prompt": "dogs", "steps": 3, "seed": 4}),
        ("x" * (MAX_PROMPT + 5) + "\nSteps: 3, Seed: 4", {"prompt": "x" * MAX_PROMPT, "steps": 3, "seed": 4}),
        ("x" * (infotext.MAX_TEXT + 1), {}),
    ],
)
def test_little_or_much(text, read):
    assert infotext.read(text) == read


@pytest.mark.parametrize(
    "piece",
    [
        "[",
        '"',
        "k: [",
        'k:["',
        "k:[1.1,",
        '["k: ',
        ",",
        " ",
        "Steps: 1\n",
        " Steps: ",
        "\nNegative prompt:",
        "9",
        'k: "\\',
        ":",
        "a b ",
        "{,",
    ],
)
def test_no_text_takes_long(piece):
    begin = time.process_time()
    fields = infotext.read(("Steps: 1, Seed: 2, k: " + piece * infotext.MAX_TEXT)[: infotext.MAX_TEXT])
    assert fields.keys() <= {"prompt", "negative_prompt", "steps", "seed"}
    assert time.process_time() - begin < 3


def test_a_schedule_that_the_sampler_cannot_use_here_is_left_out():
    """A1111 and others space any sampler's noise in any way."""
    fields = infotext.read("a cat\nSteps: 20, Sampler: DDIM, Schedule type: Karras, CFG scale: 7, Seed: 1, Size: 512x512")
    assert fields["sampler"] == "DDIM" and "schedule" not in fields
    assert GenerationRequest.read(fields).steps == 20
