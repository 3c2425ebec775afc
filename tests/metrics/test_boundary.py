"""Boundary geometry on nets whose boundary is known, and BR's toy: tilted, less tilted, along the means."""

import dataclasses
import math

import pytest
import torch
from torch import nn

from companion import attacks, metrics, models, store, transforms
from companion import code as fingerprint
from companion.training.recipe import Recipe, part

TOY = Recipe(
    part("gaussians", n_train=1500),
    part("one_hidden"),
    optimiser=part("Adam", lr=3e-3),
    schedule="constant",
    epochs=12,
    batch_size=100,
)


def plane(normal, offset):
    """Logits (0, normal . x - offset): the boundary is the line normal . x = offset."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(2, 2)).double()
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor([[0.0, 0.0], normal]))
        net[1].bias.copy_(torch.tensor([0.0, -offset]))
    return net


def point(*coordinates):
    return torch.tensor(coordinates, dtype=torch.float64).view(-1, 1, 1)


def test_boundary_of_a_linear_net():
    net = plane([3.0, 4.0], 3.5)
    found = metrics.boundary_point(net, point(0, 0), point(1, 1))
    torch.testing.assert_close(found.flatten(), torch.tensor([0.5, 0.5]).double())
    normal = metrics.boundary_normal(net, point(0, 0), point(1, 1))
    torch.testing.assert_close(normal, torch.tensor([0.6, 0.8]).double())
    back = metrics.boundary_normal(net, point(1, 1), point(0, 0))
    torch.testing.assert_close(back, -normal)
    assert all(p.requires_grad and p.grad is None for p in net.parameters())
    with pytest.raises(ValueError, match="class 0"):
        metrics.boundary_point(net, point(0, 0), point(0.1, 0.1))


@pytest.mark.parametrize("degrees", [0, 1e-5, 30, 90, 179.99, 180])
def test_angle(degrees):
    turned = torch.tensor([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))]).double()
    assert metrics.angle(torch.tensor([5.0, 0.0]), turned) == pytest.approx(degrees, rel=1e-6, abs=1e-9)


def test_displacement_and_line_by_hand():
    x = torch.tensor([[0.0, 0.0], [0.2, 0.0], [1.0, 0.5]])[:, :, None, None]
    assert metrics.line_of_means(x, torch.tensor([0, 0, 1])).tolist() == pytest.approx([0.9, 0.5])
    moved = x + torch.tensor([0.3, -0.1])[:, None, None]
    assert metrics.mean_displacement(x, moved).tolist() == pytest.approx([0.3, -0.1])


def test_mahalanobis_by_hand_and_unchanged_by_affine_maps():
    points = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0], [0.0, -2.0]])  # variances 2/3 and 8/3
    found = metrics.mahalanobis(torch.tensor([[2.0, 0.0], [0.0, 2.0], [0.0, 0.0]]), points)
    assert found.tolist() == pytest.approx([2 / math.sqrt(2 / 3), 2 / math.sqrt(8 / 3), 0])
    generator = torch.Generator().manual_seed(0)
    cloud, x = torch.randn(50, 3, generator=generator), torch.randn(4, 3, generator=generator)
    matrix, shift = torch.randn(3, 3, generator=generator), torch.randn(3, generator=generator)
    mapped = metrics.mahalanobis(x @ matrix + shift, cloud @ matrix + shift)
    torch.testing.assert_close(mapped, metrics.mahalanobis(x, cloud), rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="hyperplane"):
        metrics.mahalanobis(x, cloud * torch.tensor([1.0, 1.0, 0.0]))


def test_the_toy_s_net_sees_brs_units_and_starts_as_its_code_does():
    torch.manual_seed(0)
    net = models.one_hidden()
    assert sum(p.numel() for p in net.parameters()) == 2 * 128 + 128 + 128 * 2 + 2
    x = torch.rand(5, 2, 1, 1)
    hidden, out = (layer for layer in net if isinstance(layer, nn.Linear))
    torch.testing.assert_close(net(x), out(hidden(2 * x.flatten(1) - 1).relu()))
    assert not hidden.bias.any() and not out.bias.any()
    bound = math.sqrt(6 / 130)
    assert 0.9 * bound < hidden.weight.abs().max() <= bound


def test_br_s_attack_starts_at_the_image_and_takes_its_objective():
    net, x = plane([3.0, 4.0], 3.5), torch.full((2, 2, 1, 1), 0.2).double()
    y = torch.zeros(2, dtype=torch.int64)
    settings = {"norm": "l2", "eps": 0.25, "steps": 3, "step_size": 1.0}
    for loss in ("cross_entropy", "margin"):
        moved = transforms.adversarial(net, x, y, **settings, loss=loss, protocol="br_paper")
        torch.testing.assert_close(
            (moved - x).flatten(1), torch.tensor([[0.15, 0.2]] * 2).double(), rtol=1e-6, atol=0
        )
    # a gradient below the floor takes a step shorter than the radius: 1.25e-8 / 2e-8 of 0.1
    flat = plane([0.75e-8, 1e-8], 3.5e-8)
    settings |= {"steps": 1, "step_size": 0.1}
    moved = transforms.adversarial(flat, x, y, **settings, loss="margin", protocol="br_paper")
    assert (moved - x).flatten(1).norm(dim=1).tolist() == pytest.approx([0.0625] * 2)


def test_a_toy_net_depends_on_the_code_that_draws_the_points_and_others_do_not(monkeypatch):
    digits = dataclasses.replace(TOY, data=part("digits"), model=part("digits_cnn"))
    read = fingerprint._read
    before = store.key(TOY), store.key(digits)
    with monkeypatch.context() as patch:
        patch.setattr(fingerprint, "_read", lambda n: read(n) + "\nx = 1" * (n == "companion.data.toys"))
        fingerprint.fingerprint.cache_clear()
        after = store.key(TOY), store.key(digits)
    fingerprint.fingerprint.cache_clear()
    assert before[0] != after[0] and before[1] == after[1]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_adversarial_training_takes_the_tilt_out_of_the_boundary(seed, tmp_path, monkeypatch):
    """BR-C3: attacks on the standard, weakly and strongly trained net point ever more along the means."""
    monkeypatch.setenv("COMPANION_STORE", str(tmp_path))
    angles, distances = [], []
    for eps in (0, 0.125, 0.25):
        attack = part("adversarial", norm="l2", eps=eps, steps=8, step_size=1.0, protocol="br_paper")
        recipe = dataclasses.replace(TOY, data=part("gaussians", n_train=1500, split_seed=seed), seed=seed)
        if eps:
            recipe = dataclasses.replace(recipe, inputs=attack)
        net, points = store.get(recipe), store.images(recipe.data, "cpu")
        assert attacks.correct(net, points.x_test, points.y_test).float().mean() > 0.99
        own = points.y_train == 0
        x, y = points.x_train[own], points.y_train[own]
        attacked = attacks.pgd(
            net, x, y, norm="l2", eps=0.5, steps=10, step_size=1.0, protocol=attacks.BR_PAPER
        )
        line = metrics.line_of_means(points.x_train, points.y_train)
        angles.append(metrics.angle(metrics.mean_displacement(x, attacked), line))
        distances.append(metrics.mahalanobis(attacked, points.x_train[~own]).mean().item())
    assert angles[0] > 25 and 12 > angles[1] > angles[2] and angles[2] < 4
    assert distances[0] > 25 and max(distances[1:]) < 15


def test_points_on_a_line_have_no_mahalanobis_distance():
    for seed in range(5):
        t = torch.randn(100, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        line = torch.stack([t, 0.3 * t + 0.1], 1)
        for points in (line, line.float()):
            with pytest.raises(ValueError, match="hyperplane"):
                metrics.mahalanobis(torch.tensor([[0.0, 1.0]]), points)
