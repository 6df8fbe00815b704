"""ControlNets among the rows of a shared call: as diffusers' pipeline draws with them."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import tiny
import tiny_addons
import torch
from diffusers import ControlNetModel, DDIMScheduler, StableDiffusionControlNetPipeline
from PIL import Image
from safetensors.torch import load_file, save_file

from webapp.engine.checkpoint import Checkpoint
from webapp.engine.controlnet import ControlNets, Use, in_force
from webapp.errors import ModelError

STEPS, GUIDANCE = 5, 4.0
Nets = tuple[ControlNetModel, ControlNetModel]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return tiny_addons.checkpoint(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nets")
    for seed, name in enumerate(("one", "two")):
        tiny_addons.controlnet(folder / name, seed)
    return folder


@pytest.fixture
def controlnets(checkpoint: Checkpoint) -> ControlNets:
    return ControlNets(checkpoint)


@pytest.fixture
def nets(controlnets: ControlNets, folder: Path) -> Nets:
    return controlnets.get(folder / "one"), controlnets.get(folder / "two")


def picture(seed: int, size: tuple[int, int] = (50, 70)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8))


def inputs(rows: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(3)
    return torch.randn(rows, 4, 8, 8, dtype=dtype), torch.arange(rows) * 90 + 5, torch.randn(rows, 77, 32, dtype=dtype)


@torch.inference_mode()
@pytest.mark.parametrize("weights, ranges", [((0.5, 1.2), ((0.0, 0.6), (0.2, 1.0))), ((1.0, 0.0), ((0.0, 1.0), (0.0, 1.0)))])
def test_it_draws_as_the_librarys_pipeline_does(controlnets: ControlNets, nets: Nets, weights: tuple, ranges: tuple) -> None:
    parts = {**tiny.pipeline(DDIMScheduler.from_config(tiny.schedule("v_prediction").config)).components, "image_encoder": None}
    pipe = StableDiffusionControlNetPipeline(**parts, controlnet=list(nets), requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    starts, ends = zip(*ranges, strict=True)
    wanted = pipe(
        "a house", negative_prompt="red", image=[picture(1), picture(2)], height=64, width=64, num_inference_steps=STEPS,
        guidance_scale=GUIDANCE, controlnet_conditioning_scale=list(weights), control_guidance_start=list(starts),
        control_guidance_end=list(ends), latents=latents, output_type="latent",
    ).images  # fmt: skip

    words, negative = pipe.encode_prompt("a house", "cpu", 1, True, negative_prompt="red")
    images = [controlnets.prepare(picture(seed), 64, 64) for seed in (1, 2)]
    pipe.scheduler.set_timesteps(STEPS)
    for step, timestep in enumerate(pipe.scheduler.timesteps):
        uses = [
            Use(net, image, weight)
            for net, image, weight, (start, end) in zip(nets, images, weights, ranges, strict=True)
            if in_force(step, STEPS, start, end)
        ]
        noise = predict(controlnets, pipe, torch.cat([latents] * 2), timestep.expand(2), torch.cat([negative, words]), [uses, uses], [0, 0])
        unguided, guided = noise.chunk(2)
        latents = pipe.scheduler.step(unguided + GUIDANCE * (guided - unguided), timestep, latents, return_dict=False)[0]
    assert (latents - wanted).abs().max() < 3e-6  # 1.8e-6 was seen on a CPU without AVX-512, whose sums round otherwise; latents reach 2


def predict(controlnets: ControlNets, model, samples, timesteps, words, uses, owners=None) -> torch.Tensor:
    down, mid = controlnets.residuals(samples, timesteps, words, uses, owners or range(len(uses)))
    return model.unet(
        samples, timesteps, words, down_block_additional_residuals=down, mid_block_additional_residual=mid, return_dict=False
    )[0]


@torch.inference_mode()
def test_rows_of_one_call_equal_each_alone(checkpoint: Checkpoint, folder: Path) -> None:
    """In fp64, so that nothing hides behind rounding."""
    exact = tiny_addons.upcast(checkpoint, torch.float64)
    controlnets = ControlNets(exact)
    one, two = controlnets.get(folder / "one"), controlnets.get(folder / "two")
    images = [controlnets.prepare(picture(seed), 64, 64) for seed in range(4)]
    uses = [
        (),
        (Use(one, images[0], 0.5),),
        (Use(two, images[1], 1.5), Use(one, images[2], 0.7)),
        (Use(one, images[0], 0.5), Use(one, images[3], 0.25)),
        (Use(two, images[1], 0.0),),
    ]
    batch = inputs(len(uses), torch.float64)
    together = predict(controlnets, exact, *batch, uses)
    plain = exact.unet(*batch, return_dict=False)[0]
    for row, some in enumerate(uses):
        alone = predict(controlnets, exact, *(part[row : row + 1] for part in batch), [some])
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-13, rtol=0)
        assert torch.equal(together[row], plain[row]) == (row in (0, 4))


@torch.inference_mode()
def test_rows_without_are_the_plain_models_to_the_bit(controlnets: ControlNets, checkpoint: Checkpoint, nets: Nets) -> None:
    batch = inputs(3)
    image = controlnets.prepare(picture(1), 64, 64)
    together = predict(controlnets, checkpoint, *batch, [(), (Use(nets[0], image, 1.0),), ()])
    plain = checkpoint.unet(*batch, return_dict=False)[0]
    assert torch.equal(together[[0, 2]], plain[[0, 2]])
    assert controlnets.residuals(*batch, [(), (), ()], range(3)) == (None, None)


@torch.inference_mode()
def test_a_net_is_called_once_for_all_its_rows(controlnets: ControlNets, nets: Nets) -> None:
    calls: list[tuple[int, int]] = []
    for number, net in enumerate(nets):
        net.register_forward_pre_hook(lambda module, args, number=number: calls.append((number, len(args[0]))))
    image = controlnets.prepare(picture(1), 64, 64)
    one, two = (Use(net, image, 1.0) for net in nets)
    controlnets.residuals(*inputs(4), [(one, one), (two, one), (), (one,)], range(4))
    assert calls == [(0, 3), (0, 1), (1, 1)]


@torch.inference_mode()
def test_an_inpainting_model_shows_it_the_latents_alone(controlnets: ControlNets, nets: Nets) -> None:
    samples, timesteps, words = inputs(2)
    uses = [(Use(nets[0], controlnets.prepare(picture(1), 64, 64), 1.0),)] * 2
    wanted = controlnets.residuals(samples, timesteps, words, uses, [0, 0])
    got = controlnets.residuals(torch.cat([samples, torch.ones(2, 5, 8, 8)], 1), timesteps, words, uses, [0, 0])
    assert torch.equal(got[1], wanted[1])


@torch.inference_mode()
def test_it_works_in_half_precision(checkpoint: Checkpoint, folder: Path) -> None:
    half = tiny_addons.upcast(checkpoint, torch.bfloat16)
    controlnets = ControlNets(half)
    net = controlnets.get(folder / "one")
    image = controlnets.prepare(picture(1), 64, 64)
    samples, timesteps, words = inputs(2, torch.bfloat16)
    down, mid = controlnets.residuals(samples, timesteps, words, [(), (Use(net, image, 1.2),)], [0, 1])
    wanted, _ = net(samples[1:], timesteps[1:], words[1:], image, 1.2, return_dict=False)
    assert mid.dtype == torch.bfloat16
    for got, part in zip(down, wanted, strict=True):
        torch.testing.assert_close(got[1:], part, atol=0.02, rtol=0.02)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P"])
@pytest.mark.parametrize("size", [(64, 64), (96, 40)])
def test_it_is_shown_what_the_pipeline_shows_it(controlnets: ControlNets, nets: Nets, mode: str, size: tuple[int, int]) -> None:
    parts = {**tiny.pipeline().components, "image_encoder": None}
    pipe = StableDiffusionControlNetPipeline(**parts, controlnet=nets[0], requires_safety_checker=False)
    image = picture(5).convert(mode)
    wanted = pipe.prepare_image(image, *size, 1, 1, torch.device("cpu"), torch.float32)
    got = controlnets.prepare(image, *size)
    assert torch.equal(got, wanted)
    assert got.shape == (1, 3, *reversed(size))


@pytest.mark.parametrize("steps", [1, 2, 7, 25])
def test_it_acts_in_its_share_of_the_steps(steps: int) -> None:
    """By the formula in diffusers' pipelines."""
    for start in (0.0, 0.1, 1 / 7, 0.5, 1.0):
        for end in (0.0, 0.3, 3 / 7, 0.5, 1.0):
            for i in range(steps):
                assert in_force(i, steps, start, end) == (1.0 - float(i / steps < start or (i + 1) / steps > end) == 1.0)
    assert all(in_force(i, steps, 0.0, 1.0) for i in range(steps))


