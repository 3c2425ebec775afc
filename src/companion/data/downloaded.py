"""Reader of the sets that torchvision downloads."""

from pathlib import Path

import torch
from torch import Tensor

from companion.data.image_set import Images
from companion.data.origins import DAMAGE, torchvision_class

_LABELS = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST", "cifar10": "CIFAR-10"}


def read_downloaded(name: str, place: Path, split_seed: int, size: int | None) -> Images:
    """mnist, fashion_mnist or cifar10 below `place`, grey levels as stored; they come split, and are resized
    later.

    Raises ValueError for damaged files.
    """
    kind = torchvision_class(name)
    try:
        train, test = (kind(place, train=part, download=False) for part in (True, False))
    except DAMAGE as error:
        raise ValueError(
            f"{name} in {place} cannot be read ({type(error).__name__}: {error}); delete it and run "
            f"`companion fetch {name}`"
        ) from error

    def tensors(part) -> tuple[Tensor, Tensor]:
        x = torch.as_tensor(part.data)
        x = x[:, None] if x.ndim == 3 else x.permute(0, 3, 1, 2)
        return x.contiguous(), torch.as_tensor(part.targets).long()

    classes = tuple("0123456789") if name == "mnist" else tuple(train.classes)
    return Images(name, _LABELS[name], *tensors(train), *tensors(test), classes=classes)
