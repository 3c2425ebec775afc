"""How a named image set is loaded: its reader is chosen here, what it reads is delivered as images in [0, 1].

A net's name in the store covers the reader of its own set, not this module, which knows them all.
"""

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from companion.data.downloaded import read_downloaded
from companion.data.folders import read_folder
from companion.data.image_set import Images, device_of
from companion.data.packaged import read_packaged
from companion.data.pixels import delivered
from companion.data.sources import DRAWN, data_root, folder_of, require, unused
from companion.defaults import torch_defaults


@torch_defaults()
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

    A folder's images are decoded once and kept in ~/.cache/companion/folders until one of them changes. They
    are turned as their EXIF orientation says; transparent ones lie on white; of an animation the first
    picture counts. Warns of images in the folder that are not used.

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
    stored = reader(name)(name, folder or data_root(root), split_seed, size)
    for line in unused(name):
        warnings.warn(line, stacklevel=2)
    images = delivered(
        stored,
        n_train=n_train,
        n_test=n_test,
        split_seed=split_seed,
        hold_out=hold_out,
        size=size,
        device=device,
    )
    if lost := set(range(images.n_classes)) - set(images.y_train.tolist()):
        label, n = images.classes[min(lost)], len(images.y_train)
        raise ValueError(
            f"none of the {n} training images of {images.label} is of class {label!r}; ask for more"
        )
    return images


def reader(name: str) -> Callable[[str, Path, int, int | None], Images]:
    """The function that reads a named set from a place, with a split seed and a size: grey levels as stored.

    Raises ValueError for an unknown name.
    """
    if folder_of(name) is not None:
        return read_folder
    return read_packaged if name in ("mnist_small", "digits") else read_downloaded
