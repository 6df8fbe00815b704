"""The add-ons that are learnt beside a finished model: here beside a toy with random weights, by a clock that ticks once a step."""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_training
import torch
from diffusers import ControlNetModel, StableDiffusionControlNetPipeline, StableDiffusionPipeline
from safetensors.torch import load_file
from torch import Tensor, nn

from training import addons, autoencoder, diffusion, extras, parallel, scenes, things, tokenizer
from training.plan import Plan
from webapp.engine import checkpoint, embeddings
from webapp.engine.adapters import Adapters
from webapp.engine.checkpoint import Checkpoint
from webapp.engine.controlnet import ControlNets, Use
from webapp.engine.digest import sha256
from webapp.library import Library

PLACES = {"snail": "loras", "silentnight": "embeddings", "scribble": "controlnets", "canny": "controlnets"}


@pytest.fixture(scope="module", autouse=True)
def steady() -> Iterator[None]:
    """One thread, since models this small only wait for a second; and a step takes a second, so that no test depends on the machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    ticks = itertools.count()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "time", SimpleNamespace(monotonic=lambda: next(ticks), sleep=time.sleep))
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """A finished toy model that nobody trained, and its work folder prepared."""
    folder = tmp_path_factory.mktemp("toy")
    plan = tiny_training.plan(folder, pictures=16, autoencoder_channels=(4, 4, 4, 4, 8), unet_channels=(16, 32))
    words = tokenizer.build(scenes.vocabulary())
    torch.manual_seed(0)
    pipe = StableDiffusionPipeline(
        vae=autoencoder.make(plan),
        text_encoder=diffusion.make_text_encoder(plan, words),
        tokenizer=words,
        unet=diffusion.make_unet(plan),
        scheduler=diffusion.make_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.save_pretrained(plan.out)
    tokenizer.save(words, plan.out / "tokenizer")
    addons.prepare(plan, ["scribble", "canny"])
    return plan


@pytest.fixture(scope="module")
def made(plan: Plan) -> Plan:
    """The same, with all its add-ons."""
    addons.make(plan)
    return plan


@pytest.fixture
def model(made: Plan) -> Checkpoint:
    """As the app loads it."""
    return checkpoint.load(str(made.out), "cpu", torch.float32)


@pytest.fixture
def library(made: Plan) -> Library:
    return Library(made.out / "library")


def pipeline(plan: Plan) -> StableDiffusionPipeline:
    return StableDiffusionPipeline.from_pretrained(plan.out, local_files_only=True)


def trained(model: nn.Module) -> set[str]:
    return {name for name, value in model.named_parameters() if value.requires_grad}


@torch.no_grad()
def fixed(task: addons.Task) -> float:
    """The mean loss over the same few batches, whenever it is asked for."""
    torch.manual_seed(5)
    return float(torch.stack([task.loss(0.5) for _ in range(4)]).mean())


# -- what is learnt from ---------------------------------------------------------------------------------------------------


def test_the_snail_is_new() -> None:
    assert "snail" not in things.SUBJECTS and "snail" not in scenes.vocabulary()
    told = extras.snails(0)
    assert len(told) == 10 and all("snail" in caption.split() for caption, _ in told)
    assert all(image.size == (256, 256) for _, image in told)
    again = extras.snails(0)
    assert [caption for caption, _ in told] == [caption for caption, _ in again]
    assert all(np.array_equal(one, two) for (_, one), (_, two) in zip(told, again))


def test_the_night_is_blue_and_its_word_is_said() -> None:
    told = extras.silent_nights(0, "word")
    assert all("word" in caption.split() for caption, _ in told)
    for _, image in told:
        red, green, blue = np.asarray(image, float).mean(axis=(0, 1))
        assert blue > 1.4 * green > red


def test_captions_lose_any_part_and_stay_captions() -> None:
    """Each is still begun, ended and padded as the pipeline does it, and what is left of it stands in its order."""
    words = tokenizer.build(scenes.vocabulary())
    texts = ["a green star in the top left corner on a white background", ""]
    (whole, empty), said, lost = torch.tensor(tokenizer.encode(words, texts)), texts[0].split(), []
    torch.manual_seed(0)
    for row in addons.without_a_part(whole.repeat(2000, 1), empty):
        text = words.decode(row, skip_special_tokens=True)
        assert row.tolist() == tokenizer.encode(words, [text])[0]
        left = text.split()
        assert any(left == said[:at] + said[len(said) - len(left) + at :] for at in range(len(left) + 1))
        lost.append(text)
    assert {texts[0], *texts[1:], "a green star on a white background"} <= set(lost)
    assert lost.count(texts[0]) < 300 and torch.equal(addons.without_a_part(empty[None], empty), empty[None])


# -- each by itself --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", addons.ADD_ONS)
def test_its_loss_goes_down_and_nothing_else_moves(plan: Plan, name: str, tmp_path: Path) -> None:
    task = addons.ADD_ONS[name].task(plan, name)
    before, moving = fixed(task), trained(task.model)
    start = {key: value.detach().clone() for key, value in task.model.named_parameters()}
    steps = 24 if PLACES[name] == "controlnets" else 60
    settings = parallel.Settings(name, tmp_path / "it.pt", seconds=steps, rate=addons.ADD_ONS[name].rate, workers=1, save_seconds=100)
    parallel.train(lambda: task, settings)
    assert fixed(task) < before
    assert {key for key, value in task.model.named_parameters() if not torch.equal(value, start[key])} == moving != set()
    parts = dict(task.model.items()) if isinstance(task.model, nn.ModuleDict) else {"unet": task.unet, "text_encoder": task.text_encoder}
    for part, module in parts.items():
        held = {key.replace(".base_layer", ""): value for key, value in module.state_dict().items()}
        for key, value in getattr(pipeline(plan), part).state_dict().items():
            assert torch.equal(held[key], value), key


@pytest.mark.parametrize("name", ["snail", "scribble", "canny"])
def test_it_changes_nothing_before_it_is_trained(plan: Plan, name: str) -> None:
    """The model with an add-on begins where the model was."""
    task, plain = addons.ADD_ONS[name].task(plan, name), pipeline(plan)
    noisy, times, words = torch.randn(2, 4, 16, 16), torch.tensor([10, 900]), torch.randn(2, 77, 32)
    with torch.no_grad():
        if name == "snail":
            unet = task.model["unet"](noisy, times, words).sample
        else:
            down, middle = task.model(noisy, times, words, torch.rand(2, 3, 256, 256), return_dict=False)
            unet = task.unet(noisy, times, words, down_block_additional_residuals=down, mid_block_additional_residual=middle).sample
        assert torch.equal(unet, plain.unet(noisy, times, words).sample)


def test_a_run_goes_on_where_it_was_stopped(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, calls = addons.Lora.loss, []

    def breaking(self: addons.Lora, progress: float) -> Tensor:
        calls.append(progress)
        if len(calls) > 3:
            raise KeyboardInterrupt
        return whole(self, progress)

    monkeypatch.setattr(addons.Lora, "loss", breaking)
    with pytest.raises(KeyboardInterrupt):
        addons.make(plan, ["snail"])
    before = parallel.load(plan.work / "snail.pt")
    assert before["step"] == 3 and not before["done"]
    prepared = {path: path.stat().st_mtime_ns for path in plan.work.glob("*.npy")}
    monkeypatch.undo()
    addons.make(plan, ["snail"])
    after = parallel.load(plan.work / "snail.pt")
    assert after["done"] and after["step"] == plan.minutes * 60 > 3
    assert prepared == {path: path.stat().st_mtime_ns for path in plan.work.glob("*.npy")}
    learnt = sha256(plan.out / "library" / "loras" / "snail.safetensors")
    addons.make(plan, ["snail"])  # nothing is left to do
    assert sha256(plan.out / "library" / "loras" / "snail.safetensors") == learnt


# -- all together ----------------------------------------------------------------------------------------------------------


def test_the_model_is_left_as_it_was(plan: Plan) -> None:
    def files() -> dict[Path, str]:
        return {path: sha256(path) for path in plan.out.rglob("*") if path.is_file() and "library" not in path.parts}

    before = files()
    addons.make(plan)
    assert files() == before and len(before) > 8


def test_the_library_finds_them(library: Library, made: Plan) -> None:
    for name, kind in PLACES.items():
        assert name in library.names(kind)
        assert library.folder(kind).relative_to(made.out) == Library().folder(kind).relative_to(checkpoint.BUILTIN["builtin"])
        path = library.path(kind, name)
        (file,) = [path] if path.is_file() else path.glob("*.safetensors")
        assert {value.dtype for value in load_file(file).values()} == {torch.float16}


@torch.inference_mode()
def test_the_app_and_the_library_draw_the_lora_alike(model: Checkpoint, library: Library, made: Plan) -> None:
    path, pipe = library.path("loras", "snail"), pipeline(made)
    ids = torch.tensor(tokenizer.encode(pipe.tokenizer, ["a snail in the garden"]))
    noisy, times = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0)), torch.tensor([500])
    weight = 10.0  # the toy has learnt for seconds: at 1 it hardly shows
    plain = pipe.unet(noisy, times, pipe.text_encoder(ids).last_hidden_state).sample
    pipe.load_lora_weights(path, adapter_name="snail")
    pipe.set_adapters("snail", weight)
    wanted = pipe.unet(noisy, times, pipe.text_encoder(ids).last_hidden_state).sample

    adapters = Adapters(model)
    signature = ((path, weight),)
    assert adapters.load(signature) == []
    with adapters.text(signature), adapters.rows([signature], [0]):
        drawn = model.unet(noisy, times, model.text_encoder(ids).last_hidden_state).sample
    torch.testing.assert_close(drawn, wanted, atol=1e-5, rtol=1e-4)
    assert (drawn - plain).abs().max() > 50 * (drawn - wanted).abs().max()


@torch.inference_mode()
def test_the_app_and_the_library_read_the_word_alike(model: Checkpoint, library: Library, made: Plan) -> None:
    path, pipe = library.path("embeddings", "silentnight"), pipeline(made)
    pipe.load_textual_inversion(path)
    text = pipe.maybe_convert_prompt("a cat in silentnight", pipe.tokenizer)
    wanted = pipe.text_encoder(torch.tensor(tokenizer.encode(pipe.tokenizer, [text]))).last_hidden_state
    learned, notices = embeddings.load(model, library.folder("embeddings"))
    assert learned == {"silentnight": sha256(path)} and notices == []
    ids = model.tokenizer(text).input_ids
    assert ids == pipe.tokenizer(text).input_ids and len(ids) == 5 + len(addons.DESCRIBED.split())
    read = model.text_encoder(torch.tensor(tokenizer.encode(model.tokenizer, [text]))).last_hidden_state
    assert torch.equal(read, wanted)


@pytest.mark.parametrize("name", ["scribble", "canny"])
@torch.inference_mode()
def test_the_app_and_the_library_are_led_alike(model: Checkpoint, library: Library, made: Plan, name: str) -> None:
    path, controls = library.path("controlnets", name), ControlNets(model)
    picture = extras.snails(0)[0][1].resize((320, 192))
    net = ControlNetModel.from_pretrained(path)
    parts = {**pipeline(made).components, "image_encoder": None}
    pipe = StableDiffusionControlNetPipeline(**parts, controlnet=net, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    asked = {"width": 320, "height": 192, "num_inference_steps": 2, "output_type": "np"}
    led, free = (
        pipe("a cat", picture, controlnet_conditioning_scale=scale, generator=torch.Generator().manual_seed(0), **asked).images
        for scale in (1.0, 0.0)
    )
    assert led.shape == (1, 192, 320, 3) and not np.allclose(led, free, atol=1e-4)

    noisy, times, words = torch.randn(1, 4, 12, 20), torch.tensor([500]), torch.randn(1, 77, 32)
    shown = controls.prepare(picture, 320, 192)
    down, middle = controls.residuals(noisy, times, words, [[Use(controls.get(path), shown, 1.0)]], [0])
    wanted_down, wanted_middle = net(noisy, times, words, shown, return_dict=False)
    assert all(torch.equal(*both) for both in zip((*down, middle), (*wanted_down, wanted_middle), strict=True))


def test_a_controlnet_of_the_real_shape_is_small() -> None:
    """Of the way down and the middle, without their transformers: under 7 MB in half precision."""
    net = addons.make_controlnet(diffusion.make_unet(Plan()), 5)
    assert sum(value.numel() for value in net.parameters()) * 2 < 7e6
