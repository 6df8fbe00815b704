"""What a picture will say of how it was made: the facts that decide its pixels."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version

import torch

from webapp import __version__
from webapp.engine import samplers
from webapp.engine.task import Task
from webapp.schema import GenerationRequest, Receipt


def write(request: GenerationRequest, task: Task, notes: tuple[str, ...]) -> Receipt:
    checkpoint = task.model.checkpoint
    return Receipt(
        request=request,
        model=checkpoint.name,
        model_hash=checkpoint.hash,
        dtype=str(checkpoint.dtype).removeprefix("torch."),
        device=checkpoint.device.type,
        scheduler=samplers.facts(task.scheduler),
        prompt_read=task.conditioning.read,
        versions=_versions(),
        add_ons=task.model.add_ons(request, task.loras),
        notes=notes,
    )


@cache
def _versions() -> dict[str, str]:
    libraries = {name: version(name) for name in ("diffusers", "transformers")}
    return {"torch": torch.__version__, **libraries, "text-to-image-generator": __version__}
