"""Leakage scores on nets whose gradients are known, and the theorem's net."""

import pytest
import torch
from torch import nn

from companion import data, metrics, models

TOY = {"relevant": 4, "noise_blocks": 4, "n_train": 200}


@pytest.fixture(scope="module")
def blocks():
    return data.block_mnist.block_mnist("digits", n_train=60, n_test=30)


class Planted(nn.Module):
    """Logits whose gradient is a fixed picture: with both signs, one for each class."""

    def __init__(self, picture):
        super().__init__()
        self.picture = nn.Parameter(picture)

    def forward(self, x):
        total = (x * self.picture).flatten(1).sum(1) - 100  # always class 0
        return torch.stack([-total, total], 1)


def test_a_gradient_spread_evenly_has_half_its_mass_on_the_null_block(blocks):
    found = metrics.block_scores(Planted(torch.ones(1, 16, 8)), blocks, patch="crossed")
    assert found["null_mass"] == pytest.approx(50)


def test_a_gradient_that_shows_the_class_direction_everywhere_leaks_with_cosine_one(blocks):
    direction = metrics.class_directions(blocks, patch="crossed")[0].view(1, 8, 8)
    found = metrics.block_scores(Planted(-torch.cat([direction, direction], 1)), blocks, patch="crossed")
    assert found["leak_cosine"] == pytest.approx(1, abs=1e-5)
    first, second = metrics.class_directions(blocks, patch="crossed")
    assert torch.allclose(first, -second)


def test_the_theorem_s_net_leaks_exactly():
    rows = metrics.leaking_identities(6, 4)
    assert len(rows) == 4 and all(abs(row["value"]) < 1e-12 for row in rows)
    points = data.toys.one_hot_blocks(**TOY)
    found = metrics.leak_scores(models.leaking_net(4, 4).float(), points, relevant=4, block=1)
    assert found["own_over_other"] == pytest.approx(1) and found["noise_over_relevant"] == 0
    assert found["margin_share"] == pytest.approx(1, abs=1e-6)


def test_a_net_with_another_margin_has_a_smaller_share():
    net = models.one_hidden(8, width=30, init="torch")
    found = metrics.leak_scores(net, data.toys.one_hot_blocks(**TOY), relevant=4, block=1)
    assert found["margin_share"] < 1 and 0 <= found["top1"] <= 100


def test_the_mean_map_on_the_null_block_is_of_images_with_it_below(blocks):
    net = Planted(torch.cat([torch.zeros(1, 8, 8), torch.full((1, 8, 8), 2.0)], 1))
    assert metrics.mean_null_map(net, blocks, patch="crossed").isnan().all()  # never the last class
    net.picture.data += 100 / 3
    net.picture.data[:, :8] += 100
    assert metrics.mean_null_map(net, blocks, patch="crossed").flatten().std() < 1e-6
