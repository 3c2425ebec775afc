"""The basic iterative method in l2 with a binary search over its radius (Foolbox 1.8, as ET uses it)."""

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

GROWTH = 1.5  # of the radius, until the attack succeeds for the first time


def l2_bim(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    eps: float = 0.3,
    step_size: float = 0.05,
    steps: int = 10,
    search: int = 20,
    batch_size: int = 500,
) -> Minimal:
    """Kurakin et al.'s iterative method on CE, l2 steps in an l2 ball whose radius is searched per sample.

    Source: ET section 4.1, with Foolbox 1.8's defaults (facts 4.3). The radius grows by 1.5 until the
    attack succeeds, at most `search` times, and is then bisected `search` times; a round ends at its first
    success. No random start.
    x: (B, ...) in [0, 1].
    y: (B,) int64, the reference label; ET takes the net's own prediction.
    eps: the first radius, root mean square per pixel (l2 norm over sqrt(D)).
    step_size: the step in that radius, in the same unit; the ratio of the two stays.
    steps: gradient steps of a round.
    search: rounds of growth, and of bisection.
    batch_size: samples attacked at once.
    Deviation: the bisection's upper end is the distance found, not the radius it was found in.
    Raises ValueError on a wrong range, dtype, shape, label, device or setting, NaN, or a single class.
    """
    guards.check_number("eps", eps)
    if min(steps, search) < 1 or not eps > 0 or not step_size > 0:
        raise ValueError(
            f"eps={eps}, step_size={step_size}, steps={steps}, search={search}; expected lengths above 0 and "
            "at least one step and one round"
        )

    def attack(x: Tensor, y: Tensor, best: Minimal) -> None:
        _, first = _ascent(model, x, y)
        radius = torch.full_like(best.distance, eps * x[0].numel() ** 0.5)
        low = torch.zeros_like(radius)

        def attack_round(index: Tensor) -> Tensor:
            """One round for x[index]; returns those of index still robust."""
            settings = {"radius": radius[index], "ratio": step_size / eps, "steps": steps}
            end, errs = _round(model, x[index], y[index], first[index], **settings)
            keep_nearest(best, index, x[index], end, errs)
            return index[~errs]

        for _ in range(search):
            left = attack_round(best.distance.isinf().nonzero().squeeze(1))
            radius[left] *= GROWTH
        found = best.distance.isfinite().nonzero().squeeze(1)
        for _ in range(search):
            radius[found] = (low[found] + best.distance[found]) / 2
            left = attack_round(found)
            low[left] = radius[left]

    return attack_each(attack, model, x, y, batch_size)


def _round(
    model: nn.Module, x: Tensor, y: Tensor, direction: Tensor, *, radius: Tensor, ratio: float, steps: int
) -> tuple[Tensor, Tensor]:
    """`steps` steps from x in balls of the given radii: where each sample ended, and if the net errs there.

    direction: the first step's. A sample ends at its first success.
    """
    end, errs = x.clone(), torch.zeros_like(y, dtype=torch.bool)
    active = torch.arange(len(x), device=x.device)
    for step in range(steps):
        if not len(active):
            break
        ball = column(radius[active], x)
        delta = end[active] + ratio * ball * direction - x[active]
        length = column(delta.flatten(1).norm(dim=1), x).clamp_min(torch.finfo(x.dtype).tiny)
        point = (x[active] + delta * (ball / length).clamp_max(1)).clamp(0, 1)
        end[active] = point
        if step == steps - 1:
            errs[active] = fooled(model(point), y[active])
            break
        errs[active], direction = _ascent(model, point, y[active])
        active, direction = active[~errs[active]], direction[~errs[active]]
    return end, errs


def _ascent(model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Whether the net errs at x, and the unit direction in which cross-entropy rises fastest."""
    logits, gradient = gradient_of(model, x, lambda z: log_odds(z, y))
    return fooled(logits, y), steepest(gradient, "l2")
