"""Minimal distances beside foolbox's on a small net trained on digits: equal to a few per cent, or less."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from companion import attacks, data

foolbox = pytest.importorskip("foolbox")

STEPS = 100


@pytest.fixture(scope="module")
def problem():
    """A dense net after a few epochs, 60 held-out images, its predictions as reference."""
    images = data.load("digits")
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 40), nn.ReLU(), nn.Linear(40, 10))
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(8):
        for index in torch.randperm(len(images.x_train)).split(100):
            optimiser.zero_grad()
            F.cross_entropy(net(images.x_train[index]), images.y_train[index]).backward()
            optimiser.step()
    net.eval().requires_grad_(False)
    x = images.x_test[:60]
    return net, x, net(x).argmax(1)


def foolbox_distance(attack, net, x, y):
    found = attack.run(foolbox.PyTorchModel(net, bounds=(0, 1)), x, foolbox.criteria.Misclassification(y))
    assert (net(found).argmax(1) != y).all()
    return (found - x).flatten(1).norm(dim=1)


@pytest.mark.slow
def test_carlini_wagner(problem):
    settings = {"steps": STEPS, "stepsize": 0.05, "initial_const": 0.01, "binary_search_steps": 5}
    theirs = foolbox_distance(foolbox.attacks.L2CarliniWagnerAttack(**settings), *problem)
    ours = attacks.carlini_wagner(*problem, steps=STEPS, lr=0.05, const=0.01, search=5).distance
    assert ours.mean() <= theirs.mean() * 1.002
    assert ours.median().item() == pytest.approx(theirs.median().item(), rel=0.06)
    assert ((ours / theirs - 1).abs() < 0.05).float().mean() > 0.6


def test_ddn(problem):
    theirs = foolbox_distance(foolbox.attacks.DDNAttack(steps=STEPS), *problem)
    ours = attacks.ddn(*problem, steps=STEPS).distance
    assert ours.median().item() == pytest.approx(theirs.median().item(), rel=0.05)
    assert ours.mean() <= theirs.mean() * 1.005


def test_bim_with_foolbox_iterations_at_our_radius(problem):
    """foolbox 3 has no binary search; at the radius ours ended with, its loop succeeds where ours did."""
    net, x, y = problem
    ours = attacks.l2_bim(net, x, y).distance
    model = foolbox.PyTorchModel(net, bounds=(0, 1))
    misled = []
    for image, label, radius in zip(x.split(1), y.split(1), ours.tolist(), strict=True):
        attack = foolbox.attacks.L2BasicIterativeAttack(rel_stepsize=1 / 6, steps=10, random_start=False)
        criterion = foolbox.criteria.Misclassification(label)
        found = attack.run(model, image, criterion, epsilon=1.02 * radius)
        misled.append(net(found).argmax(1) != label)
    assert torch.cat(misled).float().mean() > 0.9
