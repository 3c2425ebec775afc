"""What DiffROAR's nets see, their accuracies as a frame, and nets before their first step."""

import pytest
import torch

from companion import data, experiment, metrics, store
from companion.training import Mask, Recipe, build_model, part

DIGITS = part("digits", n_train=60, n_test=20)
NET = Recipe(data=DIGITS, model=part("mlp", hidden=(8, 8)), epochs=1, seed=3)
MASK = Mask(0.5, source=NET, map=part("loss_gradient", of="logit"), unit="entry", fill="mean", seed=3)


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_STORE", str(tmp_path))


def test_the_views_are_the_top_the_bottom_and_the_mask_of_the_top():
    views = experiment.unmasked_views(NET, MASK, kept=0.25)
    whole = store.images(DIGITS, "cpu")
    assert list(views) == ["top k", "bottom k", "mask of top k"]
    mask = views["mask of top k"].bool()
    assert (mask.flatten(1).sum(1) == 16).all()
    assert torch.equal(views["top k"][mask], whole.x_test[mask])
    fill = whole.x_train.mean()
    assert (views["top k"][~mask] - fill).abs().max() < 1e-6
    gradient = metrics.predicted_gradient(store.get(NET), whole.x_test, whole.y_test).abs()
    assert gradient[0][mask[0]].min() >= gradient[0][~mask[0]].max()
    shown = (views["bottom k"] - fill).abs() > 1e-6
    assert not (shown & mask).any()


def test_powers_are_those_of_pred_power():
    top, bottom = experiment.pred_power(NET, MASK, kept=[0.25, 0.5], seeds=[3])
    frame = experiment.powers(NET, MASK, kept=[0.25, 0.5])
    of = {(row.kept, row.end): row.value for row in frame.itertuples()}
    assert of[0.5, "top"] == pytest.approx(100 * top[1, 0].item())
    assert of[0.25, "difference"] == pytest.approx(100 * (top - bottom)[0, 0].item())


def test_an_untrained_net_is_the_one_its_seed_draws():
    frame = experiment.measure_untrained(metrics.clean_accuracy, {("net", 3): NET})
    torch.manual_seed(3)
    images = store.images(DIGITS, "cpu")
    expected = metrics.clean_accuracy(build_model(NET, images).eval(), images)
    assert frame["images"].iloc[0] == expected


def test_strong_accuracy_is_of_the_first_images_and_never_above_the_clean_one():
    images, net = data.load("digits", n_train=60, n_test=20), store.get(NET)
    ball = {"norm": "linf", "steps": 3, "count": 12, "seed": 0}
    (none,) = metrics.strong_accuracy(net, images, eps=0.0, **ball)
    (some,) = metrics.strong_accuracy(net, images, eps=0.2, **ball)
    assert none["value"] == metrics.clean_accuracy(net, images)[:12] and none["attack"] == "linf 0"
    assert all(a <= b for a, b in zip(some["value"], none["value"], strict=True))
