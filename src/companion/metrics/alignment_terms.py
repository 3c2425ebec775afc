"""Alignment, linearised robustness and every term of the bounds between them (ET, Etmann et al. 2019)."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TypeVar

import torch
from torch import Tensor, nn

from companion import guards
from companion.metrics.homogeneous import bias_part, check_class, homogeneous_decomposition
from companion.metrics.scores import check_scores

Part = TypeVar("Part")


@dataclass(frozen=True)
class AlignmentTerms:
    """What ET's theorems 2 and 3 are made of, one entry per sample; made by `alignment_terms`.

    Scalars are (B,) and, but for psi_plus, linear_plus and beta_plus (logits), l2 distances in pixels of
    [0, 1]. Maps are shaped like x. The theorems need g_plus != 0; where no class has another gradient than
    the predicted one, rho_tilde, shift and the turns at xi are inf, and xi is x.
    """

    predicted: Tensor  #: i*, the predicted class (B,)
    rival: Tensor  #: j*, the nearest other class by linearisation (B,)
    same_prediction: Tensor  #: F(xi) = F(x), bool (B,)
    g: Tensor  #: gradient of z_i* at x, a map
    g_mean: Tensor  #: gradient of the mean of all logits at x, a map
    g_plus: Tensor  #: gradient of z_i* - z_j* at x, a map
    gamma: Tensor  #: gradient of z_i* at xi, a map
    xi: Tensor  #: x + beta_plus * g_plus / ||g_plus||^2, an image that may leave [0, 1]
    psi_plus: Tensor  #: z_i* - z_j*, the binarised score (B,)
    linear_plus: Tensor  #: <x, g_plus>, its linear part (B,)
    beta_plus: Tensor  #: its locally constant part, from the biases (B,)
    alpha: Tensor  #: |<x, g>| / ||g||, eq. 7 (B,)
    alpha_plus: Tensor  #: |<x, g_plus>| / ||g_plus||, eq. 11 (B,)
    alpha_xi: Tensor  #: |<xi, gamma>| / ||gamma||, eq. 16 (B,)
    rho_tilde: Tensor  #: linearised robustness, eq. 9 (B,)
    shift: Tensor  #: |beta_plus| / ||g_plus|| (B,)
    turn: Tensor  #: ||x|| * ||unit(g_plus) - unit(g)||, eq. 15 (B,)
    turn_xi_printed: Tensor  #: ||xi|| * ||unit(g_plus) - unit(g)||, eq. 16 as printed (B,)
    turn_xi: Tensor  #: ||xi|| * ||unit(g_plus) - unit(gamma)||, eq. 16 corrected (ET-E1) (B,)

    @property
    def bound_2a(self) -> Tensor:
        """alpha_plus + shift, eq. 14 and 18."""
        return self.alpha_plus + self.shift

    @property
    def bound_2b(self) -> Tensor:
        """alpha + turn + shift, eq. 15 and 19."""
        return self.alpha + self.turn + self.shift

    @property
    def bound_3_printed(self) -> Tensor:
        """alpha_xi + turn_xi_printed, eq. 16 and 20 as printed: not a bound (ET-E1)."""
        return self.alpha_xi + self.turn_xi_printed

    @property
    def bound_3(self) -> Tensor:
        """alpha_xi + turn_xi, eq. 16 and 20 with the unit vector of gamma (ET-E1)."""
        return self.alpha_xi + self.turn_xi


def alignment(model: nn.Module, x: Tensor, *, chunk: int = 500) -> Tensor:
    """alpha(x) = |<x, grad z_i*>| / ||grad z_i*|| for the predicted class i*: (B,), in [0, ||x||].

    Source: ET eq. 7. Not a cosine: it scales with ||x||. 0 where the gradient is zero.
    x: (B, ...) in [0, 1]. chunk: samples at once; bounds the memory and changes nothing else. Eval mode.
    Raises ValueError on a wrong range, dtype or device, probabilities instead of logits, a single class, NaN.
    """

    def of_part(part: Tensor) -> Tensor:
        point, logits = _scores(model, part)
        return _along(part.flatten(1), _gradient(logits.max(1).values, point))

    return torch.cat(_in_parts(model, x, chunk, of_part))


def binarised_alignment(model: nn.Module, x: Tensor, *, chunk: int = 500) -> Tensor:
    """alpha+(x) = |<x, g+>| / ||g+||, g+ the gradient of z_i* - z_j*, j* the nearest class of eq. 9: (B,).

    Source: ET eq. 11. One forward and K - 1 backward passes. Ranges and errors as in `alignment`.
    """

    def of_part(part: Tensor) -> Tensor:
        _, g_plus, _ = _nearest(*_scores(model, part))
        return _along(part.flatten(1), g_plus)

    return torch.cat(_in_parts(model, x, chunk, of_part))


def linearised_robustness(model: nn.Module, x: Tensor, *, chunk: int = 500) -> Tensor:
    """rho~(x) = min over j != i* of (z_i* - z_j) / ||grad z_i* - grad z_j||: (B,), an l2 distance in pixels.

    Source: ET eq. 9; the distance to the decision boundary where the net is affine that far (lemma 1).
    inf where no other class has another gradient. One forward and K - 1 backward passes.
    Errors as in `alignment`.
    """

    def of_part(part: Tensor) -> Tensor:
        return _nearest(*_scores(model, part))[2]

    return torch.cat(_in_parts(model, x, chunk, of_part))


def alignment_terms(
    model: nn.Module,
    x: Tensor,
    *,
    origin: float | Tensor = 0.0,
    common: float = 0.0,
    centred: bool = False,
    chunk: int = 500,
) -> AlignmentTerms:
    """Every term of ET's theorems 2 and 3 at x, per sample; theorem 3 as printed and as corrected.

    Source: ET eq. 7, 9, 11, 14 to 16. The net must be of theorem 1's class, for beta_plus.
    Three settings (ours) that leave every decision, rho and rho_tilde as they are, and the bounds valid:
    origin: the pixel value that counts as zero, or an image (C, H, W) of them, broadcast: x and xi are
    measured from it, and beta_plus takes up the rest.
    common: c, where c ||x - origin||^2 / 2 is added to every logit, so that g and gamma change, g_plus not.
    centred: subtract the mean of all logits from each, which takes such a common function out again.
    x: (B, ...) in [0, 1], in the model's float dtype. Eval mode. The result keeps five maps for each image.
    Raises ValueError as `alignment` and `homogeneous_decomposition` do.
    """
    guards.check_images(x, model=model)
    check_class(model)
    parts = _in_parts(model, x, chunk, lambda part: _terms(model, part, origin, common, centred))
    homogeneous_decomposition(model, x, chunk=chunk)  # refuses a net with any other logit, a rival's too
    columns = {f.name: torch.cat([getattr(part, f.name) for part in parts]) for f in fields(AlignmentTerms)}
    return AlignmentTerms(**columns)


def _terms(
    model: nn.Module, images: Tensor, origin: float | Tensor, common: float, centred: bool
) -> AlignmentTerms:
    zero = torch.as_tensor(origin, dtype=images.dtype, device=images.device).expand(images.shape[1:])
    x = (images - zero).flatten(1)
    point, logits = _scores(model, images)
    score, predicted = logits.max(1)
    g_mean = _gradient(logits.mean(1), point) + common * x
    g = _gradient(score, point) + common * x - centred * g_mean
    rival, g_plus, rho_tilde = _nearest(point, logits)
    slope = g_plus.norm(dim=1)

    bias = bias_part(model, images)[1]
    beta_plus = _pick(bias, predicted) - _pick(bias, rival) + g_plus @ zero.flatten()

    xi = x + _over(beta_plus, slope)[:, None] * _unit(g_plus)
    point_xi, logits_xi = _scores(model, xi.view_as(images) + zero)
    of_xi = _pick(logits_xi, predicted) - centred * logits_xi.mean(1)
    gamma = _gradient(of_xi, point_xi) + (not centred) * common * xi

    turn = (_unit(g_plus) - _unit(g)).norm(dim=1)
    turn_xi = (_unit(g_plus) - _unit(gamma)).norm(dim=1)
    norm_xi = xi.norm(dim=1)
    return AlignmentTerms(
        predicted=predicted,
        rival=rival,
        same_prediction=logits_xi.argmax(1) == predicted,
        g=g.view_as(images),
        g_mean=g_mean.view_as(images),
        g_plus=g_plus.view_as(images),
        gamma=gamma.view_as(images),
        xi=xi.view_as(images) + zero,
        psi_plus=(score - _pick(logits, rival)).detach(),
        linear_plus=_inner(x, g_plus),
        beta_plus=beta_plus,
        alpha=_along(x, g),
        alpha_plus=_along(x, g_plus),
        alpha_xi=_along(xi, gamma),
        rho_tilde=rho_tilde,
        shift=_over(beta_plus.abs(), slope, torch.inf),
        turn=x.norm(dim=1) * turn,
        turn_xi_printed=(norm_xi * turn).where(slope > 0, torch.inf),
        turn_xi=(norm_xi * turn_xi).where(slope > 0, torch.inf),
    )


def _nearest(point: Tensor, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The minimiser j* of eq. 9, its g+ (B, D), and the minimum rho~."""
    score, predicted = logits.max(1)
    rival = (predicted + 1) % logits.shape[1]
    rho_tilde = torch.full_like(score, torch.inf)
    g_plus = torch.zeros_like(point).flatten(1)
    for step in range(1, logits.shape[1]):  # one difference at a time: no K x D Jacobian has to fit in memory
        other = (predicted + step) % logits.shape[1]
        lead = score - _pick(logits, other)
        slope = _gradient(lead, point)
        distance = _over(lead.detach(), slope.norm(dim=1), torch.inf)
        closer = distance < rho_tilde
        rival[closer], g_plus[closer], rho_tilde[closer] = other[closer], slope[closer], distance[closer]
    return rival, g_plus, rho_tilde


