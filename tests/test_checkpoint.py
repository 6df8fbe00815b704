"""Models as they are found: folders whole and broken, other shapes than Stable Diffusion's, and Stable Diffusion 2.1's true size."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import full_size
import pytest
import tiny
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
)

from webapp import cells
from webapp.engine import checkpoint
from webapp.engine.checkpoint import Checkpoint
from webapp.errors import InvalidRequest, ModelError
from webapp.schema import Defaults

UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.folder(tmp_path_factory.mktemp("models") / "little", "v_prediction")


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(whole, tmp_path / "little"))


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def refusal(source: str | Path, **options: object) -> str:
    with pytest.raises(ModelError) as caught:
        checkpoint.load(source, **options)
    assert str(Path.home()) not in caught.value.sentence
    return caught.value.sentence


def test_a_folder_is_loaded_as_it_says(whole: Path) -> None:
    told: list[str] = []
    model = checkpoint.load(whole, "cpu", torch.float32, told.append)
    assert (model.name, model.source, model.revision, model.notice) == ("little", str(whole), "", "")
    assert (model.device.type, model.unet.dtype, model.vae.dtype, model.text_encoder.dtype) == ("cpu", *[torch.float32] * 3)
    assert model.scheduler_config["prediction_type"] == "v_prediction"
    assert model.defaults == Defaults(width=64, height=64, steps=25, guidance=7.5, sampler="DPM++ 2M")
    assert told == ["Loading little."]


def test_the_sidecar_says_what_the_model_draws_best(folder: Path) -> None:
    best = {"width": 128, "height": 64, "steps": 20, "guidance": 4.0, "sampler": "Euler a"}
    (folder / "defaults.json").write_text(json.dumps(best))
    assert checkpoint.load(folder, "cpu").defaults == Defaults(**best)
    (folder / "defaults.json").write_text(json.dumps(best | {"steps": 0}))
    assert "defaults.json" in refusal(folder)


def test_the_precision_suits_the_processor(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for flags, dtype in [({"avx2", "avx512_bf16"}, torch.bfloat16), ({"amx_bf16"}, torch.bfloat16), ({"avx2"}, torch.float32)]:
        monkeypatch.setattr(checkpoint, "_cpu_flags", lambda flags=flags: flags)
        model = checkpoint.load(whole, "cpu")
        assert model.dtype == model.unet.dtype == model.vae.dtype == model.text_encoder.dtype == dtype


def test_fp16_on_a_cpu_is_refused(whole: Path) -> None:
    assert "fp16" in refusal(whole, device="cpu", dtype=torch.float16)


def test_a_device_that_is_not_there_is_refused(whole: Path) -> None:
    assert "no device nonsense" in refusal(whole, device="nonsense")
    if not torch.cuda.is_available():
        assert "The best one it has is" in refusal(whole, device="cuda")


def test_a_gpu_that_torch_has_no_kernels_for_is_told_and_not_drawn_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in: such a GPU is not here."""
    ones, asked = torch.ones, []

    def too_old(*size: int, **more: object) -> torch.Tensor:
        if more.get("device") != "cuda":
            return ones(*size, **more)
        asked.append(size)
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device")

    monkeypatch.setattr(torch, "ones", too_old)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(name="Tesla P100-PCIE-16GB", total_memory=17e9))
    monkeypatch.setattr(checkpoint, "_has_kernels", cache(checkpoint._has_kernels.__wrapped__))
    assert [checkpoint.best_device().type != "cuda" for _ in range(2)] == [True, True] and len(asked) == 1
    if checkpoint.best_device().type == "cpu":
        assert cells._gpu().startswith("Tesla P100-PCIE-16GB, which is too old for torch")


def test_half_size_weights_are_taken_when_all_parts_have_them(tmp_path: Path) -> None:
    folder = tiny.folder(tmp_path / "halves", variant="fp16")
    assert {path.name for path in folder.glob("*/*.safetensors")} == {"diffusion_pytorch_model.fp16.safetensors", "model.fp16.safetensors"}
    checkpoint.load(folder, "cpu", torch.float32)
    tiny.folder(folder)
    (folder / UNET).write_bytes(b"never read")
    checkpoint.load(folder, "cpu", torch.float32)


