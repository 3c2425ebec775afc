"""The algebra of IR's equations 2 to 4, footnote 2 and 14, executed on a net."""

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from companion.data import Images
from companion.losses import squared_jacobian_norm

DIRECTIONS = 600  # random directions an image for eq. 14


def jacobian_identities(net: nn.Module, images: Images, *, count: int = 32) -> list[dict[str, Any]]:
    """Both sides of each identity, for the logit Jacobian of `count` test images, in double precision.

    Source: IR eq. 2, 3, 4, 14, footnote 2; facts IR-E3, IR-E4, IR-E14. `value` should equal `expected`:
    exactly up to rounding, and for eq. 14 up to the noise of its random directions.
    """
    net = copy.deepcopy(net).cpu().double().eval()
    y, generator = images.y_test[:count].cpu(), torch.Generator().manual_seed(0)
    x = images.x_test[:count].cpu().double().requires_grad_()
    logits = net(x)
    p, classes = logits.softmax(1), logits.shape[1]
    jacobian, of_softmax = _rows(logits, x), _rows(p, x)
    delta = torch.randn(len(x), jacobian.shape[2], 1, generator=generator, dtype=x.dtype)
    s, v = torch.linalg.svd(jacobian, full_matrices=False)[1:]
    turned = (v @ delta).squeeze(2)
    change, bound = (jacobian @ delta).squeeze(2).norm(dim=1), (s * turned.abs()).sum(1)
    cosine = F.cosine_similarity(s, turned.abs())
    through = (torch.diag_embed(p) - p[:, :, None] * p[:, None]) @ jacobian
    true = jacobian[torch.arange(len(x)), y].norm(dim=1)
    exact, drawn, printed = (
        squared_jacobian_norm(logits, x, projections=n, factor_k=k, generator=generator).mean().item()
        for n, k in ((None, True), (DIRECTIONS, True), (DIRECTIONS, False))
    )
    low, high = _double_softmax(classes)
    sides = [
        ("eq. 2", "largest | ‖Jδ‖ − ‖s ⊙ Vᵀδ‖ |", _largest(change - (s * turned).norm(dim=1)), 0.0),
        ("eq. 3", "fraction of images with ‖Jδ‖ ≤ ⟨|s|, |Vᵀδ|⟩", _fraction(change <= bound + 1e-9), 1.0),
        (
            "eq. 4",
            "largest | ⟨|s|, |Vᵀδ|⟩ − ‖s‖ ‖Vᵀδ‖ cos |",
            _largest(bound - s.norm(dim=1) * turned.norm(dim=1) * cosine),
            0.0,
        ),
        (
            "below eq. 4",
            "largest | ‖s‖₂ − ‖J‖_F |",
            _largest(s.norm(dim=1) - jacobian.flatten(1).norm(dim=1)),
            0.0,
        ),
        ("footnote 2", "largest | ∂softmax/∂x − (diag p − p pᵀ) J |", _largest(of_softmax - through), 0.0),
        ("eq. 14, with K", "estimate of ‖J‖_F over its value", math.sqrt(drawn / exact), 1.0),
        (
            "eq. 14, printed (IR-E4)",
            "‖J‖_F over the printed estimate",
            math.sqrt(exact / printed),
            math.sqrt(classes),
        ),
        (
            "IR-E14",
            "norm over the batch / root mean square per image",
            (true.norm() / true.square().mean().sqrt()).item(),
            math.sqrt(len(x)),
        ),
        (
            "IR-E3, lowest",
            "smallest cross-entropy of a double softmax",
            low,
            math.log(math.e + classes - 1) - 1,
        ),
        ("IR-E3, highest", "largest cross-entropy of a double softmax", high, math.log(math.e + classes - 1)),
    ]
    return [{"identity": name, "compares": what, "value": a, "expected": b} for name, what, a, b in sides]


def _rows(outputs: Tensor, x: Tensor) -> Tensor:
    """The Jacobian of the outputs (B, K) in x, (B, K, D)."""
    rows = [torch.autograd.grad(z.sum(), x, retain_graph=True)[0].flatten(1) for z in outputs.unbind(1)]
    return torch.stack(rows, 1)


def _double_softmax(classes: int) -> tuple[float, float]:
    """The cross-entropy of a softmax of probabilities that are all on the true class, or on another."""
    sure = torch.eye(classes, dtype=torch.float64)[:1]
    return tuple(F.cross_entropy(sure, torch.tensor([label])).item() for label in (0, 1))


def _largest(difference: Tensor) -> float:
    return difference.abs().max().item()


def _fraction(flags: Tensor) -> float:
    return flags.double().mean().item()
