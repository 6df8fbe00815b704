"""Pictures that overflow are drawn again in float32, and what memory does not suffice for is made smaller or said: with the faults put
into the live model by hooks, and everything else as it is."""

from __future__ import annotations

import re
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from diffusers import AutoencoderKL
from studio import Studio, differing, ends, events_of, name_of, photo, wish

from webapp.engine import checkpoint, healing, latents, memory
from webapp.engine.checkpoint import BUILTIN, Checkpoint
from webapp.engine.drawing import Drawing
from webapp.engine.events import Failed, Finished, Step
from webapp.engine.latents import LatentSpace, finished

NAN = float("nan")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.folder(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def half(folder: Path) -> Iterator[Studio]:
    studio = Studio(checkpoint.load(folder, "cpu", torch.bfloat16))
    yield studio
    studio.close()


@pytest.fixture
def full(folder: Path) -> Iterator[Studio]:
    studio = Studio(checkpoint.load(folder, "cpu", torch.float32))
    yield studio
    studio.close()


def parts(studio: Studio) -> Checkpoint:
    return studio.engine._shelf.models[""].checkpoint


def finish(studio: Studio, request: object, **options: object) -> Finished:
    (end,) = ends(studio.draw(request, **options))
    assert isinstance(end, Finished), end
    return end


def fail(studio: Studio, request: object, **options: object) -> str:
    (end,) = ends(studio.draw(request, **options))
    assert isinstance(end, Failed), end
    return end.sentence


def healed(end: Finished) -> tuple[str, ...]:
    """What is said of healing, among other notes."""
    return tuple(note for note in end.receipt.notes if "does not know" not in note)


def overflow(studio: Studio, prompt: str, step: int = 0) -> None:
    """From its step `step` on, what the studio's UNet says of this prompt is no number."""
    words = parts(studio).unet.dtype, studio.engine._shelf.models[""].conditioner
    row = words[1].condition(prompt, "", guided=False, steps=1).at(0).to(words[0])
    calls = 0

    def hook(unet: torch.nn.Module, inputs: tuple, more: dict, output: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        nonlocal calls
        hit = (more["encoder_hidden_states"] == row).flatten(1).all(1)  # (rows,)
        calls += bool(hit.any())
        if calls > step:
            output[0][hit] = NAN
        return output

    parts(studio).unet.register_forward_hook(hook, with_kwargs=True)


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


# Overflow in half precision


@pytest.mark.parametrize("step", [0, 5])
def test_a_picture_that_overflowed_is_drawn_again_in_float32(half: Studio, full: Studio, step: int) -> None:
    """Its neighbours in the same calls are what they are alone, and not drawn again."""
    neighbours = [wish(prompt=f"a {name}") for name in ("dog", "hen")]
    alone = [finish(half, request).image for request in neighbours]
    overflow(half, "a cat", step)
    drawing = half.engine.submit([neighbours[0], wish(), neighbours[1]])
    first, victim, last = sorted(ends(events_of(drawing)), key=lambda end: end.index)
    assert max(call.shape[0] for call in half.calls) == 6  # they did share
    assert isinstance(victim, Finished)
    assert victim.receipt.dtype == "float32"
    assert healed(victim) == (healing.DRAWN_AGAIN,)
    assert (victim.receipt.request.prompt, victim.receipt.request.seed) == ("a cat", 7)
    assert victim.image.tobytes() == finish(full, wish()).image.tobytes()
    for neighbour, image in zip((first, last), alone, strict=True):
        assert differing(neighbour.image, image) <= 4  # in half precision a call of more rows rounds otherwise
        assert neighbour.receipt.dtype == "bfloat16"
        assert healed(neighbour) == ()


def test_the_copy_in_float32_is_gone_afterwards(half: Studio) -> None:
    copies: list[weakref.ref] = []
    load = half.engine._shelf._load

    def watched(key: str) -> object:
        model = load(key)
        copies.append(weakref.ref(model.checkpoint.unet))
        return model

    half.engine._shelf._load = watched
    overflow(half, "a cat")
    finish(half, wish())
    until(lambda: half.engine._shelf.models.keys() == {""})
    until(lambda: copies[0]() is None)
    assert finish(half, wish(prompt="a dog")).receipt.dtype == "bfloat16"
    assert finish(half, wish()).receipt.dtype == "float32"  # and it can be had again
    assert len(copies) == 2


def test_while_the_copy_loads_others_are_drawn_and_then_the_engine_sleeps(half: Studio) -> None:
    go, loading = threading.Event(), threading.Event()
    load = half.engine._shelf._load
    half.engine._shelf._load = lambda key: (loading.set(), go.wait(30), load(key))[-1]
    overflow(half, "a cat")
    victim = half.engine.submit(wish())
    assert loading.wait(30)
    assert finish(half, wish(prompt="a dog")).receipt.dtype == "bfloat16"
    looked = 0
    settle = half.engine._shelf.settle

    def counting() -> dict[str, str]:
        nonlocal looked
        looked += 1
        return settle()

    half.engine._shelf.settle = counting
    time.sleep(1.5)
    assert looked <= 3
    go.set()
    (end,) = ends(events_of(victim))
    assert isinstance(end, Finished)


def test_it_may_be_taken_back_while_the_copy_loads(half: Studio) -> None:
    go, loading = threading.Event(), threading.Event()
    load = half.engine._shelf._load
    half.engine._shelf._load = lambda key: (loading.set(), go.wait(30), load(key))[-1]
    overflow(half, "a cat")
    victim = half.engine.submit(wish())
    assert loading.wait(30)
    victim.cancel()
    assert not any(isinstance(event, Finished) for event in events_of(victim))
    go.set()
    until(lambda: half.engine._shelf.loading is None)
    until(lambda: half.engine._shelf.models.keys() == {""})


def test_a_second_pass_is_healed_with_its_first(half: Studio, full: Studio) -> None:
    for upscaler in ("lanczos", "latent"):
        request = wish(prompt=upscaler, hires_scale=2.0, hires_upscaler=upscaler, steps=3)
        overflow(half, upscaler)
        end = finish(half, request)
        assert end.image.size == (128, 128)
        assert healed(end) == (healing.DRAWN_AGAIN,)
        assert end.image.tobytes() == finish(full, request).image.tobytes()


def test_image_to_image_is_healed(half: Studio, full: Studio) -> None:
    start = photo(1)
    request = wish(image=name_of(start), strength=0.5)
    overflow(half, "a cat")
    end = finish(half, request, images={name_of(start): start})
    assert healed(end) == (healing.DRAWN_AGAIN,)
    assert differing(end.image, finish(full, request, images={name_of(start): start}).image) == 0


def test_what_overflows_in_float32_is_failed_never_finished(full: Studio) -> None:
    overflow(full, "a cat")
    first, second = ends(full.draw([wish(), wish(prompt="a dog")]))
    failed, done = sorted((first, second), key=lambda end: end.index)
    assert isinstance(failed, Failed)
    assert "blank" in failed.sentence
    assert isinstance(done, Finished)
    assert healed(finish(full, wish(prompt="a hen"))) == ()


def test_what_overflows_again_in_float32_is_failed(half: Studio) -> None:
    load = half.engine._shelf._load

    def broken(key: str) -> object:
        model = load(key)
        model.checkpoint.unet.register_forward_hook(lambda *_: (torch.full((2, 4, 8, 8), NAN),))
        return model

    half.engine._shelf._load = broken
    overflow(half, "a cat")
    assert "blank" in fail(half, wish())
    assert finish(half, wish(prompt="a dog")).receipt.dtype == "bfloat16"


def test_a_copy_that_cannot_be_loaded_fails_the_picture_alone(half: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_: object, **__: object) -> Checkpoint:
        raise OSError("a secret")

    overflow(half, "a cat")
    monkeypatch.setattr(checkpoint, "load", full_disk)
    sentence = fail(half, wish())
    assert "could not be loaded" in sentence
    assert "secret" not in sentence
    assert finish(half, wish(prompt="a dog"))


# Autoencoders that overflow


def blind(studio: Studio, *dtypes: torch.dtype) -> None:
    """The decoder says nothing but NaN in these precisions."""
    parts(studio).vae.decoder.register_forward_hook(lambda _, __, output: output * NAN if output.dtype in dtypes else output)


@torch.inference_mode()
def test_an_autoencoder_that_overflows_decodes_again_in_float32(half: Studio) -> None:
    blind(half, torch.bfloat16)
    for end in ends(half.draw([wish(prompt="a cat"), wish(prompt="a dog")])):
        assert isinstance(end, Finished)
        assert healed(end) == (healing.DECODED_AGAIN,)
        assert end.receipt.dtype == "bfloat16"  # it was drawn in that
        exact = LatentSpace(parts(half).vae).decode_precisely(half.latents[end.receipt.request])
        assert end.image.tobytes() == finished(exact[0]).tobytes()
    assert half.engine._shelf.models.keys() == {""}
    assert half.engine._shelf.loading is None
    assert parts(half).vae.dtype == torch.bfloat16


def test_a_first_pass_is_decoded_again_too(half: Studio) -> None:
    blind(half, torch.bfloat16)
    end = finish(half, wish(hires_scale=2.0, steps=3))
    assert end.image.size == (128, 128)
    assert healed(end) == (healing.DECODED_AGAIN,)


def test_an_autoencoder_that_is_blind_in_float32_too_fails_the_picture(half: Studio) -> None:
    blind(half, torch.bfloat16, torch.float32)
    first, second = ends(half.draw([wish(), wish(prompt="a dog")]))
    for end in (first, second):
        assert isinstance(end, Failed)
        assert "blank" in end.sentence
    parts(half).vae.decoder._forward_hooks.clear()
    assert healed(finish(half, wish())) == ()


# Memory


def cuda(needed: int) -> Exception:
    return torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {needed} MiB.")


def cpu(needed: int) -> Exception:
    return RuntimeError(f"[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: {needed} bytes.")


def limit(module: torch.nn.Module, most: int, error: Callable[[int], Exception] = cuda) -> torch.utils.hooks.RemovableHandle:
    """`module` takes no more than `most` numbers a channel, all rows together; more raise as a device does, halfway through."""

    def hook(_: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
        rows, _, height, width = inputs[0].shape
        if rows * height * width > most:
            raise error(rows * height * width)

    return module.register_forward_pre_hook(hook)


@pytest.mark.parametrize("error", [cuda, cpu])
def test_where_not_all_fit_fewer_share_a_step(full: Studio, error: Callable[[int], Exception]) -> None:
    requests = [wish(prompt=f"picture {place}", steps=5) for place in range(7)]
    alone = {request: finish(full, request).image for request in requests}
    full.calls.clear()
    limit(parts(full).unet, 2 * 8 * 8 * 3, error)  # three with guidance
    results = ends(full.draw(requests))
    assert [type(end) for end in results] == [Finished] * 7
    for end in results:
        assert differing(end.image, alone[requests[end.index]]) <= 1
        assert healed(end) == ()
    assert max(call.shape[0] for call in full.calls[-10:]) <= 6
    full.calls.clear()
    assert [type(end) for end in ends(full.draw(requests))] == [Finished] * 7
    assert max(call.shape[0] for call in full.calls) <= 6  # it is remembered


@pytest.mark.parametrize(
    ("size", "guidance", "most", "fitting"),
    [
        ((256, 256), 6, 2 * 24 * 24, (192, 192)),
        ((256, 256), 6, 2 * 24 * 24 - 1, (128, 128)),
        ((256, 256), 1, 24 * 24, (192, 192)),
        ((256, 192), 6, 2 * 24 * 16, (192, 128)),
        ((192, 256), 6, 2 * 24 * 24 - 1, (128, 192)),
        ((384, 384), 1, 40 * 40, (320, 320)),
    ],
)
def test_who_is_too_large_alone_is_told_the_largest_size_that_fits(
    full: Studio, size: tuple[int, int], guidance: float, most: int, fitting: tuple[int, int]
) -> None:
    limit(parts(full).unet, most, cpu if guidance == 1 else cuda)
    request = wish(width=size[0], height=size[1], guidance=guidance, steps=2)
    sentence = fail(full, request)
    assert sentence == memory.sentence(size, fitting)
    width, height = map(int, re.search(r"such as (\d+) x (\d+)", sentence).groups())
    end = finish(full, request.model_copy(update={"width": width, "height": height}))
    assert end.image.size == fitting


def test_what_is_too_large_does_not_take_its_neighbours_along(full: Studio) -> None:
    limit(parts(full).unet, 2 * 24 * 24)
    small = [full.engine.submit(wish(seed=seed, steps=20)) for seed in range(3)]
    large = full.engine.submit(wish(width=256, height=256, steps=2))
    assert isinstance(ends(events_of(large))[0], Failed)
    assert [type(ends(events_of(drawing))[0]) for drawing in small] == [Finished] * 3


def test_where_no_size_fits_that_is_said(full: Studio) -> None:
    handle = limit(parts(full).unet, 1)
    assert fail(full, wish()) == memory.sentence((64, 64), None)
    assert fail(full, wish(width=256)) == memory.sentence((256, 64), None)
    handle.remove()
    assert finish(full, wish())


def test_nothing_of_a_failed_call_is_held_when_it_is_tried_again(full: Studio) -> None:
    """An exception's traceback holds its frames, and those their tensors: just what there is no memory for."""
    held: list[weakref.ref] = []
    alive: list[bool] = []

    def hook(_: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
        alive.extend(ref() is not None for ref in held)
        activations = torch.zeros(10)
        held.append(weakref.ref(activations))
        if inputs[0].shape[0] > 2 or inputs[0].shape[-1] > 8:
            raise cuda(int(activations.sum()))

    parts(full).unet.register_forward_pre_hook(hook)
    assert [type(end) for end in ends(full.draw(wish(count=4, steps=4)))] == [Finished] * 4
    assert fail(full, wish(width=256, height=256)) == memory.sentence((256, 256), (64, 64))
    assert len(alive) > 20
    assert not any(alive)


def test_what_cannot_be_decoded_together_is_decoded_one_by_one(full: Studio) -> None:
    shapes: list[int] = []
    parts(full).vae.decoder.register_forward_pre_hook(lambda _, inputs: shapes.append(len(inputs[0])))
    limit(parts(full).vae.decoder, 8 * 8)
    parts(full).space.together = True  # as on a GPU
    results = ends(full.draw(wish(count=3, steps=12)))
    assert [type(end) for end in results] == [Finished] * 3
    assert [healed(end) for end in results] == [()] * 3
    assert 1 in shapes
    assert max(shapes) > 1


@pytest.mark.parametrize("error", [cuda, cpu])
def test_what_cannot_be_decoded_whole_is_decoded_in_tiles(full: Studio, error: Callable[[int], Exception]) -> None:
    handle = limit(parts(full).vae.decoder, 4 * 4, error)  # the tiny autoencoder's tiles have 32 pixels
    results = ends(full.draw(wish(count=2, width=128)))
    assert [healed(end) for end in results] == [(healing.IN_TILES,)] * 2
    assert [end.image.size for end in results] == [(128, 64)] * 2
    handle.remove()
    assert healed(finish(full, wish())) == ()
    assert not parts(full).vae.use_tiling


def test_what_cannot_be_decoded_at_all_is_said(full: Studio) -> None:
    handle = limit(parts(full).vae.decoder, 1)
    assert fail(full, wish()) == memory.SHORT
    handle.remove()
    assert finish(full, wish())


def test_blank_and_short_at_once(half: Studio) -> None:
    blind(half, torch.bfloat16)
    limit(parts(half).vae.decoder, 4 * 4)
    end = finish(half, wish())
    assert sorted(healed(end)) == sorted((healing.IN_TILES, healing.DECODED_AGAIN))


def test_a_start_image_is_encoded_in_tiles(full: Studio) -> None:
    start = photo(2, 128, 64)
    request = wish(image=name_of(start), width=128, strength=0.5)
    handle = limit(parts(full).vae.encoder, 32 * 32)
    end = finish(full, request, images={name_of(start): start})
    assert healed(end) == (healing.IN_TILES,)
    assert end.image.size == (128, 64)
    handle.remove()
    limit(parts(full).vae.encoder, 1)
    assert fail(full, request, images={name_of(start): start}) == memory.SHORT
    assert finish(full, wish())


def test_words_that_cannot_be_read_for_lack_of_memory_are_said(full: Studio) -> None:
    def short(*_: object) -> None:
        raise cuda(1)

    handle = parts(full).text_encoder.register_forward_pre_hook(short)
    assert fail(full, wish(prompt="a long story")) == memory.SHORT
    handle.remove()
    assert finish(full, wish(prompt="a long story"))


def test_many_troubles_at_once_end_for_everybody(half: Studio) -> None:
    """Overflow, shortage and plain requests side by side, and nobody is left waiting."""
    overflow(half, "a cat")
    limit(parts(half).unet, 2 * 8 * 8 * 2)
    drawings: list[Drawing] = [half.engine.submit(wish(prompt=f"a {name}", steps=4)) for name in ("cat", "dog", "hen", "cat", "fox")]
    drawings.append(half.engine.submit(wish(width=256, height=256)))
    results = [ends(events_of(drawing))[0] for drawing in drawings]
    assert [type(end) for end in results] == [Finished] * 5 + [Failed]
    assert [end.receipt.dtype for end in results[:5]] == ["float32", "bfloat16", "bfloat16", "float32", "bfloat16"]
    assert isinstance(events_of(half.engine.submit(wish(prompt="a dog")))[1], Step)


def test_what_nobody_foresaw_ends_who_is_in_line_and_not_the_loop(full: Studio) -> None:
    settle, troubles = full.engine._shelf.settle, [KeyError("a secret")]

    def trouble() -> dict[str, str]:
        if troubles:
            raise troubles.pop()
        return settle()

    full.engine._shelf.settle = trouble
    sentence = fail(full, wish())
    assert "secret" not in sentence
    assert finish(full, wish())


def test_an_engine_that_cannot_measure_draws_all_the_same(folder: Path) -> None:
    model = checkpoint.load(folder, "cpu", torch.float32)

    def broken(*_: object) -> None:
        raise RuntimeError("no kernel")

    handle = model.unet.register_forward_pre_hook(broken)
    studio = Studio(model, max_batch=None)
    assert "log says more" in fail(studio, wish())
    handle.remove()
    assert finish(studio, wish())
    studio.close()


# Tiles


def test_large_pictures_go_through_in_tiles_and_others_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latents, "TILED", 128 * 128)
    space = LatentSpace(tiny.pipeline().vae)
    for width, height, wanted in [(128, 128, False), (136, 128, True), (64, 256, False), (64, 264, True), (64, 64, False)]:
        noise = space.noise(width, height, torch.Generator("cpu"))
        for use in (space.decode, space.decode_precisely):
            assert use(noise).shape == (1, 3, height, width)
            assert space.vae.use_tiling is wanted
        encoded = space.encode(photo(1, width, height), torch.Generator("cpu"))
        assert encoded.shape == noise.shape
        assert space.vae.use_tiling is wanted
        with space.tiled():
            space.decode(noise)
            assert space.vae.use_tiling


@torch.inference_mode()
def test_tiles_make_nearly_the_same_picture() -> None:
    """With the built-in autoencoder, whose tiles have 256 pixels: 512 x 384 are four of them."""
    space = LatentSpace(AutoencoderKL.from_pretrained(BUILTIN["builtin"] / "vae"))
    picture = photo(3, 512, 384)
    drawn = space.encode(picture, torch.Generator("cpu").manual_seed(0))
    whole = np.asarray(finished(space.decode(drawn)[0]), float)
    with space.tiled():
        tiles = np.asarray(finished(space.decode(drawn)[0]), float)
        encoded = space.encode(picture, torch.Generator("cpu").manual_seed(0))
    assert 0 < np.abs(whole - tiles).mean() < 6  # of 255; of two pictures it is 60
    assert np.abs(whole - tiles).max() < 60
    again = np.asarray(finished(space.decode(encoded)[0]), float)
    assert np.abs(whole - again).mean() < 6
