"""The two classifiers of BR (Kim et al. 2019), as its code builds them."""

from collections.abc import Sequence

from torch import nn

from companion.models.normalise import Normalize


def br_mnist_cnn(
    in_channels: int = 1,
    size: int = 28,
    classes: int = 10,
    *,
    channels: tuple[int, int] = (32, 64),
    hidden: int = 1024,
) -> nn.Sequential:
    """conv 5x5-ReLU twice, maxpool, dense-ReLU, dense; logits out.

    Source: BR appendix A.2, MNIST and Fashion-MNIST; 12,908,426 parameters on 28x28 images. The code has 32,
    then 64 filters, the text 64, then 32 (BR-E5): channels=(64, 32).
    Inside, pixels lie in [-1, 1], as BR's; Glorot-uniform weights, zero biases. size: pixels, at least 2.
    """
    return _net((in_channels, *channels), 5, (2,), size, hidden, classes)


def br_cifar_cnn(
    in_channels: int = 3, size: int = 32, classes: int = 10, *, hidden: int = 512
) -> nn.Sequential:
    """conv 3x3-ReLU twice with 32 filters, maxpool, twice with 64, maxpool, dense-ReLU, dense; logits out.

    Source: BR appendix A.2, CIFAR-10; 2,168,362 parameters on 32x32 images. The code's dense layer has 512
    units, the text's 256 (BR-E5). The rest as in br_mnist_cnn; size: at least 4 pixels.
    """
    return _net((in_channels, 32, 32, 64, 64), 3, (2, 4), size, hidden, classes)


def _net(
    channels: Sequence[int], kernel: int, pooled_after: Sequence[int], size: int, hidden: int, classes: int
) -> nn.Sequential:
    """pooled_after: the convolutions, counted from 1, that a maxpool follows."""
    if size < 2 ** len(pooled_after):
        raise ValueError(f"size={size}; the net halves the image {len(pooled_after)} times")
    layers: list[nn.Module] = [Normalize([0.5] * channels[0], [0.5] * channels[0])]
    for i, (before, after) in enumerate(zip(channels, channels[1:], strict=False), start=1):
        layers += [nn.Conv2d(before, after, kernel, padding=kernel // 2), nn.ReLU()]
        if i in pooled_after:
            layers.append(nn.MaxPool2d(2))
            size //= 2
    layers += [nn.Flatten(), nn.Linear(channels[-1] * size**2, hidden), nn.ReLU(), nn.Linear(hidden, classes)]
    for layer in layers:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)
