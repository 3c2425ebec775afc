"""The linear net: an affine function of 2x - 1 with one gradient everywhere."""

import torch

from companion import models, saliency


def test_logits_and_gradients_are_those_of_its_weights():
    net = models.linear(2, 3, 4).double()
    x = torch.rand(5, 2, 3, 3, dtype=torch.float64)
    dense = net[-1]
    torch.testing.assert_close(net(x), (2 * x - 1).flatten(1) @ dense.weight.T + dense.bias)
    gradient = saliency.input_gradient(net, x, torch.full((5,), 3))
    expected = 2 * dense.weight[3].detach()
    torch.testing.assert_close(gradient.flatten(1), expected.expand(5, -1))
