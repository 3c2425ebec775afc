"""What the minimal-distance attacks have in common: their result, what counts as success, how to run them."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from companion import guards
from companion.attacks.objectives import margin

#: A success leads by so many units in the last place of the largest logit: 0.0015 % of it in float32.
#: Round-off flips a smaller lead when the image is predicted in another batch or on another device.
CONFIDENCE = 128


@dataclass(frozen=True)
class Minimal:
    """The nearest adversarial image an attack found for each sample.

    adversarial: (B, ...) in [0, 1]; x itself where the attack failed or the net erred on x already.
    distance: (B,), l2 in pixels of [0, 1]; inf where it failed, 0 where the net erred on x already.
    """

    adversarial: Tensor
    distance: Tensor


def accuracy_curve(distance: Tensor, eps: Tensor) -> Tensor:
    """Robust accuracy at every radius from one minimal-distance run: the fraction with distance > eps.

    distance: (B,), l2, as in Minimal, with the true label as reference; eps: (E,) radii. Returns (E,), never
    rising in eps. With the net's own prediction as reference it is the fraction whose prediction stays.
    Raises ValueError on an empty or NaN distance, or a radius below 0.
    """
    if not len(distance) or distance.isnan().any():
        raise ValueError("distance is empty or holds NaN; expected one l2 distance for each sample")
    if not (eps >= 0).all():
        raise ValueError("eps holds a radius below 0 or NaN; expected radii >= 0, in pixels of [0, 1]")
    return (distance[None] > eps[:, None]).to(eps.dtype).mean(1)


def required(logits: Tensor) -> Tensor:
    """The margin a success has to exceed, per sample (B,)."""
    return CONFIDENCE * torch.finfo(logits.dtype).eps * logits.abs().amax(1)


def fooled(logits: Tensor, y: Tensor) -> Tensor:
    """Where another class than y leads by more than round-off: bool (B,)."""
    return margin(logits, y) > required(logits)


def log_odds(logits: Tensor, y: Tensor) -> Tensor:
    """log sum over k != y of exp(z_k), minus z_y, per sample (B,).

    Cross-entropy is softplus of it, so their normalised gradients are one; this one does not vanish in
    floating point where the net is sure of y.
    """
    others = logits.scatter(1, y[:, None], -torch.inf)
    return others.logsumexp(1) - logits.gather(1, y[:, None]).squeeze(1)


def gradient_of(model: nn.Module, x: Tensor, objective: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """The logits at x, and the gradient of objective(logits), (B,), with respect to each sample."""
    with torch.enable_grad():
        point = x.detach().requires_grad_()
        logits = model(point)
        gradient = guards.gradient(objective(logits), point)
    return logits.detach(), gradient


def distances(a: Tensor, b: Tensor) -> Tensor:
    """||a_i - b_i||_2, (B,)."""
    return (a - b).flatten(1).norm(dim=1)


def column(values: Tensor, like: Tensor) -> Tensor:
    """(B,) shaped to (B, 1, ..., 1), so that it broadcasts over images."""
    return values.view(-1, *[1] * (like.ndim - 1))


def keep_nearest(best: Minimal, index: Tensor, x: Tensor, candidate: Tensor, success: Tensor) -> None:
    """Write successful candidates into best[index] where they are nearer to x than what is there."""
    distance = distances(candidate, x)
    nearer = success & (distance < best.distance[index])
    best.adversarial[index[nearer]] = candidate[nearer]
    best.distance[index[nearer]] = distance[nearer]


def attack_each(
    attack: Callable[[Tensor, Tensor, Minimal], None], model: nn.Module, x: Tensor, y: Tensor, batch_size: int
) -> Minimal:
    """Run attack(x, y, best) on the samples of class y, `batch_size` at a time, with the model frozen.

    The attack writes into best, which begins as x and infinite distances.
    """
    guards.check_images(x, y, model)
    guards.check_autograd()
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}; expected at least 1 sample")
    x = x.detach()
    best = Minimal(x.clone(), torch.full_like(y, torch.inf, dtype=x.dtype))
    with guards.frozen(model), torch.no_grad():
        for index in torch.arange(len(x), device=x.device).split(batch_size):
            logits = model(x[index])
            guards.check_labels(y[index], logits)
            if not logits.isfinite().all():
                raise ValueError("the model returns NaN or infinite logits; expected finite ones")
            right = logits.argmax(1) == y[index]
            best.distance[index[~right]] = 0
            index = index[right]
            if len(index):
                part = Minimal(x[index], best.distance[index])
                attack(x[index], y[index], part)
                best.adversarial[index], best.distance[index] = part.adversarial, part.distance
    return best
