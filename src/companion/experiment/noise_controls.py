"""Trainings on as much noise as noise modulation, each giving up one more of its properties (ours)."""

from collections.abc import Sequence

from torch import Tensor

from companion import transforms
from companion.training.recipe import Part, part


def noise_controls(
    x: Tensor, *, carrier: str, beta: float, centre: float | Sequence[float]
) -> dict[str, Part]:
    """Controls for noise modulation of the training images x (N, C, H, W), as a Recipe's inputs, by name.

    "Gaussian multiplier" has its noise's standard deviation in each pixel of each image, and another
    distribution; "noise by pixel" its mean power in each pixel, the same for all images; "additive noise" its
    mean power, the same everywhere. Numbers to four places. Errors as in transforms.modulation_sd.
    """
    like = {"carrier": carrier, "beta": beta, "centre": centre}
    sd, sigma = transforms.modulation_sd(carrier, beta), transforms.as_much_noise(x, **like)
    return {
        "Gaussian multiplier": part("gaussian_multiplier", sd=round(sd, 4), centre=centre),
        "noise by pixel": part("noise_by_pixel", sigma=transforms.as_much_noise_by_pixel(x, **like)),
        "additive noise": part("additive_noise", sigma=round(sigma, 4)),
    }
