"""DiffROAR: a planted map has its closed-form sign and size, a random one is zero; entries and pixels."""

import dataclasses

import pytest
import torch
from torch import nn

from companion import data, experiment, plots, saliency, store
from companion.store import inputs, nets
from companion.training.recipe import Mask, Recipe, part

CLASSES, CHANNELS, SIDE = 5, 2, 6
RECIPE = Recipe(
    part("digits", n_train=1, n_test=1),  # replaced by the planted images
    part("mlp", hidden=(48, 48)),
    optimiser=part("Adam", lr=3e-3),
    schedule="constant",
    epochs=12,
)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def spelt(n, seed):
    """Noise, but the first channel of the first row's five pixels spells the label: one of them is white."""
    x, y = torch.rand(n, CHANNELS, SIDE, SIDE, generator=generator(seed)), torch.arange(n) % CLASSES
    x[:, 0, 0, :CLASSES] = nn.functional.one_hot(y, CLASSES).float()
    return x, y


def on_the_label(model, x, y):
    maps = torch.rand(x.shape, generator=generator(0))
    maps[:, 0, 0, :CLASSES] = -2.0  # by absolute value
    return maps


def off_the_label(model, x, y):
    return on_the_label(model, x, y) * (on_the_label(model, x, y) > 0)


def at_random(model, x, y, *, generator: torch.Generator):
    return torch.rand(x.shape, generator=generator)


@pytest.fixture(autouse=True)
def planted(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_STORE", str(tmp_path / "store"))
    images = data.Images("planted", "planted", *spelt(400, 0), *spelt(300, 1), tuple("01234"))
    for module in (inputs, nets):
        monkeypatch.setattr(module, "images", lambda recipe_data, device: images)
    inputs._ranks.cache_clear()
    for function in (on_the_label, off_the_label, at_random):
        monkeypatch.setattr(function, "__module__", "companion.saliency.maps")
        monkeypatch.setattr(saliency, function.__name__, function, raising=False)


def curve(name, *, kept=(0.25,), seeds=(0, 1), **settings):
    mask = Mask(0.5, source=RECIPE, map=part(name), **({"unit": "entry", "fill": "mean"} | settings))
    return experiment.diff_roar(*experiment.pred_power(RECIPE, mask, kept=kept, seeds=seeds))


@pytest.mark.slow
def test_a_map_on_the_label_scores_one_minus_chance_and_one_off_it_the_negative():
    chance = 1 / CLASSES  # what the bottom reveals, and the top reveals all: 1 - 1/5
    assert curve("on_the_label", kept=(0.1, 0.5)).mean(1).tolist() == pytest.approx(
        [1 - chance] * 2, abs=0.08
    )
    assert curve("off_the_label").mean() == pytest.approx(chance - 1, abs=0.08)


@pytest.mark.slow
def test_a_random_map_and_a_random_order_are_zero_within_their_interval():
    """Of each label's pixel the top shows k, the bottom shows k: both find it equally often."""
    for found in (
        curve("at_random", seeds=(0, 1, 2)),
        experiment.diff_roar(*experiment.pred_power(RECIPE, Mask(0.5), kept=(0.25,), seeds=(0, 1, 2))),
    ):
        mean, half = plots.interval(found[0].tolist())
        assert abs(mean) < half + 2 * (0.5 / 300) ** 0.5  # seeds have in common the test images' own error


def test_pixels_take_their_channels_along_and_entries_do_not():
    """Half a pixel's channels hold the label: an order of pixels needs room for both, one of entries not."""
    room = CLASSES / (CHANNELS * SIDE**2) + 1e-6  # exactly the five entries that spell the label
    assert curve("on_the_label", kept=(room,)).mean() > 0.7
    kept_pixels = store.images_of(dataclasses.replace(
        RECIPE, mask=Mask(1 - room, source=RECIPE, map=part("on_the_label"), remove="smallest", fill=0.0)
    )).x_test != 0  # fmt: skip
    assert (kept_pixels[:, 1].flatten(1).sum(1) > 0).all()  # the second channel came along
    assert kept_pixels[:, :, 1:].sum() == 0 and kept_pixels[:, 1, 0, :CLASSES].flatten(1).sum(1).max() <= 3


def test_the_same_nets_as_roar_and_kar_and_one_list_for_the_estimate():
    mask = Mask(0.5, source=RECIPE, map=part("on_the_label"))
    found = experiment.unmaskings(RECIPE, mask, kept=(0.9,), seeds=(0,))
    kar, roar = (
        experiment.retrainings(RECIPE, dataclasses.replace(mask, remove=r), fractions=(0.1,), seeds=(0,))
        for r in ("smallest", "largest")
    )
    assert found == kar + roar
    assert len(set(experiment.unmaskings(RECIPE, Mask(0.5), kept=(0.9,), seeds=(0,)))) == 2


@pytest.mark.parametrize("k", [0, 1, -0.1, 1.5])
def test_k_outside_is_refused_before_anything_is_trained(k, monkeypatch):
    monkeypatch.setattr(store, "train", None)
    with pytest.raises(ValueError, match=rf"k={k}.*\(0, 1\)"):
        experiment.pred_power(RECIPE, Mask(0.5), kept=(0.5, k), seeds=(0,))
    with pytest.raises(ValueError, match="k="):
        experiment.unmaskings(RECIPE, Mask(0.5), kept=(k,), seeds=(0,))
