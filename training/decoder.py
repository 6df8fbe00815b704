"""The last training: the decoder alone, for what the UNet hands it. The latents stay as they are, so the UNet trained on them stays valid.

A UNet's latents are not quite those of a picture, least of all at edges. A decoder that has seen both is to draw the edges that were meant.
"""

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from transformers import CLIPTokenizer

from training import autoencoder, diffusion, export, pictures, tokenizer
from training.plan import Plan, mixed

JITTER = 0.03  # of the latents that come from pictures
OWN = 0.5  # share of the latents that the UNet has gone over
EARLIEST, LATEST = 50, 300  # the times between which it takes them up; from later on it would draw other edges than the picture has
STRIDES = 3


class DecoderOnly:
    """The task: whole pictures from the cached latents, half of them made noisy and taken back to the end by the finished UNet."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.model = autoencoder.without_encoder(AutoencoderKL.from_pretrained(plan.work / "autoencoder"))
        self.both = export.load_both(plan).to(plan.device)
        words = CLIPTokenizer.from_pretrained(plan.work / "tokenizer")
        self.pixels = {form: pictures.pixels(plan.work, "train", form) for form in pictures.SHARES}
        self.latents = {form: autoencoder.latents(plan.work, plan.size, form) for form in pictures.SHARES}
        self.ids = {form: torch.tensor(tokenizer.encode(words, pictures.words(plan.work, "train", form)[0])) for form in pictures.SHARES}

    def loss(self, progress: float) -> Tensor:
        """`picture_loss` of a batch of one form; a worker draws its share of it."""
        share, form = max(1, self.plan.autoencoder_batch // 4 // self.plan.workers), autoencoder.draw_form()
        chosen = autoencoder.rows(self.pixels[form], share)
        real = autoencoder.to_tensor(pictures.sized(self.pixels[form][chosen], self.plan.size), self.plan.device)
        clean = torch.from_numpy(np.array(self.latents[form][chosen])).float().to(self.plan.device)  # (B, 4, h, w)
        latents = clean + JITTER * torch.randn_like(clean)
        own = torch.rand(share) < OWN
        if own.any():
            latents[own] = self.redraw(clean[own], self.ids[form][chosen][own].to(self.plan.device))
        with mixed(self.plan.device):
            drawn = self.model.decode(latents / autoencoder.SCALING).sample
        return autoencoder.picture_loss(drawn, real)

    @torch.no_grad()
    def redraw(self, clean: Tensor, ids: Tensor) -> Tensor:
        """Latents (B, 4, h, w) as the UNet has them for captions (B, 48), from noise of some time on, in a few steps of DDIM."""
        device, count = clean.device, len(clean)
        angles = diffusion.signal_and_noise()[0].acos().to(device)
        first = torch.randint(EARLIEST, LATEST, (count, 1), device=device)
        times = first * torch.arange(STRIDES, 0, -1, device=device) // STRIDES  # (B, 3)
        at = torch.cat([angles[times], torch.zeros(count, 1, device=device)], dim=1)  # (B, 4)
        x = diffusion.stride(clean, -torch.randn_like(clean), at[:, 0])  # the noise added
        for step in range(STRIDES):
            with diffusion.fast(device.type):
                v = self.both(x, times[:, step], ids).float()
            x = diffusion.stride(x, v, at[:, step] - at[:, step + 1])
        return x
