"""Image sets as one tensor each, and the questions one asks before loading them.

| name | images | where they come from |
|---|---|---|
| `mnist_small` | 7,000 real handwritten digits, 28x28, a tenth of `mnist` | inside this package |
| `digits` | 1,797 real handwritten digits, 8x8 with 17 grey levels | inside scikit-learn |
| `mnist` | 70,000 handwritten digits, 28x28 | torchvision, `companion fetch mnist` |
| `fashion_mnist` | 70,000 pieces of clothing, 28x28 | torchvision, `companion fetch fashion_mnist` |
| `cifar10` | 60,000 colour photographs, 32x32 | torchvision, `companion fetch cifar10` |
| `folder:PATH` | any images, one folder a class | PATH |

`load` reads these. A recipe can also name a set of BUILT, which a function of its own makes: `block_mnist`,
from any of these sets that has one channel; `gaussians`, points of the plane; and `one_hot_blocks`, points
whose signal lies in one of several blocks. `maker` finds the function for every name.

The root folder is the argument `root`, else the environment variable COMPANION_DATA, else
~/.cache/companion/data. `require`, `identity`, `checksums` and `fetch` do not import torch (`fetch` does when
it downloads), so that a runner can refuse a missing set at once; everything else here does.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from companion.data.origins import DataMissing
from companion.data.sources import DRAWN, checksums, fetch, identity, require, unused

if TYPE_CHECKING:
    from companion.data.image_set import Images

#: Image sets with a function of their own, whose arguments are a recipe's settings.
BUILT = ("block_mnist", *DRAWN)

_NEED_TORCH = ("Images", "augment", "block_mnist", "delivered", "load", "reader", "toys")


def __getattr__(name: str):
    if name not in _NEED_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # `from companion.data import toys` would ask this function for it again
    import companion.data.block_mnist
    import companion.data.toys  # noqa: F401
    from companion.data.augmentation import augment
    from companion.data.image_set import Images
    from companion.data.images import load, reader
    from companion.data.pixels import delivered

    globals().update(Images=Images, augment=augment, delivered=delivered, load=load, reader=reader)
    return globals()[name]


def maker(name: str) -> Callable[..., "Images"]:
    """The function that makes the images a recipe names: its own if it is one of BUILT, else `load`."""
    from companion.data.block_mnist import block_mnist
    from companion.data.images import load
    from companion.data.toys import gaussians, one_hot_blocks

    built = {f.__name__: f for f in (block_mnist, gaussians, one_hot_blocks)}
    return built.get(name) or partial(load, name)


__all__ = [
    "BUILT",
    "DRAWN",
    "DataMissing",
    "Images",
    "augment",
    "block_mnist",
    "checksums",
    "delivered",
    "fetch",
    "identity",
    "load",
    "maker",
    "reader",
    "require",
    "toys",
    "unused",
]
