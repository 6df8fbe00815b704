"""What a model paints and what comes back: every pixel that nobody asked to change is the same, to the last bit."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from webapp.engine.canvas import Canvas, crop_box, feather, size_for
from webapp.errors import InvalidRequest
from webapp.schema import GenerationRequest

RANDOM = np.random.default_rng(0)


def wish(width: int = 64, height: int = 64, **fields) -> GenerationRequest:
    return GenerationRequest(prompt="a cat", seed=7, width=width, height=height, **fields)


def photo(width: int, height: int) -> Image.Image:
    return Image.fromarray(RANDOM.integers(0, 256, (height, width, 3), np.uint8))


def mask_of(size: tuple[int, int], *boxes: tuple[int, int, int, int]) -> Image.Image:
    mask = Image.new("L", size)
    for box in boxes:
        mask.paste(255, box)
    return mask


def some_mask(size: tuple[int, int]) -> Image.Image:
    """Rectangles and dust."""
    width, height = size
    pixels = RANDOM.random((height, width)) < 0.01
    for _ in range(3):
        x, y = RANDOM.integers(0, width), RANDOM.integers(0, height)
        pixels[y : y + RANDOM.integers(1, height // 2), x : x + RANDOM.integers(1, width // 2)] = True
    return Image.fromarray(np.where(pixels, np.uint8(255), np.uint8(0)))


def other(image: Image.Image) -> Image.Image:
    """A drawing that differs from `image` at every pixel."""
    return Image.fromarray(np.asarray(image) ^ 128)


def levels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


# sizes


@pytest.mark.parametrize(
    "image, native, size",
    [
        ((512, 512), 512, (512, 512)),
        ((1024, 1024), 512, (512, 512)),
        ((100, 100), 768, (768, 768)),
        ((4000, 3000), 512, (592, 448)),
        ((1920, 1080), 768, (1024, 576)),
        ((30, 3000), 512, (64, 2048)),
        ((1, 1), 128, (128, 128)),
    ],
)
def test_a_size_keeps_the_shape_and_the_models_area(image, native, size):
    assert size_for(image, native, native) == size


def test_sizes_are_always_drawable():
    for _ in range(300):
        width, height = size_for(tuple(RANDOM.integers(1, 6000, 2)), *RANDOM.choice([128, 512, 768, 1024], 2))
        wish(int(width), int(height))  # validates
        assert width % 8 == 0 and 64 <= width <= 2048 and height % 8 == 0 and 64 <= height <= 2048


# image-to-image


def test_without_a_mask_the_drawn_picture_is_the_result():
    image = photo(96, 64)
    canvas = Canvas.of(wish(64, 64), image)
    assert canvas.size == (64, 64) and canvas.mask is None
    assert (levels(canvas.start) == levels(image.crop((16, 0, 80, 64)))).all()  # aspect kept, centre cut
    drawn = photo(64, 64)
    assert canvas.finish(drawn) is drawn


def test_a_fitting_image_is_not_touched():
    image = photo(72, 64)
    assert (levels(Canvas.of(wish(72, 64), image).start) == levels(image)).all()


def test_a_turned_image_is_upright_on_the_canvas():
    image = photo(64, 96)
    image.getexif()[0x0112] = 6
    canvas = Canvas.of(wish(96, 64), image)
    assert (levels(canvas.start) == levels(image.transpose(Image.Transpose.ROTATE_270))).all()


# feathering


@pytest.mark.parametrize("blur", [0, 1, 2, 4, 9, 64])
def test_a_straight_edge_fades_inwards_over_the_blur(blur):
    mask = np.zeros((20, 400), bool)
    mask[:, 200:] = True
    weight = levels(feather(mask, blur))
    assert (weight[:, :200] == 0).all()
    assert (weight[:, 200 + blur :] == 255).all()
    assert (np.diff(weight[10]) >= 0).all()
    assert blur < 2 or (weight[:, 200 + blur // 2] < 255).all()


def test_the_masks_edge_at_the_images_edge_does_not_fade():
    mask = np.zeros((60, 60), bool)
    mask[:, 30:] = True
    assert (levels(feather(mask, 8))[:, 38:] == 255).all()


@pytest.mark.parametrize("width", [1, 3, 8])
@pytest.mark.parametrize("blur", [4, 16, 64])
def test_a_thin_stroke_is_not_washed_away(width, blur):
    mask = np.zeros((200, 200), bool)
    mask[100 : 100 + width, 20:180] = True
    weight = levels(feather(mask, blur))
    assert weight[100 + width // 2, 100] >= 250
    assert (weight[~mask] == 0).all()


@pytest.mark.parametrize("blur", [4, 16, 64])
def test_a_dot_is_not_washed_away(blur):
    mask = np.zeros((200, 200), bool)
    mask[50, 50] = mask[150:153, 150:153] = True
    weight = levels(feather(mask, blur))
    assert weight[50, 50] >= 250 and weight[151, 151] >= 250
    assert (weight[~mask] == 0).all()


# inpainting


@pytest.mark.parametrize("blur", [0, 1, 4, 17, 64])
@pytest.mark.parametrize("size", [(64, 64), (80, 120), (200, 104)])
def test_outside_the_mask_every_pixel_is_the_images_own(size, blur):
    image, mask = photo(*size), some_mask(size)
    canvas = Canvas.of(wish(*size, mask_blur=blur), image, mask)
    drawn = other(image)
    result = canvas.finish(drawn)
    outside = levels(mask) == 0
    assert canvas.size == result.size == size
    assert (levels(result)[outside] == levels(image)[outside]).all()
    assert (levels(canvas.mask) == levels(mask)).all()
    whole = levels(feather(~outside, blur)) == 255
    assert whole.any() and (levels(result)[whole] == levels(drawn)[whole]).all()


def test_a_resized_image_is_kept_as_it_was_resized():
    image, mask = photo(300, 200), mask_of((300, 200), (100, 50, 200, 150))
    canvas = Canvas.of(wish(96, 96), image, mask)
    result = canvas.finish(other(canvas.start))
    outside = levels(canvas.mask) == 0
    assert result.size == (96, 96)
    assert (levels(result)[outside] == levels(canvas.start)[outside]).all()
    assert 0.2 < 1 - outside.mean() < 0.3  # of 200 x 200 pixels that are left, 100 x 100 are masked


def test_a_mask_of_another_size_is_stretched_over_the_image():
    canvas = Canvas.of(wish(64, 64), photo(64, 64), mask_of((16, 32), (8, 0, 16, 32)))
    assert (levels(canvas.mask)[:, :32] == 0).all() and (levels(canvas.mask)[:, 32:] == 255).all()


@pytest.mark.parametrize("only_masked", [False, True])
def test_an_empty_mask_gets_a_sentence(only_masked):
    with pytest.raises(InvalidRequest, match="empty") as error:
        Canvas.of(wish(only_masked=only_masked), photo(64, 64), Image.new("L", (64, 64)))
    assert list(error.value.fields) == ["mask"]


def test_a_mask_that_is_cut_away_with_the_images_sides_counts_as_empty():
    with pytest.raises(InvalidRequest, match="empty"):
        Canvas.of(wish(), photo(128, 64), mask_of((128, 64), (0, 0, 20, 64)))


def test_a_drawing_of_another_size_comes_back_in_the_canvass_size():
    image, mask = photo(64, 64), mask_of((64, 64), (0, 0, 32, 64))
    result = Canvas.of(wish(), image, mask).finish(photo(128, 128))
    assert result.size == (64, 64) and (levels(result)[:, 32:] == levels(image)[:, 32:]).all()


# only what is masked


@pytest.mark.parametrize(
    "bounds, image, shape, padding, box",
    [
        ((40, 40, 60, 60), (100, 100), (64, 64), 0, (40, 40, 60, 60)),
        ((40, 40, 60, 60), (100, 100), (64, 64), 10, (30, 30, 70, 70)),
        ((0, 0, 10, 10), (100, 100), (64, 64), 10, (0, 0, 20, 20)),
        ((40, 45, 60, 55), (100, 100), (64, 64), 0, (40, 40, 60, 60)),  # grown to a square
        ((90, 40, 100, 80), (100, 100), (64, 64), 0, (60, 40, 100, 80)),  # and pushed inside
        ((40, 40, 60, 60), (100, 100), (128, 64), 0, (30, 40, 70, 60)),
        ((0, 10, 100, 20), (100, 50), (64, 64), 0, (0, 0, 100, 50)),  # as square as it gets
    ],
)
def test_a_crop_takes_the_canvass_shape(bounds, image, shape, padding, box):
    assert crop_box(bounds, image, shape, padding) == box


def test_a_crop_holds_the_mask_and_stays_in_the_image():
    for _ in range(500):
        width, height = RANDOM.integers(8, 300, 2)
        left, top = RANDOM.integers(0, width), RANDOM.integers(0, height)
        right, bottom = RANDOM.integers(left + 1, width + 1), RANDOM.integers(top + 1, height + 1)
        shape = tuple(RANDOM.integers(8, 257, 2) * 8)
        crop = crop_box((left, top, right, bottom), (width, height), shape, int(RANDOM.integers(0, 60)))
        assert 0 <= crop[0] <= left and right <= crop[2] <= width and 0 <= crop[1] <= top and bottom <= crop[3] <= height
        free = crop[2] - crop[0] < width and crop[3] - crop[1] < height
        if free:  # else the image is too small for the shape
            assert abs((crop[2] - crop[0]) - (crop[3] - crop[1]) * shape[0] / shape[1]) <= max(1, shape[0] / shape[1])


@pytest.mark.parametrize("blur", [0, 4, 30])
@pytest.mark.parametrize("size", [(64, 64), (128, 64)])
def test_only_the_masked_part_is_drawn_and_pasted_back(blur, size):
    image, mask = photo(333, 217), mask_of((333, 217), (150, 100, 190, 130))
    canvas = Canvas.of(wish(*size, mask_blur=blur, only_masked=True, padding=8), image, mask)
    result = canvas.finish(Image.new("RGB", size, (1, 2, 3)))
    outside = levels(mask) == 0
    assert canvas.size == size and result.size == (333, 217)
    assert (levels(result)[outside] == levels(image)[outside]).all()
    assert result.getpixel((170, 115)) == (1, 2, 3)
    left, top, right, bottom = canvas.box
    assert left <= 142 and top <= 92 and right >= 198 and bottom >= 138
    share = 40 * 30 / ((right - left) * (bottom - top))
    assert (levels(canvas.mask) == 255).mean() == pytest.approx(share, abs=0.03)


def test_a_part_comes_back_where_it_was():
    image = Image.effect_noise((300, 300), 60).convert("RGB").resize((600, 600))  # smooth enough to survive two resizings
    mask = mask_of((600, 600), (200, 250, 300, 330))
    canvas = Canvas.of(wish(256, 256, only_masked=True), image, mask)
    assert np.abs(levels(canvas.finish(canvas.start)) - levels(image)).max() <= 12


# outpainting


@pytest.mark.parametrize("blur", [0, 4, 16])
@pytest.mark.parametrize("sides", [{"right": 32}, {"left": 13}, {"up": 40, "down": 5}, {"left": 8, "right": 8, "up": 8, "down": 8}])
def test_outpainting_adds_to_the_image_and_keeps_it(sides, blur):
    image = photo(128, 96)
    asked = {side: sides.get(side, 0) for side in ("left", "right", "up", "down")}
    canvas = Canvas.of(wish(128, 96, mask_blur=blur, **{f"outpaint_{side}": n for side, n in asked.items()}), image)
    width, height = canvas.size
    assert width % 8 == height % 8 == 0
    assert 0 <= width - 128 - asked["left"] - asked["right"] < 8 and 0 <= height - 96 - asked["up"] - asked["down"] < 8
    left = asked["left"] if asked["right"] else width - 128
    up = asked["up"] if asked["down"] else height - 96
    drawn = other(canvas.start)
    result, mask = levels(canvas.finish(drawn)), levels(canvas.mask)
    inner = np.s_[up : up + 96, left : left + 128]
    assert (levels(canvas.start)[inner] == levels(image)).all()
    kept = mask[inner] == 0
    assert (result[inner][kept] == levels(image)[kept]).all()
    new = np.ones((height, width), bool)
    new[inner] = False
    assert (mask[new] == 255).all() and (result[new] == levels(drawn)[new]).all()
    reach = 2 * min(blur, 12)
    expected = np.zeros((96, 128), bool)
    expected[
        reach if up else 0 : 96 - (reach if height - up > 96 else 0), reach if left else 0 : 128 - (reach if width - left > 128 else 0)
    ] = 1
    assert (kept == expected).all()


def test_the_new_sides_go_on_from_the_edges_and_come_from_the_seed():
    image = Image.new("RGB", (64, 64), (200, 100, 50))
    fields = {"outpaint_right": 64}
    once, again, differently = (Canvas.of(wish(**fields).model_copy(update={"seed": seed}), image).start for seed in (1, 1, 2))
    new = levels(once)[:, 64:]
    assert (levels(once) == levels(again)).all() and (levels(once) != levels(differently)).any()
    assert np.abs(new.mean(axis=(0, 1)) - (200, 100, 50)).max() < 3 and 8 < new.std(axis=(0, 1)).mean() < 16


def test_an_outpainted_image_may_have_a_mask_too():
    image = photo(64, 64)
    canvas = Canvas.of(wish(outpaint_left=64, mask_blur=0, only_masked=True), image, mask_of((64, 64), (32, 0, 64, 10)))
    assert canvas.size == (128, 64)
    expected = np.zeros((64, 128), bool)
    expected[:, :64] = expected[:10, 96:] = True
    assert ((levels(canvas.mask) == 255) == expected).all()
    result = levels(canvas.finish(other(canvas.start)))
    assert (result[~expected] == levels(canvas.start)[~expected]).all()


@pytest.mark.parametrize(
    "field, fields", [("outpaint_right", {"outpaint_right": 1024}), ("outpaint_up", {"outpaint_up": 700, "outpaint_down": 400})]
)
def test_a_canvas_that_grows_too_large_gets_a_sentence(field, fields):
    with pytest.raises(InvalidRequest, match="2048") as error:
        Canvas.of(wish(1032, 1032, **fields), photo(64, 64))
    assert list(error.value.fields) == [field]


def test_a_canvas_needs_no_torch():
    code = "import sys, webapp.engine.canvas; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
