"""Robust accuracy of one net against one ball, under a named protocol."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from companion import guards
from companion.attacks.ensembles import reference, strong
from companion.attacks.norms import random_start
from companion.attacks.pgd import pgd
from companion.attacks.protocols import BUDGETS, IR_PAPER


@dataclass(frozen=True)
class RobustnessResult:
    """Which samples are robust to which attack: `robust` is a bool tensor (attacks or restarts, B).

    attacks: the name of each row's attack, such as "pgd margin".
    """

    robust: Tensor
    attacks: tuple[str, ...] = ()

    @property
    def mean(self) -> float:
        """Accuracy averaged over restarts, as IR's tables report it (IR-E12)."""
        return self.robust.float().mean().item()

    @property
    def worst(self) -> float:
        """Fraction of the samples that are robust to every attack: the per-sample worst case."""
        return self.robust.all(0).float().mean().item()


def evaluate(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    norm: str,
    eps: float,
    protocol: str = "strong",
    steps: int | None = None,
    step_size: float | None = None,
    restarts: int | None = None,
    targets: int | None = None,
    queries: int | None = None,
    batch_size: int = 1000,
    robust: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> RobustnessResult:
    """Attack x and say which samples are robust: classified correctly whatever the attack found.

    protocol: "strong" (default), `restarts` times cross-entropy and `restarts` times the margin loss, no
    gradient floor; a sample is not robust from its first misclassified iterate on, and later restarts attack
    only what is still robust, so `worst` is the robust accuracy;
    "reference", APGD on cross-entropy and towards `targets` classes, PGD on the margin, Square with
    `queries` (attacks.ensembles.reference), judged in the same way; the attacks choose their step sizes;
    "ir_paper", the conventions of IR's released code (attacks.IR_PAPER), every restart on every
    sample, only the last iterate judged; the paper reports `mean`.
    steps: gradient steps of a run; None, here and below, for the protocol's own number (attacks.BUDGETS).
    step_size: None for the decreasing step of attacks.pgd, in "ir_paper" for 2.5 * eps / steps.
    restarts: of each attack.
    targets: classes aimed at, in "reference".
    queries: of Square, in "reference".
    batch_size: samples attacked at once.
    robust: bool (B,), for "strong" and "reference": what earlier attacks left robust, such as
    `paper.robust.all(0)`; the others count as misclassified, so the worst case is over those attacks too and
    never above theirs, and no work is done twice.
    generator: of the random starts.

    x, y, norm, eps and errors as in `attacks.pgd`.
    """
    if protocol not in BUDGETS:
        raise ValueError(f"protocol={protocol!r}; expected one of {', '.join(BUDGETS)}")
    if robust is not None and protocol == "ir_paper":
        raise ValueError('robust goes with protocol="strong" or "reference"; "ir_paper" judges every sample')
    given = {"steps": steps, "restarts": restarts, "targets": targets, "queries": queries}
    budget = _budget(protocol, {name: value for name, value in given.items() if value is not None})
    if step_size is not None and protocol == "reference":
        raise ValueError(f'step_size={step_size}; protocol="reference" chooses its own step sizes')
    guards.check_images(x, y, model)
    guards.check_norm(norm, eps, x)
    ball = {"norm": norm, "eps": eps, "generator": generator}
    if protocol == "ir_paper":
        return _ir_paper(model, x, y, **ball, **budget, step_size=step_size, batch_size=batch_size)
    if protocol == "strong":
        members = strong(model, x, y, **ball, **budget, step_size=step_size)
    else:
        members = reference(model, x, y, **ball, **budget, batch_size=batch_size)
    clean = correct(model, x, y, batch_size=batch_size)
    robust = clean if robust is None else clean & robust
    names, rows = [], []
    for name, attack in members:
        left = robust.nonzero().squeeze(1)
        for part in left.split(batch_size) if len(left) else ():
            robust[part] = correct(model, attack(part), y[part], batch_size=batch_size)
        names.append(name)
        rows.append(robust.clone())
    return RobustnessResult(torch.stack(rows), tuple(names))


def _budget(protocol: str, given: dict[str, int]) -> dict[str, int]:
    least = {"steps": 1, "restarts": 0 if protocol == "reference" else 1, "targets": 0, "queries": 0}
    for name, value in given.items():
        if name not in BUDGETS[protocol]:
            raise ValueError(f'{name}={value}; {name} goes with protocol="reference", not {protocol!r}')
        if value < least[name]:
            raise ValueError(f"{name}={value}; expected at least {least[name]}")
    budget = BUDGETS[protocol] | given
    if not any(value for name, value in budget.items() if name != "steps"):
        raise ValueError("restarts, targets and queries are all 0; expected at least one attack")
    return budget


def _ir_paper(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    norm: str,
    eps: float,
    steps: int,
    step_size: float | None,
    restarts: int,
    batch_size: int,
    generator: torch.Generator | None,
) -> RobustnessResult:
    run = {"norm": norm, "eps": eps, "steps": steps, "protocol": IR_PAPER}
    run["step_size"] = 2.5 * eps / steps if step_size is None else step_size
    rows = []
    for _ in range(restarts):
        # Drawn for all samples at once, so that no verdict depends on batch_size.
        starts = x + random_start(x, norm, eps, IR_PAPER.start, generator)
        adversarial = [
            pgd(model, x[part], y[part], **run, start=starts[part])
            for part in torch.arange(len(x), device=x.device).split(batch_size)
        ]
        rows.append(correct(model, torch.cat(adversarial), y, batch_size=batch_size))
    return RobustnessResult(torch.stack(rows), ("pgd ir_paper",) * restarts)


@torch.no_grad()
def correct(model: nn.Module, x: Tensor, y: Tensor, *, batch_size: int = 1000) -> Tensor:
    """Which samples the net classifies correctly, in eval mode: bool (B,); none with a NaN among its logits.

    Errors as in `attacks.pgd`.
    """
    guards.check_images(x, y, model)
    logits = guards.logits_of(model, x, batch_size)
    guards.check_labels(y, logits)
    return (logits.argmax(1) == y) & ~logits.isnan().any(1)
