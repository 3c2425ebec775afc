"""Nets and an attack that are broken on purpose: what the rows must catch (R23).

Each wraps a healthy net and keeps its clean accuracy or nearly so. Sources: Carlini et al. 2019, who ask for
attacks to be tried on such nets; Athalye et al. 2018, input transformations and randomness; Xiao et al. 2020,
k-winners-take-all; Noack et al. 2020, the mean loss with a floor (IR-E5).
"""

from copy import deepcopy

import torch
from torch import Tensor, nn

from companion.attacks import IR_PAPER, pgd


class _Around(nn.Module):
    """A net around another, in its mode."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model
        self.train(model.training)


class Scaled(_Around):
    """factor * logits: the same decisions, but to float32 a flat cross-entropy once factor is large."""

    def __init__(self, model: nn.Module, factor: float = 30.0):
        super().__init__(model)
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * self.model(x)


class RootOfZero(_Around):
    """logits + sqrt(0): the same numbers, but the derivative of the root at 0, times 0, is NaN.

    So does the standard deviation of a blank patch. An attack that takes signs does not move.
    """

    def forward(self, x: Tensor) -> Tensor:
        pixels = x.flatten(1)
        return self.model(x) + (pixels - pixels).sum(1, keepdim=True).sqrt()


class Quantised(_Around):
    """Pixels rounded to `levels` grey levels: the gradient is zero everywhere."""

    def __init__(self, model: nn.Module, levels: int = 17):
        super().__init__(model)
        self.levels = levels

    def forward(self, x: Tensor) -> Tensor:
        return self.model((x * (self.levels - 1)).round() / (self.levels - 1))


class KWinners(nn.Module):
    """k-winners-take-all: of a sample's activations only the largest fraction stays, the others become 0.

    Which ones stay changes with every small step, so the loss jumps and its gradient leads nowhere.
    """

    def __init__(self, fraction: float = 0.1):
        super().__init__()
        self.fraction = fraction

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        k = max(1, round(self.fraction * flat.shape[1]))
        return x * (flat >= flat.topk(k).values[:, -1:]).view_as(x)


def k_winners(model: nn.Module, fraction: float = 0.1) -> nn.Module:
    """A copy of the net with KWinners in place of every ReLU, to be trained or used as it is."""
    model = deepcopy(model)
    for parent in model.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.ReLU):
                setattr(parent, name, KWinners(fraction))
    return model.train(model.training)


class Probabilities(_Around):
    """softmax(logits) where logits are expected (IR-E3): the loss applies a second softmax."""

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x).softmax(1)


class Noisy(_Around):
    """Gaussian noise added to the image in every forward pass, in eval mode too."""

    def __init__(self, model: nn.Module, sigma: float = 0.1):
        super().__init__(model)
        self.sigma = sigma

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x + self.sigma * torch.randn_like(x))


class StuckBatchNorm(nn.BatchNorm2d):
    """A BatchNorm that .eval() does not reach: it uses, and goes on updating, statistics of the batch."""

    def train(self, mode: bool = True) -> "StuckBatchNorm":
        return super().train(True)


def batch_statistics(model: nn.Module, channels: int = 1) -> nn.Module:
    """The net behind a StuckBatchNorm that undoes the mean and variance of each batch."""
    return nn.Sequential(StuckBatchNorm(channels), model).train(model.training)


def mean_loss_with_floor(
    model: nn.Module, x: Tensor, y: Tensor, *, norm: str, eps: float, steps: int, **settings: object
) -> Tensor:
    """PGD by the conventions of IR's released code (IR-E5), with a step size of 2.5 * eps / steps.

    The loss is averaged over a batch of 50 and the l2 gradient norm floored at 1e-6: small gradients shorten
    the step. settings: further ones of attacks.pgd.
    """
    settings = {"protocol": IR_PAPER, "step_size": 2.5 * eps / steps} | settings
    return pgd(model, x, y, norm=norm, eps=eps, steps=steps, **settings)
