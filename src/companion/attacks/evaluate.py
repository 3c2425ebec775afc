"""Robust accuracy of one net against one ball, under a named protocol."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from companion import guards
from companion.attacks.norms import random_start
from companion.attacks.pgd import IR_PAPER, pgd


@dataclass(frozen=True)
class Verdicts:
    """Which samples withstood which restart: `withstood` is a bool tensor (restarts, B)."""

    withstood: Tensor

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
    steps: int = 40,
    step_size: float | None = None,
    restarts: int = 2,
    batch_size: int = 1000,
    standing: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Verdicts:
    """Attack x and say which samples withstood.

    protocol "strong" (default): `restarts` times cross-entropy and `restarts` times the margin loss, no
    gradient floor; a sample falls at its first misclassified iterate, and later restarts attack only
    what still stands, so `worst` is the robust accuracy and rows after the first count fallen samples as
    fallen. step_size None: the falling step of attacks.pgd.
    protocol "ir_paper": the conventions of IR's released code (attacks.IR_PAPER), every restart on every
    sample, only the last iterate judged; the paper reports `mean`. step_size None: 2.5 * eps / steps.
    standing: bool (B,), for "strong": what earlier attacks left standing, such as `paper.withstood.all(0)`;
    the others count as fallen, so the worst case is over those attacks too, and no work is done twice.

    Shapes, units and errors as in `attacks.pgd`.
    """
    if protocol not in ("strong", "ir_paper"):
        raise ValueError(f'protocol={protocol!r}; expected "strong" or "ir_paper"')
    if restarts < 1:
        raise ValueError(f"restarts={restarts}; expected at least 1")
    if standing is not None and protocol != "strong":
        raise ValueError(f'standing goes with protocol="strong"; {protocol!r} judges every sample')
    guards.check_images(x, y, model)
    guards.check_norm(norm, eps)
    settings = {"norm": norm, "eps": eps, "steps": steps, "step_size": step_size}
    rows = []
    if protocol == "ir_paper":
        paper = {k: v for k, v in IR_PAPER.items() if k != "start"}
        settings["step_size"] = 2.5 * eps / steps if step_size is None else step_size
        for _ in range(restarts):
            # Drawn for all samples at once, so that no verdict depends on batch_size.
            starts = x + random_start(x, norm, eps, IR_PAPER["start"], generator)
            adversarial = [
                pgd(model, x[part], y[part], **settings, **paper, start=starts[part])
                for part in torch.arange(len(x), device=x.device).split(batch_size)
            ]
            rows.append(correct(model, torch.cat(adversarial), y, batch_size=batch_size))
        return Verdicts(torch.stack(rows))
    clean = correct(model, x, y, batch_size=batch_size)
    standing = clean if standing is None else clean & standing
    for loss in ("cross_entropy", "margin"):
        for _ in range(restarts):
            starts = x + random_start(x, norm, eps, "ball", generator)
            for part in standing.nonzero().squeeze(1).split(batch_size):
                adversarial = pgd(
                    model, x[part], y[part], **settings, loss=loss, start=starts[part], stop_early=True
                )
                standing[part] = correct(model, adversarial, y[part], batch_size=batch_size)
            rows.append(standing.clone())
    return Verdicts(torch.stack(rows))


@torch.no_grad()
def correct(model: nn.Module, x: Tensor, y: Tensor, *, batch_size: int = 1000) -> Tensor:
    """Which samples the net classifies rightly, in eval mode: bool (B,). Errors as in `attacks.pgd`."""
    guards.check_images(x, y, model)
    with guards.frozen(model):
        return torch.cat([model(a).argmax(1) for a in x.split(batch_size)] or [y[:0]]) == y
