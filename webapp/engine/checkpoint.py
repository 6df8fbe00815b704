"""A model, ready to draw with: found, loaded onto a device in a precision that suits it, and asked what it draws best."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.utils import logging as diffusers_logging
from transformers import CLIPTextModel, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from webapp.catalogue import BUILTIN, PREDICTIONS
from webapp.engine import building, hub, single_file
from webapp.engine.digest import sha256
from webapp.engine.latents import LatentSpace
from webapp.errors import InvalidRequest, ModelError
from webapp.schema import Defaults

log = logging.getLogger(__name__)
diffusers_logging.disable_progress_bar()  # bars of a second's loading; `report` tells what takes long
transformers_logging.disable_progress_bar()
diffusers_logging.set_verbosity_error()  # its warnings are meant for programmers


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A model's parts on one device in one precision, and what is known of it.

    `notice` is what its user should know of it, mostly empty; `revision` a hub's commit, empty for a folder; `hash` the SHA-256 of
    the weights that were read, in hex: of the UNet's, the autoencoder's and the text encoder's files, one after the other.
    An "inpainting" model's UNet takes, beside the latents, a mask of one channel and the latents of the picture under it.
    """

    name: str
    source: str
    revision: str
    notice: str
    hash: str
    kind: Literal["text", "inpainting"]
    prediction: str  # epsilon or v_prediction
    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    scheduler_config: Mapping[str, Any]
    device: torch.device
    dtype: torch.dtype
    defaults: Defaults
    space: LatentSpace


def load(
    source: str | Path,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    report: Callable[[str], None] = log.info,
    prediction: str = "",
    progress: Callable[[int, int], None] | None = None,
    stop: threading.Event | None = None,
) -> Checkpoint:
    """The model at `source`: one of BUILTIN, a folder, a .safetensors file, or an id on the hub. `report` is told what takes long or was
    not expected, and `progress` the bytes of a download that have come and those that there are; `stop` ends a download.

    Without `device` the best one here is taken; without `dtype` the fastest one that is safe on it. `prediction`, "epsilon" or "v",
    goes before what the model says of itself. Raises ModelError, and InvalidRequest for another `prediction`.
    """
    if prediction and prediction not in PREDICTIONS:
        raise InvalidRequest({"prediction": f"The prediction must be v or epsilon, not {prediction}."})
    device = _usable(device) if device else best_device()
    dtype = dtype or best_dtype(device)
    if (device.type, dtype) == ("cpu", torch.float16):
        raise ModelError("A CPU cannot draw in fp16 in any bearable time. Please choose fp32, or bf16 where it has that.")
    name, place, revision, notice = _find(str(source), report, progress, stop)
    report(f"Loading {name}.")
    with ThreadPoolExecutor(1, "loading") as aside:  # it ends, and its own threads for torch with it: those of a caller who
        # stays would make the engine's sleep between any two operations, and a step take twice as long (libgomp's "throttled spin")
        known = aside.submit(_known, place, name, device, dtype, prediction, report).result()
    return Checkpoint(name=name, source=str(source), revision=revision, notice=notice, device=device, dtype=dtype, **known)


def _known(
    place: Path, name: str, device: torch.device, dtype: torch.dtype, prediction: str, report: Callable[[str], None]
) -> dict[str, Any]:
    """What of a Checkpoint is read from its files."""
    pipe, weights = _read(place, name, device, dtype, prediction, report)
    space = LatentSpace(pipe.vae)
    scheduler = _told(pipe.scheduler.config, prediction)
    return dict(
        hash=sha256(*weights),
        kind=_kind(pipe, name),
        prediction=scheduler["prediction_type"],
        unet=pipe.unet,
        vae=pipe.vae,
        text_encoder=pipe.text_encoder,
        tokenizer=pipe.tokenizer,
        scheduler_config=scheduler,
        defaults=_defaults(place if place.is_dir() else single_file.beside(place), name, pipe.unet, space, scheduler),
        space=space,
    )


def _usable(device: str | torch.device) -> torch.device:
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError):  # a word that is no device, or a build of torch without it
        raise ModelError(f"PyTorch has no device {device} here. The best one it has is {best_device().type}.") from None


def best_device() -> torch.device:
    if torch.cuda.is_available() and _has_kernels():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


@cache
def _has_kernels() -> bool:
    """Whether this build of torch can compute on the NVIDIA GPU here: it finds those, too, that are older than it was built for."""
    try:
        torch.ones(1, device="cuda").item()
    except RuntimeError as error:
        return "no kernel image" not in str(error)  # anything else, such as a full memory, is told when the model is loaded
    return True


def gpu() -> tuple[str, int]:
    """The name and the bytes of memory of the NVIDIA GPU here; empty and 0 without one."""
    if not torch.cuda.is_available():
        return "", 0
    about = torch.cuda.get_device_properties(0)
    return about.name, about.total_memory


