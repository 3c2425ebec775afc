"""How large a net's gradients are, alone and beside its margin (IR figure 4)."""

import torch
from torch import Tensor, nn

from companion import guards
from companion.attacks import margin
from companion.data import Images
from companion.metrics.alignment import cosine_to_target
from companion.metrics.jacobian_norms import jacobian_norms
from companion.saliency import input_gradient, threshold


def gradient_norms(net: nn.Module, images: Images, *, count: int) -> dict[str, float]:
    """Mean norms over the first `count` training images, in logits per unit of l2 distance, and the margin.

    norm_true, norm_wrong: of the logit gradient of the true class, and the mean over the other classes.
    norm_frobenius: of the whole Jacobian. margin: median lead of the true class's logit over the next, of the
    images that are classified correctly. norm_per_margin: the norm of the gradient of that lead, divided by
    it,
    median over these images: its inverse is the distance to the boundary of the linearised net. Multiplying
    the logits by a constant changes all the others and leaves it as it is (ours; the paper compares norms
    alone). NaN where no image is classified correctly.
    """
    x, y = images.x_train[:count], images.y_train[:count]
    norms = jacobian_norms(net, x)
    true = norms.gather(1, y[:, None]).squeeze(1)
    lead = -margin(guards.logits_of(net, x), y)
    right = lead > 0
    slope = _lead_gradient(net, x[right], y[right]).flatten(1).norm(dim=1) if right.any() else lead[right]
    return {
        "norm_true": true.mean().item(),
        "norm_wrong": ((norms.sum(1) - true) / (norms.shape[1] - 1)).mean().item(),
        "norm_frobenius": norms.norm(dim=1).mean().item(),
        "margin": lead[right].median().item(),
        "norm_per_margin": (slope / lead[right]).median().item(),
    }


def _lead_gradient(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """d (z_y - max over the others) / d x."""
    logits = guards.logits_of(net, x)
    rival = logits.scatter(1, y[:, None], -torch.inf).argmax(1)
    return input_gradient(net, x, y) - input_gradient(net, x, rival)


def target_cosine(net: nn.Module, images: Images, *, maps: Tensor, phi: float) -> dict[str, float]:
    """Mean cosine of the true class's logit gradient with its target map, and the gradient's mean norm.

    Source: IR figure 3. maps: (N, C, H, W), of the first N training images, not yet thresholded; phi: as in
    saliency.threshold. Errors as in metrics.cosine_to_target.
    """
    x, y = images.x_train[: len(maps)], images.y_train[: len(maps)]
    cosine = cosine_to_target(net, x, y, threshold(maps, phi)).mean().item()
    norm = input_gradient(net, x, y).flatten(1).norm(dim=1).mean().item()
    return {"cosine with the target": cosine, "gradient norm": norm}
