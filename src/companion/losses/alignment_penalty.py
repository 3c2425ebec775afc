"""The alignment penalty that ET's outlook proposes (Etmann et al. 2019, section 5), and its two controls."""

import torch
from torch import Tensor, nn


@torch.enable_grad()  # the input gradient is part of the value, wanted under no_grad too
def alignment_penalty(
    model: nn.Module, x: Tensor, y: Tensor, *, lambda_a: float, term: str = "outlook"
) -> Tensor:
    """CE + lambda_a * mean_i term_i, g_i the input gradient of the logit of the predicted class.

    term="outlook": ||x||^2 ||g||^2 - <x, g>^2, the paper's (>= 0 by Cauchy-Schwarz, 0 where g is along x).
    Two controls separate alignment from the Lipschitz penalty in its first summand: "norm" is that summand
    alone, ||x||^2 ||g||^2; "angle" is the outlook's term over it, sin^2 of the angle between x and g.
    x: (B, ...) in [0, 1]; y: (B,) int64. In the model's current mode.
    Raises ValueError on another term.
    """
    raise NotImplementedError
