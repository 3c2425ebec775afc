"""Auto-PGD (Croce & Hein 2020): gradient ascent with momentum that chooses its own step size."""

from types import SimpleNamespace

import torch
from torch import Tensor, nn

from companion import guards
from companion.attacks.norms import given_start, project, random_start, steepest
from companion.attacks.objectives import OBJECTIVES, TARGETED

MOMENTUM = 0.75  # alpha
ENOUGH = 0.75  # rho: a step size stays while this fraction of its steps raises the loss


def apgd(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    norm: str,
    eps: float,
    steps: int = 100,
    loss: str = "cross_entropy",
    target: Tensor | None = None,
    start: str | Tensor = "ball",
    stop_early: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Auto-PGD: x_{t+1} = Pi(x_t + a (z - x_t) + (1 - a) (x_t - x_{t-1})), z = Pi(x_t + s steepest(g)).

    a = 0.75, but 1 in the first step. s starts at 2 * eps; at each checkpoint it is halved, and the search
    goes back to the best point so far, where (1) fewer than 75 % of the steps since the last checkpoint
    raised the loss, or (2) s was not halved at the last checkpoint and the best loss has not risen since.
    Each sample has a step size and a best point of its own.

    Source: Croce & Hein 2020, algorithm 1.

    x: (B, ...) in [0, 1].
    y: (B,) int64.
    norm: "l2" or "linf".
    eps: radius, pixel units.
    steps: gradient steps.
    loss: "cross_entropy", "margin" or "dlr" (a key of OBJECTIVES).
    target: int64 (B,), classes other than y to drive the samples to; loss is then "margin" or "dlr" (a key
    of TARGETED).
    start: "ball" (uniform), "image", "none", or a tensor shaped like x, pulled into the ball; from a given
    start nothing is random.
    stop_early: a sample stops at its first misclassified iterate, whatever its target (the active set).
    generator: of the random start.

    Returns, shaped like x, in [0, 1] and within eps of x, the iterate of the greatest loss; with stop_early
    the first misclassified iterate of each sample that has one. eps = 0 returns x itself, bit for bit.
    Raises ValueError on a wrong range, dtype, shape, label, device, norm or setting, where dlr has too few
    classes, and, its kind guards.NoGradient, where the model has no gradient in x or one that is NaN or
    infinite.

    Deviation: the start is uniform in the ball; the authors' code starts on its boundary.
    """
    guards.check_images(x, y, model)
    guards.check_norm(norm, eps, x)
    guards.check_autograd()
    if steps < 1:
        raise ValueError(f"steps={steps}; expected at least 1")
    objectives = OBJECTIVES if target is None else TARGETED
    if loss not in objectives:
        kind = "an untargeted" if target is None else "a targeted"
        raise ValueError(f"loss={loss!r}; expected one of {', '.join(objectives)} for {kind} attack")
    classes = y[:, None] if target is None else torch.stack([y, _checked(target, y)], 1)
    x = x.detach()
    if eps == 0:
        return x.clone()
    if isinstance(start, Tensor):
        delta = given_start(start, x) - x
    else:
        delta = random_start(x, norm, eps, start, generator)
    adversarial = (x + project(delta, norm, eps)).clamp(0, 1)
    s = _begin(x, classes, adversarial, eps)
    lengths = _intervals(steps)

    with guards.frozen(model), torch.enable_grad():
        for step in range(steps + 1):
            point = s.image.detach().requires_grad_()
            logits = model(point)
            if step == 0:
                guards.check_labels(classes, logits)
            values = objectives[loss](logits, *s.classes.unbind(1))
            s.gradient = guards.gradient(values, point)
            s.previous, s.value = s.value, values.detach()
            if stop_early:
                robust = logits.argmax(1) == s.classes[:, 0]
                if not robust.all():
                    adversarial[s.index[~robust]] = s.image[~robust]
                    s = _only(robust, s)
                    if not robust.any():
                        break
            _keep_the_best(s)
            if step in lengths:
                _check_the_step_size(s, lengths[step])
            _move(s, norm, eps, momentum=MOMENTUM if step else 1.0)
        adversarial[s.index] = s.best
    return adversarial


def _begin(x: Tensor, classes: Tensor, image: Tensor, eps: float) -> SimpleNamespace:
    """The state of the search for each sample: tensors with one entry per sample."""
    return SimpleNamespace(
        index=torch.arange(len(x), device=x.device),
        clean=x,
        classes=classes,
        image=image.clone(),
        before=image.clone(),
        value=x.new_full((len(x),), -torch.inf),
        best=image.clone(),
        best_value=x.new_full((len(x),), -torch.inf),
        best_gradient=torch.zeros_like(x),
        size=x.new_full((len(x),), 2 * eps),
        rises=x.new_zeros(len(x)),
        improved=x.new_zeros(len(x), dtype=torch.bool),
        halved=x.new_zeros(len(x), dtype=torch.bool),
    )


def _only(chosen: Tensor, s: SimpleNamespace) -> SimpleNamespace:
    return SimpleNamespace(**{name: tensor[chosen] for name, tensor in vars(s).items()})


def _keep_the_best(s: SimpleNamespace) -> None:
    better = s.value > s.best_value
    s.best, s.best_gradient = _pick(better, s.image, s.best), _pick(better, s.gradient, s.best_gradient)
    s.best_value = s.value.where(better, s.best_value)
    s.improved = s.improved | better
    s.rises = s.rises + (s.value > s.previous)


def _check_the_step_size(s: SimpleNamespace, length: int) -> None:
    """Conditions 1 and 2 at a checkpoint, `length` steps after the last one; neither holds at the start."""
    s.halved = (s.rises < ENOUGH * length) | ~(s.improved | s.halved)
    s.size = (s.size / 2).where(s.halved, s.size)
    s.image, s.gradient = _pick(s.halved, s.best, s.image), _pick(s.halved, s.best_gradient, s.gradient)
    s.value = s.best_value.where(s.halved, s.value)
    s.rises, s.improved = torch.zeros_like(s.rises), torch.zeros_like(s.improved)


def _move(s: SimpleNamespace, norm: str, eps: float, momentum: float) -> None:
    def onto_ball(image: Tensor) -> Tensor:
        return (s.clean + project(image - s.clean, norm, eps)).clamp(0, 1)

    ascent = onto_ball(s.image + _per_image(s.size, s.image) * steepest(s.gradient, norm))
    step = momentum * (ascent - s.image) + (1 - momentum) * (s.image - s.before)
    s.before, s.image = s.image, onto_ball(s.image + step)


def _per_image(value: Tensor, image: Tensor) -> Tensor:
    return value.view(-1, *[1] * (image.ndim - 1))


def _pick(flag: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(_per_image(flag, a), a, b)


def _intervals(steps: int) -> dict[int, int]:
    """The checkpoints w_j = ceil(p_j * steps) and w_j - w_{j-1}; p_j in per cent: 0, 22, 41, 57, 70, ..."""
    lengths, last, fraction, gap = {0: 0}, 0, 22, 22
    while fraction <= 100:
        checkpoint = -(-fraction * steps // 100)
        lengths.setdefault(checkpoint, checkpoint - last)
        last, gap = checkpoint, max(gap - 3, 6)
        fraction += gap
    return lengths


def _checked(target: Tensor, y: Tensor) -> Tensor:
    if target.dtype != torch.int64 or target.shape != y.shape:
        raise ValueError(
            f"target has dtype {target.dtype} and shape {tuple(target.shape)}; expected one int64 class for "
            f"each of {len(y)} images"
        )
    if (target == y).any():
        raise ValueError(f"{int((target == y).sum())} targets are the label itself; expected another class")
    return target
