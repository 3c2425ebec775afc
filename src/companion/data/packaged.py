"""Readers of the sets that come with a package: small MNIST with this one, the digits with scikit-learn."""

import hashlib
from pathlib import Path

import numpy as np
import torch

from companion.data.image_set import Images, split
from companion.data.origins import DAMAGE, MNIST_SMALL, MNIST_SMALL_SHA256, digits_file

_DIGITS_TEST = 360


def read_packaged(name: str, place: Path, split_seed: int, size: int | None) -> Images:
    """mnist_small or digits, grey levels as stored; they come from no place and are resized later.

    Raises ValueError for a damaged file.
    """
    return _digits(split_seed) if name == "digits" else _mnist_small()


def _mnist_small() -> Images:
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
    return Images("mnist_small", "small MNIST", *parts, classes=tuple("0123456789"))


def _digits(split_seed: int) -> Images:
    # Not load_digits, which gives the same: importing scikit-learn takes every process that trains a second
    table = torch.from_numpy(np.loadtxt(digits_file(), delimiter=",", dtype=np.uint8))
    x, y = table[:, :-1].reshape(-1, 1, 8, 8), table[:, -1].long()
    parts = split(x, y, _DIGITS_TEST, split_seed)
    return Images("digits", "digits", *parts, classes=tuple("0123456789"))
