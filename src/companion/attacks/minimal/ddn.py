"""Decoupled direction and norm (DDN, Rony et al. 2019): a minimal l2 attack for few passes."""

import math

import torch
from torch import Tensor, nn

from companion import guards
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
from companion.attacks.objectives import margin

LAST = 0.01  # fraction of step_size and gamma that is left at the end

#: Logits are scaled to these standard deviations, first and last. At 3 the direction weighs all classes; at
#: 300 it is the runner-up's, whose boundary is the nearest of an affine net. Unscaled, it depends on how sure
#: the net is: on digits nets with small logits the distances were 10 % longer.
SHARPNESS = (3.0, 300.0)


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
    `steps` + 1 passes, without a search around them.
    x: (B, ...) in [0, 1].
    y: (B,) int64, the reference label; ET takes the net's own prediction.
    steps: gradient steps.
    eps: the first radius, pixels of [0, 1], or the runner-up's linearised distance where that is smaller.
    step_size: of the first step, in radii; decreases by half a cosine.
    gamma: how fast the radius changes, at first.
    batch_size: samples attacked at once.
    Deviation: gamma shrinks too, from 0.2 instead of staying at 0.05; steps are in radii instead of pixels;
    CE is of logits scaled to SHARPNESS; no rounding to 8 bits. On digits nets 30 such steps found shorter
    distances than the paper's 100.
    Raises ValueError on a wrong range, dtype, shape, label, device or setting, NaN, or a single class.
    """
    guards.check_number("eps", eps)
    if steps < 1 or not eps > 0 or not step_size > 0 or not 0 < gamma < 1:
        raise ValueError(
            f"steps={steps}, eps={eps}, step_size={step_size}, gamma={gamma}; expected at least one step, "
            "lengths above 0 and gamma in (0, 1)"
        )

    def attack(x: Tensor, y: Tensor, best: Minimal) -> None:
        everyone = torch.arange(len(x), device=x.device)
        tiny = torch.finfo(x.dtype).tiny
        logits, gradient = gradient_of(model, x, lambda z: margin(z, y))
        radius = (-margin(logits, y) / gradient.flatten(1).norm(dim=1).clamp_min(tiny)).clamp_max(eps)
        current = x
        for step in range(steps):
            sharpness = SHARPNESS[0] * (SHARPNESS[1] / SHARPNESS[0]) ** (step / steps)
            logits, gradient = gradient_of(model, current, lambda z, s=sharpness: log_odds(_scaled(z, s), y))
            errs = fooled(logits, y)
            keep_nearest(best, everyone, x, current, errs)

            left = LAST + (1 - LAST) * 0.5 * (1 + math.cos(math.pi * step / steps))
            smaller = torch.minimum(radius * (1 - gamma * left), best.distance)
            radius = torch.where(errs, smaller, radius * (1 + gamma * left))
            sphere = column(radius, x)
            delta = current - x + step_size * left * sphere * steepest(gradient, "l2")
            current = (x + sphere * steepest(delta, "l2")).clamp(0, 1)
        keep_nearest(best, everyone, x, current, fooled(model(current), y))

    return attack_each(attack, model, x, y, batch_size)


def _scaled(logits: Tensor, sd: float) -> Tensor:
    """The logits times the constants that give each sample's the standard deviation sd."""
    tiny = torch.finfo(logits.dtype).tiny
    return logits * (sd / logits.detach().std(1, keepdim=True).clamp_min(tiny))
