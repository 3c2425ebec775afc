"""The book's own small CNN for BlockMNIST: two blocks, one above the other."""

from torch import nn

from companion.models.normalise import normalised


def block_cnn(
    in_channels: int = 1,
    size: int = 56,
    classes: int = 2,
    *,
    channels: tuple[int, int] = (8, 16),
    hidden: int = 64,
) -> nn.Sequential:
    """Convolution 4x4 with stride 2 and ReLU twice, dense-ReLU, dense; logits out.

    Ours, no paper's: compact_cnn for images twice as high as wide, (N, in_channels, size, size / 2). Its
    filters are the same at all places, its dense layer has weights of its own for each.
    Raises ValueError for a size that is not a multiple of 8.
    """
    if size < 8 or size % 8:
        raise ValueError(f"size={size}; expected a multiple of 8 pixels, the net halves both sides twice")
    first, second = channels
    layers = (
        nn.Conv2d(in_channels, first, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(first, second, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(second * (size // 4) * (size // 8), hidden),
        nn.ReLU(),
        nn.Linear(hidden, classes),
    )
    for layer in layers[:-1]:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    return normalised(*layers, mean=None, std=None)
