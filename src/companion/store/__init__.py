"""Trained nets, their target maps and what was measured on them, each made once and found again.

The same recipe, code, data, torch and processor give the same bits: on a CPU everything kept here is
computed under one thread. Elsewhere, and for perceptrons trained in one stack with others, results agree up
to rounding.
"""

from companion.store.files import folder
from companion.store.inputs import images
from companion.store.keys import key
from companion.store.measurements import measure, measure_all, measured
from companion.store.nets import (
    estimate,
    get,
    get_all,
    history,
    images_of,
    maps,
    missing,
    present,
    size,
    train_all,
)

__all__ = [
    "estimate",
    "folder",
    "get",
    "get_all",
    "history",
    "images",
    "images_of",
    "key",
    "maps",
    "measure",
    "measure_all",
    "measured",
    "missing",
    "present",
    "size",
    "train_all",
]
