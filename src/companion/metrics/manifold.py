"""How far images lie from the image manifold, as far as a generative model knows it (BR section 2.1)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn

from companion import guards
from companion.losses.vaegan import draw_latent
from companion.models.vaegan import VaeGan


def projection(
    model: VaeGan,
    x: Tensor,
    *,
    latent: str = "mean",
    steps: int = 200,
    lr: float = 0.05,
    batch_size: int = 1000,
    generator: torch.Generator | None = None,
) -> Tensor:
    """pi(x) = dec(z), the point of the model's manifold that represents x: shaped like x, in [0, 1].

    Source: BR section 2.1.
    model: has encode(x) -> (mean, log-variance) and decode(z), as VaeGan.
    x: (B, ...) in [0, 1].
    latent: z is the "mean" of the encoder's distribution, which makes pi a function;
    "sampled" from it, as BR's code does; or "optimised", footnote 2's argmin over z of ||x - dec(z)||_2, by
    `steps` steps of Adam at rate `lr` from the mean, with the best z of each image kept, so that it is never
    farther than the mean's.
    steps: of Adam.
    lr: its rate.
    batch_size: images in a pass.
    generator: of what is sampled.
    Raises ValueError on a wrong range, dtype, device or setting.
    """
    if latent not in ("mean", "sampled", "optimised"):
        raise ValueError(f'latent={latent!r}; expected "mean", "sampled" or "optimised"')
    if steps < 1 or not lr > 0:
        raise ValueError(f"steps={steps}, lr={lr}; expected at least one step and a rate above 0")
    guards.check_images(x, model=model)
    projected = []
    with guards.frozen(model):
        for part in x.split(batch_size):
            with torch.no_grad():
                mean, log_variance = model.encode(part)
            if latent == "sampled":
                z = draw_latent(mean, log_variance, generator=generator)
            else:
                z = mean if latent == "mean" else _nearest(model, part, mean, steps, lr)
            with torch.no_grad():
                projected.append(model.decode(z))
    return torch.cat(projected)


def _nearest(model: VaeGan, x: Tensor, start: Tensor, steps: int, lr: float) -> Tensor:
    z = start.clone().requires_grad_()
    best, least = start.clone(), torch.full((len(x),), torch.inf, dtype=x.dtype, device=x.device)
    optimiser = torch.optim.Adam([z], lr=lr)
    with torch.enable_grad():
        for step in range(steps + 1):
            squared = _distance(x, model.decode(z)).square()
            nearer = squared.detach() < least
            least = torch.where(nearer, squared.detach(), least)
            best[nearer] = z.detach()[nearer]
            if step < steps:
                optimiser.zero_grad()
                squared.sum().backward()
                optimiser.step()
    return best


def manifold_distance(model: VaeGan, x: Tensor, **settings: Any) -> Tensor:
    """d_pi(x) = ||x - pi(x)||_2, per sample (B,), in pixels of [0, 1]: half of BR's, which lie in [-1, 1].

    Source: BR section 2.1. settings, errors: those of `projection`.
    """
    return _distance(x, projection(model, x, **settings))


def _distance(x: Tensor, other: Tensor) -> Tensor:
    return (x - other).flatten(1).norm(dim=1)


def changed(judge: nn.Module, x: Tensor, adversarial: Tensor, *, batch_size: int = 1000) -> Tensor:
    """Where the judge predicts another class for the attacked image than for the image itself: bool (B,).

    Source: BR figure 1, which drops attacks that changed nothing; BR-E8: its text does not say whose
    prediction, its code asks the standard net about the attacks on every net. Raises ValueError on a wrong
    range, dtype or device.
    """
    for images in (x, adversarial):
        guards.check_images(images, model=judge)
    before, after = (guards.logits_of(judge, images, batch_size).argmax(1) for images in (x, adversarial))
    return before != after


def density(values: Sequence[float], at: Sequence[float], *, bandwidth: float = 0.25) -> np.ndarray:
    """Gaussian kernel density of `values`, at the places `at`. Source: BR figure 1, as its code draws it.

    bandwidth: the kernels' standard deviation in (unbiased) standard deviations of the values.
    """
    return stats.gaussian_kde(np.asarray(values, float), bw_method=bandwidth)(np.asarray(at, float))
