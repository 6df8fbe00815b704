"""The turbo variant: the teacher's ways as it draws them, and a student that walks them in four strides."""

import contextlib
import itertools
import time
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_training
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from transformers import CLIPTokenizer

from training import contact, diffusion, export, parallel, pictures, recipe, tokenizer, turbo
from training.plan import Plan
from webapp.engine import checkpoint, samplers
from webapp.schema import Defaults


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """Three prompts instead of dozens, one thread, and a clock by which every step of training takes a tenth of a second."""
    threads, ticks = torch.get_num_threads(), itertools.count()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contact, "PROMPTS", contact.PROMPTS[:3])
        patch.setattr(contact, "STRANGERS", contact.STRANGERS[:1])
        patch.setattr(parallel, "time", SimpleNamespace(monotonic=lambda: next(ticks) / 10, sleep=time.sleep))
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """A plan with every number small, run to its end: 60 steps of diffusion, 60 of the turbo."""
    folder = tmp_path_factory.mktemp("turbo")
    plan = tiny_training.plan(
        folder, turbo_out=folder / "model-turbo", save_seconds=120, autoencoder_channels=(8, 8, 8, 8, 8), diffusion_batch=8
    )
    recipe.run(plan)
    return plan


def recorded(plan: Plan) -> dict[str, np.ndarray]:
    return {form: np.load(plan.work / "ways-256-20-2.5" / f"{form}.npy") for form in pictures.SHARES}


def forget(plan: Plan) -> None:
    for form in pictures.SHARES:
        (plan.work / "ways-256-20-2.5" / f"{form}.npy").unlink()


