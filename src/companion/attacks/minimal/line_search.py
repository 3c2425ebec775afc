"""Line search along the loss gradient (Foolbox 1.8's GradientAttack, as ET uses it)."""

from torch import Tensor, nn

from companion.attacks.minimal.outcome import Minimal


def gradient_line_search(
    model: nn.Module, x: Tensor, y: Tensor, *, steps: int = 1000, reach: float = 1.0, batch_size: int = 500
) -> Minimal:
    """The first misclassified point of clip(x + t * grad_x CE), t on a grid, then bisected.

    Source: ET section 4.1. steps, reach: grid points, and the last one's root mean square per pixel (the
    l2 norm over sqrt(D)), Foolbox 1.8's defaults. y: the reference label; ET takes the net's own prediction.
    Deviation: every crossing is bisected within its step; Foolbox repeats the search on a finer grid, and
    only if it succeeds within the first 20 steps.
    x: (B, ...) in [0, 1]; y: (B,) int64. Errors as in `attacks.pgd`, and ValueError on NaN or one class.
    """
    raise NotImplementedError
