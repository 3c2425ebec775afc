"""How well a net's gradient follows a map."""

from torch import Tensor, nn
from torch.nn import functional as F

from companion.saliency import input_gradient


def cosine_to_target(model: nn.Module, x: Tensor, y: Tensor, target: Tensor) -> Tensor:
    """cos(J_c(x), target), signed, per sample (B,), in [-1, 1]. Source: IR, figure 3.

    A target or a gradient of zeros has cosine 0. Shapes, units and errors as in saliency.input_gradient.
    """
    if target.shape != x.shape:
        raise ValueError(
            f"target has shape {tuple(target.shape)}, x {tuple(x.shape)}: one map for each image"
        )
    return F.cosine_similarity(input_gradient(model, x, y).flatten(1), target.flatten(1))
