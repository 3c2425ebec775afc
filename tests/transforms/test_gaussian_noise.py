"""Gaussian noises with NM's standard deviation, in each pixel of each image and in each pixel alone."""

import pytest
import torch

from companion import transforms

NM = {"carrier": "gaussian", "beta": 0.5, "centre": (0.2, 0.3)}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def images(count):
    """Two images in turn, of two channels."""
    two = torch.rand(2, 2, 8, 8, generator=seeded(1))
    return two.repeat(count // 2, 1, 1, 1)


def moved(function, x, **settings):
    return function(None, x, None, **settings, generator=seeded()) - x


def test_the_multiplier_has_the_sd_of_modulation_in_each_pixel_of_each_image():
    x = images(20_000)
    sd = transforms.modulation_sd("gaussian", 0.5)
    ours = moved(transforms.gaussian_multiplier, x, sd=sd, centre=NM["centre"])
    theirs = moved(transforms.noise_modulation, x, **NM)
    for of in (0, 1):
        torch.testing.assert_close(ours[of::2].std(0), theirs[of::2].std(0), rtol=0.06, atol=1e-3)
    far = ours[0::2, 0, 0, 0] / (x[0, 0, 0, 0] - 0.2)  # m - 1: N(0, sd^2), with kurtosis 3
    assert far.std().item() == pytest.approx(sd, rel=0.03) and abs(far.mean()) < 0.05
    assert ((far / far.std()) ** 4).mean().item() == pytest.approx(3, abs=0.3)


def test_noise_by_pixel_has_the_power_of_modulation_in_each_pixel_and_ignores_the_image():
    x = images(20_000)
    sigma = transforms.as_much_noise_by_pixel(x, **NM)
    ours = moved(transforms.noise_by_pixel, x, sigma=sigma)
    power = moved(transforms.noise_modulation, x, **NM).square().mean(0)
    torch.testing.assert_close(ours.square().mean(0), power, rtol=0.1, atol=1e-3)
    torch.testing.assert_close(ours[0::2].std(0), ours[1::2].std(0), rtol=0.05, atol=1e-3)
    mean = torch.tensor(sigma).square().mean().sqrt().item()
    assert mean == pytest.approx(transforms.as_much_noise(x, **NM), rel=1e-3)


def test_wrong_settings_are_named():
    x = images(2)
    with pytest.raises(ValueError, match="sd=-1"):
        transforms.gaussian_multiplier(None, x, None, sd=-1)
    with pytest.raises(ValueError, match="3 values in sigma; expected 128"):
        transforms.noise_by_pixel(None, x, None, sigma=(1, 1, 1))
    with pytest.raises(ValueError, match="sigma=-2"):
        transforms.noise_by_pixel(None, x, None, sigma=(-2.0,) * 128)
