"""Adversarial training: the batch is replaced by its attacked copy (Madry et al. 2018; IR section 3.2)."""

import torch
from torch import Tensor, nn

from companion.attacks import BR_PAPER, IR_PAPER, STRONG, pgd


def adversarial(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    norm: str,
    eps: float,
    steps: int,
    step_size: float | None = None,
    loss: str = "cross_entropy",
    protocol: str = "strong",
    mode: str = "train",
    generator: torch.Generator | None = None,
) -> Tensor:
    """PGD on the batch, the last iterate: IR and BR train on adversarial samples only.

    loss: what the attack maximises, as in attacks.pgd; BR trains with "cross_entropy" and with "margin".
    protocol: "strong" or "ir_paper", as in attacks.evaluate, where the latter averages the loss over this
    batch, or "br_paper", attacks.BR_PAPER, for which BR's step_size of 2 (l2) or 0.02 (linf) halves too.
    mode: "train" leaves dropout and batch statistics active during the attack, as IR's code does; "eval" is
    the other common choice.
    Shapes, units and errors as in attacks.pgd.
    """
    conventions = {
        "strong": STRONG,
        "ir_paper": IR_PAPER | {"loss_divisor": len(x)},
        "br_paper": BR_PAPER,
    }
    if protocol not in conventions:
        raise ValueError(f"protocol={protocol!r}; expected one of {', '.join(conventions)}")
    return pgd(
        model,
        x,
        y,
        norm=norm,
        eps=eps,
        steps=steps,
        step_size=step_size,
        loss=loss,
        mode=mode,
        generator=generator,
        **conventions[protocol],
    )
