"""What training does to its input before the loss sees it: (model, x, y, *, ..., generator) -> x."""

from companion.transforms.additive_noise import additive_noise, as_much_noise
from companion.transforms.adversarial import adversarial
from companion.transforms.carriers import CARRIERS, draw, modulation_sd
from companion.transforms.gaussian_noise import (
    as_much_noise_by_pixel,
    gaussian_multiplier,
    noise_by_pixel,
)
from companion.transforms.noise_modulation import modulate, multiplier, noise_modulation

__all__ = [
    "CARRIERS",
    "additive_noise",
    "adversarial",
    "as_much_noise",
    "as_much_noise_by_pixel",
    "draw",
    "gaussian_multiplier",
    "modulate",
    "modulation_sd",
    "multiplier",
    "noise_by_pixel",
    "noise_modulation",
]
