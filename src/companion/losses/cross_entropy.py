"""The standard loss."""

from torch import Tensor, nn
from torch.nn import functional as F


def cross_entropy(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Mean over the batch of -log p_y(x). Source: IR eq. 8, with the minus sign it lacks (IR-E1)."""
    return F.cross_entropy(model(x), y)
