"""Decoupled direction and norm (DDN, Rony et al. 2019): a minimal l2 attack for few passes."""

import math

import torch
from torch import Tensor, nn

from companion.attacks.minimal.outcome import Minimal, attack_each, column, fooled, keep_nearest, log_odds
from companion.attacks.norms import steepest

LAST = 0.01  # share of step_size and gamma that is left at the end


def ddn(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    steps: int = 100,
    eps: float = 1.0,
    step_size: float = 1.0,
    gamma: float = 0.2,
    batch_size: int = 500,
) -> Minimal:
    """Steps along the gradient of CE, on a sphere that shrinks after a success and grows after a failure.

    Source: Rony et al. 2019, algorithm 1: x' = x + radius * unit(x' - x + step * unit(grad CE)), clipped; the
    radius is multiplied by 1 - gamma where the net errs and by 1 + gamma where it does not. The cheap one:
    `steps` passes, without a search around them.
    eps: the first radius, pixels of [0, 1]. step_size: of the first step, in radii; falls by half a cosine.
    y: the reference label; ET takes the net's own prediction. x: (B, ...) in [0, 1]; y: (B,) int64.
    Deviation: gamma falls too, from 0.2 instead of staying at 0.05, and steps are in radii instead of pixels:
    on digits nets 50 steps then found less than the paper's settings in 100. No rounding to 8 bits.
    Raises ValueError on a wrong range, dtype, shape, label, device or setting, NaN, or a single class.
    """
    if steps < 1 or not eps > 0 or not step_size > 0 or not 0 < gamma < 1:
        raise ValueError(
            f"steps={steps}, eps={eps}, step_size={step_size}, gamma={gamma}; expected at least one step, "
            "lengths above 0 and gamma in (0, 1)"
        )

    def attack(x: Tensor, y: Tensor, best: Minimal) -> None:
        everyone = torch.arange(len(x), device=x.device)
        current, radius = x, torch.full_like(best.distance, eps)
        for step in range(steps):
            with torch.enable_grad():
                point = current.clone().requires_grad_()
                logits = model(point)
                gradient = torch.autograd.grad(log_odds(logits, y).sum(), point)[0]
            errs = fooled(logits.detach(), y)
            keep_nearest(best, everyone, x, current, errs)

            left = LAST + (1 - LAST) * 0.5 * (1 + math.cos(math.pi * step / steps))
            smaller = torch.minimum(radius * (1 - gamma * left), best.distance)
            radius = torch.where(errs, smaller, radius * (1 + gamma * left))
            sphere = column(radius, x)
            delta = current - x + step_size * left * sphere * steepest(gradient, "l2")
            current = (x + sphere * steepest(delta, "l2")).clamp(0, 1)
        keep_nearest(best, everyone, x, current, fooled(model(current), y))

    return attack_each(attack, model, x, y, batch_size)
