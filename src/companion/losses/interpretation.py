"""Interpretation Regularization (IR, Noack et al. 2020, eq. 9)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@torch.enable_grad()  # the input gradient is part of the value, wanted under no_grad too
def interpretation(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    target: Tensor,
    *,
    lambda_d: float,
    lambda_m: float,
    reduction: str = "batch",
    of: str = "logit",
    centred: str = "none",
) -> Tensor:
    r"""CE - lambda_d * mean_i cos(J_c(x_i), I(x_i)) + lambda_m * ||J_c||.

    Source: IR eq. 9. J_c is the input gradient of the true-class logit; the cosine is signed and over
    all C*H*W entries; a target of zeros has cosine 0.
    x: (B, ...) in [0, 1].
    y: (B,) int64.
    target: the map I(x), shaped like x.
    lambda_d: weight of the direction.
    lambda_m: weight of the magnitude.
    reduction: "batch" is the official code, one Frobenius norm over the stacked B x D gradients, which is
    sqrt(B) times the root mean square of the per-sample norms, so lambda_m goes with the batch size.
    "sample" is eq. 9 as written, the mean of the per-sample norms (IR-E14).
    of: "logit", or "probability", which the official CIFAR-10 code regularises (IR-E3).
    centred: (ours) where the gradient is that of the output minus the mean of all outputs: "none", the
    "norm", or "both" norm and cosine. A function added to every logit changes no decision, but a norm can
    hide in it, and a target can be met through it.
    Deviation from the code: without the constant lambda_d it adds.
    Raises ValueError on another reduction, output or centring, or a target of another shape.
    """
    if target.shape != x.shape:
        raise ValueError(
            f"target has shape {tuple(target.shape)}, x {tuple(x.shape)}: one map for each image"
        )
    if of not in ("logit", "probability"):
        raise ValueError(f'of={of!r}; expected "logit" or "probability"')
    if centred not in ("none", "norm", "both"):
        raise ValueError(f'centred={centred!r}; expected "none", "norm" or "both"')
    x = x.detach().requires_grad_()
    logits = model(x)
    outputs = logits if of == "logit" else logits.softmax(1)
    own = outputs.gather(1, y[:, None]).sum()
    gradient = torch.autograd.grad(own, x, create_graph=True)[0].flatten(1)
    shown = gradient
    if centred != "none":
        common = torch.autograd.grad(outputs.mean(1).sum(), x, create_graph=True)[0].flatten(1)
        gradient = gradient - common
        shown = gradient if centred == "both" else shown
    cosine = F.cosine_similarity(shown, target.flatten(1)).mean()
    if reduction == "batch":
        size = gradient.norm()
    elif reduction == "sample":
        size = gradient.norm(dim=1).mean()
    else:
        raise ValueError(f'reduction={reduction!r}; expected "batch" (the code) or "sample" (the text)')
    return F.cross_entropy(logits, y) - lambda_d * cosine + lambda_m * size
