"""Toy scores on nets whose gradients and robustness are known."""

import math

import pytest
import torch
from torch import nn

from companion import metrics, models


def test_the_leaking_net_has_a_uniform_gradient_and_breaks_at_its_radii():
    net = models.leaking_net(10)
    assert (
        metrics.toy_gradient(net, 10).abs().sub(metrics.toy_gradient(net, 10).abs()[0, 0]).abs().max() < 1e-12
    )
    scores = metrics.toy_scores(net, 10)
    assert scores["ratio"] == pytest.approx(1) and scores["cosine"] == pytest.approx(10**-0.5)
    assert scores["clean_accuracy"] == 100 and scores["offset"] == pytest.approx(0, abs=1e-12)


def robust(net, **radii):
    rows = metrics.toy_robustness(net, 10, radii=radii, steps=20)
    return {(r["norm"], r["protocol"], r["radius"]): r["value"] for r in rows}


def test_a_leaking_net_s_radii_in_three_norms():
    """A uniform slope: it errs beyond 1/d in linf, 1/sqrt(d) in l2 and 1 in l1."""
    found = robust(models.leaking_net(10).float(), linf=[0.09, 0.11], l2=[0.3, 0.33], l1=[0.9, 1.1])
    assert found["linf", "strong", 0.09] == 100 and found["linf", "strong", 0.11] == 0
    assert found["l2", "strong", 0.3] == 100 and found["l2", "strong", 0.33] == 0
    assert found["l1", "strong", 0.9] == 100 and found["l1", "strong", 1.1] == 0
    assert found["linf", "sh", 0.09] == 100 and found["linf", "sh", 0.11] == 0


class Own(nn.Module):
    """The lead is the sum of cubes: its gradient marks the point's own coordinate alone."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        lead = self.scale * ((2 * x.flatten(1) - 1) ** 3).sum(1)
        return torch.stack([-lead / 2, lead / 2], 1)


def test_a_gradient_that_marks_the_signal_alone():
    scores = metrics.toy_scores(Own(), 10)
    assert scores["top1"] == 1 and scores["bottom1"] == 0 and scores["cosine"] == pytest.approx(1)
    assert metrics.toy_gradient(Own(), 10)[3, 3].item() == pytest.approx(3)


class Planted(nn.Module):
    """A lead that is linear around each point, with the gradient of `maps` (2d, d) at it."""

    def __init__(self, maps):
        super().__init__()
        self.maps = nn.Parameter(maps)

    def forward(self, x):
        at, y, _ = metrics.toy_points(self.maps.shape[1])
        moved = 2 * (x.flatten(1) - at.flatten(1))
        lead = (1 + (moved * self.maps).sum(1)) * (2 * y - 1)
        return torch.stack([-lead / 2, lead / 2], 1)


def dip(depth, spread):
    """Rows whose entries are 1 ± spread, and 1 - depth at the signal."""
    signal = metrics.toy_points(5).signal
    other = torch.tensor([1 - spread, 1 + spread]).repeat(20).view(10, 4)
    return torch.full((10, 5), 1 - depth).masked_scatter(~signal, other)


def test_contrast_is_the_depth_of_a_dip_in_deviations_of_the_other_entries():
    deep, even = (metrics.toy_scores(Planted(dip(0.1, s)), 5) for s in (0.05, 0.01))
    assert deep["ratio"] == pytest.approx(0.9) == even["ratio"] and deep["bottom1"] == even["bottom1"] == 1
    assert deep["unevenness"] == pytest.approx(0.05 * (4 / 3) ** 0.5)
    assert deep["contrast"] == pytest.approx(0.1 / deep["unevenness"], rel=1e-4)
    assert even["contrast"] == pytest.approx(5 * deep["contrast"], rel=1e-4)
    peak = metrics.toy_scores(Planted(dip(-0.1, 0.05)), 5)
    assert peak["contrast"] == pytest.approx(-deep["contrast"], rel=1e-4) and peak["top1"] == 1


def test_a_uniform_map_has_no_contrast_and_the_loss_no_penalty():
    scores = metrics.toy_scores(Planted(torch.ones(10, 5)), 5)
    assert scores["contrast"] == scores["unevenness"] == 0
    assert scores["cross_entropy"] == pytest.approx(math.log1p(math.exp(-1)), rel=1e-5)


def test_reach_is_the_last_radius_before_the_first_mistake():
    rows = [{"radius": r, "value": v} for r, v in ((0.3, 100.0), (0.1, 100.0), (0.2, 95.0))]
    assert metrics.reach(rows) == 0.1 and metrics.reach(rows[:1]) == 0.3 and metrics.reach(rows[2:]) == 0


def test_a_point_is_moved_by_eps_in_l1_and_stays_in_the_box():
    from companion.metrics.toy_scores import l1_attack

    x, y, _ = metrics.toy_points(10)
    moved = l1_attack(models.leaking_net(10).float(), x, y, eps=0.6, steps=12)
    assert (moved - x).abs().flatten(1).sum(1).max().item() == pytest.approx(0.6, abs=1e-5)
    assert moved.min() >= 0 and moved.max() <= 1