def test_nothing_is_wired_to_four_channels_or_a_factor_of_eight(tmp_path: Path) -> None:
    pipe = tiny.pipeline(channels=8)
    pipe.vae = AutoencoderKL(
        latent_channels=8,
        block_out_channels=(8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        norm_num_groups=4,
        scaling_factor=0.7,
    )
    pipe.unet.register_to_config(sample_size=[16, 24])
    pipe.save_pretrained(tmp_path / "other")
    model = checkpoint.load(tmp_path / "other", "cpu")
    assert (model.defaults.width, model.defaults.height) == (96, 64)
    assert (model.kind, model.space.channels, model.space.factor) == ("text", 8, 4)
    noise = model.space.noise(96, 64, torch.Generator().manual_seed(0))
    assert noise.shape == (1, 8, 16, 24)
    assert model.space.decode(noise).shape == (1, 3, 64, 96)


@pytest.mark.parametrize(
    ("breaking", "words"),
    [
        (lambda f: (f / "model_index.json").unlink(), "has no model_index.json"),
        (lambda f: (f / "model_index.json").write_text("{"), "could not be loaded"),
        (lambda f: edit(f / "model_index.json", _class_name="StableDiffusionXLPipeline"), "is a StableDiffusionXLPipeline"),
        (lambda f: edit(f / "model_index.json", unet=["evil", "Module"]), "has no unet that I can use"),
        (lambda f: (f / UNET).rename(f / "unet/diffusion_pytorch_model.bin"), "do not open .bin"),
        (lambda f: (f / UNET).unlink(), "is incomplete"),
        (lambda f: (f / UNET).write_bytes(b"garbage" * 100), f"damaged file: {UNET}"),
        (lambda f: (f / UNET).write_bytes((f / UNET).read_bytes()[:-1000]), f"damaged file: {UNET}"),
        (lambda f: edit(f / "unet/config.json", cross_attention_dim=48), "may not belong together"),
        (lambda f: shutil.rmtree(f / "tokenizer"), "is incomplete"),
    ],
    ids=[
        "no index",
        "broken index",
        "another kind",
        "foreign part",
        "bin only",
        "a part missing",
        "garbage",
        "cut off",
        "misfit",
        "no tokenizer",
    ],
)
def test_a_broken_folder_gets_a_sentence(folder: Path, breaking: Callable[[Path], object], words: str) -> None:
    breaking(folder)
    assert words in refusal(folder)


def test_a_model_for_inpainting_says_so(tmp_path: Path) -> None:
    model = checkpoint.load(tiny.save(tiny.inpainting(), tmp_path / "inpainting"), "cpu")
    assert (model.kind, model.unet.config.in_channels) == ("inpainting", 9)
    noise = model.unet(torch.zeros(1, 9, 8, 8, dtype=model.dtype), 500, torch.zeros(1, 77, 32, dtype=model.dtype)).sample
    assert noise.shape == (1, model.space.channels, 8, 8)


def test_one_that_takes_something_else_is_refused(tmp_path: Path) -> None:
    assert "neither a model that draws from words nor one for inpainting" in refusal(tiny.save(tiny.pipeline(inputs=8), tmp_path / "x"))


def test_a_folder_saved_for_image_to_image_draws_from_words_too(folder: Path) -> None:
    edit(folder / "model_index.json", _class_name="StableDiffusionImg2ImgPipeline")
    assert checkpoint.load(folder, "cpu").kind == "text"


def test_the_width_of_the_words_is_the_models_own(tmp_path: Path) -> None:
    model = checkpoint.load(tiny.save(tiny.pipeline(width=48), tmp_path / "narrow"), "cpu")
    assert model.unet.config.cross_attention_dim == model.text_encoder.config.hidden_size == 48


@pytest.mark.parametrize(
    ("name", "schedule", "steps"),
    [("sd-turbo", "turbo", 2), ("my_Turbo_mix", "turbo", 2), ("other", "turbo", 25), ("turbo", "epsilon", 25)],
)
def test_a_turbo_model_takes_few_steps_without_guidance(tmp_path: Path, name: str, schedule: str, steps: int) -> None:
    best = checkpoint.load(tiny.folder(tmp_path / name, schedule), "cpu").defaults
    assert (best.steps, best.guidance, best.sampler) == ((2, 0, "Euler") if steps == 2 else (25, 7.5, "DPM++ 2M"))


@pytest.mark.parametrize(
    ("schedule", "prediction"), [("epsilon", "v"), ("v_prediction", "epsilon"), ("epsilon", "epsilon"), ("turbo", "v")]
)
def test_what_is_said_of_the_prediction_goes_first(tmp_path: Path, schedule: str, prediction: str) -> None:
    folder = tiny.folder(tmp_path / "model", schedule)
    own = "v_prediction" if schedule == "v_prediction" else "epsilon"
    assert checkpoint.load(folder, "cpu").prediction == own
    told = checkpoint.load(folder, "cpu", prediction=prediction)
    assert told.prediction == checkpoint.PREDICTIONS[prediction]
    for kind in (DDIMScheduler, EulerDiscreteScheduler, DPMSolverMultistepScheduler):
        assert kind.from_config(told.scheduler_config).config.prediction_type == told.prediction


def test_a_prediction_that_there_is_not(whole: Path) -> None:
    with pytest.raises(InvalidRequest, match="v or epsilon, not x0"):
        checkpoint.load(whole, "cpu", prediction="x0")


def test_the_hash_is_of_the_weights_that_were_read(folder: Path) -> None:
    parts = [UNET, "vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"]
    first = checkpoint.load(folder, "cpu").hash
    assert first == hashlib.sha256(b"".join((folder / part).read_bytes() for part in parts)).hexdigest()
    (folder / "scheduler/scheduler_config.json").write_text((folder / "scheduler/scheduler_config.json").read_text() + " ")
    assert checkpoint.load(folder, "cpu").hash == first
    changed = bytearray((folder / UNET).read_bytes())
    changed[-1] ^= 1
    (folder / UNET).write_bytes(changed)
    assert checkpoint.load(folder, "cpu").hash != first


@pytest.mark.parametrize(
    "source", ["", "nowhere", "/no/such/folder", "model.safetensors", "owner/model.safetensors", "a/b/c", "https://x/y"]
)
def test_what_is_neither_folder_nor_id_gets_a_sentence(source: str) -> None:
    assert "neither a model's folder nor a name" in refusal(source)


def test_the_built_in_model_takes_the_same_way(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(checkpoint.BUILTIN, "builtin", folder)
    model = checkpoint.load("builtin", "cpu")
    assert (model.name, model.source) == ("builtin", "builtin")


def test_it_is_read_in_a_thread_that_ends(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once another living thread has threads of its own for torch, the engine's sleep between operations: half as fast, measured."""
    threads: list[threading.Thread] = []

    class Watched(checkpoint.LatentSpace):
        def __init__(self, vae: AutoencoderKL) -> None:
            threads.append(threading.current_thread())
            super().__init__(vae)

    monkeypatch.setattr(checkpoint, "LatentSpace", Watched)
    checkpoint.load(whole, "cpu")
    assert len(threads) == 1 and not threads[0].is_alive()


def test_the_turbo_differs_in_what_was_distilled_alone() -> None:
    plain, turbo = (checkpoint.load(name, "cpu") for name in checkpoint.BUILTIN)
    assert (turbo.defaults.steps, turbo.defaults.guidance, turbo.defaults.sampler) == (4, 1, "DDIM")
    assert plain.tokenizer.get_vocab() == turbo.tokenizer.get_vocab()
    same = {name: torch.equal(value, turbo.vae.state_dict()[name]) for name, value in plain.vae.state_dict().items()}
    assert all(same.values()) and plain.hash != turbo.hash


@pytest.mark.slow
def test_stable_diffusion_2_1_at_its_true_size(tmp_path: Path) -> None:
    """Random weights of exactly its shape, from half-size files to a picture."""
    clock = time.monotonic()
    folder = tmp_path / "sd21"
    try:
        full_size.save(folder)
        size = sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
        print(f"saved {size / 1e9:.2f} GB in {time.monotonic() - clock:.0f} s")
        clock = time.monotonic()
        model = checkpoint.load(folder)
        print(f"loaded as {model.dtype} in {time.monotonic() - clock:.0f} s")
        assert parameters(model) == pytest.approx(1.290e9, rel=0.001)
        assert model.unet.num_parameters() == pytest.approx(865.9e6, rel=0.0001)
        assert (model.defaults.width, model.defaults.height) == (768, 768)
        clock = time.monotonic()
        latents = model.space.noise(256, 256, torch.Generator().manual_seed(1))
        with torch.inference_mode():
            noise = model.unet(latents, 999, torch.zeros(1, 77, 1024, dtype=model.dtype)).sample
            pixels = model.space.decode(noise)
        print(f"one step and the decoding at 256 x 256 in {time.monotonic() - clock:.0f} s")
        assert pixels.shape == (1, 3, 256, 256)
        assert pixels.isfinite().all()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def parameters(model: Checkpoint) -> int:
    return sum(part.num_parameters() for part in (model.unet, model.vae, model.text_encoder))
