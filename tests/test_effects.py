"""What the tools do to pictures: drawn with the built-in model and read by its own scorer, as rates over seeds, each beside a control
that must fail. That the tools compute what diffusers does is told elsewhere; here they must do what their users want of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from functools import cache

import numpy as np
import pytest
import torch
from conftest import NATIVE
from PIL import Image, ImageDraw, ImageFilter

from training import extras, judge, outline, scenes
from webapp.engine import checkpoint
from webapp.engine.drawing import Drawing
from webapp.engine.engine import Engine
from webapp.engine.events import Finished
from webapp.library import Library
from webapp.schema import Control, GenerationRequest

pytestmark = pytest.mark.slow
Draw = Callable[..., list[Image.Image]]

SEEDS, FEW = range(20), range(6)
START, MASK, ELSEWHERE = "a" * 64, "b" * 64, "c" * 64  # by these names the images are handed in
PLAIN, GREEN = "a red circle on a blue background", "a green circle on a blue background"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """With no add-ons but those that ship with the model."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    engine = Engine(checkpoint.load("builtin"), library=Library(tmp_path_factory.mktemp("library")), max_batch=8)
    yield engine
    engine.close()
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def draw(engine: Engine) -> Draw:
    """A picture for each seed. What needs no images is drawn once and kept."""

    @cache
    def plain(seeds: range, **fields: object) -> list[Image.Image]:
        return pictures(seeds, None, **fields)

    def pictures(seeds: range, images: dict[str, Image.Image] | None, **fields: object) -> list[Image.Image]:
        return [one.image for one in finished(engine.submit([GenerationRequest(seed=seed, **fields) for seed in seeds], images=images))]

    def draw(prompt: str, seeds: range = SEEDS, images: dict[str, Image.Image] | None = None, **fields: object) -> list[Image.Image]:
        return pictures(seeds, images, prompt=prompt, **fields) if images else plain(seeds, prompt=prompt, **fields)

    return draw


def finished(drawing: Drawing) -> list[Finished]:
    """In the order they were asked for; fails when one was not drawn."""
    ends = {event.index: event for event in drawing if isinstance(event, Finished)}
    assert list(sorted(ends)) == list(range(len(ends))) and ends
    return [ends[index] for index in sorted(ends)]


def rendered(colour: str, shape: str, ground: str, spot: str = "", size: str = "", side: int = NATIVE) -> Image.Image:
    """From the renderer, with a little grain: no autoencoder gives it back to the bit."""
    thing = {"shape": shape, "colour": colour, "size": size, "spot": spot}
    image = scenes.draw({"kind": "shape", "background": ground, "objects": [thing]}, random.Random(0)).resize((side, side))
    grain = np.random.default_rng(0).integers(-4, 5, (side, side, 3))
    return Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8))


