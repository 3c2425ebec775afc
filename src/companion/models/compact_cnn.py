"""The book's own small CNN for 28x28 images."""

from collections.abc import Sequence

from torch import nn

from companion.models.normalise import normalised


def compact_cnn(
    in_channels: int = 1,
    size: int = 28,
    classes: int = 10,
    *,
    channels: tuple[int, int] = (16, 32),
    hidden: int = 100,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> nn.Sequential:
    """Convolution 4x4 with stride 2 and ReLU twice, dense-ReLU, dense; logits out.

    Ours, no paper's: it shows what the papers are about at the price of a net for 8x8 digits.
    size: side of the square input in pixels, at least 4; 166,406 parameters on 28x28 images (28-14-7).
    mean, std: per channel, for normalising inside the net; None for none.
    Raises ValueError when the convolutions leave nothing.
    """
    if size < 4:
        raise ValueError(f"size={size}; expected at least 4 pixels, the net halves the image twice")
    first, second = channels
    return normalised(
        # a kernel of twice the stride covers every pixel equally often: gradients show no grid
        nn.Conv2d(in_channels, first, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(first, second, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(second * (size // 4) ** 2, hidden),
        nn.ReLU(),
        nn.Linear(hidden, classes),
        mean=mean,
        std=std,
    )
