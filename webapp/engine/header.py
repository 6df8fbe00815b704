"""What a `.safetensors` file is, told from its header: the names and shapes of its tensors and a few words about them. Nothing of the
weights is read, so a file of the wrong kind gets its sentence at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from safetensors import SafetensorError, safe_open

from webapp.catalogue import PREDICTIONS
from webapp.errors import ModelError

UNET, VAE = "model.diffusion_model.", "first_stage_model."
CLIP, OPENCLIP = "cond_stage_model.transformer.text_model.", "cond_stage_model.model."  # the text encoders of SD 1 and SD 2
_FIRST = f"{UNET}input_blocks.0.0.weight"
_ADD_ONS = {  # by what is in a tensor's name; add-ons to other kinds of model come before those models
    r"lora_(up|down|A|B)\b|\.lora\.|hada_w\d|lokr_w\d|oft_blocks": "a LoRA",
    r"^control_model\.|^controlnet_|input_hint_block": "a ControlNet",
    r"^emb_params$|^string_to_param|^clip_[lg]$|^<.+>$": "an embedding (textual inversion)",
}
_MODELS = {
    r"^conditioner\.embedders\.": "a Stable Diffusion XL model",
    r"(^|\.)joint_blocks\.": "a Stable Diffusion 3 model",
    r"(^|\.)(double_blocks|single_stream_modulation)\b": "a Flux model",
}
_CHANNELS = {5: "a model that draws by a depth map", 7: "a Stable Diffusion upscaler", 8: "a model that edits pictures (InstructPix2Pix)"}


@dataclass(frozen=True)
class Header:
    """`shapes` of the tensors by their names; `words` are the file's metadata."""

    shapes: Mapping[str, tuple[int, ...]]
    words: Mapping[str, str]


@dataclass(frozen=True)
class Original:
    """A whole model in the layout of the original code: `family` 1 or 2 of Stable Diffusion; its UNet takes `channels`."""

    family: Literal[1, 2]
    channels: Literal[4, 9]
    prediction: str  # epsilon or v_prediction


def read(path: Path) -> Header:
    """Raises ModelError for a file that is not a whole .safetensors file."""
    name = path.name
    if path.suffix.casefold() != ".safetensors":
        raise ModelError(f"{name} is not a .safetensors file. I do not open others: they can run programs.")
    if not path.is_file():
        raise ModelError(f"There is no file {name} any more.")
    try:
        with safe_open(path, "pt") as file:
            shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
            return Header(shapes, file.metadata() or {})
    except SafetensorError:  # only now: a good file begins with its header's length, which may look like anything
        raise ModelError(_instead(path)) from None
    except OSError:
        raise ModelError(f"{name} cannot be read. Please look at its permissions.") from None


def _instead(path: Path) -> str:
    """What to say of a file that is no .safetensors file, whatever its name."""
    with path.open("rb") as stream:
        start = stream.read(64)
    if not start:
        return f"{path.name} is empty. Please fetch it again."
    if start.startswith((b"PK", b"\x80")):  # an archive of PyTorch's, or a bare pickle
        return f"{path.name} is a pickle under another name. I do not open those: they can run programs."
    if start.lstrip().startswith((b"<", b"version https://git-lfs")):
        return f"{path.name} is not the model but a page about it. Please fetch the file itself."
    return f"{path.name} is cut off or damaged. Please delete it and fetch it again."


def original(header: Header, name: str, prediction: str = "") -> Original:
    """The model that a file's header tells of. What it predicts is `prediction`, if given, else as the file says, else as the file's
    name does. Raises ModelError when it is something else, and when it cannot be told what it predicts."""
    family = _family(header, name)
    channels = header.shapes[_FIRST][1]
    if channels not in (4, 9):
        raise ModelError(f"{name} is {_CHANNELS.get(channels, 'a model of an unknown kind')}. {_ONLY}")
    return Original(family, channels, PREDICTIONS.get(prediction) or _prediction(header, family, channels, name))


_ONLY = "I draw with Stable Diffusion 1 and 2 models only."


def _family(header: Header, name: str) -> Literal[1, 2]:
    names = header.shapes.keys()
    for mark, what in _ADD_ONS.items():
        if any(re.search(mark, key) for key in names):
            raise ModelError(f"{name} is {what}: an add-on to a model, not a model.")
    for mark, what in _MODELS.items():
        if any(re.search(mark, key) for key in names):
            raise ModelError(f"{name} is {what}. {_ONLY}")
    if _FIRST not in names:
        raise ModelError(f"{name} is {_part(header)}. {_ONLY}")
    if not any(key.startswith(VAE) for key in names):
        raise ModelError(f"{name} lacks its autoencoder (VAE), so I cannot load it on its own.")
    if any(key.startswith(OPENCLIP) for key in names):
        return 2
    if any(key.startswith(CLIP) for key in names):
        return 1
    raise ModelError(f"{name} lacks its text encoder, so I cannot load it on its own.")


def _part(header: Header) -> str:
    """What a file without an original UNet may be."""
    names = header.shapes.keys()
    if any(re.match(rf"({re.escape(VAE)})?(en|de)coder\.conv_in\.", key) for key in names):
        return "an autoencoder (VAE) alone"
    if "down_blocks.0.resnets.0.conv1.weight" in names:
        return "a UNet alone, a part of a diffusers folder"
    if any("text_model." in key for key in names):
        return "a text encoder alone"
    if len(names) == 1 and all(len(shape) == 2 for shape in header.shapes.values()):
        return "probably an embedding (textual inversion), an add-on to a model"
    return "a model of an unknown kind"


def _prediction(header: Header, family: int, channels: int, name: str) -> str:
    """Stable Diffusion 2 was made both ways, and its weights look the same. https://github.com/Stability-AI/ModelSpec names what a
    header may say."""
    said = header.words.get("modelspec.prediction_type", "")
    if said in PREDICTIONS:
        return PREDICTIONS[said]
    if family == 1 or channels == 9:
        return "epsilon"
    for hint in (header.words.get("modelspec.architecture", ""), Path(name).stem):
        velocity = bool(re.search(r"768|(?<![a-z])v(?![a-z0-9])|v[-_ ]?pred", hint, re.IGNORECASE))
        noise = bool(re.search(r"512|base|turbo|epsilon|(?<![a-z])eps(?![a-z])", hint, re.IGNORECASE))
        if velocity != noise:
            return "v_prediction" if velocity else "epsilon"
    raise ModelError(
        f"{name} is a Stable Diffusion 2 model that does not say what it predicts. Please give it a name and say it: python -m webapp "
        "models add NAME FILE --prediction v (most models of 768 pixels) or --prediction epsilon (most of 512)."
    )
