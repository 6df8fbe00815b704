"""Looking inside a model: its words, its noise, its latents, and what each word attends to. Apart from the engine because here a picture
is drawn to be looked at on its way, one alone and by whoever calls. Prompts are read as diffusers reads them: one chunk of tokens, 75 in SD, no weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import interpolate, scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from webapp.engine import samplers
from webapp.engine.checkpoint import Checkpoint
from webapp.engine.conditioning import Conditioner
from webapp.engine.healing import DECODED_AGAIN, DRAWN_AGAIN
from webapp.engine.latents import Blank, finished
from webapp.engine.task import slerp
from webapp.schema import GenerationRequest, Receipt


class Words(NamedTuple):
    """A prompt as the UNet is given it. `tokens` are the text's own, without start, end and padding: (id, text, place among the 77).
    `words` are the places of each word's tokens; a word that comes twice has those of both."""

    tokens: list[tuple[int, str, int]]
    words: dict[str, list[int]]
    embeddings: torch.Tensor  # (1, 77, width)


@torch.inference_mode()
def read(checkpoint: Checkpoint, text: str) -> Words:
    """A prompt's tokens and embeddings; what is longer than the text encoder can take is cut off."""
    tokenizer, encoder = checkpoint.tokenizer, checkpoint.text_encoder
    size = encoder.config.max_position_embeddings
    coding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    ids = coding.input_ids[: size - 2]
    tokens = [(id, text[start:end], place) for place, (id, (start, end)) in enumerate(zip(ids, coding.offset_mapping), 1)]
    groups: dict[int, list[tuple[str, int]]] = {}
    for (_, piece, place), word in zip(tokens, coding.word_ids()):
        groups.setdefault(word, []).append((piece, place))
    words: dict[str, list[int]] = {}
    for group in groups.values():
        words.setdefault("".join(piece for piece, _ in group).strip(), []).extend(place for _, place in group)
    padded = [tokenizer.bos_token_id, *ids, tokenizer.eos_token_id]
    padded += [tokenizer.pad_token_id] * (size - len(padded))
    embeddings = encoder(torch.tensor([padded], device=encoder.device)).last_hidden_state
    return Words(tokens, words, embeddings)


def scheduler(checkpoint: Checkpoint, request: GenerationRequest) -> samplers.SchedulerMixin:
    """A fresh one as the engine would take it for this request, which has every field filled in."""
    return samplers.build(request.sampler, request.schedule, checkpoint.scheduler_config, request.steps, checkpoint.device, request.seed)


def noise(checkpoint: Checkpoint, request: GenerationRequest, generator: torch.Generator | None = None) -> torch.Tensor:
    """What the request's seed begins with: (1, channels, height / 8, width / 8), Gaussian. A `generator` is to be at that seed."""
    return checkpoint.space.noise(request.width, request.height, generator or torch.Generator("cpu").manual_seed(request.seed))


def signal(checkpoint: Checkpoint) -> torch.Tensor:
    """The picture's share of the variance at each of the training's timesteps, (1000,), from nearly 1 down to nearly 0; the rest is noise."""
    return samplers.build("Euler", "", checkpoint.scheduler_config, 1, "cpu").alphas_cumprod.float()


@torch.inference_mode()
def encode(checkpoint: Checkpoint, image: Image.Image, seed: int = 0) -> torch.Tensor:
    """The latents of a picture whose sides 8 divides: (1, channels, height / 8, width / 8)."""
    return checkpoint.space.encode(image.convert("RGB"), torch.Generator("cpu").manual_seed(seed))


@torch.inference_mode()
def decode(checkpoint: Checkpoint, latents: torch.Tensor) -> Image.Image:
    """The picture of latents (1, channels, h, w), be it of one colour; in float32 if half precision overflows."""
    latents = latents.to(checkpoint.device, checkpoint.dtype)
    try:
        return finished(checkpoint.space.decode(latents)[0])
    except Blank:
        pixels = checkpoint.space.decode_precisely(latents.nan_to_num())[0]
    levels = (pixels.movedim(0, -1).nan_to_num() / 2 + 0.5).clamp(0, 1) * 255
    return Image.fromarray(levels.round().byte().cpu().numpy())


@torch.inference_mode()
def apart(checkpoint: Checkpoint, receipt: Receipt) -> str:
    """Why what `read`, `denoise` and `decode` make of a receipt's request is another picture than the engine's; empty if it is the same."""
    if {DRAWN_AGAIN, DECODED_AGAIN} & set(receipt.notes):
        return "Half precision overflowed here. The engine drew this picture in float32, the loop by hand did not."
    wanted = receipt.request
    texts = [wanted.negative_prompt, wanted.prompt] if wanted.guidance > 1 else [wanted.prompt]
    plain = torch.cat([read(checkpoint, text).embeddings for text in texts])
    words = Conditioner(checkpoint.tokenizer, checkpoint.text_encoder).condition(
        wanted.prompt, wanted.negative_prompt, guided=wanted.guidance > 1, steps=wanted.steps, clip_skip=wanted.clip_skip
    )
    if receipt.add_ons or any(not torch.equal(plain, words.at(step)) for step in range(wanted.steps)):
        most = plain.shape[1] - 2
        return f"Here prompts are read plainly, and up to {most} tokens of them. The engine reads weights, add-ons and all the rest."
    return ""