def best_dtype(device: torch.device) -> torch.dtype:
    """Half precision where the hardware multiplies in it. Never fp16 on a CPU, which is unusably slow there; bf16 on a CPU that
    has it takes 0.5 to 0.85 of fp32's time, tiny models included."""
    if device.type == "cuda":
        ampere = torch.cuda.get_device_capability(device) >= (8, 0)  # is_bf16_supported() counts emulation
        return torch.bfloat16 if ampere else torch.float16
    if device.type == "cpu" and _cpu_flags() & {"avx512_bf16", "amx_bf16"}:
        return torch.bfloat16
    return torch.float32


def _cpu_flags() -> set[str]:
    """What Linux says the processor can do; elsewhere nothing is known."""
    about = Path("/proc/cpuinfo")
    found = re.search(r"^flags\s*:(.*)$", about.read_text(), re.MULTILINE) if about.exists() else None
    return set(found[1].split()) if found else set()


def _find(
    source: str, report: Callable[[str], None], progress: Callable[[int, int], None] | None, stop: threading.Event | None
) -> tuple[str, Path, str, str]:
    """The model's name, folder or file, revision and notice."""
    if source in BUILTIN:
        return source, BUILTIN[source], "", ""
    folder = Path(source).expanduser()
    if source and folder.is_dir():
        return folder.resolve().name, folder, "", ""
    if source and folder.is_file():
        return folder.stem, folder, "", ""
    repo, notice = hub.identify(source)
    if notice:
        report(notice)
    folder = hub.fetch(repo, report, progress, stop=stop)
    return repo, folder, folder.name, notice


@building.alone
def _read(
    place: Path, name: str, device: torch.device, dtype: torch.dtype, prediction: str, report: Callable[[str], None]
) -> tuple[StableDiffusionPipeline, list[Path]]:
    """The model of a folder or file, and the files its weights were read from."""
    precision = {_dtype_keyword(): dtype}
    try:
        if place.is_file():
            pipe, weights = single_file.read(place, prediction, report, **precision), [place]
        else:
            variant = hub.inspect(place, name)
            weights = [place / hub.file(part, variant) for part in hub.WEIGHTS]
            pipe = _read_folder(place, variant, **precision)
        pipe = pipe.to(device)
    except ModelError:
        raise
    except Exception as error:
        log.exception("%s could not be loaded", name)
        raise ModelError(hub.sentence(error, name)) from None
    if not pipe.unet.dtype == pipe.vae.dtype == pipe.text_encoder.dtype == dtype:
        raise ModelError(f"{name} did not load as {dtype}; this version of diffusers is not one I know.")
    return pipe, weights


def _read_folder(folder: Path, variant: str | None, **precision: torch.dtype) -> StableDiffusionPipeline:
    return StableDiffusionPipeline.from_pretrained(
        folder,
        variant=variant,
        use_safetensors=True,
        local_files_only=True,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
        **precision,
    )


def _told(config: Mapping[str, Any], prediction: str) -> Mapping[str, Any]:
    """A scheduler's configuration with `prediction` in it, if there is one. diffusers passes over what a configuration lists as a default."""
    if not prediction:
        return config
    unsaid = [name for name in config.get("_use_default_values", []) if name != "prediction_type"]
    return {**config, "prediction_type": PREDICTIONS[prediction], "_use_default_values": unsaid}


def _kind(pipe: StableDiffusionPipeline, name: str) -> Literal["text", "inpainting"]:
    channels, latents = pipe.unet.config.in_channels, pipe.vae.config.latent_channels
    if channels == latents:
        return "text"
    if channels == latents + 1 + latents:
        return "inpainting"
    raise ModelError(f"{name} takes {channels} channels: it is neither a model that draws from words nor one for inpainting.")


def _dtype_keyword() -> str:
    """diffusers renamed `torch_dtype` in 0.40; either version passes over the other's word."""
    major, minor = version("diffusers").split(".")[:2]
    return "dtype" if (int(major), int(minor)) >= (0, 40) else "torch_dtype"


def _defaults(folder: Path, name: str, unet: UNet2DConditionModel, space: LatentSpace, scheduler: Mapping[str, Any]) -> Defaults:
    """What the folder's `defaults.json` says; without one the size the model was trained at and what suits Stable Diffusion.

    A model called turbo whose steps are counted from the noisiest on ("trailing", as in Stability AI's SD Turbo) is distilled to draw
    in one to four steps without guidance (model card of stabilityai/sd-turbo; Sauer et al. 2023, arXiv 2311.17042).
    """
    sidecar = folder / "defaults.json"
    if sidecar.exists():
        try:
            return Defaults.model_validate_json(sidecar.read_text("utf-8"))
        except ValueError:
            raise ModelError(f"{name} has a defaults.json that I do not understand.") from None
    size = unet.config.sample_size
    height, width = (size, size) if isinstance(size, int) else size
    turbo = "turbo" in name.casefold() and scheduler.get("timestep_spacing") == "trailing"
    steps, guidance, sampler = (2, 0, "Euler") if turbo else (25, 7.5, "DPM++ 2M")
    return Defaults(width=width * space.factor, height=height * space.factor, steps=steps, guidance=guidance, sampler=sampler)
