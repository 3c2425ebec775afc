"""Normalisation as a layer, so that attacks always act on pixels in [0, 1]."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Normalize(nn.Module):
    """(x - mean) / std per channel. Put it first: nn.Sequential(Normalize(mean, std), net)."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


def normalised(
    *layers: nn.Module, mean: Sequence[float] | None, std: Sequence[float] | None
) -> nn.Sequential:
    """The layers in a row, after Normalize(mean, std) if these are given.

    Raises ValueError when only one of them is.
    """
    if (mean is None) != (std is None):
        raise ValueError(f"mean={mean}, std={std}: give both or neither")
    return nn.Sequential(*layers) if mean is None else nn.Sequential(Normalize(mean, std), *layers)
