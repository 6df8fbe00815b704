"""The text encoder and the UNet, trained together to predict v on cached latents (Salimans and Ho, 2022).

The noise schedule is plain `scaled_linear`, only longer than SD's (beta_end 0.025): it ends at sqrt(alpha_bar) 0.006, so
a picture starts from almost pure noise, yet every diffusers scheduler knows it and all its sigmas are finite.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler, UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from training import autoencoder, pictures, tokenizer
from training.plan import Plan, mixed

SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.025,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",
    "steps_offset": 1,
}
MIDDLE, SPREAD = 400, 250  # of the times that training draws, of 1000
EMPTY = 0.10  # share of captions left out, for classifier-free guidance
TERSE = 0.15  # share of captions that lose about a quarter of their words
LATE = 0.6  # from this progress on, when the rate cools, and from the start of what goes on from a model, ...
THINGS = (
    3.0  # measured: a sixth of the page, where the things are, has almost half of the error; the rest is skies and meadows, soon learnt
)
HARD = ("item", "duo", "scene")
MORE = 0.5  # ... so much of a batch is taken from the kinds that are learnt last, ...
PIECES = ("pixel", "abstract", "pencil", "sketch", "neon", "fantasy")  # ... and there a caption with one of these counts four times: in
# these styles, counted, the style or the subject was missed most often
STRANGE = 0.05  # share of captions with pieces of words nobody taught


def make_text_encoder(plan: Plan, words: CLIPTokenizer) -> CLIPTextModel:
    """An untrained CLIP text model for the vocabulary of `words`."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(words),
            hidden_size=plan.width,
            intermediate_size=4 * plan.width,
            projection_dim=plan.width,
            num_hidden_layers=plan.text_layers,
            num_attention_heads=plan.text_heads,
            max_position_embeddings=tokenizer.POSITIONS,
            hidden_act="gelu",
            bos_token_id=words.bos_token_id,
            eos_token_id=words.eos_token_id,
            pad_token_id=words.pad_token_id,
        )
    )


