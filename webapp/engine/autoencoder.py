"""Another autoencoder for a checkpoint: from a diffusers folder or a single `.safetensors` file, if its latents are the same kind."""

from __future__ import annotations

import logging
from pathlib import Path
from tempfile import TemporaryDirectory

from diffusers import AutoencoderKL

from webapp.engine import building, weights
from webapp.engine.checkpoint import Checkpoint
from webapp.errors import ModelError

log = logging.getLogger(__name__)


def load_vae(path: Path, checkpoint: Checkpoint) -> AutoencoderKL:
    """The autoencoder at `path`, on the checkpoint's device in its precision.

    A folder may be the autoencoder's own or a whole model's. A file may name its tensors as diffusers does or as the original
    Stable Diffusion; it says nothing of its shape, so it must have that of the checkpoint's own. Raises ModelError.
    """
    own = checkpoint.vae
    vae = _from_folder(path) if path.is_dir() else _from_file(path, own)
    same = ("latent_channels", "scaling_factor", "shift_factor")
    if any(vae.config.get(name) != own.config.get(name) for name in same) or _factor(vae) != _factor(own):
        raise ModelError(f"{path.stem} is an autoencoder for another kind of model: its latents are not this model's.")
    return vae.to(checkpoint.device, checkpoint.dtype).eval()


def _factor(vae: AutoencoderKL) -> int:
    return 2 ** (len(vae.config.block_out_channels) - 1)


def _from_folder(path: Path) -> AutoencoderKL:
    inner = path / "vae"
    return weights.from_folder(AutoencoderKL, inner if inner.is_dir() else path, "an autoencoder")


@building.alone
def _from_file(path: Path, own: AutoencoderKL) -> AutoencoderKL:
    if not any(name.endswith("decoder.conv_in.weight") for name in weights.check(path).shapes):
        raise ModelError(f"{path.stem} is not an autoencoder (VAE).")
    try:
        with TemporaryDirectory() as folder:  # without a configuration diffusers asks the hub for one
            own.save_config(folder)
            return AutoencoderKL.from_single_file(str(path), config=folder, local_files_only=True)
    except Exception:
        log.exception("%s could not be loaded", path.name)
        raise ModelError(f"{path.stem} is an autoencoder of another shape than this model's own.") from None
