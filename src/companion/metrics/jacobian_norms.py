"""Norms of the rows of the logit Jacobian (IR figure 4)."""

import torch
from torch import Tensor, nn

from companion import guards, tensors
from companion.saliency import class_gradients


def jacobian_norms(model: nn.Module, x: Tensor, *, chunk: int | None = None) -> Tensor:
    """||dz_k / dx||_2 for every class k: (B, K), in logits per unit of l2 distance between pixels in [0, 1].

    Source: IR figure 4. ||J||_F is the norm of a row of the result. Eval mode, one forward and K backward
    passes for `chunk` samples at a time (default: tensors.batch_size).
    Raises ValueError on a wrong range, dtype or device.
    """
    guards.check_images(x, model=model)  # all of x, before the first chunk
    parts = x.split(tensors.batch_size(x) if chunk is None else chunk)
    return torch.cat([class_gradients(model, part, chunk=chunk)[1].flatten(2).norm(dim=2) for part in parts])
