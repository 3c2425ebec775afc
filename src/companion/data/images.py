"""How a named image set is read: from its files to pixels in [0, 1]."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from companion.data.folders import load_folder
from companion.data.image_set import Images, device_of, split
from companion.data.sources import (
    DAMAGE,
    DRAWN,
    MNIST_SMALL,
    MNIST_SMALL_SHA256,
    data_root,
    digits_file,
    folder_of,
    require,
    torchvision_class,
)

_LABELS = {
    "mnist_small": "small MNIST",
    "digits": "digits",
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
}
_DIGITS_TEST = 360


def load(
    name: str = "mnist_small",
    *,
    root: str | os.PathLike | None = None,
    device: str | torch.device = "cpu",
    n_train: int | None = None,
    n_test: int | None = None,
    split_seed: int = 0,
    size: int | None = None,
    hold_out: float | None = None,
) -> Images:
    """Load mnist_small, digits, mnist, fashion_mnist, cifar10 or folder:PATH as tensors on `device`.

    name: of the set.
    root: folder of the downloaded sets (see `companion.data`).
    device: where the tensors are.
    n_train: keep so many training images (`Images.subset` with split_seed).
    n_test: keep so many test images.
    split_seed: also fixes the stratified split of digits (1,437 train, 360 test) and of an image folder
    without train/ and test/ (80 % train, 20 % test); the other sets come split.
    size: resize all images to size x size (bilinear with antialiasing).
    hold_out: put this fraction of the n_train training images in place of the test images
    (`Images.hold_out`); n_test then counts held-out images.

    A folder's images are decoded once and kept in ~/.cache/companion/folders until one of them changes.

    Raises DataMissing when the set is not there, ValueError for an unknown name, a damaged file, images of
    several sizes (give `size`), a missing device, or more images asked for than there are.
    """
    folder = folder_of(name)
    if name in DRAWN:
        raise ValueError(f"{name} is drawn, not loaded: use companion.data.maker({name!r})()")
    if folder is None:
        require(name, root)
    device = device_of(device)
    if size is not None and size < 1:
        raise ValueError(f"size={size}; expected at least 1 pixel")
    if folder is not None:
        images = load_folder(name, folder, split_seed, size)
    elif name == "mnist_small":
        images = _load_mnist_small()
    elif name == "digits":
        images = _load_digits(split_seed)
    else:
        images = _load_torchvision(name, data_root(root))
    # The subset is taken from the bytes as stored: only what is kept becomes float32 and reaches the device.
    images = images.chosen(n_train, n_test, split_seed, hold_out).to(device)
    return replace(
        images,
        x_train=_unit_range(images.x_train, name, size),
        x_test=_unit_range(images.x_test, name, size),
    )


def _unit_range(x: Tensor, name: str, size: int | None) -> Tensor:
    """Stored grey levels to float32 in [0,1], resized where asked."""
    top = 16 if name == "digits" else 255
    x = x.float().contiguous().div_(top)
    if size is None or x.shape[2:] == (size, size):
        return x
    return interpolate(x, (size, size), mode="bilinear", antialias=True).clamp_(0, 1)


def _load_mnist_small() -> Images:
    try:
        with MNIST_SMALL.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in MNIST_SMALL_SHA256}
        found = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in arrays.items()}
        if found != MNIST_SMALL_SHA256:
            raise ValueError("its SHA-256 is another")
    except DAMAGE as error:
        raise ValueError(
            f"{MNIST_SMALL} cannot be read ({type(error).__name__}: {error}); install the package again"
        ) from error
    x_train, y_train, x_test, y_test = (torch.from_numpy(array) for array in arrays.values())
    parts = (x_train[:, None], y_train.long(), x_test[:, None], y_test.long())
    return Images("mnist_small", _LABELS["mnist_small"], *parts, classes=tuple("0123456789"))


def _load_digits(split_seed: int) -> Images:
    # Not load_digits, which gives the same: importing scikit-learn takes every process that trains a second
    table = torch.from_numpy(np.loadtxt(digits_file(), delimiter=",", dtype=np.uint8))
    x, y = table[:, :-1].reshape(-1, 1, 8, 8), table[:, -1].long()
    parts = split(x, y, _DIGITS_TEST, split_seed)
    return Images("digits", _LABELS["digits"], *parts, classes=tuple("0123456789"))


def _load_torchvision(name: str, root: Path) -> Images:
    kind = torchvision_class(name)
    try:
        train, test = (kind(root, train=part, download=False) for part in (True, False))
    except DAMAGE as error:
        raise ValueError(
            f"{name} in {root} cannot be read ({type(error).__name__}: {error}); delete it and run "
            f"`companion fetch {name}`"
        ) from error

    def tensors(part) -> tuple[Tensor, Tensor]:
        x = torch.as_tensor(part.data)
        x = x[:, None] if x.ndim == 3 else x.permute(0, 3, 1, 2)
        return x.contiguous(), torch.as_tensor(part.targets).long()

    classes = tuple("0123456789") if name == "mnist" else tuple(train.classes)
    return Images(name, _LABELS[name], *tensors(train), *tensors(test), classes=classes)