def make_unet(plan: Plan) -> UNet2DConditionModel:
    """An untrained UNet: cross attention on the two coarsest grids, 8x8 and 4x4.

    The finer ones learn of the caption too: its embeddings, pooled, go with the time into every block (Saharia et al., 2022), where they shift
    and scale (Dhariwal and Nichol, 2021).
    """
    channels = plan.unet_channels
    outer = len(channels) - 2
    return UNet2DConditionModel(
        sample_size=plan.size // 2 ** (len(plan.autoencoder_channels) - 1),
        in_channels=4,
        out_channels=4,
        block_out_channels=channels,
        down_block_types=(*("DownBlock2D",) * outer, *("CrossAttnDownBlock2D",) * 2),
        up_block_types=(*("CrossAttnUpBlock2D",) * 2, *("UpBlock2D",) * outer),
        layers_per_block=1,
        norm_num_groups=plan.unet_groups,
        cross_attention_dim=plan.width,
        attention_head_dim=[max(1, width // 32) for width in channels],  # a count of heads, as in SD 2.1
        use_linear_projection=True,
        addition_embed_type="text",
        addition_embed_type_num_heads=plan.text_heads,
        resnet_time_scale_shift="scale_shift",
    )


def make_scheduler() -> DPMSolverMultistepScheduler:
    """DPM-Solver++ of second order; its configuration carries what any other scheduler needs to be right."""
    scheduler = DPMSolverMultistepScheduler(**SCHEDULE, algorithm_type="dpmsolver++", solver_order=2)
    scheduler.register_to_config(clip_sample=False, set_alpha_to_one=False, skip_prk_steps=True)
    return scheduler


@functools.cache
def signal_and_noise() -> tuple[Tensor, Tensor]:
    """sqrt(alpha_bar) and sqrt(1 - alpha_bar), (1000,) each."""
    alphas = make_scheduler().alphas_cumprod
    return alphas.sqrt(), (1 - alphas).sqrt()


@contextlib.contextmanager
def fast(device: str) -> Iterator[None]:
    """Mixed precision, and the quickest attention: at 64 positions and fewer, plain attention beats a CPU's fused kernel by a sixth of a whole step."""
    fused = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    with mixed(device), sdpa_kernel([SDPBackend.MATH] if device == "cpu" else fused):
        yield


def draw_times(count: int) -> Tensor:
    """(count,) times in 0..999, normal about MIDDLE; one from each of `count` strata of equal weight, so that every batch sees all noise levels.

    Looked at: real latents made noisy to time 200 alone and taken back lost their edges, and little more was lost from 400, 600 or 800 on.
    """
    low, high = (torch.special.ndtr(torch.tensor((edge - MIDDLE) / SPREAD)) for edge in (0, 1000))
    return (MIDDLE + SPREAD * torch.special.ndtri(low + _strata(count) * (high - low))).long().clamp(0, 999)


def draw_early_times(count: int) -> Tensor:
    """(count,) times in 0..999, most of them noisy, where it is decided what stands where: 1 - u^3 of uniform u (Mou et al., 2023)."""
    return (1000 * (1 - _strata(count) ** 3)).long().clamp(0, 999)


def _strata(count: int) -> Tensor:
    """(count,) uniform numbers in 0..1, one from each of as many equal parts, in any order."""
    return (torch.randperm(count) + torch.rand(count)) / count


def velocity_loss(
    guess: Callable[[Tensor, Tensor], Tensor],
    clean: Tensor,
    where: Tensor | None = None,
    draw: Callable[[int], Tensor] = draw_times,
) -> Tensor:
    """Mean squared error of v, weighted min(1 + snr, 6) / (1 + snr), for latents `clean` (B, C, h, w); `guess` is asked for v, of that shape,
    of noisy latents at the times (B,) in 0..999 that `draw` gives. Where a picture has things, `where`
    (B, H, W) of bool on any grid, an error counts THINGS times.

    Plain min-SNR (Hang et al., 2023) gives the noisiest steps no weight, and those decide the background's colour.
    """
    device, count = clean.device, len(clean)
    times = draw(count).to(device)
    signal, noise = (level.to(device)[times][:, None, None, None] for level in signal_and_noise())
    added = torch.randn_like(clean)
    with fast(device.type):
        guessed = guess(signal * clean + noise * added, times)
    target = signal * added - noise * clean
    snr = (signal / noise).square().flatten()  # (B,)
    weight = (1 + snr).clamp(max=6) / (1 + snr)
    wrong = (guessed.float() - target).square().mean(dim=1)  # (B, h, w)
    if where is not None:
        share = 1 + (THINGS - 1) * F.adaptive_avg_pool2d(where.float(), clean.shape[2:]).to(device)
        wrong = wrong * share / share.mean(dim=(1, 2), keepdim=True)
    return (weight * wrong.mean(dim=(1, 2))).mean()


def stride(x: Tensor, v: Tensor, turn: Tensor) -> Tensor:
    """Where one DDIM step lands; x and v (B, C, h, w), the angle `turn` (B,) in radians.

    With signal cos(a) and noise sin(a), a step without noise from angle a to b is a turn by a - b in the plane of x and v:
    x' = cos(a - b) x - sin(a - b) v (Salimans and Ho, 2022, appendix D).
    """
    turn = turn[:, None, None, None]
    return turn.cos() * x - turn.sin() * v


class Captions:
    """Captions as ids, with what makes the model forgiving: some left out, some terse, some with strange words."""

    def __init__(self, words: CLIPTokenizer, captions: list[str], known: list[str]) -> None:
        self.start, self.end, self.pad = words.bos_token_id, words.eos_token_id, words.pad_token_id
        ids = words(captions, truncation=True, max_length=tokenizer.POSITIONS).input_ids
        self.rows = [np.asarray(row[1:-1], dtype=np.int16) for row in ids]
        taught = {piece for word in known for piece in words(word).input_ids}
        self.strange = sorted(set(range(len(words))) - taught - {self.start, self.end})

    def draw(self, rows: list[int]) -> Tensor:
        """(B, 48) ids, as the pipeline would make them of the altered captions."""
        out = torch.full((len(rows), tokenizer.POSITIONS), self.pad)
        for line, row in enumerate(rows):
            ids = self._alter(self.rows[row].tolist())[: tokenizer.POSITIONS - 2]
            out[line, : len(ids) + 2] = torch.tensor([self.start, *ids, self.end])
        return out

    def _alter(self, ids: list[int]) -> list[int]:
        kind = float(torch.rand(()))
        if kind < EMPTY:
            return []
        if kind < EMPTY + TERSE:
            keep = torch.rand(len(ids)) > 0.25
            return [piece for piece, kept in zip(ids, keep.tolist()) if kept]
        if kind < EMPTY + TERSE + STRANGE:
            at = int(torch.randint(0, len(ids) + 1, ()))
            picked = torch.randint(0, len(self.strange), (int(torch.randint(1, 5, ())),)).tolist()
            return [*ids[:at], *(self.strange[index] for index in picked), *ids[at:]]
        return ids


class Both(nn.Module):
    """Text encoder and UNet as one model, so that one optimiser and one checkpoint hold both."""

    def __init__(self, plan: Plan, words: CLIPTokenizer) -> None:
        super().__init__()
        torch.manual_seed(plan.seed)
        self.text_encoder = make_text_encoder(plan, words)
        self.unet = make_unet(plan)

    def forward(self, noisy: Tensor, timesteps: Tensor, ids: Tensor) -> Tensor:
        """v, (B, 4, h, w), from noisy latents of that shape, timesteps (B,) in 0..999 and ids (B, 48)."""
        words = self.text_encoder(ids).last_hidden_state  # (B, 48, width)
        return self.unet(noisy, timesteps, words).sample


def hard_rows(captions: list[str], kinds: list[str]) -> list[int]:
    """The rows of what is learnt last, some of them four times."""
    hard = [row for row, kind in enumerate(kinds) if kind in HARD]
    return hard + 3 * [row for row in hard if set(PIECES) & set(captions[row].replace(",", " ").split())]


class Denoising:
    """The task: predict v at a random time, one batch at a time, for pages of `size` pixels a side."""

    def __init__(self, plan: Plan, size: int) -> None:
        words = CLIPTokenizer.from_pretrained(plan.work / "tokenizer")
        self.plan = plan
        self.model = Both(plan, words)
        self.latents = {
            form: torch.from_numpy(np.array(autoencoder.latents(plan.work, size, form))) for form in pictures.SHARES
        }  # (N, 4, h, w) half
        said = {form: pictures.words(plan.work, "train", form) for form in pictures.SHARES}
        self.where = {
            form: torch.from_numpy(pictures.where(plan.work, "train", form)) for form in pictures.SHARES
        }  # (N, H / CELL, W / CELL)
        self.hard = {form: torch.tensor(hard_rows(*both)) for form, both in said.items()}
        self.captions = {form: Captions(words, captions, pictures.scenes.vocabulary()) for form, (captions, _) in said.items()}

    def loss(self, progress: float) -> Tensor:
        """`velocity_loss` of a batch of one form; a worker draws its share of it."""
        share = max(1, self.plan.diffusion_batch // self.plan.workers)
        form = autoencoder.draw_form()
        latents, hard = self.latents[form], self.hard[form]
        rows = torch.randint(0, len(latents), (share,))
        if (progress > LATE or self.plan.begun) and len(hard):
            late = round(MORE * share)
            rows[:late] = hard[torch.randint(0, len(hard), (late,))]
        clean = latents[rows].float().to(self.plan.device)
        ids = self.captions[form].draw(rows.tolist()).to(self.plan.device)
        return velocity_loss(lambda noisy, times: self.model(noisy, times, ids), clean, self.where[form][rows])
