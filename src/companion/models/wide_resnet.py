"""Wide residual network, as the official code of Interpretation Regularization builds it."""

from torch import Tensor, nn

_OUTPUTS = ("logit", "probability")


class _Block(nn.Module):
    """Pre-activation block: two 3x3 convolutions with dropout between them, the second one strided."""

    def __init__(self, width_in: int, width_out: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(width_in)
        self.conv1 = nn.Conv2d(width_in, width_out, 3, padding=1)
        self.dropout = nn.Dropout(dropout)
        self.norm2 = nn.BatchNorm2d(width_out)
        self.conv2 = nn.Conv2d(width_out, width_out, 3, stride=stride, padding=1)
        same_shape = stride == 1 and width_in == width_out
        self.shortcut = nn.Identity() if same_shape else nn.Conv2d(width_in, width_out, 1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.dropout(self.conv1(self.norm1(x).relu()))
        return self.conv2(self.norm2(inner).relu()) + self.shortcut(x)


class WideResNet(nn.Module):
    """Wide ResNet; `wide_resnet` builds it and documents it."""

    def __init__(
        self, in_channels: int, classes: int, depth: int, width: int, dropout: float, output: str
    ) -> None:
        super().__init__()
        widths = [16, 16 * width, 32 * width, 64 * width]
        blocks = []
        for before, after, stride in zip(widths[:-1], widths[1:], (1, 2, 2), strict=True):
            blocks.append(_Block(before, after, stride, dropout))
            blocks += [_Block(after, after, 1, dropout) for _ in range((depth - 4) // 6 - 1)]
        self.conv = nn.Conv2d(in_channels, widths[0], 3, padding=1)
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.BatchNorm2d(widths[-1], momentum=0.9)
        self.linear = nn.Linear(widths[-1], classes)
        self.output = output

    def logits(self, x: Tensor) -> Tensor:
        """Logits (N, classes), whatever `output` is: the official SmoothGrad targets come from these."""
        features = self.norm(self.blocks(self.conv(x))).relu()
        return self.linear(features.mean(dim=(2, 3)))

    def forward(self, x: Tensor) -> Tensor:
        logits = self.logits(x)
        return logits.softmax(dim=1) if self.output == "probability" else logits


def wide_resnet(
    in_channels: int = 3,
    size: int = 32,
    classes: int = 10,
    depth: int = 28,
    width: int = 10,
    dropout: float = 0.3,
    output: str = "logit",
) -> WideResNet:
    """Wide ResNet-`depth`-`width` for images (N, in_channels, size, size) in [0,1]; no normalisation inside.

    Source: Noack et al. 2020, CIFAR-10 experiments, as their official code builds it: every convolution has
    a bias, dropout is between the two convolutions of a block, the stride is on the second of them,
    and the last BatchNorm has momentum 0.9 (torch's convention: the running statistics follow the newest
    batch). 28-10 has 36,489,290 parameters. Weights start from torch's default initialisation, because the
    official code defines another one and never calls it.

    in_channels: of the images.
    size: side of the square input in pixels.
    classes: outputs.
    depth: layers, 6n+4.
    width: factor of the filters.
    dropout: fraction that is dropped in training.
    output: "logit", or "probability", the official code's double softmax (erratum IR-E3): the network returns
    softmax(logits), which cross-entropy then passes through a second softmax. Keep "logit" for anything
    but a repetition of that code.

    Deviation: the head averages over all positions that are left, so other image sizes work; at 32x32 that
    equals the official 8x8 average.

    Raises ValueError for a depth that is not 6n+4, an unknown output, a dropout outside [0, 1) or a size
    below 4.
    """
    if depth < 10 or (depth - 4) % 6:
        nearest = max(10, 6 * round((depth - 4) / 6) + 4)
        raise ValueError(f"depth={depth} is not of the form 6n+4 with n >= 1; the nearest is {nearest}")
    if output not in _OUTPUTS:
        raise ValueError(f"output={output!r}; expected one of {', '.join(_OUTPUTS)}")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout={dropout}; expected a probability in [0, 1)")
    if size < 4:
        raise ValueError(f"size={size}; two strided stages need images of at least 4x4 pixels")
    for name, value in (("in_channels", in_channels), ("classes", classes), ("width", width)):
        if value < 1:
            raise ValueError(f"{name}={value}; expected at least 1")
    return WideResNet(in_channels, classes, depth, width, dropout, output)


__all__ = ["WideResNet", "wide_resnet"]
