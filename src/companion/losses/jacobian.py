"""Jacobian regularisation (IR eq. 13; Jakubovitz & Giryes 2018; Hoffman et al. 2019)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from companion.saliency.class_gradients import rows, unit_rows


def squared_jacobian_norm(
    logits: Tensor,
    x: Tensor,
    *,
    projections: int | None = None,
    factor_k: bool = True,
    create_graph: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""||J(x_i)||_F^2 of the K x D logit Jacobian, per sample (B,), exact or by random projections.

    projections=None: exact, K vector-Jacobian products. projections=n: Hoffman's estimator
    (K / n) * sum_mu ||v_mu^T J||^2 with v uniform on the unit sphere of R^K. Since E[v v^T] = I / K, the
    factor K makes it unbiased; IR eq. 14 prints it without (IR-E4), which is factor_k=False and K times
    too small. logits must have been computed from x with x.requires_grad.
    Raises ValueError on projections < 1.
    """
    batch, classes = logits.shape
    if projections is None:
        directions = unit_rows(logits)
        scale = 1.0
    elif projections >= 1:
        draw = {"generator": generator, "device": x.device, "dtype": x.dtype}
        directions = F.normalize(torch.randn(projections, batch, classes, **draw), dim=2)
        scale = (classes if factor_k else 1) / projections
    else:
        raise ValueError(f"projections={projections}; expected at least 1, or None for the exact Jacobian")
    total = torch.zeros(batch, device=x.device, dtype=x.dtype)
    for row in rows(logits, x, directions, create_graph=create_graph):
        total = total + row.flatten(1).square().sum(1)
    return scale * total


def _root(squared: Tensor) -> Tensor:
    """sqrt with slope 0 at 0, where autograd's would be infinite and turn a dead net's gradient into NaN."""
    return squared.clamp_min(torch.finfo(squared.dtype).tiny).sqrt()


@torch.enable_grad()  # the input gradient is part of the value, wanted under no_grad too
def jacobian(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    lambda_j: float,
    penalty: str = "half_squared",
    projections: int | None = 1,
    factor_k: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    """CE + lambda_j * penalty(J), J the K x D Jacobian of the logits.

    x: (B, ...) in [0, 1].
    y: (B,) int64.
    lambda_j: weight of the penalty.
    penalty: "half_squared", 1/2 of the batch mean of ||J||_F^2 (Hoffman's library, the default of IR's
    code); "sample", the batch mean of ||J||_F (IR eq. 13); "batch", one un-squared norm over the whole batch
    (the other switch of IR's code, and Jakubovitz & Giryes' script). They differ in power, factor and
    batch scaling, so lambda_j does not carry over; the paper does not say which gave its 0.32.
    projections: n random projections a step (IR and Hoffman: 1), or None for the exact Jacobian.
    factor_k: keep the factor K that eq. 14 lacks (IR-E4).
    generator: of the projections.
    Deviation: the exact Jacobian uses one forward pass, so all its rows see one dropout mask; the official
    switch repeats the batch K times and gives every row another mask.
    Raises ValueError on another penalty or projections < 1.
    """
    x = x.detach().requires_grad_()
    logits = model(x)
    squared = squared_jacobian_norm(
        logits, x, projections=projections, factor_k=factor_k, create_graph=True, generator=generator
    )
    if penalty == "half_squared":
        value = squared.mean() / 2
    elif penalty == "sample":
        value = _root(squared).mean()
    elif penalty == "batch":
        value = _root(squared.sum())
    else:
        raise ValueError(f'penalty={penalty!r}; expected "half_squared", "sample" or "batch"')
    return F.cross_entropy(logits, y) + lambda_j * value
