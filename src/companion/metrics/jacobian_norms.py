"""Norms of the rows of the logit Jacobian (IR figure 4)."""

import torch
from torch import Tensor, nn

from companion import guards


def jacobian_norms(model: nn.Module, x: Tensor, *, chunk: int = 500) -> Tensor:
    """||dz_k / dx||_2 for every class k: (B, K), in logits per unit of l2 distance between pixels in [0, 1].

    Source: IR figure 4. ||J||_F is the norm of a row of the result. Eval mode, one forward and K backward
    passes for `chunk` samples at a time. Raises ValueError on a wrong range, dtype or device.
    """
    guards.check_images(x, model=model)
    norms = []
    with guards.frozen(model), torch.enable_grad():
        for part in x.split(chunk):
            point = part.detach().requires_grad_()
            logits = model(point)
            rows = [
                torch.autograd.grad(logits[:, k].sum(), point, retain_graph=True)[0].flatten(1).norm(dim=1)
                for k in range(logits.shape[1])
            ]
            norms.append(torch.stack(rows, 1))
    return torch.cat(norms)
