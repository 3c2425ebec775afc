"""Rows that try something stronger: R13 to R18 and R24. Slow; run on request.

`points`, bool (B,), are the ones a row attacks: what the net gets right (R13, R14, R24), or what the reported
attack left standing (R15 to R18): there, whatever falls was missed by it.
"""

import torch
from torch import Tensor, nn

from companion.attacks import OBJECTIVES, apgd, correct, ddn, pgd, square
from companion.attacks.norms import random_start
from companion.checks.attack import Attack, accuracy, difference, excess
from companion.checks.report import Check, judge, not_run, percent
from companion.checks.setup import forward
from companion.metrics import linearised_robustness


def converged_in_steps(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    points: Tensor,
    attack: Attack,
    *,
    norm: str,
    eps: float,
    steps: int,
    loss: str = "cross_entropy",
    generator: torch.Generator,
) -> Check:
    """R13: twice the steps, from the same starts, lower accuracy by at most 0.5 points (or one point) and
    change the mean loss of what still stands by at most 1 %. Figure: the accuracy lost, in points."""
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    withstood, losses = [], []
    for budget in (steps, 2 * steps):
        start = torch.Generator(generator.device).manual_seed(seed)
        adversarial = attack(
            model, x[points], y[points], norm=norm, eps=eps, steps=budget, loss=loss, generator=start
        )
        logits = forward(model, adversarial)
        withstood.append(logits.argmax(1) == y[points])
        losses.append(OBJECTIVES[loss](logits, y[points]))
    lost = int(withstood[0].sum() - withstood[1].sum())
    both = withstood[0] & withstood[1]
    before, after = (float(v[both].mean()) if both.any() else 0.0 for v in losses)
    change = abs(after - before) / max(abs(before), torch.finfo(x.dtype).tiny)
    return judge(
        "R13",
        lost <= max(1, 0.005 * len(y)) and change <= 0.01,
        100 * lost / len(y),
        f"{2 * steps} steps instead of {steps} lower accuracy by {100 * lost / len(y):.1f} points; the "
        f"loss of what still stands changes by {percent(change)}.",
    )


def converged_in_restarts(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    points: Tensor,
    attack: Attack,
    *,
    norm: str,
    eps: float,
    steps: int,
    restarts: int = 10,
    generator: torch.Generator,
) -> Check:
    """R14: twice the restarts lower accuracy by at most 0.5 points (or one point). Figure: what they lower it
    by. Each restart attacks what the earlier ones left standing."""
    standing, curve = points.clone(), []
    for _ in range(2 * restarts):
        index = standing.nonzero().squeeze(1)
        if len(index):
            settings = {"norm": norm, "eps": eps, "steps": steps, "generator": generator}
            standing[index] = correct(model, attack(model, x[index], y[index], **settings), y[index])
        curve.append(int(standing.sum()))
    lost = curve[restarts - 1] - curve[-1]
    shown = ", ".join(f"{percent(curve[k - 1] / len(y))} after {k}" for k in (1, restarts, 2 * restarts))
    return judge(
        "R14",
        lost <= max(1, 0.005 * len(y)),
        100 * lost / len(y),
        f"Accuracy by number of restarts: {shown}.",
    )


def random_noise(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    points: Tensor,
    *,
    norm: str,
    eps: float,
    draws: int = 1000,
    generator: torch.Generator,
) -> Check:
    """R15: of the points no noise, uniform in the ball, fells a single one. Figure: the share felled."""
    if not points.any():
        return _nothing_left("R15")
    x, y = x[points], y[points]
    stands = torch.ones_like(y, dtype=torch.bool)
    for _ in range(draws):
        noisy = (x + random_start(x, norm, eps, "ball", generator)).clamp(0, 1)
        stands &= correct(model, noisy, y)
    return _missed("R15", f"{draws} draws of noise", stands, allowed=0.0)


def black_box(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    points: Tensor,
    *,
    norm: str,
    eps: float,
    queries: int = 1000,
    generator: torch.Generator,
) -> Check:
    """R16: Square, which needs no gradient, fells at most 0.2 % of the points. Figure: the share felled."""
    if not points.any():
        return _nothing_left("R16")
    adversarial = square(
        model, x[points], y[points], norm=norm, eps=eps, queries=queries, generator=generator
    )
    stands = correct(model, adversarial, y[points])
    return _missed("R16", f"the Square attack with {queries} queries", stands, allowed=0.002)