def _in_parts(model: nn.Module, x: Tensor, chunk: int, of_part: Callable[[Tensor], Part]) -> list[Part]:
    """of_part of every `chunk` samples, with the model frozen in eval mode."""
    guards.check_images(x, model=model)
    guards.check_autograd()
    if chunk < 1:
        raise ValueError(f"chunk={chunk}; expected at least 1 sample")
    with guards.frozen(model), torch.enable_grad():
        return [of_part(part) for part in x.detach().split(chunk)]


def _scores(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """x as a leaf to differentiate at, and its checked logits."""
    point = x.detach().requires_grad_()
    logits = model(point)
    check_scores(logits)
    return point, logits


def _gradient(scores: Tensor, point: Tensor) -> Tensor:
    """d scores_i / d point_i, flattened to (B, D); the graph is kept."""
    return guards.gradient(scores, point, retain_graph=True).flatten(1)


def _pick(scores: Tensor, classes: Tensor) -> Tensor:
    return scores.gather(1, classes[:, None]).squeeze(1)


def _inner(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(1)


def _over(a: Tensor, norm: Tensor, at_zero: float = 0.0) -> Tensor:
    """a / norm, and at_zero where the norm is 0."""
    return (a / norm).where(norm > 0, at_zero)


def _unit(v: Tensor) -> Tensor:
    """v / ||v||, row by row; a row of zeros stays."""
    return _over(v, v.norm(dim=1, keepdim=True))


def _along(x: Tensor, gradient: Tensor) -> Tensor:
    """|<x, unit(gradient)>|."""
    return _inner(x, _unit(gradient)).abs()
