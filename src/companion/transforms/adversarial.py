"""Adversarial training: the batch is replaced by its attacked copy (Madry et al. 2018; IR section 3.2)."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from companion.attacks import IR_PAPER, PROTOCOLS, pgd


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
    bfloat16: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    """PGD on the batch, the last iterate: IR and BR train on adversarial samples only.

    x: (B, ...) in [0, 1].
    y: (B,) int64.
    norm, eps, steps, step_size, generator: as in attacks.pgd, with its units and errors.
    loss: what the attack maximises, as in attacks.pgd; BR trains with "cross_entropy" and with "margin".
    protocol: a key of attacks.PROTOCOLS; "ir_paper" averages the loss over this batch; for "br_paper" BR's
    step_size of 2 (l2) or 0.02 (linf) halves too.
    mode: "train" leaves dropout and batch statistics active during the attack, as IR's code does; "eval" is
    the other common choice.
    bfloat16: compute the attack's gradients under autocast (attacks.pgd), up to twice as fast where the
    processor has it; the update of the weights keeps full precision.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol={protocol!r}; expected one of {', '.join(PROTOCOLS)}")
    chosen = PROTOCOLS[protocol]
    if chosen is IR_PAPER:
        chosen = replace(chosen, loss_divisor=len(x))
    return pgd(
        model,
        x,
        y,
        norm=norm,
        eps=eps,
        steps=steps,
        step_size=step_size,
        loss=loss,
        protocol=chosen,
        mode=mode,
        generator=generator,
        dtype=torch.bfloat16 if bfloat16 else None,
    )
