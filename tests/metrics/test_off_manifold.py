"""Distances of attacks from manifolds: on a net and a set whose answers are known."""

import math

import pytest
import torch
from torch import nn

from companion import data, metrics, models

PCA, WIDER = "principal components", "20 principal components"
STEPS = ("attack", "random step", "scaled step", "step to a class")


class Constant(nn.Module):
    """A generative model that knows one image."""

    def __init__(self, like):
        super().__init__()
        self.image = nn.Parameter(like)

    def encode(self, x):
        return torch.zeros(len(x), 2), torch.zeros(len(x), 2)

    def decode(self, z):
        return self.image.expand(len(z), *self.image.shape) + 0 * z.sum()


@pytest.fixture(scope="module")
def images():
    return data.load("digits", n_train=60, n_test=20)


@pytest.fixture(scope="module")
def rows(images):
    torch.manual_seed(0)
    nets = [models.digits_cnn(1, 8, 10, dropout=0.0).eval() for _ in range(2)]
    settings = {"dimensions": 5, "eps": 3.0, "steps": 5, "step_size": 1.0, "seed": 0, "wider": [20]}
    gan = Constant(images.x_train[0])
    return metrics.off_manifold(nets[0], images, gan=gan, judge=nets[1], **settings), gan, nets


def of(rows, **labels):
    return [r for r in rows if all(r.get(k) == v for k, v in labels.items())]


def test_every_manifold_has_attacks_by_both_judges_and_steps_from_the_same_images(rows):
    found = rows[0]
    for name in (PCA, "nearest training image", "VAE-GAN", WIDER):
        rows_of = of(found, projection=name, quantity="distance")
        counts = {(r["set"], r["judge"]): len(r["each"]) for r in rows_of}
        assert set(counts) == {("attack", "standard"), *((kind, "own") for kind in ("image", *STEPS))}
        assert len({counts[kind, "own"] for kind in ("image", *STEPS)}) == 1 and counts["attack", "own"] > 0
    (own,) = of(found, quantity="success, own")
    (attack,) = of(found, quantity="distance", projection="VAE-GAN", set="attack", judge="own")
    assert own["value"] == pytest.approx(100 * len(attack["each"]) / 20)
    assert attack["value"] == pytest.approx(sum(attack["each"]) / len(attack["each"]), abs=1e-4)
    (length,) = of(found, quantity="length")
    assert 0 < length["value"] <= 3.0 + 1e-4


def test_the_distance_is_that_of_the_attack_and_the_projection(rows, images):
    found, gan, nets = rows
    from companion import attacks

    ball = {"norm": "l2", "eps": 3.0, "steps": 5, "step_size": 1.0, "protocol": attacks.BR_PAPER}
    moved = attacks.pgd(nets[0], images.x_test, images.y_test, **ball)
    kept = metrics.changed(nets[0], images.x_test, moved)
    by_hand = (moved - images.x_train[0]).flatten(1).norm(dim=1)[kept].tolist()
    (attack,) = of(found, quantity="distance", projection="VAE-GAN", set="attack", judge="own")
    assert attack["each"] == pytest.approx(by_hand, abs=1e-4)


def test_the_share_outside_is_that_of_the_step_alone(rows, images):
    """With the axes written down: nothing of the image's own residual is in it."""
    found, _, nets = rows
    from companion import attacks

    ball = {"norm": "l2", "eps": 3.0, "steps": 5, "step_size": 1.0, "protocol": attacks.BR_PAPER}
    moved = attacks.pgd(nets[0], images.x_test, images.y_test, **ball)
    step = (moved - images.x_test)[metrics.changed(nets[0], images.x_test, moved)].flatten(1)
    train = images.x_train.flatten(1)
    axes = torch.linalg.svd(train - train.mean(0), full_matrices=False).Vh
    for name, count in ((PCA, 5), (WIDER, 20)):
        inside = (step @ axes[:count].T).norm(dim=1) / step.norm(dim=1)
        (share,) = of(found, quantity="share outside", projection=name, set="attack")
        assert share["each"] == pytest.approx((1 - inside**2).sqrt().tolist(), abs=1e-3)
    kinds = {(r["projection"], r["set"]) for r in of(found, quantity="share outside")}
    assert kinds == {(name, kind) for name in (PCA, WIDER) for kind in STEPS}


def test_errors_of_the_manifolds_on_test_images(images):
    found = metrics.projection_errors(Constant(images.x_train[0]), images, dimensions=5, wider=[20])
    error = {r["projection"]: r["value"] for r in of(found, quantity="distance")}
    mean = images.x_train.mean(0)
    assert error["mean image"] == pytest.approx(
        (images.x_test - mean).flatten(1).norm(dim=1).mean().item(), rel=1e-5
    )
    assert error[WIDER] < error[PCA] < error["mean image"] < error["VAE-GAN"]
    assert all(len(r["each"]) == 20 for r in of(found, quantity="distance"))


def test_a_latent_that_is_searched_is_never_farther(images):
    torch.manual_seed(0)
    gan = models.vaegan(1, 8, width=4, latent=3).eval()
    sets = {"brighter": (images.x_test[:4] + 0.1).clamp(0, 1)}
    found = metrics.latent_distances(gan, images, sets=sets, count=4, search=3)
    value = {(r["set"], r["latent"]): r["value"] for r in found}
    assert {name for name, _ in value} == {"test images", "brighter"}
    for name in ("test images", "brighter"):
        assert value[name, "optimised"] <= value[name, "mean"]


def test_the_mode_on_the_axis_of_clean_images():
    values = torch.normal(3.0, 0.1, (4000,), generator=torch.Generator().manual_seed(0)).tolist()
    assert metrics.relative_mode(values, [1.0, 5.0, 2.0]) == pytest.approx(0.5, abs=0.02)
    assert math.isnan(metrics.relative_mode([2.0], [1.0, 5.0]))