def over(image: Image.Image, reach: int = 3 * NATIVE // 64) -> Image.Image:
    """A mask over the figure and `reach` pixels around it."""
    return Image.fromarray(outline.figure(image).astype(np.uint8) * 255).filter(ImageFilter.MaxFilter(2 * reach + 1))


def seen(images: Iterable[Image.Image], ground: str, colour: str, shape: str) -> float:
    """The share of the pictures that show this and nothing else."""
    thing = {"shape": shape, "colour": colour, "spot": ""}
    facts = {"kind": "shape", "background": ground, "objects": [thing]}
    right = [all(judge.verdict(facts, read).values()) and len(read.blobs) == 1 for read in map(outline.read, images)]
    return float(np.mean(right))


def shares(images: Iterable[Image.Image], colour: str) -> np.ndarray:
    return np.array([outline.share(image, colour) for image in images])


def kept(images: Iterable[Image.Image], start: Image.Image, where: np.ndarray) -> list[bool]:
    """Of each picture, whether it is the start image, to the bit, where (H, W) of bool says so."""
    wanted = np.asarray(start)[where]
    return [np.array_equal(np.asarray(image)[where], wanted) for image in images]


def distance(one: Image.Image, other: Image.Image) -> float:
    """Root mean square, in levels of 255."""
    return float(np.sqrt(np.mean((np.asarray(one, float) - np.asarray(other, float)) ** 2)))


# -- the scorer ----------------------------------------------------------------------------------------------------------


def test_real_pictures_are_read_right_and_false_captions_refused() -> None:
    middle, corner, far = (rendered("red", "circle", "blue", spot) for spot in ("", "in the top left corner", "in the bottom right corner"))
    assert seen([middle, corner], "blue", "red", "circle") == 1
    for wrong in (("green", "red", "circle"), ("blue", "green", "circle"), ("blue", "red", "square")):
        assert seen([middle], *wrong) == 0
    both = Image.fromarray(np.where(outline.figure(far)[..., None], far, corner))
    assert seen([both], "blue", "red", "circle") == 0, "two are not one"
    assert outline.overlap(corner, corner) == 1 and outline.overlap(corner, far) == 0
    assert abs(outline.share(corner, "red") - np.pi * (0.17 * 0.92) ** 2) < 0.02
    assert outline.share(corner, "red") + outline.share(corner, "blue") > 0.97


# -- image-to-image ----------------------------------------------------------------------------------------------------------


def test_low_strength_keeps_the_layout(draw: Draw) -> None:
    """The start has the circle in a corner; by these words alone, the model puts it in the middle."""
    start = rendered("red", "circle", "blue", "in the top left corner")
    near = [outline.overlap(start, image) for image in draw(PLAIN, SEEDS, {START: start}, image=START, strength=0.4)]
    alone = [outline.overlap(start, image) for image in draw(PLAIN, FEW)]
    assert np.mean(near) > 0.8 and min(near) > 0.65
    assert max(alone) < 0.1


@pytest.mark.parametrize(("ground", "colour", "shape"), [("blue", "green", "circle"), ("yellow", "red", "square")])
def test_high_strength_follows_the_words(draw: Draw, ground: str, colour: str, shape: str) -> None:
    start = rendered("red", "circle", "blue", size="large")
    words = f"a large {colour} {shape} on a {ground} background"
    high, low = (draw(words, seeds, {START: start}, image=START, strength=strength) for seeds, strength in ((SEEDS, 0.8), (FEW, 0.2)))
    assert seen(high, ground, colour, shape) >= 0.8
    assert seen(low, ground, colour, shape) <= 0.2


# -- inpainting and outpainting ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blur", [0, 4])
def test_inpainting_changes_what_is_masked_and_not_one_pixel_more(draw: Draw, blur: int) -> None:
    start = rendered("red", "circle", "blue")
    mask = over(start)
    drawn = draw(GREEN, SEEDS, {START: start, MASK: mask}, image=START, mask=MASK, mask_blur=blur)
    assert seen(drawn, "blue", "green", "circle") >= 0.85
    assert all(kept(drawn, start, np.asarray(mask) == 0))


def test_inpainting_elsewhere_leaves_the_object(draw: Draw) -> None:
    start, corner = rendered("red", "circle", "blue"), Image.new("L", (NATIVE, NATIVE))
    ImageDraw.Draw(corner).rectangle([share * NATIVE // 64 for share in (1, 1, 14, 14)], fill=255)
    drawn = draw(GREEN, FEW, {START: start, ELSEWHERE: corner}, image=START, mask=ELSEWHERE)
    assert seen(drawn, "blue", "green", "circle") <= 0.1
    assert all(kept(drawn, start, np.asarray(corner) == 0))


def test_without_a_mask_no_pixel_is_safe(draw: Draw) -> None:
    start = rendered("red", "circle", "blue")
    drawn = draw(GREEN, FEW, {START: start}, image=START, strength=0.2)
    assert not any(kept(drawn, start, np.asarray(over(start)) == 0))


@pytest.mark.parametrize("blur", [0, 4])
def test_the_masked_part_alone_is_drawn_in_its_place(draw: Draw, blur: int) -> None:
    """In a picture twice as large as the model's own, which keeps its size."""
    start = rendered("red", "circle", "blue", "in the top left corner", "small", side=2 * NATIVE)
    mask = over(start)
    images, fields = {START: start, MASK: mask}, {"image": START, "mask": MASK, "mask_blur": blur, "width": NATIVE, "height": NATIVE}
    drawn = draw(GREEN, SEEDS[:10], images, only_masked=True, **fields)
    assert {image.size for image in drawn} == {(2 * NATIVE, 2 * NATIVE)}
    assert seen(drawn, "blue", "green", "circle") >= 0.85
    assert all(kept(drawn, start, np.asarray(mask) == 0))
    assert {image.size for image in draw(GREEN, range(2), images, **fields)} == {(NATIVE, NATIVE)}


@pytest.mark.parametrize("blur", [0, 4])
def test_outpainting_goes_on_and_keeps_what_was_there(draw: Draw, blur: int) -> None:
    """All of it but the seam's strip, twice as broad as the blur."""
    start = rendered("red", "circle", "blue")
    more = NATIVE // 2
    there = np.zeros((NATIVE, NATIVE + more), bool)
    there[:, more + 2 * blur :] = True
    whole = Image.new("RGB", (NATIVE + more, NATIVE))
    whole.paste(start, (more, 0))
    drawn, other = (
        draw(words, FEW, {START: start}, image=START, outpaint_left=more, mask_blur=blur)
        for words in (PLAIN, "a red circle on a yellow background")
    )
    assert all(kept(drawn + other, whole, there))
    blue, not_blue = (shares([image.crop((0, 0, more, NATIVE)) for image in images], "blue").mean() for images in (drawn, other))
    assert blue > 0.75 and not_blue < blue - 0.1


# -- words -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "place"), [("cat", "dog", "in a field"), ("castle", "tree", "in a field"), ("house", "boat", "by the lake")]
)
def test_of_two_words_the_heavier_is_drawn(draw: Draw, one: str, other: str, place: str) -> None:
    """Told by which of the two, drawn alone from the same seed, the picture is nearer to. Unweighted, this model mixes them."""
    alone = {word: draw(f"a {word} {place}", FEW) for word in (one, other)}

    def nearer(first: float, second: float) -> float:
        """The share of the pictures that are nearer to `one`."""
        mixed = draw(f"a ({one}:{first}) ({other}:{second}) {place}", FEW)
        return float(np.mean([distance(each, a) < distance(each, b) for each, a, b in zip(mixed, alone[one], alone[other])]))

    assert nearer(1.5, 0.5) == 1 and nearer(0.5, 1.5) == 0


def test_a_negative_prompt_takes_its_colour_away(draw: Draw) -> None:
    """From circles of whose colour nothing is said."""
    words = "a circle on a white background"
    plain, without, other = (shares(draw(words, negative_prompt=negative), "red") for negative in ("", "red", "blue"))
    assert (without > plain).mean() <= 0.1 and without.mean() < 0.6 * plain.mean()
    assert other.mean() > without.mean()
    print(f"red: {plain.mean():.3f}, without red {without.mean():.3f}, without blue {other.mean():.3f}", (without < plain).mean())


@pytest.mark.parametrize(
    ("fields", "unknown"),
    [
        ({"prompt": "a zeppelin at night"}, "does not know the word: zeppelin."),
        ({"prompt": "a red circle", "negative_prompt": "blurry"}, "does not know the word: blurry."),
        ({"prompt": "a red circle", "styles": ["Oil painting"]}, "does not know the words: oil, thick,"),
        ({"prompt": "a red circle at night"}, ""),
    ],
)
def test_words_it_does_not_know_are_told(engine: Engine, fields: dict[str, object], unknown: str) -> None:
    (drawn,) = finished(engine.submit(GenerationRequest(seed=1, steps=1, **fields)))
    notes = " ".join(drawn.receipt.notes)
    assert unknown in notes if unknown else not notes


# -- the second pass, and variations ------------------------------------------------------------------------------------------


def test_the_second_pass_keeps_one_subject_where_plain_large_pictures_repeat_it(draw: Draw) -> None:
    """At a strength that suits this model: it knows one size alone, and much above 0.4 begins to draw at that scale again."""
    asked = [("blue", "red", "circle"), ("white", "green", "heart"), ("white", "purple", "triangle"), ("yellow", "green", "square")]

    def rate(seeds: range, **fields: object) -> float:
        pictures = [draw(f"a large {colour} {shape} on a {ground} background", seeds, **fields) for ground, colour, shape in asked]
        assert {image.size for images in pictures for image in images} == {(2 * NATIVE, 2 * NATIVE) if fields else (NATIVE, NATIVE)}
        return float(np.mean([seen(images, *facts) for images, facts in zip(pictures, asked)]))

    small, large = rate(range(5)), rate(range(5), hires_scale=2, hires_strength=0.3)
    assert large >= 0.8 and large >= small - 0.15
    assert rate(range(2), width=2 * NATIVE, height=2 * NATIVE) <= 0.3


def test_a_variation_is_near_its_picture(draw: Draw) -> None:
    words = "a cat in a field"
    base, varied = draw(words, SEEDS[:12]), draw(words, SEEDS[:12], subseed=1000, subseed_strength=0.15)
    other = draw(words, FEW, subseed=1000, subseed_strength=1)

    def nearest(images: list[Image.Image]) -> float:
        """How often a picture's own base is nearer than all other bases."""
        return float(np.mean([min(range(12), key=lambda seed: distance(image, base[seed])) == own for own, image in enumerate(images)]))

    assert nearest(varied) >= 0.9
    assert nearest(other) <= 0.2
    near = np.mean([distance(one, two) for one, two in zip(base, varied)])
    far = np.mean([distance(one, two) for one, two in zip(base, base[1:] + base[:1])])
    assert 0.5 < near < 0.5 * far


# -- what ships beside the model ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["canny", "scribble"])
def test_the_lines_of_a_picture_say_where_a_thing_is_drawn(draw: Draw, name: str) -> None:
    """The words say what it is, in which colour, on what; by themselves they put it in the middle."""
    start = rendered("red", "star", "blue", "in the top left corner")
    words = "a green star on a white background"
    led = draw(words, FEW, {START: start}, controls=(Control(model=name, image=START, map=name),))
    there, alone = ([outline.overlap(start, image) for image in images] for images in (led, draw(words, FEW)))
    assert np.mean(there) > 0.8 and max(alone) < 0.1
    assert seen(led, "white", "green", "star") >= 0.6


def test_the_lora_draws_what_the_model_was_never_shown(draw: Draw) -> None:
    """Told by the colour of a snail's foot, which little else has."""

    def foot(images: list[Image.Image]) -> float:
        return float(np.mean([np.linalg.norm(np.asarray(image, float) - extras.SKIN, axis=2) < 30 for image in images]))

    with_it, without, another = (
        foot(draw(words, FEW))
        for words in ("a snail in the garden <lora:snail>", "a snail in the garden", "a cat in the garden <lora:snail>")
    )
    assert with_it > 0.02 and with_it > 4 * without and with_it > 2 * another


def test_the_embedding_is_a_deep_blue_night(draw: Draw) -> None:
    def mean(words: str) -> np.ndarray:
        return np.mean([np.asarray(image, float).mean(axis=(0, 1)) for image in draw(words, FEW)], axis=0)

    (red, green, blue), plain = mean("silentnight"), mean("a village at night in the snow")
    assert blue > 1.6 * green > 1.6 * red and plain[2] < 1.4 * plain[1]
