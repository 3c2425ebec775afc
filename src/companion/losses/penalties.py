"""Penalties on a net's weights and on its input gradients, each alone or both together (BP section III-B)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NORMS = ("l1", "l2", "linf")


@torch.enable_grad()  # the input gradient is part of the value, wanted under no_grad too
def penalised(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    weight_norm: str | None = None,
    lambda_w: float = 0.0,
    weight_squared: bool = False,
    biases: bool = True,
    gradient_norm: str | None = None,
    lambda_g: float = 0.0,
    gradient_squared: bool = False,
    of: str = "cross_entropy",
    weights: Tensor | None = None,
) -> Tensor:
    """CE + lambda_w * ||weights|| + lambda_g * mean_i ||g_i||, g_i the input gradient of sample i.

    Source: BP section III-B, which names the three norms and nothing else: whether they are squared, whether
    biases count, and of what the gradient is are settings here, and lambda is the reader's (facts 5.3).
    x: (B, ...) in [0, 1].
    y: (B,) int64.
    weight_norm: as in `weight_penalty`; None for no such penalty.
    lambda_w: its weight.
    weight_squared, biases: as in `weight_penalty`.
    gradient_norm: as in `input_gradient_penalty`; None for no such penalty.
    lambda_g: its weight.
    gradient_squared, of: as in `input_gradient_penalty`.
    weights: (B,), what each sample counts in the means, summing to 1, for the distinct points of a set; None:
    1 / B each.
    In the model's current mode.
    Raises ValueError on an unknown norm or output, a lambda that is negative or not finite, one without its
    norm, and weights that do not go with x.
    """
    check_settings(weight_norm, lambda_w, gradient_norm, lambda_g, of)
    if weights is not None and weights.shape != y.shape:
        raise ValueError(f"weights has shape {tuple(weights.shape)}; expected {tuple(y.shape)}, one a sample")

    def mean(values: Tensor) -> Tensor:
        return values.mean() if weights is None else (weights * values).sum()

    x = x.detach().requires_grad_(gradient_norm is not None)
    logits = model(x)
    loss = mean(F.cross_entropy(logits, y, reduction="none"))
    if weight_norm is not None:
        loss = loss + lambda_w * weight_penalty(
            model, norm=weight_norm, squared=weight_squared, biases=biases
        )
    if gradient_norm is not None:
        sizes = input_gradient_penalty(logits, x, y, norm=gradient_norm, squared=gradient_squared, of=of)
        loss = loss + lambda_g * mean(sizes)
    return loss


def weight_penalty(model: nn.Module, *, norm: str, squared: bool = False, biases: bool = True) -> Tensor:
    """The norm of all trainable parameters, as one vector. With "l2" squared: ordinary weight decay.

    biases=False leaves out parameters of one dimension: biases, and the factors of normalisation layers.
    """
    kept = [p for p in model.parameters() if p.requires_grad and (biases or p.ndim > 1)]
    return size(torch.cat([p.flatten() for p in kept]), norm, squared=squared)


def input_gradient_penalty(
    logits: Tensor, x: Tensor, y: Tensor, *, norm: str, squared: bool = False, of: str = "cross_entropy"
) -> Tensor:
    """The norm of each sample's input gradient, (B,), differentiable with respect to the parameters.

    of: "cross_entropy", the gradient of the sample's own loss, which has the factor 1 - p_y and so vanishes
    on a confident net whatever its weights; "logit", of the true class's logit, which does not.
    logits must have been computed from x with x.requires_grad.
    """
    if of == "logit":
        total = logits.gather(1, y[:, None]).sum()
    else:
        total = F.cross_entropy(logits, y, reduction="sum")
    gradient = torch.autograd.grad(total, x, create_graph=True)[0].flatten(1)
    return size(gradient, norm, squared=squared)


def size(values: Tensor, norm: str, *, squared: bool = False) -> Tensor:
    """The l1, l2 or linf norm over the last dimension, or its square. Slope 0 where all values are 0."""
    if norm not in NORMS:
        raise ValueError(f"norm={norm!r}; expected one of {', '.join(NORMS)}")
    if norm == "l2":
        total = values.square().sum(-1)
        return total if squared else total.clamp_min(torch.finfo(total.dtype).tiny).sqrt()
    found = values.abs().sum(-1) if norm == "l1" else values.abs().amax(-1)
    return found.square() if squared else found


def check_settings(
    weight_norm: str | None, lambda_w: float, gradient_norm: str | None, lambda_g: float, of: str
) -> None:
    """Raise ValueError, naming the setting and the fix, unless these describe a loss of `penalised`."""
    for name, norm, weight in (
        ("lambda_w", weight_norm, lambda_w),
        ("lambda_g", gradient_norm, lambda_g),
    ):
        which = {"lambda_w": "weight_norm", "lambda_g": "gradient_norm"}[name]
        if norm is not None and norm not in NORMS:
            raise ValueError(f"{which}={norm!r}; expected one of {', '.join(NORMS)}, or None")
        if not 0 <= weight < float("inf"):
            raise ValueError(f"{name}={weight}; expected a finite weight >= 0")
        if norm is None and weight:
            raise ValueError(f"{name}={weight} without a norm to weigh: give {which}, or leave both out")
    if of not in ("cross_entropy", "logit"):
        raise ValueError(f'of={of!r}; expected "cross_entropy" or "logit"')
