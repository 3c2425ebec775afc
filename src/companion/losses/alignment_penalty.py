"""The alignment penalty that ET's outlook proposes (Etmann et al. 2019, section 5), and its two controls.

ET warns that it also shrinks the gradient, and that only an experiment can separate the two effects. Three
families of nets over a grid of weights do: "outlook", "norm" (the shrinking alone) and "angle" (the turning
alone). Beside accuracy and distance, report cos(x, g), ||g||, ||g+|| and psi+ of metrics.alignment_terms.
rho~ = psi+ / ||g+|| says whether a gain came from a longer lead or a shorter gradient, and by theorem 1
rho~ = ||x|| cos(x, g+) + beta+ / ||g+||: what alignment gives, and what the constants give. Compare the
families at equal ||g|| or equal accuracy, not at equal weight.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@torch.enable_grad()  # the input gradient is part of the value, wanted under no_grad too
def alignment_penalty(
    model: nn.Module, x: Tensor, y: Tensor, *, lambda_a: float, term: str = "outlook", centred: bool = False
) -> Tensor:
    """CE + lambda_a * mean_i term_i, g_i the input gradient of the predicted class's logit.

    term="outlook": ||x||^2 ||g||^2 - <x, g>^2, the paper's: ||x||^2 times the squared length of the part of
    g orthogonal to x, so >= 0, and 0 where g lies along x (ET-C13). ET does not say which logit; this is that
    of eq. 7, whose alignment alpha the term is to raise.
    ET warns that the first summand is a Lipschitz penalty. Two controls take the term apart: "norm" is that
    summand alone, ||x||^2 ||g||^2; "angle" is the term over it, 1 - cos^2(x, g), which does not fall when
    g shrinks.
    centred: take g of the predicted logit minus the mean of all logits (ours). A function added to every
    logit changes no decision, distance or theorem, and yet moves the alignment of a raw logit; centred
    logits are the same for all such nets.
    x: (B, ...) in [0, 1]; y: (B,) int64. In the model's current mode. A gradient of zero has angle 1.
    Raises ValueError on another term.
    """
    if term not in ("outlook", "norm", "angle"):
        raise ValueError(f'term={term!r}; expected "outlook", "norm" or "angle"')
    point = x.detach().requires_grad_()
    logits = model(point)
    predicted = logits.max(1).values - logits.mean(1) if centred else logits.max(1).values
    g = torch.autograd.grad(predicted.sum(), point, create_graph=True)[0].flatten(1)
    x = x.flatten(1)
    norms = x.square().sum(1) * g.square().sum(1)
    if term == "norm":
        value = norms
    elif term == "outlook":
        value = norms - (x * g).sum(1).square()
    else:
        value = 1 - F.cosine_similarity(x, g).square()
    return F.cross_entropy(logits, y) + lambda_a * value.mean()
