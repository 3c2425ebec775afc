"""The bundles: which rows run together, and which work they have in common."""

import inspect
from functools import partial

import torch
from torch import Tensor, nn

from companion import attacks, guards
from companion.checks import attack as rows
from companion.checks import setup, stronger
from companion.checks.attack import Attack
from companion.checks.report import Check, Report, complete, not_run
from companion.training.recipe import Recipe

#: R9 compares these with whatever is reported.
COMPARED = ("cross_entropy", "margin")
_ON_POINTS = ("R1", "R3", "R4", "R9", "R10", "R11", "R12", "R19", "R20", "R21", "R22", "R25")
_SLOW = ("R13", "R14", "R15", "R16", "R17", "R18", "R24")
_IN_FAST, _IN_SLOW = "Runs in checks.fast.", "Runs on request, in checks.slow."
_WRONG_INPUTS = "The inputs are not what an attack expects (R2)."
_TOO_FEW_CLASSES = "The net has too few classes for the losses of the attack (R26)."
_OUTSIDE = "What the attack returns are no images in the ball (R3)."
_NOTHING_RIGHT = "The net classifies none of the points correctly, so there is nothing to attack."


def fast(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    norm: str,
    eps: float,
    attack: Attack | None = None,
    losses: tuple[str, ...] = COMPARED,
    steps: int = 40,
    baseline: nn.Module | None = None,
    recipe: Recipe | None = None,
    verdicts: attacks.RobustnessResult | None = None,
    reported: float | None = None,
    limit: int = 1000,
    grid_points: int = 100,
    batch_size: int = 1000,
    generator: torch.Generator | None = None,
) -> Report:
    """Rows R1 to R12, R19 to R22 and R25 to R27, for a net and the attack whose accuracy is reported.

    Each row's rule and source are at its function, in checks.setup and checks.attack.

    x: images in [0, 1].
    y: their labels.
    norm: "l2" or "linf".
    eps: radius, pixel units.
    attack: (model, x, y, *, norm, eps, steps, loss, generator) -> x_adv, the very attack the number is
    reported with; its step size has to follow eps and steps, because the rows vary both. Without a keyword
    `trace` (attacks.pgd) R20 is not run. None: attacks.pgd with its active set.
    losses: those whose worst case for each point is reported, such as the strong protocol's two, the default,
    or ("cross_entropy",) for a paper's protocol.
    steps: of the attack.
    baseline: a net of the same architecture trained without a defence (R22).
    recipe: how the net was trained (R27).
    verdicts: of which the page reports an accuracy (R19); without them R19 is about the attacks run here.
    reported: that accuracy; None for the worst case.
    limit: points used, the first ones.
    grid_points: where an attack is repeated, the first that the net gets right (R4, R10, R11), or the first
    (R22).
    batch_size: points attacked at once.
    generator: None for one seeded with 0, so that the same net gets the same report.

    One run with each loss serves R1, R3, R9, R12, R19, R20, R21 and R25. Rows that cannot be judged are
    "not run" and say why; wrong inputs fail R2 and leave the rest not run. So do images outside the ball
    (R3), a gradient that is no number (R8) and too few classes (R26) with the rows about the attack.
    Raises ValueError on a wrong norm, eps or loss.
    """
    guards.check_norm(norm, eps, x)
    x, y, attack, generator = _settled(x, y, attack, limit, generator)
    found = [setup.inputs(model, x, y)]
    if found[0].status == "failed":
        return complete(norm, eps, len(x), found, _WRONG_INPUTS)
    traced = _keeps_trace(attack)
    attack = rows.in_batches(attack, batch_size)
    combined = rows.worst_of(attack, losses)
    settings = {"norm": norm, "eps": eps, "steps": steps, "generator": generator}

    logits = setup.forward(model, x, batch_size)
    found += [
        setup.deterministic(model, x, batch_size=batch_size),
        setup.batch_invariant(model, x),
        setup.not_probabilities(logits),
        setup.class_count(logits, losses),
        setup.no_choice_on_test_data(model, x, recipe),
        rows.zero_gradients(model, x, y, batch_size=batch_size),
    ]
    right = logits.argmax(1) == y
    some = right & (right.cumsum(0) <= grid_points)

    stopped: list[str] = []

    def use() -> None:
        checks, robust = _at_the_radius(model, x, y, right, attack, losses, settings, traced, batch_size)
        found.extend(checks)
        if robust is None:
            stopped.append(_OUTSIDE)
            return
        found.extend(_at_other_radii(model, x[some], y[some], logits, robust[some], combined, settings))
        if baseline is not None:
            few = slice(grid_points)
            found.append(rows.undefended_baseline(baseline, x[few], y[few], combined, **settings))

    def guarded() -> None:
        try:
            use()
        except guards.NoGradient as error:
            stopped.append(f"The attack stopped: {error}.")

    if not right.any():
        found += [not_run(id, _NOTHING_RIGHT) for id in _ON_POINTS]
        return complete(norm, eps, len(x), found, _IN_SLOW)
    if any(check.id == "R26" and check.status == "failed" for check in found):
        found += [not_run(id, _TOO_FEW_CLASSES) for id in _ON_POINTS]
        return complete(norm, eps, len(x), found, _IN_SLOW)
    found.append(setup.eval_mode(model, guarded))
    if baseline is None:
        found.append(not_run("R22", "No undefended baseline was given."))
    if stopped:
        known = {check.id for check in found}
        found += [not_run(id, stopped[0]) for id in _ON_POINTS if id not in known]
    if verdicts is not None:
        found = [check for check in found if check.id != "R19"]
        found.append(rows.worst_case(verdicts.robust, reported))
    return complete(norm, eps, len(x), found, _IN_SLOW)


