"""The three-layer perceptron of Noise Modulation."""

from collections.abc import Sequence

from torch import nn

from companion.models.normalise import normalised


def mlp(
    in_channels: int = 1,
    size: int = 28,
    classes: int = 10,
    *,
    hidden: tuple[int, int] = (512, 512),
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> nn.Sequential:
    """dense-ReLU twice, dense; logits out. For images (N, in_channels, size, size) in [0, 1].

    Source: NM section 3.2, "three layer Multi-Layer Perceptron"; it gives no widths, so `hidden` is ours.
    With the default settings on 28x28 images it has 669,706 parameters.
    mean, std: per channel, for normalising inside the net; None for none.
    """
    first, second = hidden
    return normalised(
        nn.Flatten(),
        nn.Linear(in_channels * size**2, first),
        nn.ReLU(),
        nn.Linear(first, second),
        nn.ReLU(),
        nn.Linear(second, classes),
        mean=mean,
        std=std,
    )
