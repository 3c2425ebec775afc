"""Rows that try something stronger: R13 to R18 and R24. Slow; run on request.

Their settings, those of the reported attack among them:
x, y: images and labels, as in checks.fast.
points: bool (B,), those a row attacks: what the net gets right (R13, R14, R24), or what the reported attack
left robust (R15 to R18): it missed whatever is misclassified there.
attack, norm, eps, steps, loss, baseline: as in checks.fast.
restarts, draws, queries: as in checks.slow.
targets: wrong classes that R18 aims at.
generator: of every random number.
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
    change the mean loss of what is still robust by at most 1 %. Value: the accuracy lost, in points."""
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    robust, losses = [], []
    for budget in (steps, 2 * steps):
        start = torch.Generator(generator.device).manual_seed(seed)
        adversarial = attack(
            model, x[points], y[points], norm=norm, eps=eps, steps=budget, loss=loss, generator=start
        )
        logits = forward(model, adversarial)
        robust.append(logits.argmax(1) == y[points])
        losses.append(OBJECTIVES[loss](logits, y[points]))
    lost = int(robust[0].sum() - robust[1].sum())
    both = robust[0] & robust[1]
    before, after = (float(v[both].mean()) if both.any() else 0.0 for v in losses)
    change = abs(after - before) / max(abs(before), torch.finfo(x.dtype).tiny)
    return judge(
        "R13",
        lost <= max(1, 0.005 * len(y)) and change <= 0.01,
        100 * lost / len(y),
        f"{2 * steps} steps instead of {steps} lower accuracy by {100 * lost / len(y):.1f} points; the "
        f"loss of what is still robust changes by {percent(change)}.",
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
    """R14: twice the restarts lower accuracy by at most 0.5 points (or one point). Value: by
    how much. Each restart attacks what the earlier ones left robust."""
    robust, curve = points.clone(), []
    for _ in range(2 * restarts):
        index = robust.nonzero().squeeze(1)
        if len(index):
            settings = {"norm": norm, "eps": eps, "steps": steps, "generator": generator}
            robust[index] = correct(model, attack(model, x[index], y[index], **settings), y[index])
        curve.append(int(robust.sum()))
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
    """R15: uniform noise in the ball makes the net err on none of the points. Value: the fraction it does."""
    if not points.any():
        return _nothing_left("R15")
    x, y = x[points], y[points]
    robust = torch.ones_like(y, dtype=torch.bool)
    for _ in range(draws):
        noisy = (x + random_start(x, norm, eps, "ball", generator)).clamp(0, 1)
        robust &= correct(model, noisy, y)
    return _missed("R15", f"{draws} draws of noise", robust, allowed=0.0)


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
    """R16: Square, which needs no gradient, succeeds on at most 0.2 % of the points. Value: that fraction."""
    if not points.any():
        return _nothing_left("R16")
    adversarial = square(
        model, x[points], y[points], norm=norm, eps=eps, queries=queries, generator=generator
    )
    robust = correct(model, adversarial, y[points])
    return _missed("R16", f"the Square attack with {queries} queries", robust, allowed=0.002)


def transfer(
    model: nn.Module,
    baseline: nn.Module | None,
    x: Tensor,
    y: Tensor,
    points: Tensor,
    *,
    norm: str,
    eps: float,
    steps: int,
    generator: torch.Generator,
) -> Check:
    """R17: images made on an undefended baseline (PGD) mislead this net at 0.2 % of the points at most."""
    if baseline is None:
        return not_run("R17", "No undefended baseline was given.")
    if not points.any():
        return _nothing_left("R17")
    adversarial = pgd(baseline, x[points], y[points], norm=norm, eps=eps, steps=steps, generator=generator)
    robust = correct(model, adversarial, y[points])
    return _missed("R17", "the attack on an undefended baseline", robust, allowed=0.002)


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
    """R18: APGD towards each of the `targets` likeliest wrong classes succeeds on at most 1 % of the points.

    Its loss is DLR, or the margin with fewer than 4 classes. Value: that fraction.
    """
    if not points.any():
        return _nothing_left("R18")
    x, y = x[points], y[points]
    logits = forward(model, x)
    wrong = logits.scatter(1, y[:, None], -torch.inf).argsort(1, descending=True)[:, :-1][:, :targets]
    loss = "dlr" if logits.shape[1] >= 4 else "margin"
    robust = torch.ones_like(y, dtype=torch.bool)
    for target in wrong.unbind(1):
        i = robust.nonzero().squeeze(1)
        if not len(i):
            break
        adversarial = apgd(
            model, x[i], y[i], norm=norm, eps=eps, steps=steps, loss=loss, target=target[i],
            stop_early=True, generator=generator,
        )  # fmt: skip
        robust[i] = correct(model, adversarial, y[i])
    return _missed("R18", f"attacks towards {wrong.shape[1]} wrong classes", robust, allowed=0.01)


def _nothing_left(id: str) -> Check:
    return not_run(id, "The reported attack left no robust point on which something else could succeed.")


def _missed(id: str, what: str, robust: Tensor, *, allowed: float) -> Check:
    """The fraction of the points robust to the reported attack on which `what` succeeds."""
    missed = int((~robust).sum())
    return judge(
        id,
        missed <= (max(1, allowed * len(robust)) if allowed else 0),
        missed / len(robust),
        f"Of {len(robust)} points robust to the reported attack {missed} are misclassified under {what}.",
    )


def minimal_distance(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    points: Tensor,
    robust: Tensor,
    *,
    norm: str,
    eps: float,
    batch_size: int = 500,
) -> Check:
    """R24: the l2 distances of a minimal-distance attack (DDN) give the accuracy PGD gives, within 3 points
    or what `excess` leaves to chance.

    Its images must be misclassified, and on an affine net no distance may be below the exact one. robust:
    what the reported attack left. Value: accuracy by distances - accuracy by the attack, in points.
    """
    if norm != "l2":
        return not_run("R24", "The minimal-distance attacks measure l2.")
    found = ddn(model, x[points], y[points], batch_size=batch_size)
    farther = points.clone()
    farther[points] = found.distance > eps
    gap = difference(farther, robust)
    chance = not (excess(farther, robust) or excess(robust, farther))
    reached = found.distance.isfinite()
    wrong = not (reached.any() and correct(model, found.adversarial[reached], y[points][reached]).any())
    exact = linearised_robustness(model, x[points]) if _affine(model, x) else torch.zeros_like(found.distance)
    possible = bool((found.distance >= exact * (1 - 1e-4)).all())
    return judge(
        "R24",
        (abs(gap) <= 3 or chance) and wrong and possible,
        gap,
        f"By minimal distances {percent(accuracy(farther))} are robust at radius {eps:g}, by the attack "
        f"{percent(accuracy(robust))}; {'all' if wrong else 'not all'} of their images are misclassified"
        f"{'' if possible else ', and some are nearer than the exact distance'}.",
    )


def _affine(model: nn.Module, x: Tensor) -> bool:
    """Whether the net maps midpoints to midpoints, on pairs of these images."""
    if len(x) < 2:
        return False
    a, b = x, x.roll(1, 0)
    middle, ends = forward(model, (a + b) / 2), (forward(model, a) + forward(model, b)) / 2
    return torch.allclose(middle, ends, rtol=1e-4, atol=1e-4 * float(ends.abs().max()))
