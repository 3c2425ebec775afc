"""Robust accuracy of one net against one ball, under a named protocol."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from companion import guards
from companion.attacks.ensembles import reference, strong
from companion.attacks.norms import random_start
from companion.attacks.pgd import IR_PAPER, pgd

#: What a protocol does unless told otherwise.
BUDGETS = {
    "strong": {"steps": 40, "restarts": 2},
    "reference": {"steps": 100, "restarts": 5, "targets": 9, "queries": 5000},
    "ir_paper": {"steps": 40, "restarts": 2},
}


@dataclass(frozen=True)
class Verdicts:
    """Which samples withstood which attack: `withstood` is a bool tensor (attacks or restarts, B).

    attacks: the name of each row's attack, such as "pgd margin".
    """

    withstood: Tensor
    attacks: tuple[str, ...] = ()

    @property
    def mean(self) -> float:
        """Accuracy averaged over restarts, as IR's tables report it (IR-E12)."""
        return self.withstood.float().mean().item()

    @property
    def worst(self) -> float:
        """Share of samples that withstood every restart: the per-sample worst case."""
        return self.withstood.all(0).float().mean().item()


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
    standing: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Verdicts:
    """Attack x and say which samples withstood.

    protocol "strong" (default): `restarts` times cross-entropy and `restarts` times the margin loss, no
    gradient floor; a sample falls at its first misclassified iterate, and later restarts attack only
    what still stands, so `worst` is the robust accuracy and rows after the first count fallen samples as
    fallen. step_size None: the falling step of attacks.pgd.
    protocol "reference": APGD on cross-entropy and towards `targets` classes, PGD on the margin, Square with
    `queries` (attacks.ensembles.reference), judged in the same way; the attacks choose their step sizes.
    protocol "ir_paper": the conventions of IR's released code (attacks.IR_PAPER), every restart on every
    sample, only the last iterate judged; the paper reports `mean`. step_size None: 2.5 * eps / steps.
    steps, restarts, targets, queries: None for the protocol's own (attacks.BUDGETS).
    standing: bool (B,), for "strong" and "reference": what earlier attacks left standing, such as
    `paper.withstood.all(0)`; the others count as fallen, so the worst case is over those attacks too and
    never above theirs, and no work is done twice.

    Shapes, units and errors as in `attacks.pgd`.
    """
    if protocol not in BUDGETS:
        raise ValueError(f"protocol={protocol!r}; expected one of {', '.join(BUDGETS)}")
    if standing is not None and protocol == "ir_paper":
        raise ValueError(
            'standing goes with protocol="strong" or "reference"; "ir_paper" judges every sample'
        )
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
    standing = clean if standing is None else clean & standing
    names, rows = [], []
    for name, attack in members:
        left = standing.nonzero().squeeze(1)
        for part in left.split(batch_size) if len(left) else ():
            standing[part] = correct(model, attack(part), y[part], batch_size=batch_size)
        names.append(name)
        rows.append(standing.clone())
    return Verdicts(torch.stack(rows), tuple(names))


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
) -> Verdicts:
    settings = {name: value for name, value in IR_PAPER.items() if name != "start"}
    settings["step_size"] = 2.5 * eps / steps if step_size is None else step_size
    rows = []
    for _ in range(restarts):
        # Drawn for all samples at once, so that no verdict depends on batch_size.
        starts = x + random_start(x, norm, eps, IR_PAPER["start"], generator)
        adversarial = [
            pgd(model, x[part], y[part], norm=norm, eps=eps, steps=steps, **settings, start=starts[part])
            for part in torch.arange(len(x), device=x.device).split(batch_size)
        ]
        rows.append(correct(model, torch.cat(adversarial), y, batch_size=batch_size))
    return Verdicts(torch.stack(rows), ("pgd ir_paper",) * restarts)


@torch.no_grad()
def correct(model: nn.Module, x: Tensor, y: Tensor, *, batch_size: int = 1000) -> Tensor:
    """Which samples the net classifies rightly, in eval mode: bool (B,); none with a NaN among its logits.

    Errors as in `attacks.pgd`.
    """
    guards.check_images(x, y, model)
    logits = guards.logits_of(model, x, batch_size)
    guards.check_labels(y, logits)
    return (logits.argmax(1) == y) & ~logits.isnan().any(1)
