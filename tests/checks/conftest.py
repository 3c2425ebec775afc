"""Nets trained in seconds on the digits: what the checks must let pass, and what the broken ones wrap."""

import pytest
import torch
from torch import nn

from companion import data, training
from companion.training.recipe import Recipe, part

COMMON = {
    "data": part("digits"),
    "model": part("digits_cnn"),
    "optimiser": part("SGD", lr=0.05, momentum=0.9, nesterov=True),
}
ATTACK = part("adversarial", norm="l2", eps=0.5, steps=3, step_size=0.25, mode="eval")
RECIPES = {
    "standard": Recipe(**COMMON, epochs=20),
    "adversarial": Recipe(**COMMON, epochs=8, inputs=ATTACK),
}


@pytest.fixture(scope="session")
def images():
    return data.load("digits")


@pytest.fixture(scope="session")
def points(images):
    """200 test images and their labels."""
    return images.x_test[:200], images.y_test[:200]


@pytest.fixture(scope="session")
def nets(images):
    """A standard net, an adversarially trained one, and a linear one (least squares on one-hot labels)."""
    trained = {name: training.train(recipe, images)[0] for name, recipe in RECIPES.items()}
    linear = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()
    design = torch.cat([images.x_train.flatten(1), torch.ones(len(images.x_train), 1)], 1)
    solution = torch.linalg.lstsq(design, nn.functional.one_hot(images.y_train, 10).float(), driver="gelsd")
    with torch.no_grad():
        linear[1].weight.copy_(solution.solution[:-1].T)
        linear[1].bias.copy_(solution.solution[-1])
    return trained | {"linear": linear}
