"""Where a decision boundary lies and which way attacks go, for data of few dimensions (BR section 2.2)."""

import torch
from torch import Tensor, nn

from companion import guards


def mean_displacement(x: Tensor, adversarial: Tensor) -> Tensor:
    """The mean of adversarial - x over the samples: (D,). Source: the arrows of BR figure 3b. (B, ...)."""
    return (adversarial - x).flatten(1).mean(0)


def line_of_means(x: Tensor, y: Tensor) -> Tensor:
    """The mean of class 1 minus the mean of class 0: (D,). x: (B, ...); y: (B,) int64."""
    flat = x.flatten(1)
    return flat[y == 1].mean(0) - flat[y == 0].mean(0)


def angle(a: Tensor, b: Tensor) -> float:
    """The angle between two directions (D,), in degrees from 0 to 180; NaN for a direction of length 0."""
    a, b = a.double(), b.double()
    a, b = a / a.norm(), b / b.norm()
    # as exact for nearly parallel directions as for others, which the arc cosine is not
    return torch.rad2deg(2 * torch.atan2((a - b).norm(), (a + b).norm())).item()


def boundary_point(model: nn.Module, a: Tensor, b: Tensor) -> Tensor:
    """The point of the segment from a to b at which the net changes from a's class to b's, by bisection.

    a, b: one sample each, such as the means of two classes, (C, H, W) in [0, 1]. Where it changes several
    times, one of these points. Raises ValueError when the net puts a and b into one class.
    """
    guards.check_images(torch.stack([a, b]), model=model)
    with guards.frozen(model), torch.no_grad():
        own, other = guards.logits_of(model, torch.stack([a, b])).argmax(1).tolist()
        if own == other:
            raise ValueError(f"the net puts both points into class {own}: no boundary lies between them")
        near, far = 0.0, 1.0
        for _ in range(30):
            middle = (near + far) / 2
            logits = model(torch.lerp(a, b, middle)[None])[0]
            near, far = (middle, far) if logits[own] > logits[other] else (near, middle)
    return torch.lerp(a, b, (near + far) / 2)


def boundary_normal(model: nn.Module, a: Tensor, b: Tensor) -> Tensor:
    """The unit normal of the boundary at boundary_point(model, a, b), towards b's class: (D,).

    The gradient of the logit of b's class minus that of a's. Arguments and errors as in boundary_point.
    """
    guards.check_autograd()
    point = boundary_point(model, a, b)[None].requires_grad_()
    own, other = guards.logits_of(model, torch.stack([a, b])).argmax(1).tolist()
    with guards.frozen(model), torch.enable_grad():
        logits = model(point)[0]
        normal = torch.autograd.grad(logits[other] - logits[own], point)[0].flatten()
    return normal / normal.norm()


def mahalanobis(x: Tensor, points: Tensor) -> Tensor:
    """Distance of each sample from the Gaussian fitted to `points`, in its standard deviations: (B,).

    sqrt((x - m)^T S^-1 (x - m)) with the mean m and the unbiased covariance S of points (N, ...), N above the
    number of coordinates; in float64. x: (B, ...). Raises ValueError for points that lie in a hyperplane.
    """
    flat = points.flatten(1).double()
    covariance = flat.T.cov()
    factor, failed = torch.linalg.cholesky_ex(covariance)
    # The variance of a coordinate that is left when the earlier ones are known: rounding leaves some, too
    left, rounding = factor.diagonal().square(), 32 * flat.shape[1] * torch.finfo(points.dtype).eps
    if failed or (left <= rounding * covariance.diagonal()).any():
        raise ValueError(f"{len(points)} points lie in a hyperplane: their covariance has no inverse")
    centred = (x.flatten(1).double() - flat.mean(0)).T
    return torch.linalg.solve_triangular(factor, centred, upper=False).norm(dim=0)
