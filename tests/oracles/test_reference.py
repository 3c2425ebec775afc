"""Auto-PGD, Square and the reference protocol beside torchattacks', on one net with equal budgets."""

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from companion import attacks

torchattacks = pytest.importorskip("torchattacks")
pytestmark = pytest.mark.slow

IMAGES = 200
BALLS = {"linf": ("Linf", 0.08), "l2": ("L2", 0.4)}
STEPS, QUERIES, TARGETS = 50, 200, 2


@pytest.fixture(scope="module")
def digits():
    """A small net after two hundred steps on digits, and 200 images it has not seen."""
    raw = load_digits()
    x = torch.from_numpy(raw.images / 16).float()[:, None]
    y = torch.from_numpy(raw.target).long()
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.Softplus(beta=10), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 10)
    )
    optimiser = torch.optim.Adam(net.parameters(), lr=0.01)
    for step in range(200):
        part = slice(100 * (step % 15), 100 * (step % 15) + 100)
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(x[part]), y[part]).backward()
        optimiser.step()
    net.requires_grad_(False)
    x, y = x[-IMAGES:], y[-IMAGES:]
    assert attacks.correct(net, x, y).float().mean() > 0.85
    return net, x, y


def theirs(digits, attack, norm, **settings):
    net, x, y = digits
    name, eps = BALLS[norm]
    return attacks.correct(net, getattr(torchattacks, attack)(net, norm=name, eps=eps, **settings)(x, y), y)


def ours(digits, attack, norm, **settings):
    net, x, y = digits
    generator = torch.Generator().manual_seed(0)
    return attacks.correct(
        net, attack(net, x, y, norm=norm, eps=BALLS[norm][1], generator=generator, **settings), y
    )


@pytest.mark.parametrize("loss", ["cross_entropy", "dlr"])
@pytest.mark.parametrize("norm", BALLS)
def test_apgd(norm, loss, digits):
    """One run each, from random starts of their own."""
    expected = theirs(digits, "APGD", norm, steps=STEPS, loss={"cross_entropy": "ce"}.get(loss, loss))
    found = ours(digits, attacks.apgd, norm, steps=STEPS, loss=loss, stop_early=True)
    assert 0.2 < expected.float().mean() < 0.8
    assert abs(found.sum() - expected.sum()) <= 4


@pytest.mark.parametrize("norm", BALLS)
def test_square(norm, digits):
    """Stronger than theirs on images this small, whose last row and column their windows never reach."""
    expected = theirs(digits, "Square", norm, n_queries=QUERIES)
    found = ours(digits, attacks.square, norm, queries=QUERIES)
    assert 0.2 < expected.float().mean() < 0.9
    assert found.sum() <= expected.sum()


@pytest.mark.parametrize("norm", BALLS)
def test_reference(norm, digits):
    """The worst case over the members differs by at most half a point."""
    net, x, y = digits
    expected = (
        theirs(digits, "APGD", norm, steps=STEPS, loss="ce")
        & theirs(digits, "APGDT", norm, steps=STEPS, n_classes=TARGETS + 1)
        & theirs(digits, "Square", norm, n_queries=QUERIES)
    )
    budget = {"steps": STEPS, "restarts": 1, "targets": TARGETS, "queries": QUERIES}
    ball = {"norm": norm, "eps": BALLS[norm][1], "generator": torch.Generator().manual_seed(0)}
    found = attacks.evaluate(net, x, y, protocol="reference", **ball, **budget).robust.all(0)
    assert abs(found.sum() - expected.sum()) <= IMAGES / 200
    assert (found != expected).sum() <= 2
