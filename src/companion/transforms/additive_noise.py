"""Gaussian noise added to the images of a batch: the control for noise modulation (ours)."""

import torch
from torch import Tensor, nn


def additive_noise(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    sigma: float,
    generator: torch.Generator | None = None,
) -> Tensor:
    """x plus independent N(0, sigma^2) in every pixel and channel: shaped like x, not clipped.

    Noise modulation with centre mu adds (m - 1)(x - mu): noise whose size follows the image. With sigma =
    modulation_sd(carrier, beta) times the pixels' root mean square distance from mu this is as much noise,
    the same everywhere.
    model, y: not used. x: (B, C, H, W) in [0, 1]. sigma: in pixels of [0, 1]. generator: of the noise.
    Raises ValueError on sigma < 0.
    """
    if not sigma >= 0:
        raise ValueError(f"sigma={sigma}; expected a standard deviation >= 0, in pixels of [0, 1]")
    return x + sigma * torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
