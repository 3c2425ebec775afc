"""The six-layer fully convolutional net of Noise Modulation."""

from collections.abc import Sequence

from torch import nn

from companion.models.normalise import normalised


def fcnn(
    in_channels: int = 1,
    size: int = 28,
    classes: int = 10,
    *,
    channels: tuple[int, int, int, int, int] = (32, 32, 64, 64, 128),
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> nn.Sequential:
    """Six 3x3 convolutions, ReLU between them, the average over positions; logits out.

    Source: NM section 3.2, "six layer Fully Convolutional Neural Network"; it gives neither widths nor
    strides, so both are ours: the second and fourth convolution halve the image, and the sixth has one
    filter for each class. With the default settings it has 150,378 parameters.
    size: side of the image in pixels, at least 4; the weights do not depend on it. mean, std: per channel,
    for normalising inside the net; None for none. Raises ValueError on a smaller image.
    """
    if size < 4:
        raise ValueError(f"size={size}; expected at least 4 pixels, the net halves the image twice")
    layers: list[nn.Module] = []
    for before, after, stride in zip((in_channels, *channels), channels, (1, 2, 1, 2, 1), strict=False):
        layers += [nn.Conv2d(before, after, 3, stride, padding=1), nn.ReLU()]
    last = nn.Conv2d(channels[-1], classes, 3, padding=1)
    return normalised(*layers, last, nn.AdaptiveAvgPool2d(1), nn.Flatten(), mean=mean, std=std)