def test_only_the_latest_stay_in_memory(checkpoint: Checkpoint, folder: Path) -> None:
    controlnets = ControlNets(checkpoint, keep=1)
    one = controlnets.get(folder / "one")
    assert controlnets.get(folder / "one") is one
    controlnets.get(folder / "two")
    assert controlnets.get(folder / "one") is not one


def test_a_half_precision_folder_is_read(controlnets: ControlNets, folder: Path, tmp_path: Path) -> None:
    ControlNetModel.from_pretrained(folder / "one").half().save_pretrained(tmp_path / "net", variant="fp16")
    net = controlnets.get(tmp_path / "net")
    assert net.dtype == torch.float32
    assert not net.training


MISFITS = {
    "wide": ({"width": 48}, "wide is a ControlNet for models of width 48; this model's width is 32."),
    "channels": ({"block_out_channels": (8, 16)}, "another shape"),
    "deep": ({"layers_per_block": 2}, "another shape"),
    "order": ({"down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D")}, "another shape"),
    "latents": ({"in_channels": 8}, "another shape"),
    "shuffle": ({"global_pool_conditions": True}, "kind"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_a_net_for_another_model_is_told_apart(controlnets: ControlNets, tmp_path: Path, name: str) -> None:
    changes, words = MISFITS[name]
    tiny_addons.controlnet(tmp_path / name, **changes)
    with pytest.raises(ModelError, match=words):
        controlnets.get(tmp_path / name)


def test_a_folder_that_does_not_do_is_told_apart(controlnets: ControlNets, folder: Path, tmp_path: Path) -> None:
    weights = "diffusion_pytorch_model.safetensors"

    def fails(name: str, words: str) -> None:
        with pytest.raises(ModelError, match=words) as caught:
            controlnets.get(tmp_path / name)
        assert str(tmp_path) not in caught.value.sentence

    def copy(name: str) -> Path:
        (tmp_path / name).mkdir()
        for file in (folder / "one").iterdir():
            (tmp_path / name / file.name).write_bytes(file.read_bytes())
        return tmp_path / name

    fails("none", "not a folder")
    (tmp_path / "empty").mkdir()
    fails("empty", r"no \.safetensors file")
    (copy("pickled") / weights).rename(tmp_path / "pickled/diffusion_pytorch_model.bin")
    fails("pickled", r"no \.safetensors file")
    (copy("disguised") / weights).write_bytes(pickle.dumps({}))
    fails("disguised", "pickle")
    cut = copy("cut") / weights
    cut.write_bytes(cut.read_bytes()[:-9])
    fails("cut", "cut off")
    (copy("bare") / "config.json").unlink()
    fails("bare", "not the folder of a ControlNet")
    partial = copy("partial") / weights
    save_file(dict(list(load_file(partial).items())[5:]), partial)
    fails("partial", "not the folder of a ControlNet")
    tiny.pipeline().vae.save_pretrained(tmp_path / "vae")
    fails("vae", "not the folder of a ControlNet")
    config = json.loads((copy("odd") / "config.json").read_text())
    (tmp_path / "odd/config.json").write_text(json.dumps({**config, "block_out_channels": "many"}))
    fails("odd", "not the folder of a ControlNet")
