"""The net of SH's leakage theorem, in closed form."""

import torch
from torch import nn

from companion.models.one_hidden import one_hidden


def leaking_net(relevant: int, noise: int = 0) -> nn.Sequential:
    """The net of the largest margin on y e_j, j among `relevant` of relevant + noise coordinates; float64.

    Source: SH's theorem for one coordinate a block and no noise. Logits -f/2 and f/2 with
    f = s/2 (1 + <u, x>)_+ - s/2 (1 - <u, x>)_+, s = 1/sqrt(relevant + 1), u one on the relevant coordinates.
    """
    net = one_hidden(relevant + noise, width=2).double()
    first, last = (layer for layer in net if isinstance(layer, nn.Linear))
    s = (relevant + 1) ** -0.5
    direction = torch.cat([torch.ones(relevant), torch.zeros(noise)]).double()
    with torch.no_grad():
        first.weight.copy_(s * torch.stack([direction, -direction]))
        first.bias.fill_(s)
        last.weight.copy_(0.25 * torch.tensor([[-1.0, 1.0], [1.0, -1.0]]))
        last.bias.zero_()
    return net.eval()
