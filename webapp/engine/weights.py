"""Files of weights that come from anywhere: read as `.safetensors` only, which hold numbers and cannot run, with a right sentence for
each way a file can be wrong."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TypeVar

from diffusers import ModelMixin

from webapp.engine import building, header
from webapp.engine.header import Header
from webapp.errors import ModelError

FAMILIES = {768: "Stable Diffusion 1", 1024: "Stable Diffusion 2", 2048: "Stable Diffusion XL"}
"""Models by the width of the embeddings that their UNet reads."""
Model = TypeVar("Model", bound=ModelMixin)
log = logging.getLogger(__name__)


def check(path: Path) -> Header:
    """The header of a whole `.safetensors` file. Raises ModelError."""
    return header.read(path)


@building.alone
def from_folder(kind: type[Model], path: Path, what: str) -> Model:
    """The model of diffusers' class `kind` in the folder `path`, on the CPU. `what` it should be: "an autoencoder". Raises ModelError."""
    files = list(path.glob("*.safetensors"))
    if not files:
        raise ModelError(f"{path.name} holds no .safetensors file. Other formats can hold programs, so they are not opened here.")
    for file in files:
        check(file)
    variant = None if path / "diffusion_pytorch_model.safetensors" in files else "fp16"
    try:
        model, report = kind.from_pretrained(path, variant=variant, use_safetensors=True, local_files_only=True, output_loading_info=True)
    except Exception:
        log.exception("%s could not be loaded", path.name)
        report = None
    if not report or report["missing_keys"]:  # what is missing would be noise
        raise ModelError(f"{path.name} is not the folder of {what}, or it is damaged.")
    return model


def misfit(name: str, kind: str, width: int, wanted: int) -> ModelError:
    """The error for an add-on to models whose embeddings are `width` wide where they are `wanted` wide. `kind`: "a LoRA"."""
    if width in FAMILIES and wanted in FAMILIES:
        return ModelError(f"{name} is {kind} for {FAMILIES[width]}; this model is of {FAMILIES[wanted]}.")
    return ModelError(f"{name} is {kind} for models of width {width}; this model's width is {wanted}.")
