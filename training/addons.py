"""`python -m training.addons`: four small things learnt beside a finished model, and put into its library for the app to find.

The model's own weights stay as they are, bit for bit. Stop it whenever; the same command goes on where it was.
"""

import argparse
import functools
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from diffusers import AutoencoderKL, ControlNetModel, StableDiffusionPipeline, Transformer2DModel, UNet2DConditionModel
from diffusers.utils import convert_state_dict_to_diffusers, logging
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.func import functional_call
from tqdm import tqdm
from transformers import CLIPTokenizer

from training import autoencoder, diffusion, extras, parallel, pictures, tokenizer
from training.plan import Plan, pick_device
from webapp.engine.digest import sha256

RANK = 8
LAYERS = {  # a LoRA's; attention alone, on this UNet's two coarsest grids, gives a snail's colours but not its shape
    "unet": ["to_q", "to_k", "to_v", "to_out.0", "conv1", "conv2"],
    "text_encoder": ["q_proj", "k_proj", "v_proj", "out_proj"],
}
DESCRIBED = "blue snowy village night"  # each word's embedding is what one of the new vectors starts from
MAP_CHANNELS = (4, 8, 16, 32, 64, 64)  # from a map's full size down; each after the first halves it
BLIND = 0.25  # share of captions that a ControlNet learns without; Zhang et al. (2023) leave out half, but here the others lose a part


class Task(parallel.Task, Protocol):
    """What is trained and then kept."""

    def save(self) -> Path:
        """Write what was learnt into the model's library, in half precision; where."""


class Renders:
    """The work folder's pictures of what the model knows already, as latents and captions."""

    def __init__(self, plan: Plan, words: CLIPTokenizer) -> None:
        self.latents = {form: autoencoder.latents(plan.work, plan.size, form) for form in pictures.SHARES}
        known = pictures.scenes.vocabulary()
        self.captions = {form: diffusion.Captions(words, pictures.words(plan.work, "train", form)[0], known) for form in pictures.SHARES}

    def draw(self, form: str, count: int) -> tuple[list[int], Tensor, Tensor]:
        """`count` rows, their latents (count, C, h, w) and ids (count, 48), on the CPU."""
        rows = autoencoder.rows(self.latents[form], count)
        return rows, torch.from_numpy(self.latents[form][rows]).float(), self.captions[form].draw(rows)


