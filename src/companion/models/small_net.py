"""SmallNet, the MNIST net of ET (Etmann et al. 2019)."""

from torch import nn


def small_net(
    in_channels: int = 1,
    size: int = 28,
    classes: int = 10,
    *,
    channels: tuple[int, int, int] = (32, 64, 128),
    hidden: int = 128,
    dropout: float = 0.5,
) -> nn.Sequential:
    """Three times conv 3x3-ReLU-maxpool, dense-ReLU, dropout, dense; logits out.

    Source: ET's released code (facts 4.3): 241,546 parameters on 28x28 images (28-14-7-3), Glorot-uniform
    weights and zero biases, as Keras initialises them.
    size: side of the square input in pixels, at least 8: three poolings leave 8-4-2-1. On 8x8 digits
    channels=(16, 32, 64), hidden=64 is ours and a fifth of the cost.
    Raises ValueError when the poolings leave nothing, and on a dropout outside [0, 1).
    """
    if size < 8:
        raise ValueError(f"size={size}; expected at least 8 pixels, the net halves the image three times")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout={dropout}; expected a probability in [0, 1)")
    layers: list[nn.Module] = []
    for before, after in zip((in_channels, *channels[:-1]), channels, strict=True):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    net = nn.Sequential(
        *layers,
        nn.Flatten(),
        nn.Linear(channels[-1] * (size // 8) ** 2, hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, classes),
    )
    for layer in net:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return net
