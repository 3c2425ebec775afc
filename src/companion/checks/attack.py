"""Rows about one attack on one net: R3, R4, R8 to R12, R19 to R22, R25.

Verdicts are bool tensors over points, True where the net is right and stays so. Accuracies are fractions of
all points, so one misclassified without an attack counts as misclassified. Two accuracies on the same points
are compared by the points they disagree on: `excess` says when a difference is more than chance.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from companion import guards
from companion.attacks import correct, margin
from companion.checks.report import Check, judge, named, not_run, percent, wilson
from companion.saliency import input_gradient

#: (model, x, y, *, norm, eps, steps, loss, generator) -> x_adv, such as attacks.pgd.
Attack = Callable[..., Tensor]


def in_batches(attack: Attack, batch_size: int) -> Attack:
    """The attack on `batch_size` points at a time; trace, if given, becomes that of all of them."""

    def run(
        model: nn.Module, x: Tensor, y: Tensor, *, trace: list | None = None, **settings: object
    ) -> Tensor:
        parts, traces = [], []
        for images, labels in zip(x.split(batch_size), y.split(batch_size), strict=True):
            own: list[Tensor] = []
            keep = {} if trace is None else {"trace": own}
            parts.append(attack(model, images, labels, **settings, **keep))
            if own:
                traces.append(torch.stack(own))
        if traces:
            longest = max(map(len, traces))  # a batch misclassified earlier is NaN from there on
            traces = [torch.cat([t, t.new_full((longest - len(t), t.shape[1]), torch.nan)]) for t in traces]
            trace.extend(torch.cat(traces, 1))
        return torch.cat(parts)

    return run


def worst_of(attack: Attack, losses: tuple[str, ...]) -> Attack:
    """The attack with each loss in turn, each on the points robust to the earlier ones."""

    def run(model: nn.Module, x: Tensor, y: Tensor, **settings: object) -> Tensor:
        adversarial, left = x.clone(), torch.arange(len(x), device=x.device)
        for loss in losses:
            if not len(left):
                break
            adversarial[left] = attack(model, x[left], y[left], **settings, loss=loss)
            left = left[correct(model, adversarial[left], y[left])]
        return adversarial

    return run


def accuracy(robust: Tensor) -> float:
    return int(robust.sum()) / max(1, len(robust))


def difference(more: Tensor, fewer: Tensor) -> float:
    """Accuracy of `more` less that of `fewer`, in percentage points, exact to the last bit."""
    return 100 * (int(more.sum()) - int(fewer.sum())) / len(more)


def excess(more: Tensor, fewer: Tensor) -> bool:
    """Whether `more` is more accurate than `fewer` by over 2 standard errors, on the same points.

    Only points on which they disagree carry information: b of them for `more`, c against. b - c has standard
    error sqrt(b + c) when both are equally likely (McNemar 1947), so four points one way are no excess.
    """
    b, c = int((more & ~fewer).sum()), int((fewer & ~more).sum())
    return b - c > 2 * math.sqrt(b + c)


def inside_ball(x: Tensor, adversarial: Tensor, *, norm: str, eps: float) -> Check:
    """R3: ||x_adv - x|| <= eps (1 + 1e-5) and 0 <= x_adv <= 1, no NaN. Value: largest norm / eps.

    The rounding of x + delta is allowed for: it exceeds 1e-5 eps when eps is a few 1 / 255.
    """
    order = torch.inf if norm == "linf" else 2
    size = (adversarial.double() - x.double()).flatten(1).norm(order, dim=1)
    rounding = torch.finfo(x.dtype).eps * (1 if norm == "linf" else math.sqrt(x[0].numel()))
    largest = float(size.max())
    in_box = bool(((adversarial >= 0) & (adversarial <= 1)).all())
    return judge(
        "R3",
        in_box and largest <= eps * (1 + 1e-5) + rounding,
        largest / eps if eps else largest,
        f"The largest perturbation has {norm} norm {largest:.6g} (radius {eps:g}); pixels run from "
        f"{float(adversarial.min()):.3g} to {float(adversarial.max()):.3g}.",
    )


def identity_at_zero(model: nn.Module, x: Tensor, y: Tensor, attack: Attack, **settings: object) -> Check:
    """R4: at eps = 0 the attack returns the images; accuracy is clean accuracy. Value: largest change."""
    adversarial = attack(model, x, y, **settings | {"eps": 0.0})
    changed = float((adversarial - x).abs().max())
    same = torch.equal(correct(model, adversarial, y), correct(model, x, y))
    return judge(
        "R4",
        changed <= guards.RANGE_TOLERANCE and same,
        changed,
        f"At radius 0 pixels change by at most {changed:.1g}, and the accuracy is "
        f"{'' if same else 'not '}the clean one.",
    )


def zero_gradients(model: nn.Module, x: Tensor, y: Tensor, *, batch_size: int = 1000) -> Check:
    """R8: at most 1 % of the points have a cross-entropy gradient shorter than 1e-12, and none a NaN. Value:
    the fraction of both.

    Flagged for short ones, failed for a NaN. Per point, not averaged over a batch. Flat cross-entropy is what
    confident nets and quantised inputs have in common; an attack that follows it does not move.
    """
    try:
        gradient = input_gradient(model, x, y, of="cross_entropy", chunk=batch_size)
    except guards.NoGradient as error:
        return replace(judge("R8", False, 1.0, f"{str(error).capitalize()}."), status="failed")
    size = gradient.double().flatten(1).norm(dim=1)
    fraction = (~(size >= 1e-12)).float().mean().item()
    useless = size.isfinite().logical_not().float().mean().item()
    sentence = f"{percent(fraction)} of the points have a cross-entropy gradient shorter than 1e-12"
    if useless:
        sentence += f" or none: it is NaN or infinite for {percent(useless)}."
        return replace(judge("R8", False, fraction, sentence), status="failed")
    return judge(
        "R8", fraction <= 0.01, fraction, f"{sentence}; the median length is {float(size.median()):.2g}."
    )


def loss_agreement(robust: Mapping[str, Tensor], reported: tuple[str, ...]) -> Check:
    """R9: no loss would have lowered the reported accuracy, and the losses agree. Value: gap in points.

    robust: the verdicts of the same attack under several losses. reported: those whose worst case for
    each point is reported. Fails when the worst case over all losses is over 3 points lower, more than chance
    (`excess`): the reported number is too high. Flagged when it is over 1 point lower, or when
    cross-entropy alone, what papers mostly report, would have overstated by more than 3. Gaps are one-sided:
    a loss that misses what another finds says nothing against the other, and on healthy nets the margin
    loss alone misses up to 7 points. Value: the larger of the two gaps, in points.
    """
    worst = torch.stack(list(robust.values())).all(0)
    stated = torch.stack([robust[loss] for loss in reported]).all(0)
    single = robust["cross_entropy"]
    missed, alone = difference(stated, worst), difference(single, worst)
    each = ", ".join(f"{percent(accuracy(v))} with {named([loss])}" for loss, v in robust.items())
    sentence = (
        f"Accuracy under the attack: {each}, {percent(accuracy(worst))} with the worst at each point. What "
        f"is reported, by {named(reported)}, is {missed:.1f} points above that."
    )
    check = judge("R9", missed <= 3 or not excess(stated, worst), max(missed, alone), sentence)
    differ = (missed > 1 and excess(stated, worst)) or (alone > 3 and excess(single, worst))
    return replace(check, status="flagged") if check.status == "passed" and differ else check


def monotone(robust: Mapping[float, Tensor]) -> Check:
    """R10: accuracy does not rise with the radius, beyond chance (`excess`). Value: largest rise."""
    rows = [robust[eps] for eps in sorted(robust)]
    pairs = [(small, large) for i, small in enumerate(rows) for large in rows[i + 1 :]]
    rise = max(difference(large, small) for small, large in pairs)
    curve = ", ".join(f"{100 * accuracy(robust[eps]):.0f} % at {eps:.3g}" for eps in sorted(robust))
    return judge(
        "R10",
        not any(excess(large, small) for small, large in pairs),
        max(rise, 0.0),
        f"Accuracy by radius, on {len(rows[0])} points: {curve}.",
    )


def grey_radius(x: Tensor, norm: str) -> float:
    """The radius within which every image in [0, 1]^D has the grey image: 0.5, or 0.5 sqrt(D) for l2."""
    return 0.5 if norm == "linf" else 0.5 * math.sqrt(x[0].numel())


def large_eps(y: Tensor, predictions: Tensor, *, grey: Tensor, whole: Tensor) -> Check:
    """R11: chance is reached where all images may become grey, and 0 where they may become anything.

    grey, whole: verdicts at `grey_radius` and twice that. Chance is the fraction of the most frequent label
    among these points, the accuracy of one answer for all. At most 1 % (or one point) may be robust in
    the whole box. predictions: of the net on many images; where they are all one class the row cannot be
    judged, there may be nothing to be moved to. Value: accuracy in the whole box.
    """
    if len(predictions.unique()) < 2:
        return not_run("R11", "The net gives one answer to all images, so there may be no adversarial image.")
    chance = y.bincount().max().item() / len(y)
    left = int(whole.sum())
    return judge(
        "R11",
        accuracy(grey) <= chance and left <= max(1, 0.01 * len(y)),
        accuracy(whole),
        f"Robust where every image may become grey: {percent(accuracy(grey))} (chance: {percent(chance)}), "
        f"in the whole box {percent(accuracy(whole))}.",
    )


def many_steps_beat_one(many: Tensor, single: Tensor) -> Check:
    """R12: accuracy is no higher than under a single step, FGSM (`excess`). Value: difference."""
    return judge(
        "R12",
        not excess(many, single),
        difference(many, single),
        f"{percent(accuracy(many))} are robust to the attack, {percent(accuracy(single))} to one step.",
    )


def worst_case(robust: Tensor, reported: float | None = None) -> Check:
    """R19: what is reported is the mean over points of the worst case over attacks. Value: that mean.

    robust: bool (attacks, B), such as RobustnessResult.robust. reported: the fraction reported for them;
    None for the companion's own, which is this mean. The minimum of means and the mean of means are larger.
    Raises ValueError where robust holds no single verdicts, or reported is no fraction.
    """
    if robust.ndim != 2 or robust.dtype != torch.bool:
        raise ValueError(
            f"robust is {robust.dtype} of shape {tuple(robust.shape)}; expected bool (attacks, B), "
            "one verdict for each attack and point"
        )
    if reported is not None and not 0 <= reported <= 1:
        raise ValueError(f"reported={reported}; expected a fraction in [0, 1]: divide percentages by 100")
    worst = accuracy(robust.all(0))
    best_single = min(accuracy(row) for row in robust)
    reported = worst if reported is None else reported
    return judge(
        "R19",
        abs(reported - worst) <= 0.5 / robust.shape[1],
        worst,
        f"Reported: {percent(reported)}; worst case for each point over {len(robust)} attacks: "
        f"{percent(worst)}; {percent(best_single)} are robust to the strongest single attack.",
    )


def rising_loss(trace: Tensor) -> Check:
    """R20: the loss rises along the attack. trace: (steps, B), NaN once a point has stopped.

    A point oscillates when decreases make up more than 40 % of all the movement of its loss (half would be no
    progress at all). Flagged when more than a quarter of the points do, when more than 5 % never see their
    loss change (no gradient), or when the median change in a step is negative. Value: the fraction that
    oscillates. On digits nets healthy ones stay below 0.17, k-winners above 0.4.
    """
    change = trace[1:] - trace[:-1]
    known = ~change.isnan()
    if not known.any():
        return not_run("R20", "Every point is misclassified at once, so there is no loss to follow.")
    median = float(change[known].median())
    change = change[:, known.any(0)].nan_to_num(0)
    movement = change.abs().sum(0)
    oscillates = accuracy(-change.clamp(max=0).sum(0) > 0.4 * movement)
    still = accuracy(movement == 0)
    return judge(
        "R20",
        median >= 0 and still <= 0.05 and oscillates <= 0.25,
        oscillates,
        f"A step changes the loss by {median:+.2g} (median); it decreases nearly as much as it increases for "
        f"{percent(oscillates)} of the points, and never changes for {percent(still)}.",
    )


def second_prediction(
    model: nn.Module,
    adversarial: Tensor,
    y: Tensor,
    *,
    misclassified: Tensor | None = None,
    batch_size: int = 1000,
) -> Check:
    """R21: stored, predicted again in float32 without TF32 and in other batches, the verdicts are the same.

    misclassified: what the search itself found misclassified (attacks.pgd's trace). At most 0.1 % of the
    points, or one, may differ. Value: their fraction.
    """
    right = correct(model, adversarial, y, batch_size=batch_size)
    stored = adversarial.to("cpu", torch.promote_types(adversarial.dtype, torch.float32), copy=True)
    with _full_precision(adversarial.device.type):
        again = correct(
            model, stored.to(adversarial.device), y, batch_size=max(1, min(batch_size, len(y)) // 3)
        )
    flipped = right != again
    if misclassified is not None:
        flipped |= misclassified & again
    flips = int(flipped.sum())
    return judge(
        "R21",
        flips <= max(1, 0.001 * len(y)),
        flips / len(y),
        f"Of {len(y)} stored images {flips} get another verdict in full precision and other batches.",
    )


@contextmanager
def _full_precision(device: str) -> Iterator[None]:
    places = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    before = [place.fp32_precision for place in places]
    try:
        for place in places:
            place.fp32_precision = "ieee"
        with torch.autocast(device, enabled=False):
            yield
    finally:
        for place, precision in zip(places, before, strict=True):
            place.fp32_precision = precision


def undefended_baseline(
    baseline: nn.Module, x: Tensor, y: Tensor, attack: Attack, **settings: object
) -> Check:
    """R22: the attack succeeds on a net of the same architecture trained without a defence.

    Judged at a radius where a normal net is not robust: twice the linearised distance that 95 % of its points
    do not exceed, at least the reported radius, at most the box, and on 20 points or more. Up to 10 % may be
    robust. Value: robust accuracy.
    """
    right = correct(baseline, x, y)
    if right.sum() < 20:
        return not_run("R22", "The baseline classifies fewer than 20 of the points correctly.")
    x, y, norm = x[right], y[right], str(settings["norm"])
    reach = 2 * float(linearised_distance(baseline, x, y, norm=norm).quantile(0.95, interpolation="lower"))
    radius = min(max(settings["eps"], reach), 2 * grey_radius(x, norm))
    left = accuracy(correct(baseline, attack(baseline, x, y, **settings | {"eps": radius}), y))
    return judge(
        "R22",
        left <= 0.1,
        left,
        f"The undefended baseline is robust on {percent(left)} of {len(y)} points at {norm} {radius:.3g}, "
        "where normal nets are on none.",
    )


def linearised_distance(model: nn.Module, x: Tensor, y: Tensor, *, norm: str) -> Tensor:
    """-margin / ||grad margin||_dual, (B,): where a linear net errs; inf without gradient."""
    with guards.frozen(model), torch.enable_grad():
        point = x.detach().requires_grad_()
        value = margin(model(point), y)
        gradient = guards.gradient(value, point).flatten(1)
    return -value.detach() / gradient.norm(1 if norm == "linf" else 2, dim=1)


def interval(clean: Tensor, robust: Tensor) -> Check:
    """R25: clean and robust accuracy, n and 95 % intervals (Wilson).

    clean, robust: bool (B,). Fails when a point counts as robust that the net misclassifies unperturbed.
    Value: half the width of the interval of the robust accuracy, in points.
    """
    n = len(clean)
    ranges = [wilson(int(v.sum()), n) for v in (clean, robust)]
    shown = [
        f"{percent(accuracy(v))} ({100 * low:.1f} to {100 * high:.1f})"
        for v, (low, high) in zip((clean, robust), ranges, strict=True)
    ]
    impossible = int((robust & ~clean).sum())
    more = f"; {impossible} count as robust but are misclassified unperturbed" if impossible else ""
    return judge(
        "R25",
        impossible == 0,
        50 * (ranges[1][1] - ranges[1][0]),
        f"Clean accuracy {shown[0]}, robust accuracy {shown[1]}, 95 % intervals, n = {n}{more}.",
    )
