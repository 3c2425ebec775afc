"""Double backpropagation (Drucker & Le Cun 1992; ET, Etmann et al. 2019, eq. 17)."""

import torch
from torch import Tensor, nn


@torch.enable_grad()  # the input gradient is part of the value, wanted under no_grad too
def double_backprop(
    model: nn.Module, x: Tensor, y: Tensor, *, lambda_g: float, scaling: str = "sample"
) -> Tensor:
    """Mean over the batch of CE_i + lambda_g * ||grad_x CE_i||^2, CE against the true label.

    Source: ET eq. 17, scaling="sample". scaling="released": the penalty of the released code, which
    differentiates the batch mean and so is 1/B^2 times that of eq. 17 (facts 4.3): its lambda of 10 to
    180,000 at B = 100 is lambda_g = 0.001 to 18 here.
    x: (B, ...) in [0, 1]; y: (B,) int64. In the model's current mode.
    Raises ValueError on another scaling.
    """
    raise NotImplementedError
