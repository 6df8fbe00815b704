"""A loaded checkpoint with all that belongs to it: its reader of words, its add-ons, and the one call of the UNet that many tasks
share."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image

from webapp import prompt
from webapp.catalogue import BUILTIN
from webapp.engine import autoencoder, embeddings
from webapp.engine.adapters import Adapters
from webapp.engine.checkpoint import Checkpoint
from webapp.engine.conditioning import Conditioner
from webapp.engine.controlnet import ControlNets
from webapp.engine.digest import sha256
from webapp.engine.latents import LatentSpace
from webapp.engine.rows import apart
from webapp.library import Library
from webapp.schema import GenerationRequest

if TYPE_CHECKING:
    from webapp.engine.task import Task

_SAVED_LORA = "pytorch_lora_weights.safetensors"  # diffusers' name for the one file in a folder


class Model:
    """`notices` are what its user should know of its add-ons; `knees` how many tasks of a latent shape share a step, as measured."""

    def __init__(self, checkpoint: Checkpoint, library: Library) -> None:
        self.checkpoint, self.library = checkpoint, library
        self.adapters = Adapters(checkpoint)
        folders = library.folders("embeddings", shipped=checkpoint.source in BUILTIN)
        self.embeddings, self.notices = embeddings.load(checkpoint, *folders)  # their words, with a hash each
        self.conditioner = Conditioner(checkpoint.tokenizer, checkpoint.text_encoder, using=self.adapters.text, stamps=self.adapters.stamps)
        self.controlnets = ControlNets(checkpoint)
        self.knees: dict[tuple[int, int], int] = {}
        self._spaces: dict[str, LatentSpace] = {"": checkpoint.space}

    def loras_of(self, request: GenerationRequest) -> tuple[str, tuple[tuple[Path, float], ...], list[str]]:
        """The prompt without its `<lora:..>` tags, their files and weights, and sentences on what of them does not fit this model.
        Raises InvalidRequest, ModelError."""
        words, tags = prompt.loras(request.prompt)
        signature = tuple((_lora_file(self.library.path("loras", name)), weight) for name, weight in tags)
        return words, signature, self.adapters.load(signature)

    def control(self, name: str, shown: Image.Image, width: int, height: int) -> tuple[torch.nn.Module, torch.Tensor]:
        """The ControlNet `name` and what it is shown, (1, 3, height, width). Raises InvalidRequest, ModelError."""
        net = self.controlnets.get(self.library.path("controlnets", name))
        return net, self.controlnets.prepare(shown, width, height)

    def add_ons(self, request: GenerationRequest, loras: Sequence[tuple[Path, float]]) -> dict[str, str]:
        """What was used beside the checkpoint, by name, with the SHA-256 of its files."""
        used = {path.parent.name if path.name == _SAVED_LORA else path.stem: self.adapters.hash(path) for path, _ in loras}
        words = f"{prompt.loras(request.prompt)[0]} {request.negative_prompt}".casefold()
        used |= {word: hash for word, hash in self.embeddings.items() if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", words)}
        nets = [("controlnets", control.model) for control in request.controls]
        for kind, name in [*nets, *([("vaes", request.vae)] if request.vae else [])]:
            path = self.library.path(kind, name)
            inner = path / "vae" if kind == "vaes" and (path / "vae").is_dir() else path  # a whole model's, which may lend its own
            used[name] = sha256(*(sorted(inner.glob("*.safetensors")) if path.is_dir() else [path]))
        return used

    def space(self, vae: str) -> LatentSpace:
        """The latents as the autoencoder `vae` of the library has them; "" the checkpoint's own. Raises InvalidRequest, ModelError."""
        if vae not in self._spaces:
            loaded = autoencoder.load_vae(self.library.path("vaes", vae), self.checkpoint)
            self._spaces = {"": self.checkpoint.space, vae: LatentSpace(loaded)}  # one beside its own
        return self._spaces[vae]

    def predict(self, tasks: Sequence[Task]) -> tuple[torch.Tensor, ...]:
        """What the UNet says of each task's rows, (rows, channels, h, w) each; all tasks of one shape."""
        counts = [task.rows for task in tasks]
        owners = [owner for owner, count in enumerate(counts) for _ in range(count)]
        samples = torch.cat([task.sample for task in tasks]).contiguous()  # (all rows, channels, h, w)
        # (all rows,); samplers count in int64, float32 or float64, and the UNet in float32
        timesteps = torch.cat([task.timestep.expand(task.rows).to(samples.device, torch.float32) for task in tasks])
        words = torch.cat([task.embeddings for task in tasks])  # (all rows, 77 * chunks, width)
        down, mid = self.controlnets.residuals(samples, timesteps, words, _each_row(tasks, lambda task: task.uses), owners)
        with apart(owners, samples.device), self.adapters.rows(_each_row(tasks, lambda task: task.loras), owners):
            noise = self.checkpoint.unet(
                samples,
                timesteps,
                encoder_hidden_states=words,
                down_block_additional_residuals=down,
                mid_block_additional_residual=mid,
                return_dict=False,
            )[0]
        return noise.split(counts)


def _lora_file(path: Path) -> Path:
    """A LoRA may lie in a folder, as diffusers saves it."""
    return path / _SAVED_LORA if (path / _SAVED_LORA).is_file() else path


def _each_row(tasks: Sequence[Task], fact: Callable[[Task], tuple]) -> list[tuple]:
    return [fact(task) for task in tasks for _ in range(task.rows)]
