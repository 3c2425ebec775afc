"""LeNet-5 in today's form."""

from collections.abc import Sequence

from torch import nn

from companion.models.normalise import normalised


def lenet(
    in_channels: int = 1,
    size: int = 28,
    classes: int = 10,
    *,
    channels: tuple[int, int] = (6, 16),
    kernel: int = 5,
    padding: tuple[int, int] = (2, 0),
    hidden: tuple[int, int] = (120, 84),
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> nn.Sequential:
    """conv-ReLU-maxpool twice, dense-ReLU twice, dense; logits out.

    Source: LeCun et al. 1998, LeNet-5, with ReLU, max pooling and fully connected maps, as NM section 3.2's
    "LeNet" is commonly built; the second convolution does not pad (28-14-10-5). With the default settings
    on 28x28 images it has 61,706 parameters. For 8x8 images take kernel=3 and padding=(1, 1).
    in_channels: of the images.
    size: side of the square input in pixels.
    classes: logits.
    channels: filters of the two convolutions.
    kernel: their side.
    padding: of each.
    hidden: units of the two dense layers.
    mean, std: per channel, for normalising inside the net; None for none.
    Raises ValueError when the second pooling leaves nothing.
    """
    side = size
    for margin in padding:
        side = (side + 2 * margin - kernel + 1) // 2
    if side < 1:
        raise ValueError(
            f"size={size} with kernel={kernel} and padding={padding} leaves nothing after two poolings; take "
            "larger images, a smaller kernel or more padding"
        )
    first, second = channels
    return normalised(
        nn.Conv2d(in_channels, first, kernel, padding=padding[0]),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(first, second, kernel, padding=padding[1]),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(second * side**2, hidden[0]),
        nn.ReLU(),
        nn.Linear(hidden[0], hidden[1]),
        nn.ReLU(),
        nn.Linear(hidden[1], classes),
        mean=mean,
        std=std,
    )
