"""Noise modulation (NM, Li & Wang 2021): each image is multiplied by the square of a random carrier."""

from collections.abc import Sequence
from zlib import crc32

import torch
from torch import Tensor, nn

from companion.transforms.carriers import CARRIERS, check_carrier, draw


def noise_modulation(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    carrier: str = "gaussian",
    beta: float = 0.5,
    centre: float | Sequence[float] = 0.0,
    shared: bool = False,
    fixed_seed: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """x modulated and demodulated by c = beta + (1 - beta) d, with d fresh noise: shaped like x, not clipped.

    Source: NM eq. 10.
    model, y: not used; the transform is model-agnostic, and nothing is differentiated.
    x: (B, C, H, W) in [0, 1], floating point; no range check, which would wait for the GPU at every step.
    carrier: what d is drawn from, "gaussian" (N(0, 1), the paper's default) or another one of
    transforms.CARRIERS, or a call such as "StudentT(df=5)"; see transforms.draw.
    beta: fraction of the constant. 1 returns x itself and draws nothing, so training is standard training bit
    for bit.
    centre: 0 modulates the pixels. Where the net normalises inside (models.Normalize), its mean, a number or
    one for each channel, modulates what the net sees after normalising: x' = centre + m (x - centre). The
    paper's text suggests that order; it gives no constants.
    shared: one carrier for all channels of an image. The paper's figure 2 shows one for each channel.
    fixed_seed: None draws fresh noise at every call. A number keeps one noisy copy of each image for the
    whole training, as preprocessing the data set once would (NM section 2.3): the noise then depends on the
    image's pixels and this seed alone, is drawn image by image, and `generator` is left alone. An augmented
    copy is another image.
    generator: of the noise.
    Raises ValueError on beta outside [0, 1], an unknown carrier, or one that is zero, almost surely or, for
    some image, by chance.
    """
    check_carrier(carrier, beta)
    if beta == 1:
        return x
    shape = (len(x), 1, *x.shape[2:]) if shared else x.shape
    if fixed_seed is None:
        noise = draw(carrier, shape, generator=generator, device=x.device, dtype=x.dtype)
    else:
        noise = _noise_of(x, carrier, shape[1:], fixed_seed)
    c = noise.add_(beta / (1 - beta))  # eq. 10 but for its scale, which the multiplier divides out
    if carrier not in CARRIERS:  # those are continuous: no check, and no wait for the device
        _check_not_zero(c)
    return _times(multiplier(c), x, centre)


def modulate(x: Tensor, carrier: Tensor, *, centre: float | Sequence[float] | Tensor = 0.0) -> Tensor:
    """Modulational training's input x' = centre + m (x - centre), m = multiplier(carrier): shaped like x.

    Source: NM eq. 7, with centre 0. carrier: (B, C, H, W), or with 1 in place of B or C; any carrier, random
    or not. centre: see noise_modulation. Raises ValueError where the carrier of an image is zero everywhere.
    """
    _check_not_zero(carrier)
    return _times(multiplier(carrier), x, centre)


def multiplier(carrier: Tensor) -> Tensor:
    """m_n = N c_n^2 / C_0 with C_0 = sum_n c_n^2, for each image of carrier (B, ...): its mean is 1.

    Source: NM eq. 7; it is 1 + (c_n^2 - C_0 / N) N / C_0, eq. 9. NaN where the carrier is zero everywhere.
    """
    power = carrier.square()
    return power.div_(power.mean(tuple(range(1, carrier.ndim)), keepdim=True))


def _times(m: Tensor, x: Tensor, centre: float | Sequence[float] | Tensor) -> Tensor:
    """centre + m (x - centre); x itself, to the bit, where m is 1."""
    if isinstance(centre, int | float) and centre == 0:
        return m * x
    return torch.lerp(torch.as_tensor(centre, dtype=x.dtype, device=x.device).view(-1, 1, 1), x, m)


def _check_not_zero(carrier: Tensor) -> None:
    zero = (carrier == 0).flatten(1).all(1)
    if zero.any():
        raise ValueError(
            f"the carrier of image {int(zero.nonzero()[0])} is zero everywhere, and eq. 7 divides by its "
            "power: take a carrier that is not"
        )


def _noise_of(x: Tensor, carrier: str, shape: Sequence[int], seed: int) -> Tensor:
    """Noise of `shape` for each image, which the image's bytes and the seed decide."""
    own = torch.Generator()
    noise = [
        draw(carrier, shape, generator=own.manual_seed(crc32(image.numpy().tobytes(), seed)), dtype=x.dtype)
        for image in x.detach().cpu()
    ]
    return torch.stack(noise).to(x.device)
