"""Trained nets, their gradients and test images as plain values, for a page without a kernel."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import torch

from companion import models, plots, saliency, store
from companion.data import Images
from companion.experiment.nets import Nets
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


def gradient_frames(
    nets: Nets, accuracy: pd.DataFrame, x: torch.Tensor, y: torch.Tensor, *, device: str = "cpu"
) -> dict[tuple[Any], tuple[dict[str, bytes], dict[str, str]]]:
    """For a slider over the nets' names: the true class's logit gradient of each image, and the accuracies.

    nets: of one seed. accuracy: per cent, with the columns model, attack and value. x: (B, C, H, W) with
    labels y. Each gradient is a PNG on a scale of its own.
    """
    told = accuracy.set_index(["model", "attack"])["value"]
    made = {}
    for (name, _), recipe in nets.items():
        gradients = saliency.input_gradient(store.get(recipe, device=device), x, y)
        pictures = {f"image {i + 1}": plots.png(g, limit=plots.scale(g)) for i, g in enumerate(gradients)}
        made[(name,)] = (pictures, {attack: f"{value:.1f} %" for attack, value in told[name].items()})
    return made