class Lora:
    """A new subject as low-rank changes to UNet and text encoder (Hu et al., 2021). Half of each batch is what the model
    knows already, so that it stays (the prior of Ruiz et al., 2023)."""

    def __init__(self, plan: Plan, name: str) -> None:
        self.plan, self.path = plan, _place(plan, "loras") / f"{name}.safetensors"
        pipe = _load(plan)
        self.renders = Renders(plan, pipe.tokenizer)
        self.ids, self.latents = _examples(plan, pipe, pipe.tokenizer, extras.snails(plan.seed))
        self.model = nn.ModuleDict({part: getattr(pipe, part) for part in LAYERS}).requires_grad_(False)
        torch.manual_seed(plan.seed)
        for part, layers in LAYERS.items():
            self.model[part].add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=layers))

    def loss(self, progress: float) -> Tensor:
        """`velocity_loss` of a batch, half of it new."""
        count, device = _share(self.plan), self.plan.device
        new = torch.randint(0, len(self.ids), (-(-count // 2),))
        _, old, said = self.renders.draw("square", count // 2)
        ids, clean = torch.cat([self.ids[new], said]).to(device), torch.cat([self.latents[new], old]).to(device)

        def guess(noisy: Tensor, times: Tensor) -> Tensor:
            words = self.model["text_encoder"](ids).last_hidden_state
            return self.model["unet"](noisy, times, words).sample

        return diffusion.velocity_loss(guess, clean)

    def save(self) -> Path:
        """As diffusers' training scripts do."""
        layers = {part: convert_state_dict_to_diffusers(get_peft_model_state_dict(self.model[part].half())) for part in LAYERS}
        StableDiffusionPipeline.save_lora_weights(
            self.path.parent,
            unet_lora_layers=layers["unet"],
            text_encoder_lora_layers=layers["text_encoder"],
            weight_name=self.path.name,
        )
        return self.path


class Word:
    """A look as one new word of several vectors, the only thing that moves: textual inversion (Gal et al., 2022)."""

    def __init__(self, plan: Plan, name: str) -> None:
        self.plan, self.name, self.path = plan, name, _place(plan, "embeddings") / f"{name}.safetensors"
        pipe = _load(plan)
        words, self.unet = pipe.tokenizer, pipe.unet.requires_grad_(False).to(plan.device)
        self.text_encoder = pipe.text_encoder.requires_grad_(False).to(plan.device)
        start = [words(word).input_ids[1] for word in DESCRIBED.split()]
        tokens = [name, *(f"{name}_{index}" for index in range(1, len(start)))]  # as the app and diffusers call the vectors
        words.add_tokens(tokens)
        self.ids, self.latents = _examples(plan, pipe, words, extras.silent_nights(plan.seed, " ".join(tokens)))
        self.table = self.text_encoder.get_input_embeddings().weight  # (words, width)
        self.where = next(name for name, value in self.text_encoder.named_parameters() if value is self.table)
        self.model = nn.ParameterDict({"embedding": self.table[start].detach().clone()})  # (vectors, width)

    def loss(self, progress: float) -> Tensor:
        """`velocity_loss` of a batch, all of it in the new look."""
        rows = torch.randint(0, len(self.ids), (_share(self.plan),))
        ids = self.ids[rows].to(self.plan.device)

        def guess(noisy: Tensor, times: Tensor) -> Tensor:
            longer = {self.where: torch.cat([self.table, self.model["embedding"]])}
            words = functional_call(self.text_encoder, longer, (ids,)).last_hidden_state
            return self.unet(noisy, times, words).sample

        return diffusion.velocity_loss(guess, self.latents[rows].to(self.plan.device))

    def save(self) -> Path:
        """One tensor (vectors, width) that bears the word's name."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        save_file({self.name: self.model["embedding"].detach().cpu().half()}, self.path)
        return self.path


class Control:
    """A map leads the drawing: the UNet's way down, copied, reads it and adds to what the UNet's way up is given (Zhang et al., 2023)."""

    def __init__(self, plan: Plan, name: str) -> None:
        self.plan, self.path = plan, _place(plan, "controlnets") / name
        pipe = _load(plan)
        self.renders, self.empty = Renders(plan, pipe.tokenizer), torch.tensor(tokenizer.encode(pipe.tokenizer, [""])[0])
        self.maps = {form: np.load(plan.work / f"{name}-{form}.npy", mmap_mode="r") for form in pictures.SHARES}
        self.where = {form: torch.from_numpy(pictures.where(plan.work, "train", form)) for form in pictures.SHARES}
        self.text_encoder = pipe.text_encoder.requires_grad_(False).to(plan.device)
        self.unet = pipe.unet.requires_grad_(False).to(plan.device)
        torch.manual_seed(plan.seed)
        self.model = make_controlnet(pipe.unet, len(pipe.vae.config.block_out_channels))

    def loss(self, progress: float) -> Tensor:
        """`velocity_loss` of a batch of one form, its maps shown, mostly at the times that decide where things stand and how large they are."""
        form, device = autoencoder.draw_form(), self.plan.device
        rows, clean, ids = self.renders.draw(form, _share(self.plan))
        ids = without_a_part(ids, self.empty)
        ids[torch.rand(len(ids)) < BLIND] = self.empty
        ids, lines = ids.to(device), torch.from_numpy(self.maps[form][rows]).to(device)  # (B, H, W)
        shown = (lines.float() / 255)[:, None].expand(-1, 3, -1, -1)

        def guess(noisy: Tensor, times: Tensor) -> Tensor:
            words = self.text_encoder(ids).last_hidden_state
            down, middle = self.model(noisy, times, words, shown, return_dict=False)
            added = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
            return self.unet(noisy, times, words, **added).sample

        return diffusion.velocity_loss(guess, clean.to(device), self.where[form][rows], diffusion.draw_early_times)

    def save(self) -> Path:
        """A folder of diffusers'."""
        self.model.half().save_pretrained(self.path)
        return self.path


def without_a_part(ids: Tensor, empty: Tensor) -> Tensor:
    """(B, 48) ids, each without a stretch of its words, of any length; `empty` (48,) are those of no words.

    A caption that names no place means the middle. One that has lost its place means what the map shows, even there: measured, a ControlNet that
    had seen whole captions and none drew a star where the map had it and another in the middle.
    """
    out = empty.repeat(len(ids), 1)
    for line, row in enumerate(ids.tolist()):
        said = row[: row.index(int(empty[1])) + 1]
        start, stop = sorted(torch.randint(1, len(said), (2,)).tolist())
        left = said[:start] + said[stop:]
        out[line, : len(left)] = torch.tensor(left)
    return out


def make_controlnet(unet: UNet2DConditionModel, stages: int) -> ControlNetModel:
    """One that says nothing yet, for an autoencoder of so many stages: each but the last halves the picture.

    The copy leaves out the transformer blocks, a third of its weights: the map says what goes where, the UNet reads the words.
    Their places keep the projections around them, as diffusers wants, which pass everything by at first.
    """
    net = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=MAP_CHANNELS[:stages])
    for module in net.modules():
        if isinstance(module, Transformer2DModel):
            module.transformer_blocks = nn.ModuleList()
            nn.init.zeros_(module.proj_out.weight)
            nn.init.zeros_(module.proj_out.bias)
    pool, heads = net.add_embedding.pool, unet.config.addition_embed_type_num_heads  # which diffusers does not hand on
    pool.num_heads, pool.dim_per_head = heads, pool.k_proj.in_features // heads
    net.register_to_config(transformer_layers_per_block=0, addition_embed_type_num_heads=heads)
    return net


@dataclass(frozen=True)
class AddOn:
    """How one is made: its task, its share of the time if all are made, the learning rate."""

    task: Callable[[Plan, str], Task]
    share: float
    rate: float


ADD_ONS = {
    "snail": AddOn(Lora, 0.14, 1e-3),
    "silentnight": AddOn(Word, 0.04, 5e-3),
    "scribble": AddOn(Control, 0.41, 1e-3),
    "canny": AddOn(Control, 0.41, 1e-3),
}


def make(plan: Plan, names: Iterable[str] = ADD_ONS) -> None:
    """Learn the add-ons of these names (keys of ADD_ONS) beside the model in `plan.out`; after a kill, the same call goes on where it was.
    They share the plan's minutes."""
    chosen = {name: ADD_ONS[name] for name in names}
    prepare(plan, [name for name, add_on in chosen.items() if add_on.task is Control])
    whole = sum(add_on.share for add_on in chosen.values())
    for name, add_on in chosen.items():
        build, checkpoint = functools.partial(add_on.task, plan, name), plan.work / f"{name}.pt"
        settings = parallel.Settings(
            name=name,
            checkpoint=checkpoint,
            seconds=plan.seconds(add_on.share / whole),
            rate=add_on.rate,
            seed=plan.seed,
            workers=plan.workers,
            device=plan.device,
            save_seconds=plan.save_seconds,
        )
        parallel.train(build, settings)
        task = build()
        parallel.restore(task.model, checkpoint)
        print(f"{name} is in {task.save()}", flush=True)


def prepare(plan: Plan, controls: Iterable[str]) -> None:
    """Pictures, their latents, and `work/NAME-FORM.npy`, (N, H, W) uint8, the maps of these names; what is there stays."""
    cores = 2 if plan.device == "cpu" else 8
    pictures.render(plan.work, "train", plan.pictures, plan.seed, workers=cores)
    autoencoder.cache(plan.out / "vae", plan.work, plan.size, plan.device, plan.workers)
    missing = [(name, form) for name in controls for form in pictures.SHARES if not (plan.work / f"{name}-{form}.npy").exists()]
    if not missing:
        return
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:
        for name, form in missing:
            starts = range(0, len(pictures.pixels(plan.work, "train", form)), extras.BLOCK)
            blocks = pool.map(extras.map_block, [(plan, name, form, start) for start in starts])
            drawn = np.concatenate(list(tqdm(blocks, f"drawing {name}-{form}", total=len(starts), mininterval=5)))
            partial = plan.work / f"{name}-{form}.part.npy"
            np.save(partial, drawn)
            partial.replace(plan.work / f"{name}-{form}.npy")


def _load(plan: Plan) -> StableDiffusionPipeline:
    """The finished model in single precision, on the CPU."""
    return StableDiffusionPipeline.from_pretrained(plan.out, local_files_only=True)


def _place(plan: Plan, kind: str) -> Path:
    """Where webapp/library.py looks for what ships with the built-in model."""
    return plan.out / "library" / kind


def _share(plan: Plan) -> int:
    return max(1, plan.diffusion_batch // plan.workers)


def _examples(plan: Plan, pipe: StableDiffusionPipeline, words: CLIPTokenizer, told: list[extras.Told]) -> tuple[Tensor, Tensor]:
    """Ids (N, 48) and latents (N, C, h, w) of captions and pictures, on the CPU."""
    captions, images = zip(*told)
    latents = autoencoder.encode(
        pipe.vae.to(plan.device), pictures.sized(np.stack([np.asarray(image) for image in images]), plan.size), plan.device
    )
    return torch.tensor(tokenizer.encode(words, list(captions))), latents


def main() -> None:
    """Read the command line, then make what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m training.addons", description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("webapp/builtin"), help="the finished model's folder")
    parser.add_argument("--only", choices=ADD_ONS, help="one of them alone")
    parser.add_argument("--minutes", type=float, default=100, help="wall clock for the training of all that is asked for")
    parser.add_argument("--work", type=Path, default=Path("build/training"), help="pictures, maps, checkpoints")
    asked = parser.parse_args()
    logging.set_verbosity_error()  # diffusers would warn of every change of precision
    device = pick_device("auto")
    on_cpu = device == "cpu"
    weights = asked.model / "unet" / "diffusion_pytorch_model.safetensors"
    plan = Plan(
        work=asked.work / f"addons-{sha256(weights)[:8]}",  # what was learnt beside another model is of no use
        size=AutoencoderKL.load_config(asked.model / "vae")["sample_size"],
        out=asked.model,
        minutes=asked.minutes,
        pictures=4000,
        device=device,
        workers=2 if on_cpu else 1,
        diffusion_batch=32 if on_cpu else 256,
    )
    make(plan, [asked.only] if asked.only else ADD_ONS)


if __name__ == "__main__":
    main()
