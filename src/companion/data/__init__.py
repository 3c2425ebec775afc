"""Image sets as one tensor each, and the questions one asks before loading them.

| name | images | where they come from |
|---|---|---|
| `digits` | 1,797 real handwritten digits, 8x8 with 17 grey levels | inside scikit-learn, no download |
| `mnist` | 70,000 handwritten digits, 28x28 | torchvision, `companion fetch mnist` |
| `fashion_mnist` | 70,000 pieces of clothing, 28x28 | torchvision, `companion fetch fashion_mnist` |
| `cifar10` | 60,000 colour photographs, 32x32 | torchvision, `companion fetch cifar10` |
| `gaussians` | 6,000 points of the plane, as images of one pixel | drawn at random, `companion.data.toys` |
| `folder:PATH` | any images, one folder a class | PATH |

A recipe can also name a set of BUILT, which a function of this package makes: `block_mnist`, from any of
these sets that has one channel, and `one_hot_blocks`, points whose signal lies in one of several blocks.

The root folder is the argument `root`, else the environment variable COMPANION_DATA, else
~/.cache/companion/data. `require`, `identity`, `checksums` and `fetch` do not import torch (`fetch` does when
it downloads), so that a runner can refuse a missing set at once; everything else here does.
"""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from companion.data.sources import DataMissing, checksums, fetch, identity, require

if TYPE_CHECKING:
    from companion.data import block_mnist, toys
    from companion.data.images import Images, augment, load

_NEEDS_TORCH = ("Images", "augment", "load")
_MODULES = ("block_mnist", "toys")

#: Image sets with a function of their own, whose settings are a recipe's: its name, and the module it is in.
BUILT = {"block_mnist": "block_mnist", "one_hot_blocks": "toys"}


def __getattr__(name: str):
    if name in _MODULES:
        return import_module(f"companion.data.{name}")
    if name not in _NEEDS_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("companion.data.images"), name)


def maker(name: str) -> Callable[..., "Images"]:
    """The function that makes the images a recipe names: its own if BUILT has one, else `load`."""
    if name in BUILT:
        return getattr(import_module(f"companion.data.{BUILT[name]}"), name)
    return partial(__getattr__("load"), name)


__all__ = [
    "BUILT",
    "DataMissing",
    "Images",
    "augment",
    "block_mnist",
    "checksums",
    "fetch",
    "identity",
    "load",
    "maker",
    "require",
    "toys",
]
