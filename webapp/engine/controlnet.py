"""ControlNets: pictures that lead the drawing (Zhang et al. 2023, arXiv 2302.05543). Kept here by their folders, and asked for what
they add to a UNet call whose rows belong to many tasks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from diffusers import ControlNetModel
from diffusers.image_processor import VaeImageProcessor
from PIL import Image

from webapp.engine import weights
from webapp.engine.checkpoint import Checkpoint
from webapp.engine.rows import apart
from webapp.errors import ModelError

_SHAPE = ("block_out_channels", "down_block_types", "layers_per_block", "mid_block_type")


class Use(NamedTuple):
    """One ControlNet's say in a row: shown `image` (1, 3, H, W), heard with `weight`."""

    net: ControlNetModel
    image: torch.Tensor
    weight: float


def in_force(step: int, steps: int, start: float, end: float) -> bool:
    """Whether a ControlNet that acts from the share `start` to `end` of the steps does so in `step`, counted from 0 (diffusers' rule)."""
    return step / steps >= start and (step + 1) / steps <= end


class ControlNets:
    """The ControlNets in use with one checkpoint, the `keep` latest in memory."""

    def __init__(self, checkpoint: Checkpoint, keep: int = 4) -> None:
        self._checkpoint = checkpoint
        self._keep = keep
        self._held: OrderedDict[Path, ControlNetModel] = OrderedDict()
        self._images = VaeImageProcessor(vae_scale_factor=checkpoint.space.factor, do_convert_rgb=True, do_normalize=False)

    def get(self, path: Path) -> ControlNetModel:
        """The ControlNet in the diffusers folder `path`, on the checkpoint's device in its precision. Raises ModelError."""
        if path not in self._held:
            net = _read(path)
            _check(net, path.name, self._checkpoint)
            self._held[path] = net.to(self._checkpoint.device, self._checkpoint.dtype).eval()
        self._held.move_to_end(path)
        while len(self._held) > self._keep:
            self._held.popitem(last=False)
        return self._held[path]

    def prepare(self, image: Image.Image, width: int, height: int) -> torch.Tensor:
        """What a ControlNet is shown of `image`: (1, 3, height, width), 0 to 1, as StableDiffusionControlNetPipeline does."""
        pixels = self._images.preprocess(image, height=height, width=width)
        return pixels.to(self._checkpoint.device, self._checkpoint.dtype)

    def residuals(
        self,
        samples: torch.Tensor,
        timesteps: torch.Tensor,
        embeddings: torch.Tensor,
        uses: Sequence[Sequence[Use]],
        owners: Sequence[int],
    ) -> tuple[list[torch.Tensor], torch.Tensor] | tuple[None, None]:
        """What a UNet call is given as `down_block_additional_residuals` and `mid_block_additional_residual`.

        samples (n, channels, h, w), timesteps (n,), embeddings (n, tokens, width), each row's uses in force and which task it is
        of; (None, None) where no row has any. A net is called once for all rows that use it (twice for those that use it twice); other rows get zeros.
        """
        total: list[torch.Tensor] | None = None
        for net, rows, row_uses in _calls(uses):
            where = torch.tensor(rows, device=samples.device)
            with apart([owners[row] for row in rows], samples.device):
                down, mid = net(
                    samples[where, : net.config.in_channels],  # an inpainting UNet takes more than the latents
                    timesteps[where],
                    encoder_hidden_states=embeddings[where],
                    controlnet_cond=torch.cat([use.image for use in row_uses]),
                    return_dict=False,
                )
            weight = torch.tensor([use.weight for use in row_uses], device=samples.device).view(-1, 1, 1, 1)
            if total is None:
                total = [part.new_zeros(len(uses), *part.shape[1:]) for part in (*down, mid)]
            for into, part in zip(total, (*down, mid), strict=True):
                into[where] += (part * weight).to(into.dtype)
        return (total[:-1], total[-1]) if total else (None, None)


def _calls(uses: Sequence[Sequence[Use]]) -> list[tuple[ControlNetModel, list[int], list[Use]]]:
    """The calls to make: a net, its rows, and how each uses it. In the order in which the rows name them."""
    calls: dict[tuple[int, int], tuple[ControlNetModel, list[int], list[Use]]] = {}
    for row, row_uses in enumerate(uses):
        times: dict[int, int] = {}
        for use in row_uses:
            key = id(use.net), times.setdefault(id(use.net), 0)
            times[id(use.net)] += 1
            _, rows, called = calls.setdefault(key, (use.net, [], []))
            rows.append(row)
            called.append(use)
    return list(calls.values())


def _read(path: Path) -> ControlNetModel:
    if not path.is_dir():
        raise ModelError(f"{path.name} is not a folder. A ControlNet is a folder as diffusers saves it.")
    return weights.from_folder(ControlNetModel, path, "a ControlNet")


def _check(net: ControlNetModel, name: str, checkpoint: Checkpoint) -> None:
    ours, theirs = checkpoint.unet.config, net.config
    if theirs.cross_attention_dim != ours.cross_attention_dim:
        raise weights.misfit(name, "a ControlNet", theirs.cross_attention_dim, ours.cross_attention_dim)
    if any(_listed(theirs[key]) != _listed(ours[key]) for key in _SHAPE) or theirs.in_channels != checkpoint.space.channels:
        raise ModelError(f"{name} is a ControlNet for a model of another shape: its blocks are not this model's.")
    if theirs.global_pool_conditions or theirs.addition_embed_type not in (None, "text") or theirs.class_embed_type:
        raise ModelError(f"{name} is a ControlNet of a kind that I cannot draw with, such as one that shuffles contents.")


def _listed(value: object) -> object:
    """A configuration's tuples are lists once it has been a file."""
    return list(value) if isinstance(value, tuple) else value
