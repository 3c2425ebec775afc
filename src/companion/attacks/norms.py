"""The parts of projected gradient descent that depend on the norm: start, step, projection.

Everything acts on perturbations delta of shape (B, ...), in units of pixels in [0, 1].
"""

import torch
from torch import Tensor


def per_sample_norm(delta: Tensor) -> Tensor:
    """||delta_i||_2, shaped (B, 1, ..., 1) so that it broadcasts over the batch."""
    return delta.flatten(1).norm(dim=1).view(-1, *[1] * (delta.ndim - 1))


def steepest(gradient: Tensor, norm: str, grad_floor: float = 0.0) -> Tensor:
    """The unit-norm direction that increases the loss fastest: sign(g) for linf, g / ||g||_2 for l2.

    grad_floor: divide by max(||g||_2, grad_floor) instead. advertorch, and with it the IR paper's code,
    uses 1e-6, which shortens the step wherever the gradient is small (IR-E5). With 0 an l2 gradient of
    any representable size gives a full step, and a gradient of exactly zero gives no step.
    """
    if norm == "linf":
        return gradient.sign()
    if grad_floor:
        return gradient / per_sample_norm(gradient).clamp_min(grad_floor)
    # Dividing by the largest entry first keeps squares of entries below 1e-19 from underflowing.
    largest = gradient.abs().flatten(1).amax(1).view(-1, *[1] * (gradient.ndim - 1))
    scaled = gradient / largest.where(largest > 0, torch.ones_like(largest))
    size = per_sample_norm(scaled)
    return scaled / size.where(size > 0, torch.ones_like(size))


def project(delta: Tensor, norm: str, eps: float) -> Tensor:
    """The nearest point of the ball ||delta||_norm <= eps (IR eq. 12 for l2)."""
    if norm == "linf":
        return delta.clamp(-eps, eps)
    tiny = torch.finfo(delta.dtype).tiny  # keeps eps = 0 from dividing by zero
    return delta * (eps / per_sample_norm(delta).clamp_min(max(eps, tiny)))


def random_start(x: Tensor, norm: str, eps: float, start: str, generator: torch.Generator | None) -> Tensor:
    """A starting perturbation: "none", "ball" (uniform in the ball) or "image" (advertorch).

    "image": for l2, a uniform random image of [0, 1]^D minus x, pulled into the ball, hence on its
    sphere whenever the ball is small; for linf, uniform in the box, as "ball".
    """
    if start == "none":
        return torch.zeros_like(x)
    if start == "image" and norm == "l2":
        return project(_uniform(x, generator) - x, norm, eps)
    if start not in ("ball", "image"):
        raise ValueError(f'start={start!r}; expected "none", "ball" or "image"')
    if norm == "linf":
        return eps * (2 * _uniform(x, generator) - 1)
    # A normal direction and a radius r^(1/D) are uniform in the ball; a uniform radius is not.
    direction = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    radius = torch.rand(len(x), generator=generator, device=x.device, dtype=x.dtype) ** (1 / x[0].numel())
    return direction / per_sample_norm(direction) * eps * radius.view(-1, *[1] * (x.ndim - 1))


def given_start(start: Tensor, x: Tensor) -> Tensor:
    """Raise ValueError unless the start has an image for each of x."""
    if start.shape != x.shape:
        raise ValueError(
            f"start has shape {tuple(start.shape)}, x {tuple(x.shape)}: one start for each image"
        )
    if not start.isfinite().all():
        raise ValueError("start holds NaN or infinite pixels; expected images")
    return start


def _uniform(x: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.rand(x.shape, generator=generator, device=x.device, dtype=x.dtype)
