"""Carlini and Wagner's l2 attack (2017), every sample on its own."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from companion import guards
from companion.attacks.minimal.outcome import Minimal, attack_each, column, keep_nearest, required

#: w for a pixel at exactly 0 or 1 would be infinite and tanh's slope there 0: it could never move. Foolbox's
#: 0.999999 leaves a slope of 2e-6, and on digits nets 1 to 2 % longer distances than this.
SHRINK = 0.999
GROWTH = 10  # of c, until the attack succeeds for the first time
CHECKS = 10  # times a round asks whether the loss still falls to this fraction of what it was:
STALLED, SETTLED = 0.9999, 0.99  # before a success (a pixel at 0 or 1 moves slowly at first), and after one
BETAS, TINY = (0.9, 0.999), 1e-8  # Adam's


def carlini_wagner(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    steps: int = 1000,
    search: int = 5,
    lr: float = 5e-3,
    const: float = 1e-2,
    batch_size: int = 500,
) -> Minimal:
    """Adam on ||x' - x||^2 + c * max(z_y - max_k z_k, 0), x' = (1 + tanh w) / 2, c searched per sample.

    Source: Carlini & Wagner 2017, with ET's settings (Foolbox 1.8's defaults, facts 4.3). c grows tenfold
    until the attack succeeds, and is then bisected. The label is masked with -inf, so logits may be negative.
    On digits nets steps=200, lr=0.02 found the same distances in a quarter of the passes.
    c weighs logits against squared pixels, so a net with small logits needs a larger one; where `search`
    rounds do not reach it, the distance is inf (half of a linear net's points, its logits divided by 100).
    Deviation: a sample's round ends when its own loss has stopped falling, so no result depends on the batch.
    x: (B, ...) in [0, 1].
    y: (B,) int64, the reference label; ET takes the net's own prediction.
    steps: of Adam from x, at most, in each round.
    search: rounds, each with its own c.
    lr: Adam's rate.
    const: the first c.
    batch_size: samples attacked at once.
    Raises ValueError on a wrong range, dtype, shape, label, device or setting, NaN, or a single class.
    """
    if min(steps, search) < 1 or not lr > 0 or not const > 0:
        raise ValueError(
            f"steps={steps}, search={search}, lr={lr}, const={const}; expected at least one step, one round, "
            "and a rate and a constant above 0"
        )

    def attack(x: Tensor, y: Tensor, best: Minimal) -> None:
        origin = torch.atanh((2 * x - 1) * SHRINK)
        c, low = torch.full_like(best.distance, const), torch.zeros_like(best.distance)
        high = torch.full_like(c, torch.inf)
        for _ in range(search):
            succeeded = _round(model, x, y, origin, c, steps, lr, best)
            high, low = torch.where(succeeded, c, high), torch.where(succeeded, low, c)
            c = torch.where(high.isinf(), GROWTH * c, (low + high) / 2)

    return attack_each(attack, model, x, y, batch_size)


def _round(
    model: nn.Module, x: Tensor, y: Tensor, w: Tensor, c: Tensor, steps: int, lr: float, best: Minimal
) -> Tensor:
    """Adam from w with the constants c, (B,); successes go into best. Returns who succeeded at some step."""
    succeeded = torch.zeros_like(y, dtype=torch.bool)
    active = torch.arange(len(x), device=x.device)
    first, second = torch.zeros_like(x), torch.zeros_like(x)
    checked = torch.full_like(c, torch.inf)
    for step in range(1, steps + 1):
        t = w.tanh()
        image = 0.5 + 0.5 * t
        hinge, slope = _hinge(model, image, y)
        keep_nearest(best, active, x, image, hinge == 0)
        succeeded[active[hinge == 0]] = True

        delta = image - x
        gradient = (2 * delta + column(c, x) * slope) * (0.5 - 0.5 * t * t)
        first = first.lerp(gradient, 1 - BETAS[0])
        second = second.lerp(gradient * gradient, 1 - BETAS[1])
        size = lr / (1 - BETAS[0] ** step)
        w = w - size * first / ((second / (1 - BETAS[1] ** step)).sqrt() + TINY)

        if step % max(1, steps // CHECKS) == 0:
            loss = delta.flatten(1).square().sum(1) + c * hinge
            falling = loss <= torch.where(succeeded[active], SETTLED, STALLED) * checked
            checked = loss
            if not falling.all():
                active, x, y, w, c = active[falling], x[falling], y[falling], w[falling], c[falling]
                first, second, checked = first[falling], second[falling], checked[falling]
            if not len(active):
                break
    return succeeded


def _hinge(model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """max(required margin - margin, 0), (B,), and its gradient with respect to x."""
    with torch.enable_grad():
        point = x.detach().requires_grad_()
        logits = model(point)
    scores = logits.detach()
    lead, rival = scores.scatter(1, y[:, None], -torch.inf).max(1)
    hinge = (required(scores) - lead + scores.gather(1, y[:, None]).squeeze(1)).clamp_min(0)
    # z_y - z_rival where the hinge is active: handed over as a direction, it needs no graph of its own.
    direction = F.one_hot(y, scores.shape[1]) - F.one_hot(rival, scores.shape[1])
    direction = (direction * (hinge > 0)[:, None]).to(scores.dtype)
    return hinge, guards.gradient(logits, point, direction)
