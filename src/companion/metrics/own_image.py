"""Is a map about its own image? Signs and magnitudes held against the own image and against others (ours).

VII and its like are positive for maps that have seen no image. What a map scores more against its own image
than against others of its class is about this image; what it scores more against its class than against
other classes is about the class; the rest any image would have scored.
"""

from typing import Any

import torch
from torch import Tensor, nn

from companion import saliency
from companion.data import Images
from companion.metrics.vii import log_odds_gradient, sign_cosines

#: The gradients whose signs can be taken: exact ones, and the paper's (metrics.log_odds_gradient).
GRADIENTS = ("log odds", "float32 cross-entropy")


def own_image(net: nn.Module, images: Images, *, count: int) -> list[dict[str, Any]]:
    """VII, and where the gradient is large, against the own image, others of its class, and other classes.

    Source: NM eq. 11 for "vii" against the "own" image; the rest is ours. Means over the first `count` test
    images, for each of GRADIENTS. "correlation" is VII of signs less their mean, 0 for one sign everywhere;
    "focus" as in `focus`. Beside them "zero gradient", the per cent of images whose gradient is zero
    everywhere. Errors as in metrics.vii.
    """
    x, y, rows = images.x_test[:count], images.y_test[:count], []
    for name in GRADIENTS:
        maps = (
            log_odds_gradient(net, x, y)
            if name == "log odds"
            else saliency.input_gradient(net, x, y, of="cross_entropy")
        )
        dead = 100 * (maps == 0).flatten(1).all(1).float().mean().item()
        found = against_others(maps, x, y, mean=images.x_train.mean(0))
        found.append({"quantity": "zero gradient", "against": "own", "value": dead})
        rows += [{"gradient": name, **row} for row in found]
    return rows


def against_others(maps: Tensor, x: Tensor, y: Tensor, *, mean: Tensor | float) -> list[dict[str, Any]]:
    """The rows of `own_image` for any maps (B, ...) of the images x with labels y; mean: as in `vii`.

    Beside the three scores what they differ by: 0 on average for maps that have not looked at the images.
    """
    scores = {
        "vii": sign_cosines(maps, x, mean=mean),
        "correlation": sign_cosines(maps, x, mean=mean, centred=True),
        "focus": focus(maps, x, mean=mean),
    }
    rows = []
    for quantity, of in scores.items():
        values = {place: found.nanmean().item() for place, found in against(of, y).items()}
        for other in ("same class", "another class"):
            values[f"own − {other}"] = values["own"] - values[other]
        rows += [{"quantity": quantity, "against": place, "value": v} for place, v in values.items()]
    return rows


def against(scores: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Each map's score against its own image, and its mean over "same class" and "another class": (B,) each.

    scores: (B, B), of map i (row) and image j (column); y: (B,) labels. NaN where there is no such image.
    For maps drawn without a look at the images, all three have the same expectation.
    """
    own = torch.eye(len(y), dtype=torch.bool, device=y.device)
    same = y[:, None] == y
    chosen = {"own": own, "same class": same & ~own, "another class": ~same}
    return {name: (scores * at).sum(1) / at.sum(1) for name, at in chosen.items()}


def focus(maps: Tensor, x: Tensor, *, mean: Tensor | float) -> Tensor:
    """How many times as large map i's |value| is on image j's pixels above the mean as everywhere: (B, B).

    1 for a map of one magnitude, and on average for one that does not depend on the image. Where an image
    is nowhere above the mean, or a map is zero, it is 1.
    maps, x: (B, ...); mean: as in `vii`.
    """
    size, bright = maps.abs().flatten(1), (x > mean).flatten(1).to(maps.dtype)
    pixels = bright.sum(1).clamp(min=1)
    ratio = (size @ bright.T) / pixels / size.mean(1, keepdim=True).clamp(min=torch.finfo(size.dtype).tiny)
    return torch.where((size.sum(1) > 0)[:, None] & (bright.sum(1) > 0), ratio, torch.ones_like(ratio))
