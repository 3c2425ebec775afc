"""How far a boundary between two classes of points is tilted, and what theory expects (BR section 2.2)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from companion import attacks, guards
from companion.data import Images
from companion.metrics.boundary import (
    angle,
    boundary_normal,
    line_of_means,
    mahalanobis,
    mean_displacement,
)


def attacked_points(net: nn.Module, points: Images, *, eps: float, steps: int, step_size: float) -> Tensor:
    """The attacked copies of the first class's test points, l2, by BR's protocol: (B, 2, 1, 1).

    Source: BR figure 3b; its code attacks this class, its caption names the other (BR-E4). Units and errors
    as in attacks.pgd.
    """
    own = points.y_test == 0
    settings = {"norm": "l2", "eps": eps, "steps": steps, "step_size": step_size}
    return attacks.pgd(net, points.x_test[own], points.y_test[own], **settings, protocol=attacks.BR_PAPER)


def tilt(net: nn.Module, points: Images, *, eps: float, steps: int, step_size: float) -> dict[str, float]:
    """The tilt of a net's boundary, in three ways, on a set of two classes.

    displacement_angle, displacement_cosine: between the mean displacement of attacked_points and the line of
    the training points' means, in degrees. signed_angle: the former, below 0 on the clockwise side of the
    line. normal_angle: between the boundary's normal and that line; NaN where no boundary lies between the
    means. mahalanobis: mean distance of the attacks to the other class. half_distance: of the means, which no
    linear classifier can withstand. eps, steps, step_size, errors: as in attacked_points.
    """
    moved = attacked_points(net, points, eps=eps, steps=steps, step_size=step_size)
    shift = mean_displacement(points.x_test[points.y_test == 0], moved)
    line = line_of_means(points.x_train, points.y_train)
    turned = angle(shift, line)
    other = points.x_train[points.y_train == 1]
    return {
        "displacement_angle": turned,
        "displacement_cosine": math.cos(math.radians(turned)),
        "signed_angle": math.copysign(turned, (line[0] * shift[1] - line[1] * shift[0]).item()),
        "normal_angle": normal_angle(net, points),
        "mahalanobis": mahalanobis(moved, other).mean().item(),
        "half_distance": line.norm().item() / 2,
    }


def normal_angle(net: nn.Module, points: Images) -> float:
    """Between the boundary's normal and the line of the training points' means, in degrees.

    NaN where the net puts both means into one class, so that no boundary lies between them.
    """
    means = [points.x_train[points.y_train == k].mean(0) for k in (0, 1)]
    with torch.no_grad():
        decided = guards.logits_of(net, torch.stack(means)).argmax(1).tolist()
    if decided[0] == decided[1]:
        return math.nan
    return angle(boundary_normal(net, *means), line_of_means(points.x_train, points.y_train))


def covariance_within(x: Tensor, y: Tensor) -> Tensor:
    """The mean of the two classes' covariances: (D, D), in float64. x: (B, ...); y: (B,) int64."""
    flat = x.flatten(1).double()
    return torch.stack([flat[y == k].T.cov() for k in (0, 1)]).mean(0)


def linear_z(line: Tensor, covariance: Tensor, degrees: Tensor, eps: float) -> Tensor:
    """z of linear classifiers whose error under l2 attacks of radius eps is Phi(-z): (N,), in float64.

    Ours: two Gaussians in the plane with one covariance; a classifier whose unit normal n is turned by so
    many degrees from the line m of the means, which it bisects: z = (<n, m> / 2 - eps) / sqrt(n^T S n).
    """
    line, covariance, turn = line.double().cpu(), covariance.double().cpu(), degrees.double().deg2rad()
    at = torch.atan2(line[1], line[0]) + turn
    n = torch.stack([at.cos(), at.sin()], 1)
    return (n @ line / 2 - eps) / ((n @ covariance) * n).sum(1).sqrt()


def best_tilt(line: Tensor, covariance: Tensor, eps: float) -> float:
    """The tilt in degrees of the linear classifier that errs least under attacks of radius eps (linear_z).

    Searched in steps of 0.01 degrees.
    """
    degrees = torch.arange(-9000, 9000, dtype=torch.float64) / 100
    return degrees[linear_z(line, covariance, degrees, eps).argmax()].abs().item()


def largest_tilt(line: Tensor, eps: float) -> float:
    """The tilt in degrees at which a linear classifier that bisects the means is no better than guessing
    under attacks of radius eps: the arc cosine of 2 eps / ||m||; 0 where the balls of the means meet."""
    return math.degrees(math.acos(min(1.0, 2 * eps / line.norm().item())))


def linear_theory(x: Tensor, y: Tensor, radii: Sequence[float]) -> list[dict[str, float]]:
    """What is expected of linear classifiers of the training points x, y at each radius: rows of eps, best
    (best_tilt) and cone (largest_tilt), in degrees."""
    line, covariance = line_of_means(x, y), covariance_within(x, y)
    return [
        {"eps": eps, "best": best_tilt(line, covariance, eps), "cone": largest_tilt(line, eps)}
        for eps in radii
    ]


def theory_gaps(x: Tensor, y: Tensor) -> dict[str, float]:
    """How far best_tilt is from its known ends, in degrees: the tilt of S^-1 m without an adversary, and 0 as
    the radius reaches half the distance of the means."""
    line, covariance = line_of_means(x, y), covariance_within(x, y)
    known = angle(torch.linalg.solve(covariance, line.double()), line)
    return {
        "ε = 0 and Σ⁻¹m": abs(best_tilt(line, covariance, 0.0) - known),
        "ε → ‖m‖/2 and m": best_tilt(line, covariance, 0.9999 * line.norm().item() / 2),
    }


def covariance_facts(entries: Sequence[Sequence[float]]) -> dict[str, float]:
    """Smallest and largest eigenvalue and the correlation of a 2 x 2 matrix; a covariance has none below 0
    and no correlation outside -1 to 1 (BR-E1)."""
    low, high = torch.linalg.eigvalsh(torch.tensor(entries, dtype=torch.float64)).tolist()
    correlation = entries[0][1] / math.sqrt(entries[0][0] * entries[1][1])
    return {"smallest eigenvalue": low, "largest eigenvalue": high, "correlation": correlation}
