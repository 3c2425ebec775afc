"""Accuracy under attack in any norm, image by image."""

from typing import Any

import torch
from torch import nn

from companion import attacks
from companion.data import Images


def strong_accuracy(
    net: nn.Module, images: Images, *, norm: str, eps: float, steps: int, restarts: int, count: int, seed: int
) -> list[dict[str, Any]]:
    """The first `count` test images under the strong protocol: the worst case over both losses and restarts.

    norm, eps: of the ball; pixels in [0, 1]. steps, restarts: of PGD on each loss. seed: draws the starts.
    Errors as in attacks.evaluate.
    """
    x, y = images.x_test[:count], images.y_test[:count]
    generator = torch.Generator(x.device).manual_seed(seed)
    found = attacks.evaluate(
        net, x, y, norm=norm, eps=eps, steps=steps, restarts=restarts, generator=generator
    )
    about = {"quantity": "robust_accuracy", "attack": f"{norm} {eps:g}", "protocol": "strong"}
    return [{**about, "value": found.robust.all(0).tolist()}]