def _at_the_radius(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    right: Tensor,
    attack: Attack,
    losses: tuple[str, ...],
    settings: dict,
    traced: bool,
    batch_size: int,
) -> tuple[list[Check], Tensor | None]:
    """The rows about the attack at the reported radius, on the points the net gets right, and its verdicts;
    R3 alone where that fails."""
    images, labels = x[right], y[right]
    norm, eps = settings["norm"], settings["eps"]
    adversarial, robust, traces = {}, {}, {}
    for loss in dict.fromkeys((*losses, *COMPARED)):
        traces[loss] = [] if traced else None
        keep = {"trace": traces[loss]} if traced else {}
        adversarial[loss] = attack(model, images, labels, **settings, **keep, loss=loss)
        inside = rows.inside_ball(images, adversarial[loss], norm=norm, eps=eps)
        if inside.status == "failed":
            return [inside], None
        robust[loss] = right.clone()
        robust[loss][right] = attacks.correct(model, adversarial[loss], labels, batch_size=batch_size)
    one_step = attacks.fgsm(model, images, labels, norm=norm, eps=eps, loss=losses[0])
    single = right.clone()
    single[right] = attacks.correct(model, one_step, labels, batch_size=batch_size)
    stated = torch.stack([robust[loss] for loss in losses])
    worst, repeat = stated.all(0), len(losses)
    saved = torch.cat([adversarial[loss] for loss in losses])
    stopped = [traces[loss][-1].isnan() for loss in losses if traces[loss]]
    checks = [
        rows.inside_ball(images.repeat(repeat, *[1] * (x.ndim - 1)), saved, norm=norm, eps=eps),
        rows.loss_agreement(robust, losses),
        rows.many_steps_beat_one(robust[losses[0]], single),
        rows.worst_case(stated),
        rows.rising_loss(torch.stack(traces[losses[0]]))
        if traces[losses[0]]
        else not_run("R20", "The attack keeps no trace of its loss."),
        rows.second_prediction(
            model,
            saved,
            labels.repeat(repeat),
            misclassified=torch.cat(stopped) if stopped else None,
            batch_size=batch_size,
        ),
        rows.interval(right, worst),
    ]
    return checks, worst


