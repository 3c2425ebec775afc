"""Attacks on linear nets, where the worst perturbation has a closed form."""

import pytest
import torch
from torch import nn

from companion import attacks
from companion.attacks import Protocol

DIMENSIONS = 12


@pytest.fixture
def linear():
    """Two classes: the gradient of either loss points along one fixed direction, (w_1 - w_0) * (1 - 2y)."""
    torch.manual_seed(0)
    return nn.Linear(DIMENSIONS, 2).double()


def inner_images(n):
    """Images far enough from 0 and 1 that no ball used here reaches the bounds."""
    generator = torch.Generator().manual_seed(n)
    x = 0.3 + 0.4 * torch.rand(n, DIMENSIONS, generator=generator, dtype=torch.float64)
    return x, torch.randint(2, (n,), generator=generator)


def ascent(net, y):
    """Gradient of the margin: the weight difference that favours the other class."""
    difference = (net.weight[1] - net.weight[0]).detach()
    return torch.where(y[:, None] == 0, difference, -difference)


@pytest.mark.parametrize("n", [1, 3, 8])
@pytest.mark.parametrize("start", ["none", "ball", "image"])
@pytest.mark.parametrize("loss", ["margin", "cross_entropy"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_optimum_inside_the_box(linear, norm, loss, start, n):
    x, y = inner_images(n)
    eps = 0.2
    direction = ascent(linear, y)
    step = direction.sign() if norm == "linf" else direction / direction.norm(dim=1, keepdim=True)
    adversarial = attacks.pgd(
        linear,
        x,
        y,
        norm=norm,
        eps=eps,
        steps=40,
        step_size=eps,  # long steps forget the start: half of what is left of it each time
        loss=loss,
        start=start,
        generator=torch.Generator().manual_seed(0),
    )
    torch.testing.assert_close(adversarial, x + eps * step, atol=1e-6, rtol=0)


@pytest.mark.parametrize("loss", ["margin", "cross_entropy"])
def test_optimum_against_the_bounds_linf(linear, loss):
    """With clipped pixels the optimum is the corner of box and ball."""
    x = torch.rand(8, DIMENSIONS, generator=torch.Generator().manual_seed(1), dtype=torch.float64).round(
        decimals=1
    )
    y = torch.arange(8) % 2
    eps = 0.35
    adversarial = attacks.pgd(linear, x, y, norm="linf", eps=eps, steps=10, loss=loss, start="none")
    expected = (x + eps * ascent(linear, y).sign()).clamp(0, 1)
    torch.testing.assert_close(adversarial, expected, atol=1e-12, rtol=0)


def best_margin_l2(x, direction, eps):
    """max of <direction, delta> over ||delta||_2 <= eps and 0 <= x + delta <= 1.

    The optimum is clip(t * direction) for the largest t whose norm fits the ball: bisection on t.
    """
    low, high = torch.zeros(len(x), 1, dtype=x.dtype), torch.full((len(x), 1), 1e6, dtype=x.dtype)
    for _ in range(200):
        middle = (low + high) / 2
        fits = ((x + middle * direction).clamp(0, 1) - x).norm(dim=1, keepdim=True) <= eps
        low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
    delta = (x + low * direction).clamp(0, 1) - x
    return (direction * delta).sum(1)


@pytest.mark.parametrize("project_last", [False, True])
def test_optimum_against_the_bounds_l2(linear, project_last):
    """Projecting on ball and box in turn is not the projection on both, but it comes within 2 %."""
    generator = torch.Generator().manual_seed(2)
    x = torch.rand(8, DIMENSIONS, generator=generator, dtype=torch.float64).mul(3).sub(1).clamp(0, 1)
    y = torch.arange(8) % 2
    eps = 0.8
    direction = ascent(linear, y)
    adversarial = attacks.pgd(
        linear,
        x,
        y,
        norm="l2",
        eps=eps,
        steps=400,
        step_size=0.02,
        start="none",
        protocol=Protocol("last", project_last=project_last),
    )
    gained = (direction * (adversarial - x)).sum(1)
    best = best_margin_l2(x, direction, eps)
    assert (best < eps * direction.norm(dim=1) * 0.999).any()  # the box does bind
    assert (gained <= best + 1e-9).all()
    assert (gained >= 0.98 * best).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_verdicts_on_two_classes_are_exact(linear, norm):
    """A sample is misclassified exactly when the largest gain of the margin exceeds its margin."""
    generator = torch.Generator().manual_seed(3)
    x = 0.3 + 0.4 * torch.rand(200, DIMENSIONS, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        y = linear(x).argmax(1)
        distance = -attacks.margin(linear(x), y)
        direction = ascent(linear, y)
        distance = distance / (direction.abs().sum(1) if norm == "linf" else direction.norm(dim=1))
    eps = min(distance.median().item(), 0.29)
    verdicts = attacks.evaluate(linear, x, y, norm=norm, eps=eps, steps=20, step_size=eps, restarts=1)
    far_from_the_edge = (distance - eps).abs() > 1e-3 * eps
    exact = distance > eps
    assert exact.any() and not exact.all()
    assert torch.equal(verdicts.robust.all(0)[far_from_the_edge], exact[far_from_the_edge])


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_certified_points_of_ten_classes_withstand(norm):
    """No attack may beat max_k (margin_k + eps * ||w_k - w_y||_dual), and PGD attains it on most samples.

    Not on all: the margin follows the class that is second now, which need not be the best one at the rim.
    """
    torch.manual_seed(4)
    net = nn.Linear(DIMENSIONS, 10).double()
    x = 0.3 + 0.4 * torch.rand(100, DIMENSIONS, dtype=torch.float64)
    eps = 0.05
    with torch.no_grad():
        logits = net(x)
        y = logits.argmax(1)
        gaps = logits - logits.gather(1, y[:, None])
        slopes = net.weight[None] - net.weight[y][:, None]
        bound = gaps + eps * (slopes.abs().sum(2) if norm == "linf" else slopes.norm(dim=2))
        bound = bound.scatter(1, y[:, None], -torch.inf).amax(1)
    adversarial = attacks.pgd(
        net, x, y, norm=norm, eps=eps, steps=40, step_size=eps / 2, loss="margin", start="none"
    )
    with torch.no_grad():
        reached = attacks.margin(net(adversarial), y)
    assert (reached <= bound + 1e-9).all()
    assert ((reached >= bound - 1e-6).float().mean() > 0.7).item()


@pytest.mark.parametrize("loss", ["margin", "cross_entropy"])
def test_confident_nets_are_attacked_just_as_well(linear, loss):
    """Scaling the logits changes no decision, so the strong protocol must find the same optimum (IR-E5)."""
    x, y = inner_images(8)
    with torch.no_grad():
        confident = linear(x).argmax(1)
    expected = attacks.pgd(linear, x, confident, norm="l2", eps=0.2, step_size=0.2, loss=loss, start="none")
    with torch.no_grad():
        for parameter in linear.parameters():
            parameter *= 20
    scaled = attacks.pgd(linear, x, confident, norm="l2", eps=0.2, step_size=0.2, loss=loss, start="none")
    torch.testing.assert_close(scaled, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("start", ["none", "ball", "image"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_radius_zero_is_the_identity(smooth_net, batch, norm, start):
    x, y = batch
    for settings in ({}, {"stop_early": True}, {"protocol": attacks.IR_PAPER}, {"loss": "margin"}):
        settings = {"start": start, **settings}
        assert torch.equal(attacks.pgd(smooth_net, x, y, norm=norm, eps=0.0, **settings), x)
    assert torch.equal(attacks.fgsm(smooth_net, x, y, norm=norm, eps=0), x)
    clean = attacks.correct(smooth_net, x, y)
    for protocol in ("strong", "ir_paper"):
        verdicts = attacks.evaluate(smooth_net, x, y, norm=norm, eps=0, protocol=protocol, restarts=2)
        assert (verdicts.robust == clean).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_strong_worst_case_counts_what_the_papers_attack_felled(norm):
    """Given the paper's verdicts, the strong protocol can only find more misclassified, and never fewer."""
    torch.manual_seed(5)
    net = nn.Sequential(nn.Linear(DIMENSIONS, 30), nn.ReLU(), nn.Linear(30, 10))
    x = torch.rand(60, DIMENSIONS)
    y = net(x).argmax(1)
    eps = {"linf": 0.1, "l2": 0.4}[norm]
    paper = attacks.evaluate(
        net,
        x,
        y,
        norm=norm,
        eps=eps,
        protocol="ir_paper",
        restarts=2,
        generator=torch.Generator().manual_seed(0),
    )
    survivors = paper.robust.all(0)
    strong = attacks.evaluate(net, x, y, norm=norm, eps=eps, restarts=1, robust=survivors)
    assert 0 < survivors.sum() < 60
    assert not (strong.robust & ~survivors).any()
    assert strong.worst <= paper.worst <= paper.mean
    with pytest.raises(ValueError, match="robust goes with"):
        attacks.evaluate(net, x, y, norm=norm, eps=eps, protocol="ir_paper", robust=survivors)


def test_without_a_step_size_the_step_falls_from_two_radii_to_zero():
    """On a net whose gradient never turns, iterates show the steps: the first already reaches the sphere."""
    sizes = []

    class Spy(nn.Module):
        def forward(self, x):
            sizes.append((x - 0.5).abs().max().item())
            sign = (-1.0) ** len(sizes)  # the direction turns each time, so every step can be read off
            return torch.cat([sign * x.sum(1, keepdim=True), -sign * x.sum(1, keepdim=True)], 1)

    x, y = torch.full((1, 4), 0.5), torch.tensor([0])
    attacks.pgd(Spy(), x, y, norm="linf", eps=0.1, steps=4, start="none")
    # steps 0.2, 0.15, 0.1, 0.05, each clipped to the ball: 0 -> 0.1 -> -0.05 -> 0.05 (-> 0)
    assert sizes == pytest.approx([0, 0.1, 0.05, 0.05], abs=1e-6)


def test_what_earlier_attacks_felled_stays_fallen_even_where_this_one_finds_nothing():
    net = nn.Linear(DIMENSIONS, 3)
    x = torch.rand(20, DIMENSIONS)
    y = net(x).argmax(1)
    known = torch.arange(20) % 3 > 0
    verdicts = attacks.evaluate(net, x, y, norm="linf", eps=0.0, restarts=1, robust=known)
    assert torch.equal(verdicts.robust.all(0), known)


def test_l2_starts_are_uniform_in_the_ball():
    """In D dimensions half of the ball's volume lies beyond the radius 0.5 ** (1 / D); in 2-D and in 8-D."""
    from companion.attacks.norms import random_start

    for dimensions in (2, 8):
        x = torch.full((20000, dimensions), 0.5)
        start = random_start(x, "l2", 0.3, "ball", torch.Generator().manual_seed(0))
        radius = start.norm(dim=1) / 0.3
        assert radius.max() <= 1 + 1e-5
        assert (radius > 0.5 ** (1 / dimensions)).float().mean().item() == pytest.approx(0.5, abs=0.015)
