"""Every kind of checkpoint and add-on through the real engine: each loads and draws, and each that does not fit gets its sentence and
leaves the others be."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_addons
import tiny_upscalers
import torch
from PIL import Image, ImageChops
from safetensors.torch import save_file
from studio import Studio, differing, ends, name_of, photo, wish

from webapp.catalogue import Catalogue
from webapp.engine import checkpoint, hub, upscale
from webapp.engine.checkpoint import Checkpoint
from webapp.engine.events import Cancelled, Failed, Finished, Step, Waiting
from webapp.engine.picture import NOT_ENLARGED
from webapp.errors import ModelError
from webapp.library import Library
from webapp.schema import Control, GenerationRequest

PHOTO, MASK, EDGES = photo(1), Image.new("L", (64, 64)), photo(2)
MASK.paste(255, (16, 16, 48, 48))
HANDED = {name_of(image): image for image in (PHOTO, MASK, EDGES)}
QUICK = {"steps": 2, "mask_blur": 0}
WAYS = {
    "from words": wish(**QUICK),
    "from a picture": wish(**QUICK, image=name_of(PHOTO), strength=0.5),
    "under a mask": wish(**QUICK, image=name_of(PHOTO), mask=name_of(MASK), strength=1.0),
}


def folder(schedule: str, **options: Any) -> Callable[[Path], Path]:
    return lambda place: tiny.save(tiny.pipeline(tiny.schedule(schedule), **options), place / "model")


def file(name: str, schedule: str, family: int, **options: Any) -> Callable[[Path], Path]:
    return lambda place: tiny.single_file(place / f"{name}.safetensors", tiny.pipeline(tiny.schedule(schedule), **options), family)


KINDS = {  # how each is made, what it is, what it predicts, and the folder of the same weights
    "SD 1": (folder("epsilon", width=768), "text", "epsilon", ""),
    "SD 2 v": (folder("v_prediction"), "text", "v_prediction", ""),
    "SD 2 epsilon": (folder("epsilon", width=1024), "text", "epsilon", ""),
    "inpainting": (lambda place: tiny.save(tiny.inpainting(), place / "model"), "inpainting", "epsilon", ""),
    "turbo": (lambda place: tiny.folder(place / "sd-turbo", "turbo"), "text", "epsilon", ""),
    "SD 1 in a file": (file("mix", "epsilon", 1, width=768), "text", "epsilon", "SD 1"),
    "SD 2 v in a file": (file("mix-768-v", "v_prediction", 2), "text", "v_prediction", "SD 2 v"),
    "SD 2 epsilon in a file": (file("mix-512-base", "epsilon", 2, width=1024), "text", "epsilon", "SD 2 epsilon"),
    "inpainting in a file": (file("mix-inpainting", "epsilon", 2, inputs=9), "inpainting", "epsilon", "inpainting"),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Checkpoint]:
    """Loads a kind; each once."""
    loaded: dict[str, Checkpoint] = {}

    def model(kind: str) -> Checkpoint:
        if kind not in loaded:
            loaded[kind] = checkpoint.load(KINDS[kind][0](tmp_path_factory.mktemp("kind")), "cpu", torch.float32)
        return loaded[kind]

    return model


def drawn(studio: Studio, request: GenerationRequest) -> Finished:
    """The one picture of a request; fails with the sentence when there is none."""
    (end,) = ends(studio.draw(request, images=HANDED))
    assert isinstance(end, Finished), end
    return end


def refused(studio: Studio, request: GenerationRequest) -> str:
    (end,) = ends(studio.draw(request, images=HANDED))
    assert isinstance(end, Failed), end
    return end.sentence


def working(model: Checkpoint, library: Library | None = None, catalogue: Catalogue | None = None) -> Iterator[Studio]:
    studio = Studio(model, max_batch=4, library=library, catalogue=catalogue)
    yield studio
    studio.close()


@pytest.fixture(scope="module")
def pictures(models: Callable[[str], Checkpoint]) -> Callable[[str], dict[str, Finished]]:
    """What a kind draws in each way; each once."""
    seen: dict[str, dict[str, Finished]] = {}

    def of(kind: str) -> dict[str, Finished]:
        if kind not in seen:
            for studio in working(models(kind)):
                seen[kind] = {way: drawn(studio, request) for way, request in WAYS.items()}
        return seen[kind]

    return of


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_checkpoint_draws_in_each_way(models: Callable, pictures: Callable, kind: str) -> None:
    model, found = models(kind), pictures(kind)
    assert (model.kind, model.prediction) == KINDS[kind][1:3]
    for end in found.values():
        assert end.image.size == (64, 64) and end.image.mode == "RGB"
        assert end.receipt.scheduler["prediction_type"] == model.prediction
        assert end.receipt.model_hash == model.hash
    images = [end.image for end in found.values()]
    assert min(differing(images[i], images[j]) for i in range(3) for j in range(i)) > 8
    kept = ImageChops.multiply(ImageChops.difference(found["under a mask"].image, PHOTO), ImageChops.invert(MASK).convert("RGB"))
    assert kept.getextrema() == ((0, 0),) * 3
    assert differing(found["under a mask"].image, PHOTO) > 8


@pytest.mark.parametrize("kind", [kind for kind in KINDS if KINDS[kind][3]])
def test_a_file_draws_what_the_folder_of_the_same_weights_draws(pictures: Callable, kind: str) -> None:
    ours, theirs = pictures(kind), pictures(KINDS[kind][3])
    assert all(differing(ours[way].image, theirs[way].image) == 0 for way in WAYS)


def test_turbo_takes_few_steps_of_one_row(models: Callable) -> None:
    model = models("turbo")
    for studio in working(model):
        found = ends(studio.draw(GenerationRequest(prompt="a cat", negative_prompt="a dog", count=3)))
        assert [end.receipt.request.guidance for end in found] == [0] * 3
        assert model.defaults.steps <= 4
        assert sum(call.shape[0] for call in studio.calls) == 3 * model.defaults.steps


def sha256(path: Path) -> str:
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """One add-on of each kind and layout that fits models of width 32."""
    library = Library(tmp_path_factory.mktemp("library"))
    place = {kind: library.folder(kind) for kind in ("loras", "embeddings", "controlnets", "vaes", "upscalers")}
    for path in place.values():
        path.mkdir()
    tiny_addons.kohya(place["loras"] / "kohyas.safetensors", tiny_addons.pairs(1, varied=True))
    tiny_addons.diffusers(place["loras"] / "diffused.safetensors", tiny_addons.pairs(2))
    tiny_addons.embedding(place["embeddings"] / "zorb.safetensors", vectors=2)
    tiny_addons.controlnet(place["controlnets"] / "edges")
    other = tiny_addons.vae(place["vaes"] / "other")
    tiny_addons.original_vae(place["vaes"] / "single.safetensors", other)
    tiny_upscalers.folder(tiny_upscalers.x4(), place["upscalers"] / "x4")
    tiny_upscalers.folder(tiny_upscalers.x2(), place["upscalers"] / "x2")
    return library


ADD_ONS = {  # what asks for each, and where it lies in the library
    "LoRA of kohya's": ({"prompt": "a cat <lora:kohyas:1>"}, "kohyas", "loras/kohyas.safetensors"),
    "LoRA of diffusers'": ({"prompt": "a cat <lora:diffused:1>"}, "diffused", "loras/diffused.safetensors"),
    "embedding": ({"prompt": "a zorb"}, "zorb", "embeddings/zorb.safetensors"),
    "ControlNet": ({"controls": (Control(model="edges", image=name_of(EDGES)),)}, "edges", "controlnets/edges"),
    "autoencoder": ({"vae": "other"}, "other", "vaes/other"),
    "autoencoder in a file": ({"vae": "single"}, "single", "vaes/single.safetensors"),
}


@pytest.mark.parametrize("kind", ["SD 2 v", "inpainting", "turbo"])
def test_each_kind_of_add_on_changes_its_picture_alone(models: Callable, library: Library, kind: str) -> None:
    for studio in working(models(kind), library):
        plain = drawn(studio, wish(**QUICK))
        assert plain.receipt.add_ons == {}
        wanted = [wish(**QUICK, **changes) for changes, _, _ in ADD_ONS.values()]
        together = ends(studio.draw([*wanted, wish(**QUICK)], images=HANDED))
        assert all(isinstance(end, Finished) for end in together), together
        *changed, again = sorted(together, key=lambda end: end.index)
        for end, (_, name, path) in zip(changed, ADD_ONS.values(), strict=True):
            assert end.receipt.add_ons == {name: sha256(library.root / path)}
            assert differing(end.image, plain.image) > 0, name
        assert differing(again.image, plain.image) <= 1  # rounded in company
        assert differing(changed[4].image, changed[5].image) == 0  # one autoencoder, in two forms


def narrow_lora(path: Path, width: int) -> None:
    layer = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
    save_file({f"{layer}.lora_down.weight": torch.ones(4, width), f"{layer}.lora_up.weight": torch.ones(32, 4)}, path)


def xl_lora(path: Path) -> None:
    layer = "lora_te2_text_model_encoder_layers_0_self_attn_q_proj"
    save_file({f"{layer}.lora_down.weight": torch.ones(4, 1280), f"{layer}.lora_up.weight": torch.ones(1280, 4)}, path)


def halved(path: Path) -> None:
    narrow_lora(path, 1024)
    path.write_bytes(path.read_bytes()[:-5000])


@pytest.fixture(scope="module")
def rubbish(tmp_path_factory: pytest.TempPathFactory, models: Callable) -> Library:
    """What does not fit Stable Diffusion 2, each where a user may have put it."""
    library = Library(tmp_path_factory.mktemp("rubbish"))
    place = {kind: library.folder(kind) for kind in ("loras", "embeddings", "controlnets", "vaes", "upscalers")}
    for path in place.values():
        path.mkdir()
    narrow_lora(place["loras"] / "first.safetensors", 768)
    narrow_lora(place["loras"] / "wide.safetensors", 2048)
    xl_lora(place["loras"] / "xl.safetensors")
    halved(place["loras"] / "half.safetensors")
    torch.save({"a": torch.ones(3)}, place["loras"] / "pickle.safetensors")
    tiny.single_file(place["loras"] / "whole.safetensors", tiny.pipeline())
    (place["loras"] / "page.safetensors").write_text("<!doctype html>")
    tiny_addons.embedding(place["embeddings"] / "gloop.safetensors", width=768)
    tiny_addons.controlnet(place["controlnets"] / "first", width=768)
    tiny_addons.controlnet(place["controlnets"] / "deep", width=1024, layers_per_block=2)
    tiny_addons.vae(place["vaes"] / "eight", latent_channels=8)
    tiny_addons.embedding(place["vaes"] / "word.safetensors")
    tiny.folder(place["upscalers"] / "model")
    return library


WRONG = {
    "a LoRA of SD 1": ({"prompt": "<lora:first>"}, "first is a LoRA for Stable Diffusion 1; this model is of Stable Diffusion 2."),
    "a LoRA of SD XL": ({"prompt": "<lora:wide>"}, "wide is a LoRA for Stable Diffusion XL; this model is of Stable Diffusion 2."),
    "a LoRA of SD XL's words": ({"prompt": "<lora:xl>"}, "xl is a LoRA for Stable Diffusion XL; this model is of Stable Diffusion 2."),
    "half a LoRA": ({"prompt": "<lora:half>"}, "half.safetensors is cut off or damaged. Please delete it and fetch it again."),
    "a pickle": ({"prompt": "<lora:pickle>"}, "pickle.safetensors is a pickle under another name. I do not open those"),
    "a model among LoRAs": ({"prompt": "<lora:whole>"}, "whole is not a LoRA."),
    "a page": ({"prompt": "<lora:page>"}, "page.safetensors is not the model but a page about it."),
    "no such LoRA": ({"prompt": "<lora:nobody>"}, "There is no LoRA called nobody."),
    "a ControlNet of SD 1": (
        {"controls": (Control(model="first", image=name_of(EDGES)),)},
        "first is a ControlNet for Stable Diffusion 1; this model is of Stable Diffusion 2.",
    ),
    "a ControlNet of other blocks": (
        {"controls": (Control(model="deep", image=name_of(EDGES)),)},
        "deep is a ControlNet for a model of another shape",
    ),
    "an autoencoder of eight channels": ({"vae": "eight"}, "eight is an autoencoder for another kind of model"),
    "an embedding among autoencoders": ({"vae": "word"}, "word is not an autoencoder (VAE)."),
    "a model among upscalers": ({"upscaler": "model"}, "model is a StableDiffusionPipeline. I enlarge with"),
}


@pytest.fixture(scope="module")
def second(models: Callable, rubbish: Library) -> Iterator[Studio]:
    """A Stable Diffusion 2 among rubbish."""
    yield from working(models("SD 2 epsilon"), rubbish)


@pytest.mark.parametrize("what", WRONG)
def test_an_add_on_that_does_not_fit_gets_its_sentence_and_the_next_picture_comes(second: Studio, pictures: Callable, what: str) -> None:
    changes, sentence = WRONG[what]
    changes = {**changes, "prompt": f"a cat {changes.get('prompt', '')}"}
    assert refused(second, wish(**QUICK, **changes)).startswith(sentence)
    assert differing(drawn(second, wish(**QUICK)).image, pictures("SD 2 epsilon")["from words"].image) == 0


def test_an_embedding_of_another_width_stays_an_unknown_word(second: Studio) -> None:
    assert drawn(second, wish(**QUICK, prompt="gloop")).receipt.add_ons == {}


def pickled(path: Path) -> Path:
    torch.save(tiny.pipeline().unet.state_dict(), path)
    return path


def half(path: Path) -> Path:
    tiny.single_file(path, tiny.pipeline())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def headed(path: Path, *names: str) -> Path:
    save_file({name: torch.zeros(2, 2) for name in names}, path)
    return path


def said_to_be(path: Path, pipeline: str) -> Path:
    index = tiny.folder(path) / "model_index.json"
    index.write_text(index.read_text().replace('"StableDiffusionPipeline"', f'"{pipeline}"'))
    return path


NO_MODELS = {  # how each is made, and its sentence
    "pickle.safetensors": (pickled, "pickle.safetensors is a pickle under another name. I do not open those: they can run programs."),
    "half.safetensors": (half, "half.safetensors is cut off or damaged. Please delete it and fetch it again."),
    "xl.safetensors": (
        lambda path: headed(path, "conditioner.embedders.1.model.ln_final.weight", "model.diffusion_model.input_blocks.0.0.weight"),
        "xl.safetensors is a Stable Diffusion XL model. I draw with Stable Diffusion 1 and 2 models only.",
    ),
    "xl": (lambda path: said_to_be(path, "StableDiffusionXLPipeline"), "xl is a StableDiffusionXLPipeline. I draw with"),
    "lora.safetensors": (
        lambda path: tiny_addons.kohya(path, tiny_addons.pairs()),
        "lora.safetensors is a LoRA: an add-on to a model, not a model.",
    ),
    "word.safetensors": (tiny_addons.embedding, "word.safetensors is an embedding (textual inversion): an add-on to a model, not a model."),
    "vae.safetensors": (
        lambda path: tiny_addons.original_vae(path, tiny.pipeline().vae),
        "vae.safetensors is an autoencoder (VAE) alone.",
    ),
    "net": (tiny_addons.controlnet, "net is not a model in the form I read: it has no model_index.json."),
    "x4": (lambda path: tiny_upscalers.folder(tiny_upscalers.x4(), path), "x4 is an upscaler: it makes pictures larger"),
    "mix.safetensors": (
        lambda path: tiny.single_file(path, tiny.pipeline()),
        "mix.safetensors is a Stable Diffusion 2 model that does not say what it predicts. Please give it a name and say it: "
        "python -m webapp models add NAME FILE --prediction v",
    ),
}


@pytest.mark.parametrize("name", NO_MODELS)
def test_what_is_no_model_gets_its_sentence_at_loading_and_by_name(models: Callable, pictures: Callable, tmp_path: Path, name: str) -> None:
    make, sentence = NO_MODELS[name]
    make(tmp_path / name)
    with pytest.raises(ModelError) as caught:
        checkpoint.load(tmp_path / name, "cpu", torch.float32)
    assert caught.value.sentence.startswith(sentence)
    catalogue = Catalogue(tmp_path / "library")
    catalogue.add("mine", str(tmp_path / name))
    for studio in working(models("SD 2 v"), catalogue=catalogue):
        assert refused(studio, wish(**QUICK, model="mine")) == caught.value.sentence
        assert differing(drawn(studio, wish(**QUICK)).image, pictures("SD 2 v")["from words"].image) == 0


def test_a_model_by_its_name_draws_beside_the_engines_own(models: Callable, pictures: Callable, tmp_path: Path) -> None:
    """With what its owner says it predicts."""
    tiny.single_file(tmp_path / "mix.safetensors", tiny.pipeline(tiny.schedule("v_prediction")))
    catalogue = Catalogue(tmp_path / "library")
    catalogue.add("mine", str(tmp_path / "mix.safetensors"), "v")
    for studio in working(models("SD 2 epsilon"), catalogue=catalogue):
        own, other = drawn(studio, wish(**QUICK)), drawn(studio, wish(**QUICK, model="mine"))
        assert differing(own.image, pictures("SD 2 epsilon")["from words"].image) == 0
        assert differing(other.image, pictures("SD 2 v")["from words"].image) == 0


def test_interpolation_makes_a_picture_larger(models: Callable, library: Library) -> None:
    for studio in working(models("SD 2 v"), library):
        plain, larger = drawn(studio, wish(**QUICK)), drawn(studio, wish(**QUICK, upscale=2.5))
        assert larger.image.size == (160, 160)
        assert differing(larger.image, plain.image.resize((160, 160), Image.Resampling.LANCZOS)) == 0


@pytest.mark.parametrize(("name", "scale"), [("x4", 4), ("x2", 2)])
def test_an_upscaler_makes_a_picture_larger_and_its_steps_are_counted(models: Callable, library: Library, name: str, scale: int) -> None:
    for studio in working(models("SD 2 v"), library):
        events = studio.draw(wish(**QUICK, upscaler=name))
        (end,) = ends(events)
        assert isinstance(end, Finished), end
        assert end.image.size == (64 * scale, 64 * scale)
        steps = [(event.step, event.steps) for event in events if isinstance(event, Step)]
        assert steps == [(step, 22) for step in range(1, 23)]  # as many as an upscaler takes at least, and two before
        assert end.receipt.request.upscaler == name and end.receipt.model == "model"
        cats, dogs = (drawn(studio, wish(**QUICK, upscaler=name, prompt=f"a {word}")).image for word in ("cat", "dog"))
        assert differing(cats, end.image) == 0 and differing(cats, dogs) > 0


def test_after_a_second_pass_and_under_a_mask_the_whole_picture_is_enlarged(models: Callable, library: Library) -> None:
    for studio in working(models("SD 2 v"), library):
        second = drawn(studio, wish(**QUICK, hires_scale=1.5, upscaler="x2"))
        assert second.image.size == (192, 192)
        masked = drawn(studio, wish(**QUICK, image=name_of(PHOTO), mask=name_of(MASK), only_masked=True, upscaler="x4"))
        assert masked.image.size == (256, 256)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"upscaler": "x4", "width": 1024}, "1024 x 1024 pixels are too many to be made 4 times as large by x4."),
        ({"upscaler": "x4", "width": 512, "hires_scale": 2}, "1024 x 1024 pixels are too many to be made 4 times as large by x4."),
        ({"upscaler": "nobody"}, "There is no upscaler called nobody. There are: lanczos, x2, x4, x4-upscaler, x2-latent-upscaler."),
    ],
)
def test_what_cannot_be_enlarged_is_told_before_it_is_drawn(
    models: Callable, library: Library, tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    for studio in working(models("SD 2 v"), library, Catalogue(tmp_path)):
        size = {"height": changes["width"]} if "width" in changes else {}
        assert refused(studio, wish(**{**QUICK, **changes, **size})).startswith(sentence)
        assert not studio.calls
        assert isinstance(drawn(studio, wish(**QUICK)), Finished)


def failing(studio: Studio, fails: Callable[[], Exception | None]) -> None:
    """The steps of the upscalers that are loaded from now on fail as `fails` says, if it does."""
    load = studio.engine._shelf._load

    def step(*_: object) -> None:
        if error := fails():
            raise error

    def watched(key: str) -> object:
        loaded = load(key)
        if key.startswith(upscale.KEY):
            loaded.pipe.unet.register_forward_pre_hook(step)
        return loaded

    studio.engine._shelf._load = watched


def test_where_memory_is_short_for_an_upscaler_idle_models_leave(models: Callable, library: Library) -> None:
    for studio in working(models("SD 2 v"), library):
        loaded = studio.engine._shelf.models
        failing(studio, lambda loaded=loaded: torch.OutOfMemoryError("CUDA out of memory.") if "" in loaded else None)
        assert drawn(studio, wish(**QUICK, upscaler="x2")).image.size == (128, 128)
        assert list(loaded) == [upscale.KEY + "x2"]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("a secret")])
def test_what_an_upscaler_fails_at_is_handed_out_as_it_was_drawn(models: Callable, library: Library, error: Exception) -> None:
    for studio in working(models("SD 2 v"), library):
        plain = drawn(studio, wish(**QUICK))
        failing(studio, lambda: error)
        end = drawn(studio, wish(**QUICK, upscaler="x2"))
        assert differing(end.image, plain.image) == 0 and end.receipt.request == plain.receipt.request
        assert end.receipt.notes[-1].startswith(NOT_ENLARGED) and "secret" not in end.receipt.notes[-1]
        assert differing(drawn(studio, wish(**QUICK)).image, plain.image) == 0


def test_others_draw_while_an_upscaler_is_fetched(models: Callable, library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    there, find = threading.Event(), upscale.find
    monkeypatch.setattr(upscale, "find", lambda *names, **more: there.wait(60) and find(*names, **more))  # as long as a download takes
    for studio in working(models("SD 2 v"), library):
        drawing = studio.engine.submit(wish(**QUICK, upscaler="x4"))
        seen: list[object] = []
        for event in drawing:
            seen.append(event)
            if isinstance(event, Step) and event.step == 2:
                assert isinstance(drawn(studio, wish(**QUICK)), Finished)
                assert not there.is_set()
                there.set()
        assert isinstance(seen[-1], Finished) and not any(isinstance(event, Waiting) for event in seen[2:])


def test_a_picture_that_waits_for_its_upscaler_can_be_taken_back(
    models: Callable, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, find = threading.Event(), upscale.find
    monkeypatch.setattr(upscale, "find", lambda *names, **more: there.wait(60) and find(*names, **more))
    for studio in working(models("SD 2 v"), library):
        drawing = studio.engine.submit(wish(**QUICK, upscaler="x4"))
        events = []
        for event in drawing:
            events.append(event)
            if isinstance(event, Step) and event.step == 2:
                drawing.cancel()
        assert isinstance(events[-1], Cancelled)
        there.set()
        assert isinstance(drawn(studio, wish(**QUICK)), Finished)


@pytest.mark.parametrize("named", [{"upscaler": "x4-upscaler"}, {"model": "sd-turbo"}])
def test_what_is_being_fetched_is_given_up_when_the_engine_closes(
    models: Callable, library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: dict[str, str]
) -> None:
    begun, given_up = threading.Event(), threading.Event()

    def fetch(*_: object, stop: threading.Event, **__: object) -> Path:
        """As long as a download takes."""
        begun.set()
        if stop.wait(60):
            given_up.set()
        raise ModelError("The download was stopped.")

    monkeypatch.setattr(hub, "fetch", fetch)
    for studio in working(models("SD 2 v"), library, Catalogue(tmp_path)):
        studio.engine.submit(wish(**QUICK, **named))
        assert begun.wait(60) and not given_up.is_set()
    assert given_up.wait(60)


def test_others_draw_while_one_is_enlarged_and_it_can_be_taken_back(models: Callable, library: Library) -> None:
    for studio in working(models("SD 2 v"), library):
        drawing = studio.engine.submit(wish(steps=20, upscaler="x4"))
        seen: list[object] = []
        for event in drawing:
            seen.append(event)
            if isinstance(event, Step) and event.step == 21:  # the upscaler's first
                other = studio.draw(wish(**QUICK))
                drawing.cancel()
        assert isinstance(ends(other)[0], Finished)
        assert isinstance(seen[-1], Cancelled)
        assert max(event.step for event in seen if isinstance(event, Step)) < 40
        assert isinstance(drawn(studio, wish(**QUICK, upscaler="x2")), Finished)
