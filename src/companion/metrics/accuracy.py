"""How often a net is right."""

from torch import nn

from companion.attacks.evaluate import correct
from companion.data import Images


def accuracy(net: nn.Module, images: Images) -> float:
    """Fraction of the test images that are classified correctly, in [0, 1]. Errors as in attacks.correct."""
    return correct(net, images.x_test, images.y_test).double().mean().item()
