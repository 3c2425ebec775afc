"""Gaussian noises between noise modulation and additive noise, each without one of its properties (ours)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from companion.transforms.carriers import modulation_sd


def gaussian_multiplier(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    sd: float,
    centre: float | Sequence[float] = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """centre + m (x - centre) with independent m ~ N(1, sd^2): shaped like x, not clipped.

    With sd from `modulation_sd` the noise has the mean and the standard deviation of noise modulation's in
    each pixel of each image, and another distribution.
    model, y: not used. x: (B, C, H, W) in [0, 1]. centre: a number or one for each channel.
    Raises ValueError on sd < 0.
    """
    if not sd >= 0:
        raise ValueError(f"sd={sd}; expected a standard deviation >= 0 of the multiplier")
    noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    return x + sd * noise * (x - _origin(centre, x))


def noise_by_pixel(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    sigma: Sequence[float],
    generator: torch.Generator | None = None,
) -> Tensor:
    """x plus independent N(0, sigma_n^2) in entry n of every image: shaped like x, not clipped.

    With sigma from `as_much_noise_by_pixel` each entry's noise has the mean power that noise modulation adds
    to it, and ignores the image.
    model, y: not used. x: (B, C, H, W) in [0, 1]. sigma: C * H * W of them, in pixels of [0, 1], channel by
    channel and row by row. Raises ValueError on another number of them, and on sigma < 0.
    """
    if len(sigma) != x[0].numel():
        raise ValueError(f"{len(sigma)} values in sigma; expected {x[0].numel()}, one for each entry of x")
    scale = torch.tensor(sigma, dtype=x.dtype, device=x.device).view(x.shape[1:])
    if not (scale >= 0).all():
        raise ValueError(f"sigma={scale.min().item():g}; expected standard deviations >= 0, pixels in [0, 1]")
    return x + scale * torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)


def as_much_noise_by_pixel(
    x: Tensor, *, carrier: str, beta: float, centre: float | Sequence[float]
) -> tuple[float, ...]:
    """The sigma of `noise_by_pixel` with the mean power that noise modulation adds to each entry of x.

    modulation_sd(carrier, beta) times the root mean square over images of x - centre, to four places.
    x: (B, C, H, W); centre: a number or one for each channel. Errors as in modulation_sd.
    """
    rms = (x - _origin(centre, x)).square().mean(0).sqrt().flatten()
    return tuple(round(value, 4) for value in (modulation_sd(carrier, beta) * rms).tolist())


def _origin(centre: float | Sequence[float], x: Tensor) -> Tensor:
    return torch.as_tensor(centre, dtype=x.dtype, device=x.device).view(-1, 1, 1)
