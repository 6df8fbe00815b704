"""One picture in progress, led by a model that knows the answer: then each guess on the way is that answer, whatever the sampler."""

from __future__ import annotations

import pytest
import tiny
import torch
from PIL import Image
from studio import photo

from webapp.craft import SAMPLERS
from webapp.engine import checkpoint
from webapp.engine.model import Model
from webapp.engine.task import Start, Task, slerp
from webapp.library import Library
from webapp.schema import GenerationRequest

pytestmark = pytest.mark.filterwarnings("ignore:Should have t[ab]")  # torchsde's rounding
WISH = GenerationRequest(prompt="a cat", seed=4, width=64, height=64, steps=20, guidance=5, sampler="DDIM")


@pytest.fixture(scope="module", params=["epsilon", "v_prediction", "builtin"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tiny.folder(tmp_path_factory.mktemp("model"), request.param)
    return Model(checkpoint.load(folder, "cpu", torch.float32), Library())


def begin(model: Model, **changes: object) -> Task:
    request = WISH.model_copy(update=changes)
    return Task(request, Start(request.width, request.height, request.steps), model)


@pytest.mark.parametrize("sampler", SAMPLERS)
@torch.inference_mode()
def test_each_guess_is_what_the_model_means(model: Model, sampler: str) -> None:
    task = begin(model, sampler=sampler)
    answer = torch.randn(task.latents.shape, generator=torch.Generator().manual_seed(1))
    while not task.done:
        signal = task.scheduler.alphas_cumprod[round(float(task.timestep))]
        noise = (task.sample - signal.sqrt() * answer) / (1 - signal).sqrt()  # (rows, 4, 8, 8)
        if task.scheduler.config.prediction_type == "v_prediction":
            noise = signal.sqrt() * noise - (1 - signal).sqrt() * answer
        task.advance(noise)
        assert torch.allclose(task.guess(), answer, atol=0.01)
    assert task.step == task.steps
    assert (task.latents - answer).abs().mean() < 0.1


@torch.inference_mode()
def test_guidance_leads_from_the_negative_prompt_to_the_prompt(model: Model) -> None:
    task = begin(model)
    noise = torch.randn(task.sample.shape)
    task.advance(noise)
    plain = begin(model, guidance=1.0)
    plain.advance(noise[:1] + 5 * (noise[1:] - noise[:1]))
    assert (task.rows, plain.rows) == (2, 1)
    assert torch.allclose(task.latents, plain.latents)


@torch.inference_mode()
def test_rows_are_equal_and_embeddings_match_them(model: Model) -> None:
    task, plain = begin(model), begin(model, guidance=0.0)
    assert task.sample.shape == (2, 4, 8, 8)
    assert torch.equal(task.sample[0], task.sample[1])
    assert task.embeddings.shape == (2, 77, 32)
    assert plain.sample.shape == (1, 4, 8, 8)
    assert torch.equal(plain.embeddings[0], task.embeddings[1])


@torch.inference_mode()
def test_outside_the_mask_it_ends_in_the_image(model: Model) -> None:
    """To the bit, whatever the UNet says; inside the mask in what it says."""
    mask = Image.new("L", (64, 64))
    mask.paste(255, (0, 0, 64, 32))
    task = Task(WISH, Start(64, 64, WISH.steps, 0.6, photo(1), mask), model)
    image = model.checkpoint.space.encode(photo(1), torch.Generator("cpu").manual_seed(WISH.seed))
    while not task.done:
        task.advance(torch.randn(task.sample.shape, generator=torch.Generator().manual_seed(task.step)))
    assert task.steps == 12
    assert torch.equal(task.latents[..., 4:, :], image[..., 4:, :])
    assert (task.latents[..., :4, :] - image[..., :4, :]).abs().mean() > 0.1


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.8, 1.0])
def test_noise_between_two_noises_is_as_strong_as_either(share: float) -> None:
    one, other = (torch.randn(1, 4, 32, 32, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
    between = slerp(one, other, share)
    assert between.std().item() == pytest.approx(1, abs=0.03)
    assert torch.equal(slerp(one, other, 0.0), one)
    assert torch.equal(slerp(one, other, 1.0), other)
    assert torch.equal(slerp(one, one, share), one)
