"""Robust accuracy over several radii of one norm, without doing the same work at each."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from companion.attacks.evaluate import RobustnessResult, evaluate


def curve(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    norm: str,
    eps: Iterable[float],
    robust: Tensor | None = None,
    **settings: Any,
) -> dict[float, RobustnessResult]:
    """attacks.evaluate at every radius, smallest first, each on the samples robust to the one before.

    A sample misclassified within a ball is misclassified within every larger one and counts so there
    without another attack: per sample the worst case over the attacks on this and all smaller radii. It never
    rises with the radius, and from the same starts evaluate alone finds no more.
    eps: radii in pixel units, in any order; the keys of the result, in ascending order. robust, settings:
    as in attacks.evaluate; protocol "strong" (default) or "reference". A generator goes on from radius to
    radius. Shapes and errors as there.
    """
    found: dict[float, RobustnessResult] = {}
    for radius in sorted(eps):
        found[radius] = evaluate(model, x, y, norm=norm, eps=radius, robust=robust, **settings)
        robust = found[radius].robust.all(0)
    return found
