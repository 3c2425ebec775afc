"""Measures of a net that several papers use under other names, on one gradient: the centred logit's (ours).

A function common to all logits changes no decision, but it moves the gradient of a single logit. So a net's
map is here the gradient of the true class's logit minus the mean of all logits, unless it says otherwise.
"""

import torch
from scipy.stats import rankdata
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from companion import attacks, saliency
from companion.attacks import margin
from companion.data import Images
from companion.metrics.own_image import against
from companion.metrics.projections import principal_projection


def centred_gradient(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Gradient of the logit of class y minus the mean logit: shaped like x. Errors as in class_gradients."""
    rows = saliency.class_gradients(net, x)[1]
    return rows[torch.arange(len(y), device=y.device), y] - rows.mean(1)


def jacobian_per_margin(net: nn.Module, images: Images, *, count: int) -> dict[str, float]:
    """||J||_F over the lead of the true class's logit, of the logits and of the centred logits.

    Source: IR figure 4 has norms alone; divided by the lead no constant on the logits moves them (ours). Of
    the first `count` test images, medians over those that are classified correctly; per unit of l2 distance.
    NaN where no image is. Errors as in saliency.class_gradients.
    """
    x, y = images.x_test[:count], images.y_test[:count]
    logits, rows = saliency.class_gradients(net, x)
    lead = -margin(logits, y)
    right, parts = lead > 0, {"raw": rows, "centred": rows - rows.mean(1, keepdim=True)}
    norms = {name: of.flatten(1).norm(dim=1)[right] / lead[right] for name, of in parts.items()}
    return {
        f"‖J‖/margin, {name}": of.median().item() if len(of) else float("nan") for name, of in norms.items()
    }


def signs_of_own_image(net: nn.Module, images: Images, *, count: int) -> dict[str, float]:
    """By how much a map's signs agree more with the own image than with images of other classes, in [-2, 2].

    Source: NM eq. 11 without its absolute value, and on the centred gradient (ours): cos(sign(x - mean),
    sign(map)). In VII signs that are opposite everywhere score as high as equal ones, so a map that opposes
    the images of other classes, as a robust net's does, scores low. mean: of the training images. Mean over
    the first `count` test images. Errors as in class_gradients.
    """
    x, y = images.x_test[:count], images.y_test[:count]
    vectors = (of.sign().flatten(1) for of in (centred_gradient(net, x, y), x - images.x_train.mean(0)))
    g, d = (of / of.norm(dim=1, keepdim=True).clamp(min=1) for of in vectors)
    cosines = against(g @ d.T, y)
    return {"signs, own − another": (cosines["own"] - cosines["another class"]).mean().item()}


def map_measures(
    net: nn.Module,
    images: Images,
    *,
    robust_net: nn.Module,
    count: int,
    sigma: float,
    samples: int,
    eps: float,
    steps: int,
    dimensions: int,
    seed: int,
) -> dict[str, float]:
    """What the papers ask of a net's maps, as means over the first `count` test images.

    "cosine with a robust net": of the net's map with that of `robust_net`, in [-1, 1] (IR figure 3).
    "|g| and pixel variance": Spearman's correlation of a map's magnitude with the variance of the pixels over
    the training images, in [-1, 1] (ours): a map that shows where pixels vary looks at no image.
    "SmoothGrad like plain": cosine of the SmoothGrad map with the gradient, both of the true class's logit.
    "attacks off the manifold": l2 distance of attacked images from the plane of the training images' first
    principal components (BR figure 1, with a plane in place of its generative model), pixels in [0, 1]. An
    attack that erases part of the digit ends nearer to the plane than the image was, so this is no
    measure of the attack's direction.
    "share of the attack off the manifold": the length of the part of the perturbation that is orthogonal to
    that plane, over its whole length, in [0, 1] (ours).
    sigma, samples: as in saliency.smoothgrad. eps, steps: of PGD in l2 on the margin. dimensions: as in
    metrics.principal_projection. seed: draws the noise and the starts. Errors as there.
    """
    x, y = images.x_test[:count], images.y_test[:count]
    generator = torch.Generator(x.device).manual_seed(seed)
    maps = centred_gradient(net, x, y)
    plain = saliency.input_gradient(net, x, y)
    smooth = saliency.smoothgrad(net, x, y, sigma=sigma, samples=samples, generator=generator)
    ball = {"norm": "l2", "eps": eps, "steps": steps, "generator": generator}
    attacked = attacks.pgd(net, x, y, **ball, loss="margin")
    both = principal_projection(torch.cat([attacked, x]), images.x_train, dimensions=dimensions)
    plane, clean_plane = both.chunk(2)
    moved = (attacked - x).flatten(1)
    off = moved - (plane - clean_plane).flatten(1)  # the projection is affine
    return {
        "cosine with a robust net": _mean_cosine(maps, centred_gradient(robust_net, x, y)),
        "|g| and pixel variance": variance_correlation(maps, images.x_train).mean().item(),
        "SmoothGrad like plain": _mean_cosine(smooth, plain),
        "attacks off the manifold": (attacked - plane).flatten(1).norm(dim=1).mean().item(),
        "share of the attack off the manifold": (off.norm(dim=1) / moved.norm(dim=1).clamp(min=1e-9))
        .mean()
        .item(),
    }


def variance_correlation(maps: Tensor, x_train: Tensor) -> Tensor:
    """Spearman's correlation of each |map| with the pixels' variance over x_train: (B,), 0 for flat maps.

    maps: (B, ...); x_train: (N, ...), N of 2 or more.
    """
    ranks = [rankdata(of.cpu(), axis=1) for of in (maps.abs().flatten(1), x_train.flatten(1).var(0)[None])]
    one, other = (torch.from_numpy(of - of.mean(1, keepdims=True)) for of in ranks)
    return cosine_similarity(one, other)


def _mean_cosine(one: Tensor, other: Tensor) -> float:
    return cosine_similarity(one.flatten(1), other.flatten(1)).mean().item()
