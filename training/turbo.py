"""The turbo variant: the same model, distilled to draw in four steps without guidance.

The teacher's guided ways from noise to picture are recorded once; the student, which starts as the teacher, learns to walk
each in four strides of DDIM. That is progressive distillation (Salimans and Ho, 2022, https://arxiv.org/abs/2202.00512) in
one leap instead of several halvings, with the guidance put into the weights (Meng et al., 2023, https://arxiv.org/abs/2210.03142).

A stride is a turn in the plane of x and v, so the v that lands on a given point can be read off.
"""

import functools
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler
from torch import Tensor
from tqdm import tqdm
from transformers import CLIPTokenizer

from training import autoencoder, card, contact, diffusion, export, parallel, pictures, tokenizer
from training.plan import Plan

STRIDES = 4
DEFAULTS = {**export.DEFAULTS, "steps": STRIDES, "guidance": 1.0, "sampler": "DDIM"}
RATE = 5e-4  # the weights are nearly right already
BLOCK = 64  # ways walked at a time
EMPTY = 50  # one caption in so many is empty

TEXT = """---
library_name: diffusers
pipeline_tag: text-to-image
license: mit
tags: [stable-diffusion, from-scratch, distilled]
---
# The built-in model, turbo

`{teacher}` in {strides} steps without guidance instead of {steps} with it: {strides} calls of the UNet a picture, not {calls}. It has learnt
from that model alone. `python -m training --turbo` distilled it (progressive distillation, Salimans and Ho, 2022) from {ways} of that
model's own ways from noise to a picture, {minutes:.0f} minutes of training on {device}.

- Defaults: {strides} steps, guidance 1, DDIM ([defaults.json](defaults.json)). It was taught these {strides} steps and no others.
- Any seed of these prompts, none chosen for its looks: the k-th picture has seed k.

![contact sheet](contact.webp)

What strangers would type, four seeds of each: [strangers.webp](strangers.webp).

## Scores

{scores}
"""

Block = tuple[str, int, int]  # a form of page; its ways from here to there


def make_scheduler() -> DDIMScheduler:
    """DDIM as the student has learnt it: its last stride ends at the picture itself, with no noise left."""
    return DDIMScheduler(**diffusion.SCHEDULE, clip_sample=False, set_alpha_to_one=True)


def levels() -> tuple[Tensor, Tensor]:
    """The timesteps the strides start from, (4,), and the angle by which each turns, (4,) in radians; the signal is an angle's cosine."""
    scheduler = make_scheduler()
    scheduler.set_timesteps(STRIDES)
    angles = scheduler.alphas_cumprod[scheduler.timesteps].sqrt().acos()
    return scheduler.timesteps, -torch.cat([angles, torch.zeros(1)]).diff()


def needed(x: Tensor, landing: Tensor, turn: Tensor) -> Tensor:
    """The v with which `diffusion.stride` goes from x to `landing`; shapes as there."""
    turn = turn[:, None, None, None]
    return (turn.cos() * x - landing) / turn.sin()


