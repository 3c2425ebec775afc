"""Double backpropagation (Drucker & Le Cun 1992; ET, Etmann et al. 2019, eq. 17)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@torch.enable_grad()  # the input gradient is part of the value, wanted under no_grad too
def double_backprop(
    model: nn.Module, x: Tensor, y: Tensor, *, lambda_g: float, scaling: str = "sample"
) -> Tensor:
    """Mean over the batch of CE_i + lambda_g * ||grad_x CE_i||^2, CE against the true label.

    Source: ET eq. 17, which is scaling="sample". "released" is the released code: it differentiates the
    batch mean of CE, so each sample's gradient is divided by B before it is squared, and its penalty is
    1 / B^2 times that of eq. 17 (facts 4.3). ET's lambdas, 10 to 180,000 at B = 100, are code lambdas as far
    as one can tell: lambda_g = 0.001 to 18 under "sample".
    x: (B, ...) in [0, 1]; y: (B,) int64. In the model's current mode; ET's has dropout active.
    Raises ValueError on another scaling.
    """
    if scaling not in ("sample", "released"):
        raise ValueError(f'scaling={scaling!r}; expected "sample" (eq. 17) or "released" (1 / B^2 of it)')
    x = x.detach().requires_grad_()
    total = F.cross_entropy(model(x), y, reduction="sum")
    gradient = torch.autograd.grad(total, x, create_graph=True)[0].flatten(1)
    penalty = gradient.square().sum(1).mean()
    if scaling == "released":
        penalty = penalty / len(x) ** 2
    return total / len(x) + lambda_g * penalty
