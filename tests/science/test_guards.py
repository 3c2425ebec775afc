"""What measuring a net may not do to it, and what it may not take for a number."""

import pytest
import torch
from torch import nn

from companion import attacks, guards, metrics, saliency


def test_a_map_in_train_mode_leaves_the_running_statistics_where_they_were():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(108, 4)).eval()
    x, y = torch.rand(5, 1, 8, 8), torch.zeros(5, dtype=torch.long)
    before = {name: buffer.clone() for name, buffer in net.named_buffers()}
    saliency.input_gradient(net, x, y, mode="train")
    saliency.class_gradients(net, x, mode="train")
    assert all(torch.equal(buffer, before[name]) for name, buffer in net.named_buffers())
    attacks.pgd(net, x, y, norm="linf", eps=0.1, steps=1, mode="train")  # as in training, where they move
    assert not torch.equal(net[1].running_mean, before["1.running_mean"])


class Cusp(nn.Module):
    """Logits whose gradient is NaN at the grey image."""

    def forward(self, x):
        flat = x.flatten(1)
        cusp = ((flat - 0.5) ** 2).sum(1, keepdim=True).sqrt()
        return torch.cat([flat[:, :2] + cusp, flat[:, 2:3]], 1)


@pytest.mark.parametrize(
    "measure",
    [
        metrics.alignment,
        metrics.linearised_robustness,
        metrics.binarised_alignment,
        lambda net, x: metrics.vii(net, x, torch.zeros(len(x), dtype=torch.long), mean=0.4),
    ],
)
def test_a_gradient_that_is_no_number_is_measured_as_none(measure):
    """It would have alignment 0 and an infinite robustness."""
    x = torch.rand(3, 1, 2, 2)
    x[1] = 0.5
    with pytest.raises(guards.NoGradient, match="1 of 3"):
        measure(Cusp(), x)
