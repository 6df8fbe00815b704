"""Noise and pixels, as diffusers' own pipeline has them, and previews by a linear map."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch
from diffusers import AutoencoderKL, StableDiffusionInpaintPipeline
from PIL import Image, ImageDraw
from studio import photo

from webapp.engine.checkpoint import BUILTIN
from webapp.engine.latents import LatentSpace, finished
from webapp.errors import DrawingFailed

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pipe():
    return tiny.pipeline()


@pytest.fixture(scope="module")
def space(pipe) -> LatentSpace:
    return LatentSpace(pipe.vae)


def some_latents(space: LatentSpace, seed: int = 3) -> torch.Tensor:
    return space.noise(128, 64, torch.Generator("cpu").manual_seed(seed))


@pytest.mark.parametrize(("width", "height"), [(64, 64), (128, 64), (72, 88)])
def test_noise_is_the_pipelines(pipe, space: LatentSpace, width: int, height: int) -> None:
    wanted = pipe.prepare_latents(1, 4, height, width, torch.float32, CPU, torch.Generator("cpu").manual_seed(3))
    noise = space.noise(width, height, torch.Generator("cpu").manual_seed(3))
    assert noise.shape == (1, 4, height // 8, width // 8)
    assert torch.equal(noise, wanted)


def test_a_seed_is_the_same_noise_in_every_precision(space: LatentSpace) -> None:
    halves = LatentSpace(tiny.pipeline().to(torch.bfloat16).vae)
    assert torch.equal(some_latents(halves), some_latents(space).bfloat16())


@torch.inference_mode()
def test_pictures_are_the_pipelines(pipe, space: LatentSpace) -> None:
    latents = torch.cat([some_latents(space, seed) for seed in (1, 2)])
    images = [finished(pixels) for pixels in space.decode(latents)]
    decoded = [pipe.vae.decode(each / pipe.vae.config.scaling_factor).sample for each in latents.split(1)]
    for image, wanted in zip(images, pipe.image_processor.postprocess(torch.cat(decoded)), strict=True):
        assert image.size == wanted.size == (128, 64)
        assert image.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("painted", [False, True])
@torch.inference_mode()
def test_an_image_is_encoded_as_the_pipelines_do(pipe, space: LatentSpace, painted: bool) -> None:
    """Under a mask it is grey to StableDiffusionInpaintPipeline."""
    image, hidden = photo(3, 128, 64), Image.new("L", (128, 64))
    hidden.paste(255, (16, 0, 61, 40))
    parts = {**pipe.components, "image_encoder": None}
    inpaint = StableDiffusionInpaintPipeline(**parts, requires_safety_checker=False)
    pixels = inpaint.image_processor.preprocess(image, height=64, width=128)
    if painted:
        pixels = pixels * (inpaint.mask_processor.preprocess(hidden, height=64, width=128) < 0.5)
    wanted = inpaint._encode_vae_image(pixels, torch.Generator("cpu").manual_seed(3))
    latents = space.encode(image, torch.Generator("cpu").manual_seed(3), hidden if painted else None)
    assert latents.shape == (1, 4, 8, 16)
    assert torch.equal(latents, wanted)


@torch.inference_mode()
def test_tiles_make_nearly_the_same_picture(space: LatentSpace) -> None:
    space.vae.tile_latent_min_size, space.vae.tile_sample_min_size = 16, 128  # it is trained at 64 pixels, and so are its tiles
    latents = space.noise(256, 192, torch.Generator("cpu").manual_seed(3))
    whole = space.decode(latents)
    with space.tiled():
        tiles = space.decode(latents)
    assert not torch.equal(tiles, whole)
    assert np.corrcoef(tiles.flatten(), whole.flatten())[0, 1] > 0.9
    assert torch.equal(space.decode(latents), whole)


@torch.inference_mode()
def test_a_preview_resembles_the_picture() -> None:
    """The built-in model's autoencoder, and a red sun over the sea."""
    vae = AutoencoderKL.from_pretrained(BUILTIN["builtin"] / "vae")
    picture = Image.new("RGB", (128, 128), "#79b8f0")
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 80, 128, 128), "#1f4fa0")
    draw.ellipse((70, 10, 110, 50), "#e03020")
    pixels = torch.from_numpy(np.array(picture)).movedim(-1, 0)[None] / 127.5 - 1  # (1, 3, 128, 128)
    latents = vae.encode(pixels).latent_dist.mean * vae.config.scaling_factor  # (1, 4, 16, 16)
    preview = LatentSpace(vae).preview(latents)
    small = picture.resize((16, 16), Image.Resampling.BOX)
    assert preview.size == (16, 16)
    assert np.corrcoef(np.asarray(preview).ravel(), np.asarray(small).ravel())[0, 1] > 0.85


@torch.inference_mode()
def test_a_linear_decoder_is_fitted_exactly() -> None:
    class Linear:
        """A decoder whose pixels are a linear map of the latents, blown up."""

        config = tiny.pipeline().vae.config
        device, dtype = CPU, torch.float32
        colours = torch.tensor([[0.3, -0.2, 0.1], [0.1, 0.2, 0.3], [-0.2, 0.1, 0.0], [0.0, 0.1, -0.1]])

        def decode(self, latents: torch.Tensor, return_dict: bool) -> tuple[torch.Tensor]:
            pixels = torch.einsum("nchw,cd->ndhw", latents * self.config.scaling_factor, self.colours)
            return ((pixels + 0.05).repeat_interleave(8, -1).repeat_interleave(8, -2),)

    space = LatentSpace(Linear())
    latents = some_latents(space)
    small = finished(space.decode(latents)[0]).resize((16, 8), Image.Resampling.NEAREST)
    assert np.abs(np.asarray(space.preview(latents), int) - np.asarray(small, int)).max() <= 1


@pytest.mark.parametrize(
    "pixels", [torch.full((3, 8, 8), float("nan")), torch.zeros(3, 8, 8), torch.rand(3, 8, 8).fill_(0.7)], ids=["NaN", "black", "flat"]
)
def test_a_blank_picture_is_no_picture(pixels: torch.Tensor) -> None:
    with pytest.raises(DrawingFailed, match="blank"):
        finished(pixels)


def test_one_overflowed_pixel_is_enough_to_fail() -> None:
    pixels = torch.rand(3, 8, 8)
    assert finished(pixels).size == (8, 8)
    for overflown in (float("nan"), float("inf")):
        pixels[1, 4, 4] = overflown
        with pytest.raises(DrawingFailed):
            finished(pixels)


@torch.inference_mode()
def test_a_decoder_that_overflows_is_found_when_it_draws_not_before() -> None:
    vae = tiny.pipeline().vae
    vae.decoder.conv_out.weight.fill_(float("inf"))
    space = LatentSpace(vae)
    latents = some_latents(space)
    assert space.preview(latents).size == (16, 8)
    with pytest.raises(DrawingFailed):
        finished(space.decode(latents)[0])
