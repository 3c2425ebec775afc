"""Adversarial training: the batch is replaced by its attacked copy (Madry et al. 2018; IR section 3.2)."""

import torch
from torch import Tensor, nn

from companion.attacks import IR_PAPER, STRONG, pgd


def adversarial(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    norm: str,
    eps: float,
    steps: int,
    step_size: float | None = None,
    protocol: str = "strong",
    mode: str = "train",
    generator: torch.Generator | None = None,
) -> Tensor:
    """PGD on the batch, cross-entropy, the last iterate: IR trains on adversarial samples only.

    protocol: "strong" or "ir_paper", as in attacks.evaluate; the latter averages the loss over this batch.
    mode: "train" leaves dropout and batch statistics active during the attack, as IR's code does; "eval" is
    the other common choice.
    Shapes, units and errors as in attacks.pgd.
    """
    conventions = {"strong": STRONG, "ir_paper": IR_PAPER | {"loss_divisor": len(x)}}
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
        mode=mode,
        generator=generator,
        **conventions[protocol],
    )
