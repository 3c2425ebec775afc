"""What the readers of the sets share: where packaged sets are, torchvision's classes, errors. No torch."""

import zipfile
import zlib
from importlib import metadata
from pathlib import Path
from pickle import UnpicklingError

MNIST_SMALL = Path(__file__).with_name("mnist_small.npz")
#: Of the bytes of its arrays.
MNIST_SMALL_SHA256 = {
    "x_train": "ab669407cfe046d71a9100a65fcc95d169a80d52af277a0b6cd961e74625972a",
    "y_train": "1c68a632c52a4a25bd3a249937de78e50d80679d2183e1248f492c172021b89e",
    "x_test": "5bc6f1f21129e43616a9224c5c7736f18a854a5015f2e2af327db37ee71e9731",
    "y_test": "5455d4803b49f8f594f744149a0217527634057d0c57d92a405c6d2502645a3d",
}
#: What torchvision, torch and numpy raise where a file is damaged.
DAMAGE = (
    AssertionError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    UnpicklingError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)


class DataMissing(ValueError):
    """A data set is not where it was looked for; the message says where, and how to get it."""


def digits_file() -> Path:
    """The file that sklearn.datasets.load_digits reads: 1,797 lines of 64 pixels, 0 to 16, and a label."""
    return Path(metadata.distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz"))


def torchvision_class(name: str) -> type:
    """The torchvision data set that knows the files, checksums and mirrors of one of the downloaded sets."""
    from torchvision import datasets

    return {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST, "cifar10": datasets.CIFAR10}[
        name
    ]
