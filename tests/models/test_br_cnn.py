"""BR's classifiers: layer by layer as in its code, pixels in [-1, 1] inside."""

import pytest
import torch
from torch import nn

from companion import models


def count(net):
    return sum(p.numel() for p in net.parameters())


def test_parameters_are_those_of_the_code():
    # 832 + 51,264 + 14 * 14 * 64 * 1024 + 1024 + 10,250
    assert count(models.br_mnist_cnn()) == 12_908_426
    assert count(models.br_cifar_cnn()) == 896 + 9_248 + 18_496 + 36_928 + (4096 * 512 + 512) + 5_130


def test_the_text_s_filters_and_units():
    net = models.br_mnist_cnn(channels=(64, 32))
    assert [m.out_channels for m in net if isinstance(m, nn.Conv2d)] == [64, 32]
    assert next(m for m in models.br_cifar_cnn(hidden=256) if isinstance(m, nn.Linear)).out_features == 256


@pytest.mark.parametrize("build", [models.br_mnist_cnn, models.br_cifar_cnn])
def test_logits_of_pixels_in_minus_one_to_one_and_the_least_size(build):
    net = build(3, 8, 4)
    assert net(torch.rand(2, 3, 8, 8)).shape == (2, 4)
    torch.testing.assert_close(
        net[0](torch.tensor([0.0, 0.25, 1.0]).view(3, 1, 1)).flatten(), torch.tensor([-1, -0.5, 1])
    )
    pools = sum(isinstance(m, nn.MaxPool2d) for m in net)
    assert pools == (1 if build is models.br_mnist_cnn else 2)
    build(1, 2**pools, 2)
    with pytest.raises(ValueError, match="halves"):
        build(1, 2**pools - 1, 2)
