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


MASSES = ("lead_mass", "lead_energy", "logit_mass", "logit_energy")


def test_a_gradient_spread_evenly_has_half_its_mass_and_energy_on_the_null_block(blocks):
    found = metrics.block_scores(Planted(torch.ones(1, 16, 8)), blocks, patch="crossed")
    assert [found[of] for of in MASSES] == pytest.approx([50] * 4)


def test_energy_sees_few_large_entries_where_mass_sees_many_small_ones():
    """Null block below, always: 64 entries of 1 there, 16 of 4 above. Mass 1/2, energy 64 / (64 + 256)."""
    top = data.block_mnist.block_mnist("digits", n_train=60, n_test=30, top=True)
    picture = torch.cat([torch.zeros(1, 8, 8), torch.ones(1, 8, 8)], 1)
    picture[:, :2] = 4.0
    found = metrics.block_scores(Planted(picture), top, patch="crossed")
    assert [found[of] for of in MASSES] == pytest.approx([50, 20, 50, 20])


class Shifted(nn.Module):
    """A net with something added to all its logits: every decision and probability is as before."""

    def __init__(self, net, added):
        super().__init__()
        self.net, self.added = net, nn.Parameter(added)

    def forward(self, x):
        return self.net(x) + (x * self.added).flatten(1).sum(1, keepdim=True)


def test_what_all_logits_share_moves_the_logits_gradient_and_not_the_leads():
    """Planted: it marks the null block alone, ninety times as strongly as the net marks the signal block."""
    top = data.block_mnist.block_mnist("digits", n_train=60, n_test=30, top=True)
    below = torch.cat([torch.zeros(1, 8, 8), torch.ones(1, 8, 8)], 1)
    net = Planted(1 - below)
    alone, shifted = (
        metrics.block_scores(of, top, patch="crossed") for of in (net, Shifted(net, 90 * below))
    )
    assert alone["logit_mass"] == alone["lead_mass"] == shifted["lead_mass"] == shifted["lead_energy"] == 0
    assert shifted["logit_mass"] > 98 and shifted["logit_energy"] > 99


def test_the_lead_is_over_the_next_class_of_several():
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 1.0, 0]]))
        net[1].bias.zero_()
    x = torch.tensor([[0.9, 0.5, 0.1, 0.0], [0.1, 0.5, 0.9, 0.0]]).view(2, 1, 2, 2)
    wanted = torch.tensor([[1.0, -1, 0, 0], [0, -1, 1, 0]]).view(2, 1, 2, 2)
    assert torch.equal(metrics.lead_gradient(net, x), wanted)


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
    assert found["bottom1"] == pytest.approx(25)  # of four equal blocks, what chance gives


@pytest.mark.parametrize(("power", "top1", "bottom1"), [(2.0, 100, 0), (0.5, 0, 100)])
def test_a_signal_can_be_the_most_and_the_least_marked_block(power, top1, bottom1):
    """Planted: the lead is a sum of |x_j|^power over all blocks, steepest or flattest where |x_j| is 1."""

    class Sum(nn.Module):
        def forward(self, x):
            lead = ((2 * x - 1).abs() + 1e-3).pow(power).flatten(1).sum(1)
            return torch.stack([-lead, lead], 1)

    points = data.toys.one_hot_blocks(**TOY, eta=0.1)
    found = metrics.leak_scores(nn.Sequential(Sum()), points, relevant=4, block=1)
    assert (found["top1"], found["bottom1"]) == (top1, bottom1)


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
