"""Trained nets and test images as plain values, for a page that computes with them itself."""

from collections.abc import Mapping
from typing import Any

import torch

from companion import models, store
from companion.data import Images
from companion.training import Recipe


def portable(
    nets: Mapping[str, Recipe], images: Images, *, each: int = 5, device: str = "cpu"
) -> dict[str, Any]:
    """Nets of the store and the first test images of each class, as plain values.

    nets: recipes by name. each: images of a class.
    Returns `nets`, by name what models.plain_layers says; `shape`, (C, H, W) of an image; `pictures`, one
    byte a pixel; `labels`. Raises ValueError as models.plain_layers does.
    """
    y = images.y_test
    first = torch.cat([(y == label).nonzero()[:each, 0] for label in y.unique()])
    pixels = images.x_test[first].mul(255).round().byte().cpu()
    return {
        "nets": {name: models.plain_layers(store.get(r, device=device)) for name, r in nets.items()},
        "shape": list(pixels.shape[1:]),
        "pictures": pixels.numpy().tobytes(),
        "labels": y[first].tolist(),
    }
