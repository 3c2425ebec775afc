"""Images and noise by spatial frequency: what a linear filter can take away (NM section 2.3)."""

import torch
from torch import Tensor
from torch.fft import fft2, fftshift, ifft2


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
