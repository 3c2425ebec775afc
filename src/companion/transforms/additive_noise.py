"""Gaussian noise added to the images of a batch: the control for noise modulation (ours)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from companion.transforms.carriers import modulation_sd


def additive_noise(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    sigma: float,
    generator: torch.Generator | None = None,
) -> Tensor:
    """x plus independent N(0, sigma^2) in every pixel and channel: shaped like x, not clipped.

    Noise modulation with centre mu adds (m - 1)(x - mu): noise whose size follows the image. With sigma from
    `as_much_noise` this is as much, the same everywhere.
    model, y: not used. x: (B, C, H, W) in [0, 1]. sigma: in pixels of [0, 1]. generator: of the noise.
    Raises ValueError on sigma < 0.
    """
    if not sigma >= 0:
        raise ValueError(f"sigma={sigma}; expected a standard deviation >= 0, in pixels of [0, 1]")
    return x + sigma * torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)


def as_much_noise(x: Tensor, *, carrier: str, beta: float, centre: float | Sequence[float]) -> float:
    """The sigma of additive noise with the mean power that noise modulation adds to the images x.

    modulation_sd(carrier, beta) times the root mean square of x - centre. x: (B, C, H, W); centre: a number
    or one for each channel.
    Errors as in modulation_sd.
    """
    origin = torch.as_tensor(centre, dtype=x.dtype, device=x.device).view(-1, 1, 1)
    return modulation_sd(carrier, beta) * (x - origin).square().mean().sqrt().item()
