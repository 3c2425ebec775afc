"""Residual networks of basic blocks for small images."""

from collections.abc import Sequence

from torch import Tensor, nn

from companion.models.normalise import normalised


class _Block(nn.Module):
    """conv-BN-ReLU-conv-BN, plus the input (through a 1x1 convolution where the shape changes), ReLU."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.shortcut = (
            nn.Identity()
            if stride == 1 and before == after
            else nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        )

    def forward(self, x: Tensor) -> Tensor:
        return (self.inner(x) + self.shortcut(x)).relu()


def resnet(
    in_channels: int = 3,
    size: int = 32,
    classes: int = 10,
    *,
    blocks: Sequence[int] = (2, 2, 2, 2),
    width: int = 64,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> nn.Sequential:
    """conv-BN-ReLU, stages of basic blocks, the average over positions, one dense layer; logits out.

    Source: He et al. 2016; the default is ResNet-18 (NM section 3.3). Deviation, as is usual for 32x32
    images: a 3x3 stem without stride and without pooling; 11,173,962 parameters.
    in_channels: of the images.
    size: side of the square input in pixels; the weights do not depend on it.
    classes: logits.
    blocks: basic blocks of each stage.
    width: filters of the first stage; each further one has twice as many at half the side.
    mean, std: per channel, for normalising inside the net; None for none.
    Raises ValueError when the strides leave less than one pixel.
    """
    if size < 2 ** (len(blocks) - 1):
        raise ValueError(
            f"size={size}: {len(blocks)} stages halve it {len(blocks) - 1} times; expected at least "
            f"{2 ** (len(blocks) - 1)} pixels, or fewer stages"
        )
    layers: list[nn.Module] = [
        nn.Conv2d(in_channels, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    ]
    channels = width
    for stage, depth in enumerate(blocks):
        for block in range(depth):
            layers.append(_Block(channels, width * 2**stage, stride=2 if stage and block == 0 else 1))
            channels = width * 2**stage
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)
    return normalised(*layers, *head, mean=mean, std=std)
