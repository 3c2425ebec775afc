"""ResNet-50 as torchvision has it, weights trained on ImageNet included."""

from torch import nn

from companion.models.normalise import Normalize

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of torchvision's weights, for pixels in [0, 1]


def resnet50(
    in_channels: int = 3, size: int = 256, classes: int = 1000, *, weights: str | None = "IMAGENET1K_V1"
) -> nn.Sequential:
    """Normalisation and torchvision's ResNet-50; logits out.

    Source: ET section 4 fine-tunes it on ImageNet. weights: a name of torchvision's, fetched on first use
    into TORCH_HOME, or None for random ones. With another number of classes than 1000 the last layer is new.
    size: side of the input in pixels, at least 32; the weights do not depend on it.
    Deviation: torchvision's weights instead of Keras', and its mean and standard deviation per channel.
    Raises ValueError on other than 3 channels, a smaller size, or weights that cannot be had.
    """
    from torchvision.models import resnet50 as build

    if in_channels != 3:
        raise ValueError(f"in_channels={in_channels}; ResNet-50 takes images of 3 channels")
    if size < 32:
        raise ValueError(f"size={size}; expected at least 32 pixels, the net halves the image five times")
    try:
        net = build(weights=weights)
    except OSError as error:  # no network, or a broken download
        raise ValueError(
            f"weights={weights!r} cannot be fetched ({error}); put torchvision's file into "
            "TORCH_HOME/hub/checkpoints"
        ) from error
    if classes != net.fc.out_features:
        net.fc = nn.Linear(net.fc.in_features, classes)
    return nn.Sequential(Normalize(MEAN, STD), net)