def _at_other_radii(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    logits: Tensor,
    robust: Tensor,
    attack: Attack,
    settings: dict,
) -> list[Check]:
    """The rows about radii from 0 to the whole box, on points the net gets right, robust at the reported one.

    logits: of all points, for the classes the net predicts at all.
    """
    eps, grey = settings["eps"], rows.grey_radius(x, settings["norm"])
    whole = 2 * grey
    wider = 2 * eps if 2 * eps < grey else (eps + whole) / 2
    grid = {
        radius: attacks.correct(model, attack(model, x, y, **settings | {"eps": radius}), y)
        for radius in {eps / 2, wider, grey, whole}
        if radius <= whole
    }
    grid |= {0.0: torch.ones_like(robust), eps: robust}
    return [
        rows.identity_at_zero(model, x, y, attack, **settings),
        rows.monotone(grid),
        rows.large_eps(y, logits.argmax(1), grey=grid[grey], whole=grid[whole]),
    ]


def slow(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    norm: str,
    eps: float,
    attack: Attack | None = None,
    losses: tuple[str, ...] = COMPARED,
    steps: int = 40,
    restarts: int = 10,
    draws: int = 1000,
    queries: int = 1000,
    baseline: nn.Module | None = None,
    limit: int = 1000,
    some: int = 100,
    batch_size: int = 1000,
    generator: torch.Generator | None = None,
) -> Report:
    """Rows R13 to R18 and R24: the attack has converged, and nothing else beats it.

    Each row's rule is at its function, in checks.stronger. The most expensive is R14, then R16.
    restarts: R14 compares this many with twice as many.
    draws: of noise, for each point (R15).
    queries: of the Square attack (R16).
    some: points of R15 and R18.
    The other settings: as in `fast`.
    """
    guards.check_norm(norm, eps, x)
    x, y, attack, generator = _settled(x, y, attack, limit, generator)
    found = [setup.inputs(model, x, y)]
    if found[0].status == "failed":
        return complete(norm, eps, len(x), found, _WRONG_INPUTS)
    attack = rows.in_batches(attack, batch_size)
    right = attacks.correct(model, x, y, batch_size=batch_size)
    if not right.any():
        return complete(norm, eps, len(x), [not_run(id, _NOTHING_RIGHT) for id in _SLOW], _IN_FAST)
    combined = rows.worst_of(attack, losses)
    ball = {"norm": norm, "eps": eps}
    run = ball | {"steps": steps, "generator": generator}
    data = (model, x, y)
    robust = right.clone()
    robust[right] = attacks.correct(model, combined(model, x[right], y[right], **run), y[right])
    few = robust & (robust.cumsum(0) <= some)
    found += [
        stronger.converged_in_steps(*data, right, attack, **run, loss=losses[0]),
        stronger.converged_in_restarts(*data, right, combined, **run, restarts=restarts),
        stronger.random_noise(*data, few, **ball, draws=draws, generator=generator),
        stronger.black_box(*data, robust, **ball, queries=queries, generator=generator),
        stronger.transfer(model, baseline, x, y, robust, **run),
        stronger.targeted(*data, few, **run),
        stronger.minimal_distance(*data, right, robust, **ball, batch_size=batch_size),
    ]
    return complete(norm, eps, len(x), found, _IN_FAST)


def _keeps_trace(attack: Attack) -> bool:
    parameters = inspect.signature(attack).parameters.values()
    return any(p.name == "trace" or p.kind is p.VAR_KEYWORD for p in parameters)


def _settled(
    x: Tensor, y: Tensor, attack: Attack | None, limit: int, generator: torch.Generator | None
) -> tuple[Tensor, Tensor, Attack, torch.Generator]:
    """The first points, and the defaults."""
    if attack is None:
        attack = partial(attacks.pgd, stop_early=True)
    if generator is None:
        generator = torch.Generator(x.device).manual_seed(0)
    return x[:limit].detach(), y[:limit], attack, generator
