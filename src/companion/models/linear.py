"""A linear classifier."""

from torch import nn

from companion.models.normalise import normalised


def linear(in_channels: int = 1, size: int = 28, classes: int = 10) -> nn.Sequential:
    """2x - 1, dense; logits out. For images (N, in_channels, size, size) in [0, 1].

    Source: the linear net of SH's simplified BlockMNIST, on points in [-1, 1].
    """
    return normalised(
        nn.Flatten(),
        nn.Linear(in_channels * size**2, classes),
        mean=[0.5] * in_channels,
        std=[0.5] * in_channels,
    )
