"""Losses against closed forms: on a linear net z = W x the Jacobian is W, whatever x."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from companion import losses


@pytest.fixture
def linear():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 5)).double()
    x, y = torch.rand(7, 1, 3, 4, dtype=torch.float64), torch.randint(0, 5, (7,))
    return net, x, y, net[1].weight


def test_cross_entropy_has_its_minus_sign(linear):
    net, x, y, _ = linear
    expected = -(net(x).log_softmax(1)[torch.arange(7), y]).mean()
    assert torch.allclose(losses.cross_entropy(net, x, y), expected)


@pytest.mark.parametrize("reduction", ["batch", "sample"])
def test_interpretation_loss_on_a_linear_net(linear, reduction):
    net, x, y, weight = linear
    target = torch.randn_like(x)
    rows = weight[y]
    cosine = F.cosine_similarity(rows, target.flatten(1)).mean()
    size = rows.norm() if reduction == "batch" else rows.norm(dim=1).mean()
    expected = F.cross_entropy(net(x), y) - 3.0 * cosine + 0.15 * size
    found = losses.interpretation(net, x, y, target, lambda_d=3.0, lambda_m=0.15, reduction=reduction)
    assert torch.allclose(found, expected, atol=1e-12)


def test_batch_norm_is_root_b_times_the_rms_per_sample(linear):
    net, x, y, weight = linear
    zero = torch.zeros_like(x)
    batch = losses.interpretation(net, x, y, zero, lambda_d=0, lambda_m=1) - losses.cross_entropy(net, x, y)
    rms = weight[y].norm(dim=1).square().mean().sqrt()
    assert torch.allclose(batch, math.sqrt(len(x)) * rms)


def test_target_of_zeros_has_cosine_zero(linear):
    net, x, y, _ = linear
    with_cosine = losses.interpretation(net, x, y, torch.zeros_like(x), lambda_d=5, lambda_m=0)
    assert torch.allclose(with_cosine, losses.cross_entropy(net, x, y))


def test_probability_gradient_carries_the_softmax_jacobian(linear):
    net, x, y, weight = linear
    p = net(x).softmax(1)
    rows = torch.stack([p[i, c] * (weight[c] - p[i] @ weight) for i, c in enumerate(y.tolist())])
    found = losses.interpretation(net, x, y, torch.zeros_like(x), lambda_d=0, lambda_m=1, of="probability")
    assert torch.allclose(found - losses.cross_entropy(net, x, y), rows.norm())


@pytest.mark.parametrize(
    ("penalty", "value"),
    [
        ("half_squared", lambda w: w.square().sum() / 2),
        ("sample", lambda w: w.norm()),
        ("batch", lambda w: math.sqrt(7) * w.norm()),
    ],
)
def test_exact_jacobian_penalties(linear, penalty, value):
    net, x, y, weight = linear
    found = losses.jacobian(net, x, y, lambda_j=0.3, penalty=penalty, projections=None)
    assert torch.allclose(found, losses.cross_entropy(net, x, y) + 0.3 * value(weight))


def test_projections_are_unbiased_and_eq_14_is_k_times_too_small(linear):
    net, x, _, weight = linear
    point = x.clone().requires_grad_()
    logits = net(point)
    generator = torch.Generator().manual_seed(1)
    draw = {"projections": 4000, "generator": generator}
    estimate = losses.squared_jacobian_norm(logits, point, **draw).mean()
    printed = losses.squared_jacobian_norm(logits, point, **draw, factor_k=False).mean()
    exact = weight.detach().square().sum()
    estimate, printed = estimate.detach(), printed.detach()
    assert estimate / exact == pytest.approx(1, rel=0.02)
    assert exact / printed == pytest.approx(5, rel=0.02)


def test_second_derivatives_reach_the_parameters():
    """d penalty / d W on a net with a curved layer, against finite differences."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.Softplus(), nn.Linear(6, 3)).double()
    x, y, target = torch.rand(5, 4).double(), torch.randint(0, 3, (5,)), torch.randn(5, 4).double()

    def value() -> torch.Tensor:
        return losses.interpretation(net, x, y, target, lambda_d=2.0, lambda_m=0.5)

    value().backward()
    weight, step = net[0].weight, 1e-6
    with torch.no_grad():
        weight[2, 1] += step
        up = value().item()
        weight[2, 1] -= 2 * step
        down = value().item()
    assert weight.grad[2, 1].item() == pytest.approx((up - down) / (2 * step), rel=1e-5)


def test_a_dead_net_gives_finite_gradients():
    net = nn.Linear(4, 3)
    nn.init.zeros_(net.weight)
    for penalty in ("half_squared", "sample", "batch"):
        losses.jacobian(net, torch.rand(2, 4), torch.tensor([0, 1]), lambda_j=1, penalty=penalty).backward()
        assert net.weight.grad.isfinite().all()


def test_dropout_mask_is_shared_by_all_rows_of_the_exact_jacobian():
    """One forward pass: the K rows see one mask, so a dropped input column is zero in all of them."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Dropout(0.5), nn.Linear(40, 3)).train()
    x = torch.rand(1, 40, requires_grad=True)
    logits = net(x)
    rows = torch.stack([torch.autograd.grad(logits[0, k], x, retain_graph=True)[0][0] for k in range(3)])
    assert torch.allclose(losses.squared_jacobian_norm(logits, x)[0], rows.square().sum())
    assert ((rows == 0).all(0) == (rows == 0).any(0)).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda n, x, y: losses.interpretation(n, x, y, x[:2], lambda_d=1, lambda_m=1), "one map for each"),
        (lambda n, x, y: losses.interpretation(n, x, y, x, lambda_d=1, lambda_m=1, reduction="sum"), "'sum'"),
        (lambda n, x, y: losses.interpretation(n, x, y, x, lambda_d=1, lambda_m=1, of="p"), "'p'"),
        (lambda n, x, y: losses.jacobian(n, x, y, lambda_j=1, penalty="l1"), "'l1'"),
        (lambda n, x, y: losses.jacobian(n, x, y, lambda_j=1, projections=0), "projections=0"),
    ],
)
def test_wrong_settings_are_named(linear, call, words):
    net, x, y, _ = linear
    with pytest.raises(ValueError, match=words):
        call(net, x, y)
