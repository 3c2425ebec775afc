"""Images and noise by spatial frequency: what a linear filter can take away (NM section 2.3)."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.fft import fft2, fftshift, ifft2

from companion import transforms
from companion.data import Images


def spectrum(z: Tensor) -> Tensor:
    """Log of the mean amplitude of the 2-D Fourier transforms of z (B, C, H, W), channel mean: (1, H, W).

    Source: NM figure 2. Zero frequency in the middle; scaled to [0, 1].
    """
    amplitude = fftshift(fft2(z.mean(1)), dim=(-2, -1)).abs().mean(0, keepdim=True).log1p()
    return amplitude / amplitude.max()


def wiener(noisy: Tensor, *, like: Tensor, clean: Tensor) -> Tensor:
    """`noisy` (B, C, H, W) through the linear filter that takes `like` closest to `clean`: shaped like it.

    One factor for each frequency and channel, E[clean conj(like)] / E|like|^2, which is S / (S + N) where
    clean has the power S and the noise, independent of it, the power N (Wiener 1949). NM section 2.3 says
    that demodulated images can be filtered so, since filters are linear.
    like, clean: training pairs of the same shape (B', C, H, W).
    """
    of_like, of_clean = fft2(like), fft2(clean)
    factor = (of_clean * of_like.conj()).mean(0) / of_like.abs().square().mean(0).clamp(min=1e-12)
    return ifft2(factor * fft2(noisy)).real


def image_correlation(a: Tensor, b: Tensor) -> float:
    """Pearson's correlation over all pixels of all images."""
    return torch.corrcoef(torch.stack([a.flatten(), b.flatten()]).double())[0, 1].item()


def demodulation(
    images: Images, *, carrier: str, beta: float, centre: Sequence[float], count: int = 300, seed: int = 0
) -> dict[str, Tensor]:
    """The stages of NM figure 2 for the first `count` test images, around `centre`, by name.

    After the paper's four a fifth: the demodulated image through `wiener`, fitted on 1,000 training images.
    """
    generator = torch.Generator(images.x_test.device).manual_seed(seed)
    origin = torch.as_tensor(centre, device=images.x_test.device).view(-1, 1, 1)
    x, pairs = images.x_test[:count] - origin, images.x_train[:1000] - origin
    c, other = (
        beta + (1 - beta) * transforms.draw(carrier, z.shape, generator=generator, device=z.device)
        for z in (x, pairs)
    )
    back = transforms.modulate(x, c)
    filtered = wiener(back, like=transforms.modulate(pairs, other), clean=pairs)
    return {"carrier c": c, "image x": x, "c·x": c * x, "demodulated m·x": back, "filtered": filtered}
