"""The fast gradient (sign) method: one step of PGD, as long as the ball is wide."""

import torch
from torch import Tensor, nn

from companion.attacks.pgd import pgd


def fgsm(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    norm: str = "linf",
    eps: float,
    loss: str = "cross_entropy",
    mode: str = "eval",
    generator: torch.Generator | None = None,
) -> Tensor:
    """x + eps * sign(grad_x loss), clipped to [0, 1]; for l2, x + eps * grad / ||grad||_2.

    Source: Goodfellow et al. 2015; IR eq. 6.
    x, y, norm, eps, loss, mode, generator: as in `pgd`, with its shapes, units and errors.
    """
    return pgd(
        model,
        x,
        y,
        norm=norm,
        eps=eps,
        steps=1,
        step_size=eps,
        loss=loss,
        start="none",
        mode=mode,
        generator=generator,
    )
