"""Projected gradient descent (Madry et al. 2018; IR eq. 11-12) in l2 and linf balls."""

import torch
from torch import Tensor, nn

from companion import guards
from companion.attacks.norms import given_start, project, random_start, steepest
from companion.attacks.objectives import OBJECTIVES
from companion.attacks.precision import predict, still_correct
from companion.attacks.protocols import STRONG, Protocol


def pgd(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    norm: str,
    eps: float,
    steps: int = 40,
    step_size: float | None = None,
    loss: str = "cross_entropy",
    protocol: Protocol = STRONG,
    start: str | Tensor | None = None,
    stop_early: bool = False,
    mode: str = "eval",
    generator: torch.Generator | None = None,
    dtype: torch.dtype | None = None,
    trace: list | None = None,
) -> Tensor:
    r"""Untargeted PGD: x_{t+1} = Pi(x_t + step_size * steepest(grad_x loss(x_t, y))).

    Source: Madry et al. 2018; IR (Noack et al. 2020) eq. 11-12, with the gradient inside sign() that
    eq. 11 omits (IR-E2) and the l2-normalised gradient for l2 that its code uses.

    x: (B, ...) in [0, 1].
    y: (B,) int64.
    norm: "l2" or "linf".
    eps: radius, pixel units.
    steps: gradient steps.
    step_size: pixel units, constant; without one the step decreases linearly from 2 * eps to 0: it starts
    wide, as in Croce & Hein 2020, and ends fine. (On digits nets a constant 2.5 * eps / steps left up to 7
    points more robust.)
    loss: "cross_entropy" or "margin" (a key of OBJECTIVES).
    protocol: how the attack starts, steps and projects; a paper's own is weaker (attacks.protocols).
    start: None for the protocol's, "ball", "image", "none", or a tensor shaped like x, pulled into the ball.
    stop_early: a sample stops at its first misclassified iterate (the active set): never weaker than
    judging the last iterate, and cheaper.
    mode: "train" keeps dropout and batch statistics active, as the papers' adversarial training does.
    generator: of the random start.
    dtype: None, or torch.bfloat16 for gradients computed under autocast, about twice as fast for larger nets
    where the device has it. Iterates and projections keep x's precision; stop_early asks the full-precision
    net wherever rounded logits leave doubt; callers predict again in full precision (attacks.correct).
    trace: a list to which each step appends the objective at the iterate it starts from, (B,), and NaN for
    samples that had stopped before; a stopped sample's last entry is of its misclassified iterate.

    Returns x_adv, shaped like x, in [0, 1] and within eps of x. eps = 0 returns x itself, bit for bit.
    Raises ValueError on a wrong range, dtype, shape, label, device, norm or setting, on no images, on a net
    of one class and inside torch.inference_mode(), and, its kind guards.NoGradient, where the model has no
    gradient in x, or in mode "eval" one that is NaN or infinite. Raises TypeError where x, y, eps, the model
    or what it returns is of a wrong type.
    """
    guards.check_images(x, y, model)
    guards.check_norm(norm, eps, x)
    guards.check_autograd()
    if steps < 1:
        raise ValueError(f"steps={steps}; expected at least 1")
    if loss not in OBJECTIVES:
        raise ValueError(f"loss={loss!r}; expected one of {', '.join(OBJECTIVES)}")
    x = x.detach()
    if eps == 0:
        return x.clone()
    objective = OBJECTIVES[loss]
    start = protocol.start if start is None else start
    if isinstance(start, Tensor):
        delta = project(given_start(start, x) - x, norm, eps)
    else:
        delta = random_start(x, norm, eps, start, generator)
    adversarial = (x + delta).clamp(0, 1)
    active = torch.arange(len(x), device=x.device)
    clean, labels, current = x, y, adversarial.clone()
    lost = torch.zeros((), dtype=torch.int64, device=x.device)

    # Batch statistics move as they do in training, which is where the papers attack in train mode
    with guards.frozen(model, mode, moving=True), torch.enable_grad():
        for step in range(steps):
            point = current.detach().requires_grad_()
            logits = predict(model, point, dtype)
            if step == 0:
                guards.check_labels(y, logits)
            value = objective(logits, labels)
            if trace is not None:
                everybody = torch.full((len(x),), torch.nan, dtype=value.dtype, device=x.device)
                trace.append(everybody.index_copy(0, active, value.detach()))
            if stop_early:
                robust = still_correct(model, current, labels, logits, dtype)
                if not robust.any():
                    break
            gradient = guards.gradient(value, point, finite=False)
            if mode == "eval":  # counted here and asked at the end: asking waits for the device
                lost = torch.maximum(lost, guards.without_numbers(gradient))
            if stop_early and not robust.all():
                adversarial[active[~robust]] = current[~robust]
                active, gradient = active[robust], gradient[robust]
                clean, labels, current = clean[robust], labels[robust], current[robust]
            size = 2 * eps * (1 - step / steps) if step_size is None else step_size
            delta = (
                current - clean + size * steepest(gradient / protocol.loss_divisor, norm, protocol.grad_floor)
            )
            if protocol.project_last:
                current = clean + project((clean + delta).clamp(0, 1) - clean, norm, eps)
            else:
                current = (clean + project(delta, norm, eps)).clamp(0, 1)
        adversarial[active] = current
    if mode == "eval":  # in train mode the training's loss shows a NaN
        guards.check_numbers(lost, len(x))
    return adversarial.detach()
