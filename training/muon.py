"""One optimiser step over views of flat vectors: Muon for matrices and convolutions, Adam for everything else.

Muon: Keller Jordan et al., 2024 (https://kellerjordan.github.io/posts/muon); the scale that lets it share Adam's
learning rate: Liu et al., 2025 (https://arxiv.org/abs/2502.16982).
"""

import torch
from torch import Tensor


def is_matrix(name: str, value: Tensor) -> bool:
    """Whether Muon updates this parameter: inner matrices, not embeddings and not the layers that touch pixels."""
    edge = ("embedding", "conv_in", "conv_out", "quant_conv")
    return value.ndim >= 2 and not any(word in name for word in edge)


def orthogonal(update: Tensor) -> Tensor:
    """The nearest matrix with singular values of about one, by five Newton-Schulz steps; (rows, columns) in and out.

    Each step multiplies by a polynomial of the Gram matrix, so the steps are taken on that, which is small, and all at once on the update.
    """
    x = update.float()
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    gram = x @ x.T
    eye = torch.eye(len(gram), device=x.device)
    whole = eye
    for _ in range(5):
        step = 3.4445 * eye - 4.7750 * gram + 2.0315 * gram @ gram
        whole, gram = step @ whole, step @ gram @ step
    x = whole @ x
    return (x.T if tall else x).to(update.dtype)


@torch.no_grad()
def muon(value: Tensor, grad: Tensor, momentum: Tensor, rate: float, decay: float = 0.01) -> None:
    """Move `value` (any shape, first axis = outputs) in place; `momentum` has its shape."""
    momentum.lerp_(grad, 0.05)
    update = grad.lerp(momentum, 0.95).flatten(1)  # Nesterov
    step = orthogonal(update) * (0.2 * max(update.shape) ** 0.5)
    value.mul_(1 - rate * decay).sub_(step.view(value.shape), alpha=rate)


@torch.no_grad()
def adam(value: Tensor, grad: Tensor, first: Tensor, second: Tensor, step: int, rate: float) -> None:
    """Adam (Kingma and Ba, 2014) with betas 0.9 and 0.98; `step` counts from 1."""
    first.lerp_(grad, 0.1)
    second.lerp_(grad.square(), 0.02)
    scale = (second / (1 - 0.98**step)).sqrt_().add_(1e-8)
    value.sub_(first / (1 - 0.9**step) / scale, alpha=rate)
