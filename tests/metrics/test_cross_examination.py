"""Measures of maps on nets whose gradients are known."""

import dataclasses

import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from companion import data, metrics


@pytest.fixture(scope="module")
def images():
    return data.load("digits", n_train=200, n_test=60)


class Linear(nn.Module):
    """Logits W x, and one function common to all: its gradient is `common` everywhere."""

    def __init__(self, weights, common=0.0):
        super().__init__()
        self.weights, self.common = nn.Parameter(weights), common

    def forward(self, x):
        flat = x.flatten(1)
        return flat @ self.weights.T + self.common * flat.sum(1, keepdim=True)


def weights(seed=0):
    return torch.randn(10, 64, generator=torch.Generator().manual_seed(seed))


def settings(robust):
    how = {"sigma": 0.1, "samples": 3, "eps": 0.5, "steps": 5, "dimensions": 20, "seed": 0, "count": 20}
    return {"robust_net": robust, **how}


def test_a_function_common_to_all_logits_moves_the_raw_norm_alone(images):
    plain, shifted = (metrics.jacobian_per_margin(Linear(weights(), c), images, count=60) for c in (0.0, 5.0))
    assert shifted["‖J‖/margin, centred"] == pytest.approx(plain["‖J‖/margin, centred"], rel=1e-3)
    assert shifted["‖J‖/margin, raw"] > 1.5 * plain["‖J‖/margin, raw"]
    net, x, y = Linear(weights(), 5.0), images.x_test[:5], images.y_test[:5]
    rows = weights() - weights().mean(0)
    assert torch.allclose(metrics.centred_gradient(net, x, y).flatten(1), rows[y], atol=1e-4)


def test_norm_over_margin_of_a_linear_net_is_its_frobenius_norm_over_the_lead(images):
    logits = images.x_test.flatten(1) @ weights().T
    own = logits.gather(1, images.y_test[:, None]).squeeze(1)
    lead = own - logits.scatter(1, images.y_test[:, None], -torch.inf).amax(1)
    expected = (weights().norm() / lead[lead > 0]).median().item()
    found = metrics.jacobian_per_margin(Linear(weights()), images, count=60)["‖J‖/margin, raw"]
    assert found == pytest.approx(expected, rel=1e-4)
    scaled = metrics.jacobian_per_margin(Linear(7 * weights()), images, count=60)["‖J‖/margin, raw"]
    assert scaled == pytest.approx(expected, rel=1e-4)


def test_a_linear_nets_smoothgrad_is_its_gradient_and_its_map_its_own(images):
    net = Linear(weights())
    found = metrics.map_measures(net, images, **settings(net))
    assert found["SmoothGrad like plain"] == pytest.approx(1, abs=1e-5)
    assert found["cosine with a robust net"] == pytest.approx(1, abs=1e-5)
    opposite = metrics.map_measures(net, images, **settings(Linear(-weights(), 3.0)))
    assert opposite["cosine with a robust net"] == pytest.approx(-1, abs=1e-5)


def test_an_attack_off_the_plane_is_farther_from_it_than_one_within(images):
    flat = images.x_train.flatten(1) - images.x_train.flatten(1).mean(0)
    axes = torch.linalg.eigh(flat.T @ flat).eigenvectors.T  # the last ones span the plane
    off, within = (torch.cat([of, -of])[:10] for of in (axes[10:20], axes[-10:]))
    distance = [
        metrics.map_measures(Linear(w), images, **settings(Linear(w)))["attacks off the manifold"]
        for w in (off, within)
    ]
    assert distance[0] > distance[1]


def test_the_share_off_the_plane_is_1_for_an_attack_orthogonal_to_it_and_0_within(images):
    inside = dataclasses.replace(images, x_test=images.x_test.clamp(0.3, 0.7))  # no attack meets the edges
    flat = inside.x_train.flatten(1) - inside.x_train.flatten(1).mean(0)
    axes = torch.linalg.eigh(flat.T @ flat).eigenvectors.T  # the last ones span the plane
    share = [
        metrics.map_measures(Linear(torch.cat([of, -of])[:10]), inside, **settings(Linear(weights())))[
            "share of the attack off the manifold"
        ]
        for of in (axes[10:20], axes[-10:])
    ]
    assert share == pytest.approx([1, 0], abs=0.05)  # what is left of the random start


def test_signs_that_oppose_other_classes_count_for_the_own_image_where_vii_takes_them_as_alike(images):
    """Two classes of opposite images, and a map that is the own image less the other class's."""
    image = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(2))
    x, y = torch.stack([image, 1 - image] * 4), torch.tensor([0, 1] * 4)
    two = dataclasses.replace(images, x_train=x, x_test=x, y_train=y, y_test=y)
    flat = (image - 0.5).flatten()
    net = Linear(torch.stack([flat, -flat]))
    found = metrics.signs_of_own_image(net, two, count=8)["signs, own − another"]
    assert found == pytest.approx(2, abs=1e-5)
    (vii,) = [
        row["value"]
        for row in metrics.own_image(net, two, count=8)
        if (row["quantity"], row["against"], row["gradient"]) == ("vii", "own − another class", "log odds")
    ]
    assert vii == pytest.approx(0, abs=1e-5)
    turned = metrics.signs_of_own_image(Linear(torch.stack([-flat, flat])), two, count=8)
    assert turned["signs, own − another"] == pytest.approx(-2, abs=1e-5)


def test_variance_correlation_is_spearmans_of_magnitudes_and_variances(images):
    maps = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    variance = images.x_train.flatten(1).var(0)
    expected = [spearmanr(of.abs().flatten(), variance).statistic for of in maps]
    assert metrics.variance_correlation(maps, images.x_train).tolist() == pytest.approx(expected, abs=1e-6)
    assert metrics.variance_correlation(-variance.view(1, 1, 8, 8), images.x_train).item() == pytest.approx(1)
    assert metrics.variance_correlation(torch.ones(1, 1, 8, 8), images.x_train).item() == 0
