"""Models as they are found: folders whole and broken, other shapes than Stable Diffusion's, and Stable Diffusion 2.1's true size."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from webapp.engine import checkpoint
from webapp.engine.checkpoint import Checkpoint
from webapp.engine.engine import Engine
from webapp.engine.events import Finished
from webapp.errors import ModelError
from webapp.schema import Defaults, GenerationRequest

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
    assert checkpoint.load(folder, "cpu").defaults.model_dump() == best
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
    engine = Engine(model)
    events = list(engine.submit(GenerationRequest(prompt="a cat", steps=3)))
    engine.close()
    assert events[-1].image.size == (96, 64)


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


def test_a_model_that_paints_into_pictures_is_refused(tmp_path: Path) -> None:
    pipe = tiny.pipeline(channels=9)
    pipe.vae = tiny.pipeline().vae
    pipe.save_pretrained(tmp_path / "inpainting")
    assert "needs a picture to start from" in refusal(tmp_path / "inpainting")


@pytest.mark.parametrize(
    "source", ["", "nowhere", "/no/such/folder", "model.safetensors", "owner/model.safetensors", "a/b/c", "https://x/y"]
)
def test_what_is_neither_folder_nor_id_gets_a_sentence(source: str) -> None:
    assert "neither a model's folder nor a name" in refusal(source)


def test_the_built_in_model_takes_the_same_way(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "BUILTIN", folder)
    model = checkpoint.load("builtin", "cpu")
    assert (model.name, model.source) == ("builtin", "builtin")


@pytest.mark.slow
def test_stable_diffusion_2_1_at_its_true_size(tmp_path: Path) -> None:
    """Random weights of exactly its shape, from half-size files to a picture."""
    clock = time.monotonic()
    folder = tmp_path / "sd21"
    try:
        save_true_size(folder)
        size = sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
        print(f"saved {size / 1e9:.2f} GB in {time.monotonic() - clock:.0f} s")
        clock = time.monotonic()
        model = checkpoint.load(folder)
        print(f"loaded as {model.dtype} in {time.monotonic() - clock:.0f} s")
        assert parameters(model) == pytest.approx(1.290e9, rel=0.001)
        assert model.unet.num_parameters() == pytest.approx(865.9e6, rel=0.0001)
        assert (model.defaults.width, model.defaults.height) == (768, 768)
        clock = time.monotonic()
        engine = Engine(model)
        events = list(engine.submit(GenerationRequest(prompt="an elephant", width=256, height=256, steps=1, seed=1)))
        engine.close()
        print(f"one step and the decoding at 256 x 256 in {time.monotonic() - clock:.0f} s")
        assert isinstance(events[-1], Finished), events[-1]
        assert events[-1].image.size == (256, 256)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def parameters(model: Checkpoint) -> int:
    return sum(part.num_parameters() for part in (model.unet, model.vae, model.text_encoder))


def save_true_size(folder: Path) -> None:
    """Stable Diffusion 2.1's shape in fp16 files; made without ever initialising it, which would take minutes."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(
            sample_size=96,
            block_out_channels=(320, 640, 1280, 1280),
            attention_head_dim=(5, 10, 20, 20),
            cross_attention_dim=1024,
            use_linear_projection=True,
            upcast_attention=True,
        )
        vae = AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            sample_size=768,
        )
        text = CLIPTextModel(
            CLIPTextConfig(
                hidden_size=1024, intermediate_size=4096, num_hidden_layers=23, num_attention_heads=16, hidden_act="gelu", vocab_size=49408
            )
        )
    small = tiny.pipeline(tiny.schedule("v_prediction"))
    StableDiffusionPipeline(
        vae=fill(vae),
        text_encoder=fill(text),
        tokenizer=small.tokenizer,
        unet=fill(unet),
        scheduler=small.scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder, variant="fp16")


def fill(module: torch.nn.Module) -> torch.nn.Module:
    """Weights as an initialisation would have them in size: matrices of noise by their fan-in, scales one, the rest zero."""
    module = module.half().to_empty(device="cpu")
    noise = torch.randn(1 << 20, generator=torch.Generator().manual_seed(0)).half()
    with torch.no_grad():
        for name, value in module.named_parameters():
            if value.ndim > 1:
                copies = -(-value.numel() // noise.numel())
                value.copy_(noise.repeat(copies)[: value.numel()].view(value.shape) / value[0].numel() ** 0.5)
            else:
                value.fill_(1 if "norm" in name and name.endswith("weight") else 0)
        for name, buffer in module.named_buffers():
            buffer.copy_(torch.arange(buffer.numel()).view(buffer.shape) if "position_ids" in name else torch.zeros_like(buffer))
    return module