def test_the_strides_start_where_the_teacher_passes() -> None:
    times, turns = turbo.levels()
    assert times.tolist() == [999, 749, 499, 249]
    teacher = diffusion.make_scheduler()
    teacher.set_timesteps(export.DEFAULTS["steps"])
    assert teacher.timesteps[:: export.DEFAULTS["steps"] // turbo.STRIDES].tolist() == times.tolist()
    student = samplers.build("DDIM", "", turbo.make_scheduler().config, turbo.STRIDES, "cpu")  # as the app makes it
    assert student.timesteps.tolist() == times.tolist()
    signal, noise = diffusion.signal_and_noise()
    left = turns.flip(0).cumsum(0).flip(0)  # the angles still to turn
    assert torch.allclose(left.cos(), signal[times], atol=1e-6) and torch.allclose(left.sin(), noise[times], atol=1e-6)


def test_the_right_v_lands_on_the_way() -> None:
    torch.manual_seed(0)
    times, turns = turbo.levels()
    x, goal = torch.randn(4, 2, 3, 3), torch.randn(4, 2, 3, 3)
    v = turbo.needed(x, goal, turns)
    assert torch.allclose(diffusion.stride(x, v, turns), goal, atol=1e-5)
    for scheduler in (turbo.make_scheduler(), samplers.build("DDIM", "", turbo.make_scheduler().config, turbo.STRIDES, "cpu")):
        assert isinstance(scheduler, DDIMScheduler)
        scheduler.set_timesteps(turbo.STRIDES)
        landed = [scheduler.step(v[at : at + 1], int(t), x[at : at + 1]).prev_sample for at, t in enumerate(times)]
        assert torch.allclose(torch.cat(landed), goal, atol=1e-5)


def test_a_way_is_what_the_pipeline_draws(made: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diffusion, "fast", contextlib.nullcontext)  # bf16, where the CPU has it, rounds by more than is allowed below
    forget(made)
    turbo.record(made)
    (way,), pipe = recorded(made)["square"][1:2], export.pipeline(made)
    captions, _ = pictures.words(made.work, "train")
    pipe.set_progress_bar_config(disable=True)
    seen = {0: torch.from_numpy(way[:1]).float()}

    def keep(pipe: StableDiffusionPipeline, step: int, time: int, state: dict) -> dict:
        seen[step + 1] = state["latents"]
        return state

    pipe(captions[1], num_inference_steps=20, guidance_scale=2.5, latents=seen[0], output_type="latent", callback_on_step_end=keep)
    expected = torch.cat([seen[step] for step in (0, 5, 10, 15, 20)])
    assert torch.allclose(torch.from_numpy(way).float(), expected, atol=0.02)


def test_every_fiftieth_caption_is_empty(made: Plan) -> None:
    said, _ = pictures.words(made.work, "train")
    asked = turbo._captions(made, "square", 0, 100)
    assert [way for way, caption in enumerate(asked) if not caption] == [0, 50]
    assert asked[1] == said[1] and set(asked[1:50]) == set(said)


def test_recording_goes_on_after_an_interruption(made: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    walk, walked = turbo.walk, []
    monkeypatch.setattr(turbo, "BLOCK", 5)

    def breaking(*asked: object) -> torch.Tensor:
        walked.append(asked)
        if len(walked) == 3:
            raise KeyboardInterrupt
        return walk(*asked)

    forget(made)
    turbo.record(made)
    at_once = recorded(made)
    assert all(np.isfinite(ways).all() and ways.any(axis=(2, 3, 4)).all() for ways in at_once.values())
    forget(made)
    monkeypatch.setattr(turbo, "walk", breaking)
    with pytest.raises(KeyboardInterrupt):
        turbo.record(made)
    assert recorded(made)["square"][:10].any(axis=(1, 2, 3, 4)).all() and not recorded(made)["square"][10:].any()
    turbo.record(made)
    assert len(walked) == 3 + 3  # the third block of squares, then a wide and a tall one
    assert all(np.array_equal(at_once[form], ways) for form, ways in recorded(made).items())


def test_two_processes_record_the_same_ways(made: Plan) -> None:
    forget(made)
    turbo.record(made)
    alone = recorded(made)
    forget(made)
    turbo.record(replace(made, workers=2))
    assert all(np.array_equal(alone[form], ways) for form, ways in recorded(made).items())


def test_the_student_comes_nearer_to_the_ways(made: Plan) -> None:
    """On one batch, and from noise to the end in its own four strides: against the teacher that takes the same strides."""
    task = turbo.Distilling(made)

    @torch.no_grad()
    def measured() -> tuple[float, float]:
        torch.manual_seed(0)
        loss = float(task.loss(0.0))
        ways, ids = torch.from_numpy(np.array(task.ways["square"])).float(), task.ids["square"]
        x = ways[:, 0]
        for at in range(turbo.STRIDES):
            x = task.land(x, torch.full((len(x),), at), ids)
        return loss, float((x - ways[:, -1]).square().mean())

    before = measured()
    task.model = export.load_both(made, "turbo")
    after = measured()
    assert after[0] < 0.9 * before[0] and after[1] < 0.9 * before[1], (before, after)


def test_the_folder_draws_in_four_steps(made: Plan) -> None:
    pipe = StableDiffusionPipeline.from_pretrained(made.turbo_out, local_files_only=True)
    assert isinstance(pipe.scheduler, DDIMScheduler) and pipe.scheduler.config.timestep_spacing == "trailing"
    pipe.set_progress_bar_config(disable=True)
    calls = []
    pipe.unet.register_forward_pre_hook(lambda unet, given: calls.append((len(given[0]), int(given[1]))))
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(1, 4, 16, 16, generator=generator)
    drawn = pipe("a red circle", num_inference_steps=4, guidance_scale=1.0, latents=noise, output_type="latent").images
    assert calls == [(1, 999), (1, 749), (1, 499), (1, 249)]

    task = turbo.Distilling(made)
    task.model = export.load_both(made, "turbo")
    ids = torch.tensor(tokenizer.encode(CLIPTokenizer.from_pretrained(made.work / "tokenizer"), ["a red circle"]))
    x = noise
    with torch.no_grad():
        for at in range(turbo.STRIDES):
            x = task.land(x, torch.tensor([at]), ids)
    assert torch.allclose(x, drawn, atol=0.05)  # the folder is in half precision


def test_the_app_knows_how_to_draw_with_it(made: Plan) -> None:
    model = checkpoint.load(made.turbo_out, "cpu")
    assert model.defaults == Defaults(width=256, height=256, **turbo.DEFAULTS)
    assert (model.defaults.steps, model.defaults.guidance, model.defaults.sampler) == (4, 1.0, "DDIM")


def test_the_folder_has_a_card_and_sheets(made: Plan) -> None:
    text = (made.turbo_out / "README.md").read_text()
    assert "`model` in 4 steps" in text and "16 of that" in text and "on a CPU" in text
    assert text.count("<!-- scores -->") == text.count("<!-- /scores -->") == 1
    assert (made.turbo_out / "contact.webp").exists() and (made.turbo_out / "strangers.webp").exists()
