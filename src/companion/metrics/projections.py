"""Projections onto the image manifold without a generative model, and steps that are no attacks (ours)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from companion.data import Images


def principal_projection(x: Tensor, x_train: Tensor, *, dimensions: int) -> Tensor:
    """The nearest point of the plane through the mean of x_train along its first principal components.

    x, x_train: (B, ...) and (N, ...) in [0, 1]; the result is shaped like x. dimensions: components, at most
    N and the entries of an image. Raises ValueError for another number.
    """
    return principal_projections(x, x_train, dimensions=[dimensions])[0]


def principal_projections(x: Tensor, x_train: Tensor, *, dimensions: Sequence[int]) -> list[Tensor]:
    """principal_projection for several numbers of components; shapes and errors as there."""
    flat = x_train.flatten(1).double()
    for count in dimensions:
        if not 1 <= count <= min(flat.shape):
            raise ValueError(f"dimensions={count}; expected 1 to {min(flat.shape)}")
    mean = flat.mean(0)
    axes, centred = _principal_axes(flat - mean), x.flatten(1).double() - mean
    planes = [axes[:, :count] for count in dimensions]
    return [(mean + centred @ of @ of.T).view_as(x).to(x.dtype) for of in planes]


def _principal_axes(centred: Tensor) -> Tensor:
    """The principal axes of centred points (N, D) as columns, that of the largest variance first."""
    if len(centred) < centred.shape[1]:  # a few colour images: N x D instead of D x D
        return torch.linalg.svd(centred, full_matrices=False).Vh.T
    return torch.linalg.eigh(centred.T @ centred).eigenvectors.flip(1)


def nearest_image(x: Tensor, x_train: Tensor, *, chunk: int = 500) -> Tensor:
    """Of each image of x the nearest image of x_train in l2: shaped like x. chunk: images at a time."""
    found = [torch.cdist(part.flatten(1), x_train.flatten(1)).argmin(1) for part in x.split(chunk)]
    return x_train[torch.cat(found)]


def random_step(
    x: Tensor, length: Tensor, *, scale: Tensor | None = None, generator: torch.Generator | None = None
) -> Tensor:
    """x moved in a random direction, clipped to [0, 1], by an l2 distance of `length` after clipping.

    length: (B,), such as that of an attack. scale: standard deviation of every entry of the direction before
    it is normalised, shaped like an image; None for the same everywhere.
    A step that the box does not allow ends as long as it can be.
    """
    direction = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    direction *= 1 if scale is None else scale
    direction /= direction.flatten(1).norm(dim=1).view(-1, *[1] * (x.dim() - 1))
    low, high = torch.zeros_like(length), torch.full_like(length, 1e3)
    for _ in range(50):  # the distance after clipping grows with the step
        middle = (low + high) / 2
        reached = _moved(x, direction, middle).sub(x).flatten(1).norm(dim=1)
        low, high = torch.where(reached < length, middle, low), torch.where(reached < length, high, middle)
    return _moved(x, direction, low)


def step_towards(
    x: Tensor, y: Tensor, images: Images, length: Tensor, *, generator: torch.Generator | None = None
) -> Tensor:
    """x moved by an l2 distance of `length` towards a random training image of another class than y; to that
    image where it is nearer. x, y: a batch and its classes; length: (B,).
    """
    other = (images.y_train != y[:, None]).float()
    drawn = torch.multinomial(other, 1, generator=generator).squeeze(1)
    way = images.x_train[drawn] - x
    share = (length / way.flatten(1).norm(dim=1)).clamp(max=1)
    return x + share.view(-1, *[1] * (x.dim() - 1)) * way


def _moved(x: Tensor, direction: Tensor, step: Tensor) -> Tensor:
    return (x + step.view(-1, *[1] * (x.dim() - 1)) * direction).clamp(0, 1)
