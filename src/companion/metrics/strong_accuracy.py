"""Robust accuracy of a net under the strong protocol alone, image by image."""

from typing import Any

import torch
from torch import nn

from companion import attacks
from companion.data import Images


def strong_accuracy(
    net: nn.Module, images: Images, *, norm: str, eps: float, steps: int, count: int, seed: int
) -> list[dict[str, Any]]:
    """Whether each of the first `count` test images is robust to cross-entropy and margin, one start each.

    eps: pixels in [0, 1]. steps: of each run. seed: draws the starts. Errors as in attacks.evaluate.
    """
    generator = torch.Generator(images.x_test.device).manual_seed(seed)
    ball = {"norm": norm, "eps": eps, "steps": steps, "restarts": 1, "generator": generator}
    found = attacks.evaluate(net, images.x_test[:count], images.y_test[:count], **ball)
    about = {"quantity": "robust_accuracy", "attack": f"{norm} {eps:g}", "protocol": "strong"}
    return [{**about, "value": found.robust.all(0).tolist()}]