def transfer(
    model: nn.Module,
    twin: nn.Module | None,
    x: Tensor,
    y: Tensor,
    points: Tensor,
    *,
    norm: str,
    eps: float,
    steps: int,
    generator: torch.Generator,
) -> Check:
    """R17: images made on an undefended twin (PGD, all steps) fell at most 0.2 % of the points."""
    if twin is None:
        return not_run("R17", "No undefended twin was given.")
    if not points.any():
        return _nothing_left("R17")
    adversarial = pgd(twin, x[points], y[points], norm=norm, eps=eps, steps=steps, generator=generator)
    stands = correct(model, adversarial, y[points])
    return _missed("R17", "the attack on an undefended twin", stands, allowed=0.002)


def targeted(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    points: Tensor,
    *,
    norm: str,
    eps: float,
    steps: int,
    targets: int = 9,
    generator: torch.Generator,
) -> Check:
    """R18: APGD towards each of the `targets` likeliest wrong classes fells at most 1 % of the points.

    Its loss is DLR, or the margin with fewer than 4 classes. Figure: the share felled.
    """
    if not points.any():
        return _nothing_left("R18")
    x, y = x[points], y[points]
    logits = forward(model, x)
    wrong = logits.scatter(1, y[:, None], -torch.inf).argsort(1, descending=True)[:, :-1][:, :targets]
    loss = "dlr" if logits.shape[1] >= 4 else "margin"
    stands = torch.ones_like(y, dtype=torch.bool)
    for target in wrong.unbind(1):
        i = stands.nonzero().squeeze(1)
        if not len(i):
            break
        adversarial = apgd(
            model, x[i], y[i], norm=norm, eps=eps, steps=steps, loss=loss, target=target[i],
            stop_early=True, generator=generator,
        )  # fmt: skip
        stands[i] = correct(model, adversarial, y[i])
    return _missed("R18", f"attacks towards {wrong.shape[1]} wrong classes", stands, allowed=0.01)


def _nothing_left(id: str) -> Check:
    return not_run(id, "The reported attack left no point standing that something else could fell.")


def _missed(id: str, what: str, stands: Tensor, *, allowed: float) -> Check:
    """The share of points the reported attack left standing and `what` fells."""
    felled = int((~stands).sum())
    return judge(
        id,
        felled <= (max(1, allowed * len(stands)) if allowed else 0),
        felled / len(stands),
        f"Of {len(stands)} points that withstand the reported attack {felled} fall to {what}.",
    )


def minimal_distance(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    points: Tensor,
    standing: Tensor,
    *,
    norm: str,
    eps: float,
    batch_size: int = 500,
) -> Check:
    """R24: the l2 distances of a minimal-distance attack (DDN) give the accuracy PGD gives, within 3 points
    or what `excess` leaves to chance.

    Its images must be misclassified, and on an affine net no distance may be below the exact one. standing:
    what the reported attack left. Figure: accuracy by distances - accuracy by the attack, in points.
    """
    if norm != "l2":
        return not_run("R24", "The minimal-distance attacks measure l2.")
    found = ddn(model, x[points], y[points], batch_size=batch_size)
    farther = points.clone()
    farther[points] = found.distance > eps
    gap = difference(farther, standing)
    chance = not (excess(farther, standing) or excess(standing, farther))
    reached = found.distance.isfinite()
    wrong = not (reached.any() and correct(model, found.adversarial[reached], y[points][reached]).any())
    exact = linearised_robustness(model, x[points]) if _affine(model, x) else torch.zeros_like(found.distance)
    possible = bool((found.distance >= exact * (1 - 1e-4)).all())
    return judge(
        "R24",
        (abs(gap) <= 3 or chance) and wrong and possible,
        gap,
        f"By minimal distances {percent(accuracy(farther))} withstand radius {eps:g}, by the attack "
        f"{percent(accuracy(standing))}; {'all' if wrong else 'not all'} of their images are misclassified"
        f"{'' if possible else ', and some are nearer than the exact distance'}.",
    )


def _affine(model: nn.Module, x: Tensor) -> bool:
    """Whether the net maps midpoints to midpoints, on pairs of these images."""
    if len(x) < 2:
        return False
    a, b = x, x.roll(1, 0)
    middle, ends = forward(model, (a + b) / 2), (forward(model, a) + forward(model, b)) / 2
    return torch.allclose(middle, ends, rtol=1e-4, atol=1e-4 * float(ends.abs().max()))
