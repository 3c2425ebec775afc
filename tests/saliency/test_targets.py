"""Target maps that are controls: at another image, of the image alone, the norm of a centred gradient."""

import dataclasses

import pytest
import torch
from torch import nn

from companion import data, losses, saliency, store
from companion.training import Recipe, Target, part

PLAIN = Recipe(part("digits", n_train=150), part("digits_cnn"), epochs=1)


@pytest.fixture(autouse=True)
def fresh_store(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_STORE", str(tmp_path / "store"))


def generator():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("among", ["same_class", "any"])
def test_another_image_is_never_the_image_and_each_is_taken_once(among):
    y = data.load("digits").y_train
    other = saliency.other_images(y, among, generator=generator())
    assert (other != torch.arange(len(y))).all() and torch.equal(other.sort().values, torch.arange(len(y)))
    assert (y[other] == y).all() == (among == "same_class")


def test_a_class_of_one_image_and_one_without_any_keep_their_places():
    y = torch.tensor([2, 0, 2, 4])
    other = saliency.other_images(y, "same_class", generator=generator())
    assert other.tolist() == [2, 1, 0, 3]
    with pytest.raises(ValueError, match="expected"):
        saliency.other_images(y, "all")


@pytest.mark.parametrize("at", ["same_class", "any"])
def test_the_map_is_that_of_the_own_class_at_the_other_image(at):
    """Of a net: the gradient of the own class's logit at the other image. Of the image map: that image."""
    images = data.load("digits", n_train=150)
    own, elsewhere = (
        store.maps(Target(PLAIN, part("input_gradient"), at=place), PLAIN) for place in ("itself", at)
    )
    other = saliency.other_images(images.y_train, at, generator=generator())
    net = store.get(PLAIN)
    torch.testing.assert_close(elsewhere, saliency.input_gradient(net, images.x_train[other], images.y_train))
    assert not torch.equal(own, elsewhere)
    moved = store.maps(Target(None, part("image"), at=at), PLAIN)
    assert torch.equal(moved, images.x_train[other])


def test_a_target_without_a_teacher_trains_no_other_net():
    images = data.load("digits", n_train=150)
    recipe = dataclasses.replace(
        PLAIN,
        loss=part("interpretation", lambda_d=1.0, lambda_m=0.05),
        target=Target(None, part("image_minus_mean")),
    )
    assert store.missing([recipe]) == [recipe]
    store.get(recipe)
    maps = store.maps(recipe.target, recipe)
    torch.testing.assert_close(maps, images.x_train - images.x_train.mean(0))
    other = dataclasses.replace(recipe, target=dataclasses.replace(recipe.target, map=part("image")))
    assert store.key(other) != store.key(recipe)
    with pytest.raises(ValueError, match="at='here'"):
        Target(None, part("image"), at="here")


class Shifted(nn.Module):
    """The net with one function of the image added to every logit: the same decisions."""

    def __init__(self, net, scale):
        super().__init__()
        self.net, self.scale = net, scale

    def forward(self, x):
        return self.net(x) + self.scale * x.flatten(1).square().sum(1, keepdim=True)


@pytest.mark.parametrize("loss", ["interpretation", "alignment_penalty"])
def test_a_function_common_to_all_logits_changes_raw_terms_and_not_centred_ones(loss):
    images = data.load("digits", n_train=20)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10)).double()
    x, y = images.x_train.double(), images.y_train

    def value(scale, centred):
        model = Shifted(net, scale)
        if loss == "alignment_penalty":
            return losses.alignment_penalty(model, x, y, lambda_a=1.0, term="norm", centred=centred)
        weights = {"lambda_d": 1.0, "lambda_m": 1.0, "centred": "both" if centred else "none"}
        return losses.interpretation(model, x, y, torch.ones_like(x), **weights)

    torch.testing.assert_close(value(0.0, True), value(5.0, True))
    assert (value(0.0, False) - value(5.0, False)).abs() > 0.1


def test_with_a_centred_norm_the_cosine_stays_that_of_the_raw_gradient():
    images = data.load("digits", n_train=20)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10)).double()
    x, y, target = images.x_train.double(), images.y_train, torch.rand(20, 1, 8, 8).double()

    def value(centred, **weights):
        return losses.interpretation(
            net, x, y, target, **({"lambda_d": 0.0, "lambda_m": 0.0} | weights), centred=centred
        )

    plain = value("none")
    torch.testing.assert_close(value("norm", lambda_d=1.0), value("none", lambda_d=1.0))
    torch.testing.assert_close(value("norm", lambda_m=1.0), value("both", lambda_m=1.0))
    assert abs(value("both", lambda_d=1.0) - value("none", lambda_d=1.0)) > 1e-3
    assert abs(value("norm", lambda_m=1.0) - value("none", lambda_m=1.0)) > 1e-3 and plain.isfinite()
    with pytest.raises(ValueError, match="centred='cosine'"):
        value("cosine")
