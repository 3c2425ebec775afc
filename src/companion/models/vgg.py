"""VGG nets for small images."""

from collections.abc import Sequence

from torch import nn

from companion.models.normalise import normalised


def vgg(
    in_channels: int = 3,
    size: int = 32,
    classes: int = 10,
    *,
    stages: Sequence[int] = (2, 2, 3, 3, 3),
    width: int = 64,
    batch_norm: bool = True,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> nn.Sequential:
    """Stages of 3x3 convolutions with ReLU, each ended by a max pooling, and one dense layer; logits out.

    Source: Simonyan & Zisserman 2015; the default is VGG-16, configuration D. NM section 3.2 names neither
    depth nor BatchNorm. Deviation: one dense layer in place of three, as is usual for 32x32 images.
    in_channels: of the images.
    size: side of the square input in pixels.
    classes: logits.
    stages: convolutions before each pooling; (1, 1, 2, 2, 2) is VGG-11.
    width: filters of the first stage, doubled by each further one up to 8 * width.
    batch_norm: a BatchNorm after each convolution. VGG-16 has 14,728,266 parameters with it, 14,719,818
    without.
    mean, std: per channel, for normalising inside the net; None for none.
    Raises ValueError when the poolings leave nothing of the image.
    """
    side = size // 2 ** len(stages)
    if side < 1:
        raise ValueError(
            f"size={size}: {len(stages)} poolings leave nothing; expected at least "
            f"{2 ** len(stages)} pixels, or fewer stages"
        )
    layers: list[nn.Module] = []
    channels = in_channels
    for stage, convolutions in enumerate(stages):
        filters = width * min(2**stage, 8)
        for _ in range(convolutions):
            layers.append(nn.Conv2d(channels, filters, 3, padding=1))
            layers += [nn.BatchNorm2d(filters)] if batch_norm else []
            layers.append(nn.ReLU())
            channels = filters
        layers.append(nn.MaxPool2d(2))
    return normalised(*layers, nn.Flatten(), nn.Linear(channels * side**2, classes), mean=mean, std=std)
