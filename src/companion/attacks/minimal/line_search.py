"""Line search along the loss gradient (Foolbox 1.8's GradientAttack, as ET uses it)."""

import torch
from torch import Tensor, nn

from companion.attacks.minimal.outcome import (
    Minimal,
    attack_each,
    column,
    fooled,
    gradient_of,
    keep_nearest,
    log_odds,
)
from companion.attacks.norms import steepest

BLOCK = 20  # grid points looked at in one pass
BISECTIONS = 10  # of the step in which the net first errs: to a thousandth of a step


def gradient_line_search(
    model: nn.Module, x: Tensor, y: Tensor, *, steps: int = 1000, reach: float = 1.0, batch_size: int = 500
) -> Minimal:
    """The first misclassified point of t -> clip(x + t * grad_x CE) on a grid of t, then bisected.

    Source: ET section 4.1. steps, reach: grid points, and the last one's root mean square per pixel (its
    l2 norm over sqrt(D)): Foolbox 1.8's defaults. y: the reference label; ET takes the net's own prediction.
    Deviation: every crossing is bisected within its step; Foolbox repeats the search on a finer grid, and
    only if it succeeds within the first 20 steps.
    x: (B, ...) in [0, 1]; y: (B,) int64. Raises ValueError on a wrong range, dtype, shape, label, device or
    setting, NaN, or a single class.
    """
    if steps < 1 or not reach > 0:
        raise ValueError(f"steps={steps}, reach={reach}; expected at least 1 and a length above 0")

    def attack(x: Tensor, y: Tensor, best: Minimal) -> None:
        _, gradient = gradient_of(model, x, lambda z: log_odds(z, y))
        ray = steepest(gradient, "l2") * reach * x[0].numel() ** 0.5

        def on_ray(index: Tensor, t: Tensor) -> Tensor:
            return (x[index] + column(t, x) * ray[index]).clamp(0, 1)

        grid = torch.linspace(0, 1, steps + 1, device=x.device, dtype=x.dtype)
        crossing = torch.zeros_like(y)  # the first grid point at which the net errs; 0: none
        for block in torch.arange(1, steps + 1, device=x.device).split(BLOCK):
            active = (crossing == 0).nonzero().squeeze(1)
            if not len(active):
                break
            index, points = (v.flatten() for v in torch.meshgrid(active, block, indexing="ij"))
            errs = fooled(model(on_ray(index, grid[points])), y[index]).view(len(active), -1)
            crossing[active] = torch.where(errs.any(1), block[errs.int().argmax(1)], 0)

        found = crossing.nonzero().squeeze(1)
        if not len(found):
            return
        low, high = grid[crossing[found] - 1], grid[crossing[found]]
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            errs = fooled(model(on_ray(found, middle)), y[found])
            low, high = torch.where(errs, low, middle), torch.where(errs, middle, high)
        keep_nearest(best, found, x[found], on_ray(found, high), torch.ones_like(found, dtype=torch.bool))

    return attack_each(attack, model, x, y, batch_size)
