"""LoRAs: small changes to a model's layers, here laid over it row by row, so that pictures with different ones share a UNet call.

The model itself is never changed. While a call lasts, a forward hook on each layer concerned adds `up(down(x)) * weight` to the
rows that want it (Hu et al. 2021, arXiv 2106.09685). So rows without LoRA are exactly the plain model's, any mixture of files and
weights goes in one call, and there is nothing to unload. Reading the files ourselves also keeps each layer's own strength: diffusers
0.42 with peft 0.21 loses it where layers differ in alpha, as in files resized to a dynamic rank.
"""

from __future__ import annotations

import json
import logging
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.functional import conv2d, linear

from webapp.engine import weights
from webapp.engine.checkpoint import Checkpoint
from webapp.engine.digest import sha256
from webapp.engine.rows import apart
from webapp.errors import ModelError

Signature = tuple[tuple[Path, float], ...]
"""LoRA files and their weights; () for none. A file named twice has the sum of its weights."""
log = logging.getLogger(__name__)
_ROLES = {"down": "down", "A": "down", "up": "up", "B": "up", "alpha": "alpha"}
_PARTS = {  # how a name begins in kohya's layout and in diffusers'; before UNet-only files had a beginning, they had none
    "unet": ("lora_unet_", "unet."),
    "text_encoder": ("lora_te1_", "lora_te_", "text_encoder."),
    "another": ("lora_te2_", "text_encoder_2."),
}
_LYCORIS = re.compile(r"\.(hada|lokr|oft)_")
_UNREAD = "{} is of a kind that I cannot draw with, such as DoRA, LoHa or LoKr. Plain LoRAs and LoCons work."