def record(plan: Plan) -> None:
    """Write `work/ways-STEPS-GUIDANCE/FORM.npy`: the teacher's latents where the strides start and at the end, (N, 5, C, h, w) half floats.

    What is there is kept: a block whose last way is zeros is one not recorded yet, so a kill costs one block.
    """
    for form, share in pictures.SHARES.items():
        _make_room(plan, form, max(1, round(share * plan.ways)))
    todo = [block for form in pictures.SHARES for block in _blocks(plan, form) if not _ways(plan, form)[block[2] - 1].any()]
    with ProcessPoolExecutor(plan.workers, get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        walked = (map if plan.workers == 1 else pool.map)(functools.partial(_record_block, plan), todo)
        list(tqdm(walked, "recording ways", total=len(todo), mininterval=10))


@torch.no_grad()
def walk(teacher: diffusion.Both, ids: Tensor, empty: Tensor, start: Tensor) -> Tensor:
    """The teacher's way, as the app draws, from noise `start` (B, C, h, w): (B, 5, C, h, w). Ids are (B, 48), of no caption (1, 48)."""
    steps, guidance = export.DEFAULTS["steps"], export.DEFAULTS["guidance"]
    scheduler = diffusion.make_scheduler()
    scheduler.set_timesteps(steps)
    words = teacher.text_encoder(torch.cat([empty.expand_as(ids), ids])).last_hidden_state  # (2 B, 48, width)
    x, way = start, [start]
    for done, time in enumerate(scheduler.timesteps, start=1):
        without, told = teacher.unet(torch.cat([x, x]), time, words).sample.float().chunk(2)
        x = scheduler.step(without + guidance * (told - without), time, x).prev_sample
        if done % (steps // STRIDES) == 0:
            way.append(x)
    return torch.stack(way, dim=1)


def _file(plan: Plan, form: str) -> Path:
    return plan.work / f"ways-{plan.size}-{export.DEFAULTS['steps']}-{export.DEFAULTS['guidance']}" / f"{form}.npy"


def _ways(plan: Plan, form: str, mode: str = "r") -> np.ndarray:
    return np.load(_file(plan, form), mmap_mode=mode)


def _make_room(plan: Plan, form: str, count: int) -> None:
    path = _file(plan, form)
    if not path.exists():
        shape = autoencoder.latents(plan.work, plan.size, form).shape[1:]
        path.parent.mkdir(exist_ok=True)
        partial = path.with_suffix(".part")
        np.lib.format.open_memmap(partial, mode="w+", dtype=np.float16, shape=(count, STRIDES + 1, *shape)).flush()
        os.replace(partial, path)


def _blocks(plan: Plan, form: str) -> list[Block]:
    count = len(_ways(plan, form))
    return [(form, start, min(start + BLOCK, count)) for start in range(0, count, BLOCK)]


def _captions(plan: Plan, form: str, start: int, stop: int) -> list[str]:
    """What these ways are asked for: the training pictures' captions one after the other, now and then nothing."""
    said, _ = pictures.words(plan.work, "train", form)
    return [said[way % len(said)] if way % EMPTY else "" for way in range(start, stop)]


def _encode(plan: Plan, captions: list[str]) -> Tensor:
    """(B, 48) ids."""
    return torch.tensor(tokenizer.encode(CLIPTokenizer.from_pretrained(plan.work / "tokenizer"), captions))


def _record_block(plan: Plan, block: Block) -> None:
    form, start, stop = block
    ways = _ways(plan, form, "r+")[start:stop]
    random = np.random.default_rng([plan.seed, list(pictures.SHARES).index(form), start])  # the block's own, whoever walks it
    noise = torch.from_numpy(random.standard_normal(ways[:, 0].shape, dtype=np.float32)).to(plan.device)
    ids = _encode(plan, ["", *_captions(plan, form, start, stop)]).to(plan.device)
    with diffusion.fast(plan.device):
        ways[:] = walk(_teacher(plan), ids[1:], ids[:1], noise).half().cpu().numpy()
    ways.flush()


@functools.cache
def _teacher(plan: Plan) -> diffusion.Both:
    return export.load_both(plan).to(plan.device)


class Distilling:
    """The task: from where a stride starts, or from where the student's own last one landed, to where the teacher's way goes on."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.model = plan, export.load_both(plan)
        self.ways = {form: _ways(plan, form) for form in pictures.SHARES}  # (N, 5, C, h, w) half
        self.ids = {form: _encode(plan, _captions(plan, form, 0, len(ways))) for form, ways in self.ways.items()}  # (N, 48)
        self.times, self.turns = (level.to(plan.device) for level in levels())

    def loss(self, progress: float) -> Tensor:
        """Squared distance of the landing from the teacher's way, over the squared sine of the stride's turn.

        An error of v moves the landing by the sine of the turn: 0.07 of it in the first stride, 0.64 in the last. Unweighted, the
        first, which decides what is drawn, would hardly count. So weighted, this is the mean squared error of v, which has about unit
        variance at all levels and is what the teacher was trained with.
        """
        share = max(1, self.plan.diffusion_batch // self.plan.workers)
        form = autoencoder.draw_form()
        rows = torch.randint(0, len(self.ways[form]), (share,))
        ids = self.ids[form][rows].to(self.plan.device)
        # All strides equally often; every other one but the first starts from the student's own landing, to correct its drift.
        place = torch.arange(share) + torch.randint(0, 2 * STRIDES, ())
        at = place % STRIDES  # (B,) which stride
        own = (at > 0) & (place // STRIDES % 2 == 1)  # (B,)
        start, goal = self._points(form, rows, at), self._points(form, rows, at + 1)
        if own.any():
            with torch.no_grad():
                start[own] = self.land(self._points(form, rows[own], at[own] - 1), at[own] - 1, ids[own])
        wrong = self.guess(start, at, ids) - needed(start, goal, self.turns[at])
        return wrong.square().mean()

    def guess(self, x: Tensor, at: Tensor, ids: Tensor) -> Tensor:
        """The student's v, (B, C, h, w), at x of that shape, where the strides `at` (B,) in 0..3 start, for ids (B, 48)."""
        with diffusion.fast(self.plan.device):
            return self.model(x, self.times[at], ids).float()

    def land(self, x: Tensor, at: Tensor, ids: Tensor) -> Tensor:
        """Where the student's strides `at` lead from x; shapes as in `guess`."""
        return diffusion.stride(x, self.guess(x, at, ids), self.turns[at])

    def _points(self, form: str, rows: Tensor, at: Tensor) -> Tensor:
        """The teacher's ways `rows` (B,) at their points `at` (B,) in 0..4: (B, C, h, w)."""
        return torch.from_numpy(self.ways[form][rows.numpy(), at.numpy()]).float().to(self.plan.device)


def write(plan: Plan, out: Path) -> None:
    """Replace the model in `out` by the student as it stands, with a card and contact sheets of its own."""
    pipe = export.pipeline(plan, "turbo")
    pipe.scheduler = make_scheduler()
    export.save(pipe, DEFAULTS, out)
    text = TEXT.format(
        teacher=plan.out.name,
        strides=STRIDES,
        steps=export.DEFAULTS["steps"],
        calls=2 * export.DEFAULTS["steps"],
        ways=f"{sum(len(_ways(plan, form)) for form in pictures.SHARES):,}",
        minutes=parallel.load(plan.work / "turbo.pt")["elapsed"] / 60,
        device=card.device_name(plan.device),
        scores=f"{card.BEGIN}\nNot scored yet: `python -m training.score TEACHER --turbo FOLDER`.\n{card.END}",
    )
    (out / "README.md").write_text(text)
    contact.draw(out)
