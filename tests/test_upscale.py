"""The upscalers, step by step, against the library's own pipelines on tiny random models of their shapes."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny
import tiny_upscalers
import torch
from diffusers import EulerAncestralDiscreteScheduler
from PIL import Image

from webapp.catalogue import Catalogue
from webapp.engine import upscale
from webapp.engine.upscale import MAX_PIXELS, Upscaler, lanczos
from webapp.errors import DrawingFailed, InvalidRequest, ModelError
from webapp.library import Library

RANDOM = np.random.default_rng(0)
KINDS = {"x4": (tiny_upscalers.x4, 4), "x2": (tiny_upscalers.x2, 2)}


def photo(width: int, height: int) -> Image.Image:
    return Image.fromarray(RANDOM.integers(0, 256, (height, width, 3), np.uint8))


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    return {kind: tiny_upscalers.folder(make(), tmp_path_factory.mktemp("upscalers") / kind) for kind, (make, _) in KINDS.items()}


@pytest.fixture(scope="module", params=KINDS)
def loaded(request, folders) -> Upscaler:
    return Upscaler.load(folders[request.param], "cpu", torch.float32)


def drawn(upscaler: Upscaler, image: Image.Image, steps: int = 2, guidance: float = 3.0, seed: int = 5):
    run = upscaler.begin(image, "a cat", "a dog", seed, steps, guidance)
    while not run.done:
        run.advance()
    return run


def test_interpolation_takes_any_scale():
    image = photo(40, 30)
    assert lanczos(image, 2.5).size == (100, 75) and lanczos(image, 1.01).size == (40, 30)
    flat = Image.new("RGB", (40, 30), (10, 200, 30))
    assert lanczos(flat, 3).getcolors() == [(120 * 90, (10, 200, 30))]


@pytest.mark.parametrize("guidance", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("size", [(64, 64), (128, 64)])
def test_a_result_is_the_pipelines_own(loaded, guidance, size):
    image = photo(*size)
    run = drawn(loaded, image, 3, guidance)
    words = {"prompt": "a cat", "negative_prompt": "a dog", "image": image, "num_inference_steps": 3, "guidance_scale": guidance}
    loaded.pipe.set_progress_bar_config(disable=True)
    theirs = loaded.pipe(**words, generator=torch.Generator().manual_seed(5), output_type="latent").images
    assert (run.latents - theirs).abs().max() < 1e-5 * max(1, theirs.abs().max())
    picture = loaded.pipe(**words, generator=torch.Generator().manual_seed(5)).images[0]
    assert run.image().size == picture.size == (size[0] * loaded.scale, size[1] * loaded.scale)
    assert np.abs(np.asarray(run.image()).astype(int) - np.asarray(picture)).max() <= 1


def test_a_scheduler_of_another_kind_is_the_pipelines_own_too(folders):
    upscaler = Upscaler.load(folders["x4"], "cpu", torch.float32)
    upscaler.pipe.scheduler = EulerAncestralDiscreteScheduler.from_config(upscaler.pipe.scheduler.config)  # draws noise at each step
    image = photo(64, 64)
    ours = drawn(upscaler, image, 3).latents
    upscaler.pipe.set_progress_bar_config(disable=True)
    options = {"num_inference_steps": 3, "guidance_scale": 3.0, "generator": torch.Generator().manual_seed(5), "output_type": "latent"}
    theirs = upscaler.pipe("a cat", image, negative_prompt="a dog", **options).images
    assert (ours - theirs).abs().max() < 1e-5 * max(1, theirs.abs().max())


def test_steps_are_counted_and_interleaved_runs_do_not_meddle(loaded):
    image = photo(64, 64)
    alone = drawn(loaded, image, 3)
    one, two = (loaded.begin(image, "a cat", "a dog", seed, 3, 3.0) for seed in (5, 6))
    assert (one.step, one.steps, one.done) == (0, 3, False)
    for _ in range(3):
        one.advance()
        two.advance()
    assert (one.step, one.done, two.done) == (3, True, True)
    assert torch.equal(one.latents, alone.latents) and not torch.equal(one.latents, two.latents)


def test_a_step_is_one_call_of_the_unet(loaded):
    rows = []
    hook = loaded.pipe.unet.register_forward_pre_hook(lambda module, args: rows.append(len(args[0])))
    drawn(loaded, photo(64, 64), 2, 3.0)
    drawn(loaded, photo(64, 64), 1, 1.0)
    hook.remove()
    assert rows == [2, 2, 1]


@pytest.mark.parametrize("size", [(70, 50), (33, 97), (8, 8), (1, 3)])
def test_any_size_is_enlarged_by_the_scale(loaded, size):
    assert drawn(loaded, photo(*size), 1).image().size == (size[0] * loaded.scale, size[1] * loaded.scale)


def test_words_and_seed_matter(loaded):
    image = photo(64, 64)
    base = loaded.begin(image, "a cat", "", 1, 1, 3.0)
    others = [
        loaded.begin(image, "a dog", "", 1, 1, 3.0),
        loaded.begin(image, "a cat", "", 2, 1, 3.0),
        loaded.begin(image, "a cat", "x", 1, 1, 3.0),
    ]
    for run in (base, *others):
        run.advance()
    assert not any(torch.equal(base.latents, run.latents) for run in others)
    loaded.begin(image, "a cat " * 200, "", 1, 1, 3.0).advance()  # longer than the text encoder reads


def test_large_results_are_decoded_in_tiles(loaded, monkeypatch):
    run = drawn(loaded, photo(128, 128), 1)
    decode, decoded = loaded.pipe.vae.tiled_decode, []
    monkeypatch.setattr(loaded.pipe.vae, "tiled_decode", lambda z, **options: decoded.append(z) or decode(z, **options))
    whole = np.asarray(run.image()).astype(float)
    assert not decoded
    with loaded.space.tiled():
        tiled = np.asarray(run.image()).astype(float)
    assert len(decoded) == (loaded.scale == 4)
    assert tiled.shape == whole.shape == (128 * loaded.scale, 128 * loaded.scale, 3)
    assert np.corrcoef(tiled.ravel(), whole.ravel())[0, 1] > 0.9


def test_a_picture_too_large_is_refused_with_a_sentence(loaded):
    side = int(MAX_PIXELS**0.5) // loaded.scale
    upscale.check(loaded.name, loaded.scale, side, side)
    with pytest.raises(DrawingFailed, match=f"up to {side} x {side} pixels"):
        loaded.begin(Image.new("RGB", (side + 8, side)), "a cat", "", 1, 1, 3.0)


def test_interpolation_has_a_limit_too():
    upscale.check("lanczos", 4, 2048, 2048)
    upscale.check("lanczos", 1.5, 4000, 4000)
    with pytest.raises(DrawingFailed, match=r"made 4 times as large by lanczos\. It takes pictures of up to 2048 x 2048 pixels"):
        upscale.check("lanczos", 4, 4096, 2048)


def test_each_has_the_guidance_of_its_makers(folders):
    image = photo(64, 64)
    for kind, guidance in (("x4", 9.0), ("x2", 0.0)):
        upscaler = Upscaler.load(folders[kind], "cpu", torch.float32)
        ours, theirs = (upscaler.begin(image, "a cat", "", 1, 1, *given) for given in ((), (guidance,)))
        ours.advance()
        theirs.advance()
        assert torch.equal(ours.latents, theirs.latents)
    bare, worded = (upscaler.begin(image, words, "", 1, 1) for words in ("", "a cat"))  # x2
    bare.advance()
    worded.advance()
    assert torch.equal(bare.latents, worded.latents)


def test_steps_are_never_too_few():
    assert [upscale.steps(drawn) for drawn in (1, 20, 75)] == [20, 20, 75]


@pytest.fixture
def library(folders, tmp_path):
    library = Library(tmp_path / "library")
    shutil.copytree(folders["x2"], library.folder("upscalers") / "mine/Soft")
    return library


def test_one_is_found_by_its_name_and_its_scale_is_known_without_loading_it(library, tmp_path):
    catalogue = Catalogue(tmp_path / "library")
    assert upscale.find("soft", library, catalogue) == library.folder("upscalers") / "mine/Soft"
    assert [upscale.scale(name, library, catalogue) for name in ("soft", "X4-upscaler", "x2-latent-upscaler")] == [2, 4, 2]
    with pytest.raises(InvalidRequest) as caught:
        upscale.find("x4", library, catalogue)
    assert caught.value.fields == {
        "upscaler": "There is no upscaler called x4. There are: lanczos, mine/Soft, x4-upscaler, x2-latent-upscaler."
    }
    with pytest.raises(InvalidRequest, match=r"There are: lanczos, mine/Soft\."):
        upscale.scale("x4-upscaler", library)


def test_a_folder_of_the_owners_goes_before_the_hubs(library, tmp_path):
    (library.folder("upscalers") / "mine").rename(library.folder("upscalers") / "old")
    (library.folder("upscalers") / "old/Soft").rename(library.folder("upscalers") / "x4-upscaler")
    assert upscale.scale("x4-upscaler", library, Catalogue(tmp_path / "library")) == 2


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"_class_name": "StableDiffusionPipeline"}', '{"_class_name": [1]}'])
def test_the_scale_of_what_is_no_upscaler_is_a_sentence(library, content):
    (library.folder("upscalers") / "mine/Soft/model_index.json").write_text(content)
    with pytest.raises(ModelError, match=r"^Soft is (a|not the folder of an upscaler)"):
        upscale.scale("soft", library)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_is_near_full_precision(folders, kind, dtype):
    image = photo(64, 64)
    full, half = (Upscaler.load(folders[kind], "cpu", d) for d in (torch.float32, dtype))
    assert half.pipe.unet.dtype == half.pipe.text_encoder.dtype == dtype
    assert half.pipe.vae.dtype == (torch.float32 if dtype == torch.float16 else dtype)
    a, b = drawn(full, image, 2), drawn(half, image, 2)
    assert b.latents.dtype == dtype
    assert (a.latents - b.latents.float()).abs().mean() < 0.1 * a.latents.abs().mean()
    assert b.image().size == a.image().size


def broken(source: Path, target: Path, *gone: str, **index: object) -> Path:
    """A copy without the files that match `gone`, and with another index."""
    for file in source.rglob("*"):
        place = target / file.relative_to(source)
        if file.is_file() and not any(part in str(place) for part in gone):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(file.read_bytes())
    if index:
        about = target / "model_index.json"
        about.write_text(json.dumps(json.loads(about.read_text()) | index))
    return target


def refusal(folder: Path) -> str:
    with pytest.raises(ModelError) as error:
        Upscaler.load(folder, "cpu", torch.float32)
    assert str(folder.parent) not in error.value.sentence and error.value.__cause__ is None
    return error.value.sentence


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_upscaler_gets_a_sentence(folders, kind, tmp_path):
    source = folders[kind]
    assert "no model_index.json" in refusal(broken(source, tmp_path / "a", "model_index"))
    assert "incomplete" in refusal(broken(source, tmp_path / "b", "unet/diffusion"))
    assert "x4 and x2 upscalers only" in refusal(broken(source, tmp_path / "c", _class_name="StableDiffusionPipeline"))
    assert "unknown kind" in refusal(broken(source, tmp_path / "d", _class_name=None))
    assert "no unet that I can use" in refusal(broken(source, tmp_path / "e", unet=["os", "system"]))
    if kind == "x4":
        assert "no low_res_scheduler that I can use" in refusal(broken(source, tmp_path / "g", low_res_scheduler=None))
    assert "could not be loaded" in refusal(broken(source, tmp_path / "f", "scheduler_config"))
    (tmp_path / "empty").mkdir()
    assert "model_index.json" in refusal(tmp_path / "empty")


def test_an_ordinary_model_is_no_upscaler(tmp_path):
    assert "StableDiffusionPipeline" in refusal(tiny.folder(tmp_path / "model"))


@pytest.mark.parametrize("content", [b"", b"hello", b"[]", b"{", b'"text"', b"\xff\xfe"])
def test_a_scrambled_index_gets_a_sentence(folders, tmp_path, content):
    folder = broken(folders["x2"], tmp_path / "x")
    (folder / "model_index.json").write_bytes(content)
    assert "x" in refusal(folder)


def test_a_damaged_file_gets_a_sentence(folders, tmp_path):
    folder = broken(folders["x4"], tmp_path / "x")
    weights = folder / "unet/diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert "x has a damaged file: unet/diffusion_pytorch_model.safetensors" in refusal(folder)


def test_pickles_are_never_opened(folders, tmp_path):
    folder = broken(folders["x4"], tmp_path / "x", "unet/diffusion")

    class Bomb:
        def __reduce__(self):
            return Path.touch, (tmp_path / "exploded",)

    (folder / "unet/diffusion_pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    assert "they can run programs" in refusal(folder)
    assert not (tmp_path / "exploded").exists()


def test_parts_that_do_not_belong_together_get_a_sentence(folders, tmp_path):
    folder = broken(folders["x4"], tmp_path / "x", "unet/")
    (folder / "unet").mkdir()
    for file in (folders["x2"] / "unet").iterdir():
        (folder / "unet" / file.name).write_bytes(file.read_bytes())
    assert "do not belong together" in refusal(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_half_size_weights_will_do(kind, tmp_path):
    make, scale = KINDS[kind]
    folder = tiny_upscalers.folder(make().to(torch.float16), tmp_path / kind, variant="fp16")
    upscaler = Upscaler.load(folder, "cpu", torch.float32)
    assert upscaler.scale == scale and upscaler.pipe.unet.dtype == torch.float32