@dataclass(frozen=True)
class _Layer:
    """A LoRA's share in one `module` of the model: `down` (r, in, ..) times the layer's own strength, `up` (out, r, ..)."""

    module: nn.Linear | nn.Conv2d
    down: torch.Tensor
    up: torch.Tensor

    def __call__(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """What is added to the module's output for the rows of `x`; `weight` (rows,) or (1,)."""
        module, weight = self.module, weight.view(-1, *[1] * (x.dim() - 1))
        if isinstance(module, nn.Linear):
            return linear((linear(x, self.down) * weight).to(x.dtype), self.up)
        inner = conv2d(x, self.down, None, module.stride, module.padding, module.dilation)
        return conv2d((inner * weight).to(x.dtype), self.up)


@dataclass(frozen=True)
class _Lora:
    stamp: tuple[int, int]  # when the file changed, and its size
    notice: str
    unet: list[_Layer]
    text_encoder: list[_Layer]


class Adapters:
    """The LoRAs in use with one checkpoint, at most `keep` of them in memory beside those that a call needs at once."""

    def __init__(self, checkpoint: Checkpoint, keep: int = 8) -> None:
        self._checkpoint = checkpoint
        self._keep = keep
        self._held: OrderedDict[Path, _Lora] = OrderedDict()
        self._lock = Lock()

    def load(self, signature: Signature) -> list[str]:
        """Have the LoRAs of `signature` in memory, as their files are now. What their user should know: layers left out.

        Raises ModelError for a file that is missing, damaged, no LoRA, of a kind not read here, or for another model.
        """
        with self._lock:
            loras = [self._get(path, fresh=True) for path, _ in signature]
            self._forget(len({path for path, _ in signature}))
        return [lora.notice for lora in loras if lora.notice]

    def stamps(self, signature: Signature) -> tuple[tuple[int, int], ...]:
        """Of each LoRA, when the file that was read had changed, in nanoseconds, and its size. Raises ModelError as `load` does."""
        with self._lock:
            return tuple(self._get(path).stamp for path, _ in signature)

    def hash(self, path: Path) -> str:
        """The file's SHA-256, in hex."""
        return sha256(path)

    @contextmanager
    def rows(self, signatures: Sequence[Signature], owners: Sequence[int]) -> Iterator[None]:
        """While this lasts, row i of a call of the UNet is of the task `owners[i]` and has the LoRAs of `signatures[i]`. Raises
        ModelError as `load` does."""
        shares: dict[Path, list[float]] = {}
        for row, signature in enumerate(signatures):
            for path, weight in signature:
                shares.setdefault(path, [0.0] * len(signatures))[row] += weight
        with self._laid("unet", shares, owners):
            yield

    @contextmanager
    def text(self, signature: Signature) -> Iterator[None]:
        """While this lasts, all rows of a call of the text encoder have the LoRAs of `signature`. Raises ModelError as `load` does."""
        shares = {path: [sum(weight for other, weight in signature if other == path)] for path, _ in signature}
        with self._laid("text_encoder", shares, [0]):
            yield

    @contextmanager
    def _laid(self, part: str, shares: Mapping[Path, list[float]], owners: Sequence[int]) -> Iterator[None]:
        """Hooks for `part` of the model: each file with its weight a row. In the order of their names, so that a sum's rounding
        does not depend on who else is there."""
        with self._lock:
            loras = {path: self._get(path) for path in sorted(shares) if any(shares[path])}
            self._forget(len(loras))
        device = self._checkpoint.device
        with ExitStack() as hooks:
            for path, lora in loras.items():
                used = [row for row, weight in enumerate(shares[path]) if weight]
                everywhere = len(used) == len(shares[path])
                where = slice(None) if everywhere else torch.tensor(used, device=device)
                weight = torch.tensor([shares[path][row] for row in used], device=device)  # (rows that use it,)
                alone = partial(apart, [owners[row] for row in used], device)
                for layer in getattr(lora, part):
                    handle = layer.module.register_forward_hook(partial(_add, layer, where, weight, alone))
                    hooks.callback(handle.remove)
            yield

    def _get(self, path: Path, fresh: bool = False) -> _Lora:
        """`fresh`: read again if its file has changed since."""
        if path not in self._held or (fresh and self._held[path].stamp != _stamp(path)):
            self._held[path] = _read(path, self._checkpoint)
        self._held.move_to_end(path)
        return self._held[path]

    def _forget(self, needed: int) -> None:
        while len(self._held) > max(self._keep, needed):
            self._held.popitem(last=False)


def _add(
    layer: _Layer,
    where: slice | torch.Tensor,
    weight: torch.Tensor,
    alone: Callable[[], AbstractContextManager],
    _: nn.Module,
    inputs: tuple,
    output: torch.Tensor,
) -> None:
    with alone():
        output[where] += layer(inputs[0][where], weight)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        state = path.stat()
    except OSError:
        raise ModelError(f"There is no LoRA {path.name} any more.") from None
    return state.st_mtime_ns, state.st_size


def _read(path: Path, checkpoint: Checkpoint) -> _Lora:
    stamp = _stamp(path)
    header = weights.check(path)
    if not any("lora" in name for name in header.shapes):  # before gigabytes are read
        raise ModelError(_UNREAD.format(path.stem) if any(map(_LYCORIS.search, header.shapes)) else f"{path.stem} is not a LoRA.")
    found = _layers(load_file(path), path.stem)
    _check_width(found, path.stem, checkpoint)
    told = _told(header.words, path.stem)
    layers: dict[str, list[_Layer]] = {"unet": [], "text_encoder": []}
    for part, into in layers.items():
        modules = _modules(getattr(checkpoint, part))
        for name, roles in found.get(part, {}).items():
            if name in modules:
                dotted, module = modules[name]
                scale = _scale(roles, told, f"{part}.", dotted)
                into.append(_fitted(module, roles["down"].float() * scale, roles["up"], path.stem))
    total, used = sum(map(len, found.values())), sum(map(len, layers.values()))
    if not used:
        raise ModelError(f"{path.stem} has no layer that this model has. It is a LoRA for a model of another kind.")
    notice = "" if used == total else f"{total - used} of the {total} layers of {path.stem} are not in this model and were left out."
    if notice:
        log.warning(notice)
    return _Lora(stamp, notice, **layers)


def _layers(tensors: Mapping[str, torch.Tensor], name: str) -> dict[str, dict[str, dict[str, torch.Tensor]]]:
    """A file's tensors by part of the model, layer, and role: down, up, alpha. Layers' names are written with underscores."""
    found: dict[str, dict[str, dict[str, torch.Tensor]]] = {}
    for key, tensor in tensors.items():
        part, layer = _split(key.removeprefix("base_model.model."))
        layer = re.sub(r"[._]lora(_linear_layer)?\.", ".lora_", layer)  # the spellings of diffusers' own layouts
        match = re.fullmatch(r"(.+)\.(?:lora_)?(down|up|A|B|alpha)(?:\.default)?(?:\.weight)?", layer)
        if not match:
            raise ModelError(_UNREAD.format(name))
        found.setdefault(part, {}).setdefault(_plain(match[1]), {})[_ROLES[match[2]]] = tensor
    if not all(_whole(roles) for part in found.values() for roles in part.values()):
        raise ModelError(f"{name} lacks a part of some of its layers. Please delete it and fetch it again.")
    return found


def _whole(roles: Mapping[str, torch.Tensor]) -> bool:
    matrices = {"down", "up"} <= roles.keys() and min(roles["down"].dim(), roles["up"].dim()) > 1
    return matrices and ("alpha" not in roles or roles["alpha"].numel() == 1)


def _split(key: str) -> tuple[str, str]:
    for part, beginnings in _PARTS.items():
        for beginning in beginnings:
            if key.startswith(beginning):
                return part, key.removeprefix(beginning)
    return "unet", key


def _plain(layer: str) -> str:
    """A layer's name as kohya writes it, with diffusers' old names for the projections of attention made new."""
    name = layer.replace(".", "_").replace("_processor_to_", "_to_").removeprefix("text_model_")
    name = re.sub(r"self_attn_to_(q|k|v|out)$", r"self_attn_\1_proj", name)
    return re.sub(r"(attn\d_to_out)$", r"\1_0", name)


def _modules(model: nn.Module) -> dict[str, tuple[str, nn.Linear | nn.Conv2d]]:
    """The layers a LoRA can change, by their names as `_plain` writes them; with the names they have."""
    return {_plain(name): (name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)}


def _check_width(found: Mapping[str, Mapping[str, Mapping[str, torch.Tensor]]], name: str, checkpoint: Checkpoint) -> None:
    """Told from the layers that read the embeddings, or those of the text encoder."""
    if "another" in found:
        raise weights.misfit(name, "a LoRA", 2048, checkpoint.unet.config.cross_attention_dim)
    ends = {"unet": ("attn2_to_k", "attn2_to_v"), "text_encoder": ("_q_proj", "_k_proj", "_v_proj", "_out_proj")}
    wanted = {"unet": checkpoint.unet.config.cross_attention_dim, "text_encoder": checkpoint.text_encoder.config.hidden_size}
    for part, endings in ends.items():
        for layer, roles in found.get(part, {}).items():
            width = roles["down"].shape[1] if roles["down"].dim() > 1 else 0
            if layer.endswith(endings) and width != wanted[part]:
                raise weights.misfit(name, "a LoRA", width, wanted[part])


def _told(words: Mapping[str, str], name: str) -> dict[str, Any]:
    """What peft knew of its adapter, as diffusers writes it into a file's header: `unet.lora_alpha` and the like."""
    try:
        return dict(json.loads(words.get("lora_adapter_metadata", "{}")))
    except (ValueError, TypeError):
        raise ModelError(f"{name} has a header that I do not understand. Please delete it and fetch it again.") from None


def _scale(roles: Mapping[str, torch.Tensor], told: Mapping[str, Any], prefix: str, name: str) -> float:
    """A layer's own strength, alpha / rank: from its alpha (kohya), from what peft wrote into the header (`told`), or 1."""
    rank = roles["down"].shape[0]
    if "alpha" in roles:
        return roles["alpha"].item() / rank
    patterns = told.get(f"{prefix}alpha_pattern") or {}
    matching = [alpha for pattern, alpha in patterns.items() if re.fullmatch(rf"(.*\.)?({pattern})", name)]
    alpha = matching[0] if matching else told.get(f"{prefix}lora_alpha", rank)
    return alpha / (rank**0.5 if told.get(f"{prefix}use_rslora") else rank)


def _fitted(module: nn.Linear | nn.Conv2d, down: torch.Tensor, up: torch.Tensor, name: str) -> _Layer:
    """Some files keep a linear layer as a convolution of one pixel, or the other way round."""
    if isinstance(module, nn.Linear):
        down, up = (w.flatten(1) for w in (down, up))
    else:
        down, up = (w[..., None, None] if w.dim() == 2 else w for w in (down, up))
    inner, outer = module.weight.shape[1:], module.weight.shape[0]
    if down.shape[1:] != inner or up.shape[:2] != (outer, down.shape[0]) or up[0, 0].numel() != 1:
        raise ModelError(f"{name} is a LoRA for a model of another shape: its layers do not fit this one's.")
    return _Layer(module, down.to(module.weight), up.to(module.weight))
