"""Small nets whose gradients are never exactly zero, so that a sign is the same in every library."""

import pytest
import torch
from torch import nn


def random_images(n, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, 1, 8, 8, generator=generator, dtype=torch.float64)


@pytest.fixture
def smooth_net():
    """A net in float64 without kinks, so that the signs of its gradients survive any order of summation."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.Softplus(),
        nn.Conv2d(4, 4, 3, stride=2, padding=1),
        nn.BatchNorm2d(4),
        nn.Softplus(),
        nn.Flatten(),
        nn.Linear(4 * 16, 10),
    )
    net = net.double().eval()
    with torch.no_grad():  # every class is predicted somewhere, with margins that small attacks overcome
        net[-1].bias -= net(random_images(200, seed=0)).mean(0)
    return net


@pytest.fixture
def batch(smooth_net):
    """Eight images in [0, 1], some pixels on the bounds, with the net's own predictions as labels."""
    x = (1.4 * random_images(8, seed=1) - 0.2).clamp(0, 1)
    with torch.no_grad():
        y = smooth_net(x).argmax(1)
    y[::3] = (y[::3] + 1) % 10  # and some that are already misclassified
    return x, y


@pytest.fixture
def many(smooth_net):
    """Sixty images with the net's predictions as labels; about half are robust to linf 0.012 or l2 0.1."""
    x = random_images(60, seed=5)
    with torch.no_grad():
        return x, smooth_net(x).argmax(1)