@torch.inference_mode()
def denoise(
    checkpoint: Checkpoint,
    request: GenerationRequest,
    embeddings: torch.Tensor,
    watch: Callable[[torch.Tensor], None] = lambda latents: None,
) -> torch.Tensor:
    """The latents that the request's seed, steps, guidance and sampler make of embeddings (1, 77, width) in place of its prompt's.
    `watch` is shown them after each step."""
    steps = scheduler(checkpoint, request)
    rows = torch.cat([read(checkpoint, request.negative_prompt).embeddings, embeddings]) if request.guidance > 1 else embeddings
    generator = torch.Generator("cpu").manual_seed(request.seed)
    latents = noise(checkpoint, request, generator) * steps.init_noise_sigma
    extra = samplers.extra(steps, generator, request.eta)
    for timestep in steps.timesteps:
        sample = torch.cat([steps.scale_model_input(latents, timestep)] * len(rows))
        said = checkpoint.unet(sample, timestep, encoder_hidden_states=rows, return_dict=False)[0]
        if len(rows) == 2:
            without, wanted = said.chunk(2)
            said = without + request.guidance * (wanted - without)
        latents = steps.step(said, timestep, latents, **extra, return_dict=False)[0]
        watch(latents)
    return latents


def walk(checkpoint: Checkpoint, request: GenerationRequest, other: str, frames: int) -> Iterator[Image.Image]:
    """Pictures from the request's prompt to the `other`, from the same noise: the embeddings go over in `frames` equal steps of angle."""
    start, end = (read(checkpoint, text).embeddings for text in (request.prompt, other))
    for frame in range(frames):
        between = slerp(start, end, frame / max(1, frames - 1))
        yield decode(checkpoint, denoise(checkpoint, request, between))


def attention(checkpoint: Checkpoint, request: GenerationRequest) -> tuple[Image.Image, dict[str, np.ndarray]]:
    """The request's picture, and for each of its words where in it the word was looked at: (height / 8, width / 8), a share of the
    attention, 0 to 1.

    The mean over steps, heads and the layers on the UNet's way up, the prompt's row alone; the method is DAAM's (Tang et al. 2022,
    arXiv 2210.04885), which takes all layers. On the way down and in the middle a word is still read for the picture as a whole.
    """
    seen = read(checkpoint, request.prompt)
    with _Watching(checkpoint, noise(checkpoint, request).shape[-2:]) as watching:
        latents = denoise(checkpoint, request, seen.embeddings, watch=lambda latents: watching.collect())
    maps = watching.mean()  # (77, h, w)
    return decode(checkpoint, latents), {word: maps[places].sum(0) for word, places in seen.words.items()}


class _Watching(TorchFunctionMode):
    """While this lasts, works out again how much each place of the picture looks at each of the 77, in this thread's calls alone. The
    model is not changed, and what it computes stays the same."""

    def __init__(self, checkpoint: Checkpoint, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.grids = [tuple(-(-side // 2**level) for side in size) for level in range(max(size).bit_length() + 1)]  # of a UNet's levels
        self.upward = sum(name.endswith("attn2") for name, _ in checkpoint.unet.up_blocks.named_modules())  # the last in each call
        self.calls: list[torch.Tensor] = []
        self.total, self.steps = torch.zeros(()), 0

    def __torch_function__(self, function: Callable, types: object, args: tuple = (), kwargs: dict | None = None) -> object:
        if function is scaled_dot_product_attention and args[0].shape[-2] != args[1].shape[-2]:  # not a picture looking at itself
            query, key = (part[-1].float() for part in args[:2])  # (heads, h * w, d), (heads, 77, d) of the prompt's row
            self.calls.append((query @ key.mT / query.shape[-1] ** 0.5).softmax(-1).mean(0).mT)  # (77, h * w)
        return function(*args, **(kwargs or {}))

    def collect(self) -> None:
        """At the end of a step."""
        for call in self.calls[-self.upward :]:
            height, width = next(grid for grid in self.grids if math.prod(grid) == call.shape[1])
            self.total = self.total + interpolate(call.view(1, -1, height, width), self.size, mode="bilinear")[0].cpu()
        self.calls.clear()
        self.steps += 1

    def mean(self) -> np.ndarray:
        return (self.total / (self.steps * self.upward)).numpy()
