"""The two-convolution CNN of IR and its small sibling for 8x8 digits."""

from torch import nn


def simple_cnn(
    in_channels: int = 1,
    size: int = 28,
    classes: int = 10,
    *,
    channels: tuple[int, int] = (32, 64),
    kernel: int = 5,
    hidden: int = 1024,
    dropout: float = 0.5,
) -> nn.Sequential:
    """conv-ReLU-maxpool twice, dense-ReLU, dropout, dense; logits out.

    Source: IR section 4.2, SimpleCNN; with the default settings on 28x28 images it has 3,274,634
    parameters (padding keeps the size, so 28-14-7, as in the official code). The file IR cites has a
    512-unit dense layer; paper and code use 1024 (IR-E10).

    in_channels: of the images.
    size: side of the square input in pixels, at least 4.
    classes: logits.
    channels: filters of the two convolutions.
    kernel: their side.
    hidden: units of the dense layer.
    dropout: fraction of these that is dropped in training.
    Raises ValueError when two poolings leave nothing.
    """
    if size < 4:
        raise ValueError(f"size={size}; expected at least 4 pixels, the net halves the image twice")
    first, second = channels
    return nn.Sequential(
        nn.Conv2d(in_channels, first, kernel, padding=kernel // 2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(first, second, kernel, padding=kernel // 2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(second * (size // 4) ** 2, hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, classes),
    )


def digits_cnn(
    in_channels: int = 1, size: int = 8, classes: int = 10, *, dropout: float = 0.5
) -> nn.Sequential:
    """SimpleCNN's shape at the scale of 8x8 digits: 16 and 32 filters of 3x3, 128 hidden units, logits out.

    Deviation: ours, not a paper's; it stands in for SimpleCNN where no data set but digits is at hand.
    """
    return simple_cnn(in_channels, size, classes, channels=(16, 32), kernel=3, hidden=128, dropout=dropout)
