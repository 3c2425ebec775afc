"""A net with one hidden layer, for points of few coordinates."""

from torch import nn

from companion.models.normalise import normalised


def one_hidden(
    in_channels: int = 2, size: int = 1, classes: int = 2, *, width: int = 128, init: str = "glorot"
) -> nn.Sequential:
    """2x - 1, dense-ReLU, dense; logits out. For x (N, in_channels, size, size) in [0, 1].

    Source: BR appendix A.2, the toy's 2-128-2 net on points in [-1, 1], with its code's Glorot-uniform
    weights and zero biases; init="torch": SH's released toy (25,000 units), which keeps torch's own initial
    weights and biases, uniform in +-1 / sqrt(inputs of the layer).
    Raises ValueError on another init.
    """
    if init not in ("glorot", "torch"):
        raise ValueError(f'init={init!r}; expected "glorot" (BR) or "torch" (SH)')
    net = normalised(
        nn.Flatten(),
        nn.Linear(in_channels * size**2, width),
        nn.ReLU(),
        nn.Linear(width, classes),
        mean=[0.5] * in_channels,
        std=[0.5] * in_channels,
    )
    for layer in net:
        if isinstance(layer, nn.Linear) and init == "glorot":
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return net
