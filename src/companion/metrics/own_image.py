"""Is a map about its own image? Signs and magnitudes held against the own image and against others (ours).

VII and its like are positive for maps that have seen no image. What a map scores more against its own image
than against others of its class is about this image; what it scores more against its class than against
other classes is about the class; the rest any image would have scored.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.fft import fft2, ifft2

from companion import saliency
from companion.data import Images
from companion.metrics.vii import log_odds_gradient, sign_cosine, sign_cosines

#: The gradients whose signs can be taken: exact ones, and the paper's (metrics.log_odds_gradient).
GRADIENTS = ("log odds", "float32 cross-entropy")


def own_image(net: nn.Module, images: Images, *, count: int) -> list[dict[str, Any]]:
    """VII, and where the gradient is large, against the own image, others of its class, and other classes.

    Source: NM eq. 11 for "vii" against the "own" image; the rest is ours. Means over the first `count` test
    images, of the log odds' gradient; of the float32 cross-entropy's only VII. "correlation" is VII of signs
    less their mean, 0 for one sign everywhere; "focus" as in `focus`. Beside them, of each of GRADIENTS,
    "zero gradient", the per cent of images whose gradient is zero everywhere; and "vii" against "random
    phases", that of the same gradients after `random_phases`: the level of maps as smooth as this net's that
    have no image in them. Errors as in metrics.vii.
    """
    x, y, mean = images.x_test[:count], images.y_test[:count], images.x_train.mean(0)
    exact = log_odds_gradient(net, x, y)
    rounded = saliency.input_gradient(net, x, y, of="cross_entropy")

    def vii(maps: Tensor) -> float:
        return sign_cosine(maps, x, mean=mean).mean().item()

    of_exact = [
        *against_others(exact, x, y, mean=mean),
        _row("vii", "random phases", vii(random_phases(exact))),
        _row("zero gradient", "own", _dead(exact)),
    ]
    of_rounded = [_row("vii", "own", vii(rounded)), _row("zero gradient", "own", _dead(rounded))]
    found = zip(GRADIENTS, (of_exact, of_rounded), strict=True)
    return [{"gradient": name, **row} for name, rows in found for row in rows]


def _row(quantity: str, against: str, value: float) -> dict[str, Any]:
    return {"quantity": quantity, "against": against, "value": value}


def _dead(maps: Tensor) -> float:
    return 100 * (maps == 0).flatten(1).all(1).float().mean().item()


def random_phases(maps: Tensor, *, seed: int = 0) -> Tensor:
    """Each map with its own amplitudes of the 2-D Fourier transform and random phases: as smooth, with no
    image in it.

    maps: (B, C, H, W), and the result. The phases are those of white noise, new for each map; all channels
    are turned by the same, so that they stay as alike as they were. They are drawn on the CPU.
    Source: surrogate data (Theiler et al. 1992).
    """
    generator = torch.Generator().manual_seed(seed)
    shape = (len(maps), 1, *maps.shape[2:])
    noise = fft2(torch.randn(shape, generator=generator, dtype=maps.dtype).to(maps.device))
    return ifft2(fft2(maps) * noise / noise.abs()).real


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

    1 for a map of one magnitude. A map that is the same for every image may have far more, such as about 2.5
    for the mean training image of small MNIST: what a map owes to its image is what it scores more against it
    than against others, see `against`. Where an image is nowhere above the mean, or a map is zero, it is 1.
    maps, x: (B, ...); mean: as in `vii`.
    """
    size, bright = maps.abs().flatten(1), (x > mean).flatten(1).to(maps.dtype)
    pixels = bright.sum(1).clamp(min=1)
    ratio = (size @ bright.T) / pixels / size.mean(1, keepdim=True).clamp(min=torch.finfo(size.dtype).tiny)
    return torch.where((size.sum(1) > 0)[:, None] & (bright.sum(1) > 0), ratio, torch.ones_like(ratio))
