"""A plan of training with every number small: seconds instead of hours, and pictures of nothing."""

from dataclasses import replace
from pathlib import Path

from training.plan import Plan


def plan(folder: Path, **changes: object) -> Plan:
    """One that works in `folder`, as it is or with `changes`."""
    small = Plan(
        work=folder / "work",
        out=folder / "model",
        minutes=0.1,
        autoencoder_share=0.02,
        diffusion_share=1,
        decoder_share=0.02,
        turbo_share=1,
        pictures=24,
        held_out=8,
        ways=16,
        workers=1,
        save_seconds=0,
        autoencoder_channels=(8, 8, 8, 8),
        autoencoder_groups=4,
        autoencoder_batch=4,
        unet_channels=(16, 16),
        unet_groups=4,
        width=32,
        text_layers=1,
        text_heads=2,
        diffusion_batch=4,
    )
    return replace(small, **changes)
