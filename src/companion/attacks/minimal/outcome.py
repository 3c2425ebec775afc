"""What a minimal-distance attack returns."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Minimal:
    """The nearest adversarial image an attack found for each sample.

    adversarial: (B, ...) in [0, 1]; x itself where the attack failed or the net erred on x already.
    distance: (B,), l2 in pixels of [0, 1]; inf where it failed, 0 where the net erred on x already.
    """

    adversarial: Tensor
    distance: Tensor


def accuracy_curve(distance: Tensor, eps: Tensor) -> Tensor:
    """Robust accuracy at every radius from one minimal-distance run: the share with distance > eps.

    distance: (B,), l2, as in Minimal, with the true label as reference; eps: (E,) radii. Returns (E,).
    With the net's own prediction as reference it is the share whose prediction stands.
    """
    raise NotImplementedError
