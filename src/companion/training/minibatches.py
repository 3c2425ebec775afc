"""Toy nets trained by mini-batches of a set that has few distinct points.

A batch of y e_j is its counts on the 2d distinct points, so a step costs 2d points however large the batch,
and the noise of mini-batches stays, which training.distinct_points leaves out. Nets that differ in seed,
drawn set and penalty weights only are trained in one stack, as there.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from companion import data
from companion.losses.penalties import size
from companion.tensors import one_thread
from companion.training import distinct_points
from companion.training.distinct_points import Points, Stack, Trained
from companion.training.recipe import Recipe


def train(
    recipes: Sequence[Recipe],
    step_sizes: Sequence[float],
    *,
    device: str = "cpu",
    progress: Callable[[float], None] | None = None,
) -> list[Trained]:
    """The recipes' nets after one step of SGD for each of `step_sizes`, each on a batch of its own.

    Source: SH's released toy, which BP follow: batches of 250 of 10,000 points, permuted in each epoch.
    recipes: as in distinct_points.train, with equal batch_size, which divides the number of points; the
    number itself is full-batch training. A net's seed draws its weights and its batches.
    Returns them in the order of the recipes; the loss is that of the whole set, with penalties, at the end. A
    net that diverged is returned with weights that are not finite. progress: called with the fraction done.
    Raises ValueError for recipes that cannot be stacked and batches that do not divide the set.
    """
    distinct_points._check(recipes)
    with one_thread(device):
        return _train(recipes, step_sizes, device, progress)


def _train(
    recipes: Sequence[Recipe],
    step_sizes: Sequence[float],
    device: str,
    progress: Callable[[float], None] | None,
) -> list[Trained]:
    first = recipes[0]
    images = [data.maker(r.data.name)(device=device, **r.data.kwargs) for r in recipes]
    points = distinct_points.points_of(images)
    stack = Stack(*(p.requires_grad_() for p in distinct_points.initial(recipes, images)))
    settings = first.loss.kwargs | {
        k: torch.tensor([r.loss.kwargs.get(k, 0.0) for r in recipes], device=device)
        for k in ("lambda_w", "lambda_g")
    }
    batches = zip(*(counts(points, r) for r in recipes), strict=True)
    for step, (eta, of_nets) in enumerate(zip(step_sizes, batches, strict=False)):
        v = points.v if first.inputs is None else attacked(stack, points, **distinct_points._attack(first))
        batch = Points(v, points.sign, torch.stack(of_nets).to(device))
        for parameter, gradient in zip(stack, gradients(stack, batch, **settings), strict=True):
            parameter.data.sub_(gradient, alpha=eta)
        if progress is not None and step % 500 == 0:
            progress((step + 1) / len(step_sizes))
    v = points.v if first.inputs is None else attacked(stack, points, **distinct_points._attack(first))
    losses = distinct_points.loss(stack, points._replace(v=v), **settings).tolist()
    return [
        Trained(distinct_points._net(r, of, Stack(*(p[i] for p in stack))), loss, sum(step_sizes))
        for i, (r, of, loss) in enumerate(zip(recipes, images, losses, strict=True))
    ]


def counts(points: Points, recipe: Recipe) -> Iterator[Tensor]:
    """Fractions (P,) of each distinct point in one batch after the other, epoch after epoch, without end.

    An epoch is a permutation of the recipe's drawn set, seeded by recipe.seed.
    Raises ValueError where batch_size does not divide the set.
    """
    images = data.maker(recipe.data.name)(**recipe.data.kwargs)
    n, size = len(images.x_train), recipe.batch_size
    if n % size:
        raise ValueError(f"batch_size={size} does not divide the {n} points; choose one that does")
    signed = (2 * images.x_train.flatten(1) - 1).to(points.v.device)
    which = (signed @ points.v.T).argmax(1).cpu()  # 1 at the point itself, 0 or -1 at others
    generator = torch.Generator().manual_seed(recipe.seed)
    while True:
        shown = which[torch.randperm(n, generator=generator)].view(-1, size)
        of_epoch = torch.zeros(len(shown), len(points.v))
        yield from of_epoch.scatter_add_(1, shown, torch.full(shown.shape, 1 / size))


def gradients(stack: Stack, points: Points, **settings) -> tuple[Tensor, ...]:
    """The gradient of distinct_points.loss with respect to W, b, V, c; settings as there.

    Without a penalty on input gradients by hand, in a third of the time that automatic differentiation takes.
    """
    if settings.get("gradient_norm") is not None:
        return torch.autograd.grad(distinct_points.loss(stack, points, **settings).sum(), stack)
    w, b, v, c = (p.detach() for p in stack)
    hidden = (points.v @ w).add_(b).relu_()
    logits = torch.baddbmm(c, hidden, v.mT)
    margin = (logits[..., 1] - logits[..., 0]) * points.sign
    slope = points.fractions * points.sign * (-margin).sigmoid()
    of_logits = torch.stack([slope, -slope], -1)
    back = torch.ops.aten.threshold_backward(of_logits @ v, hidden, 0)
    found = points.v.mT @ back, back.sum(1, True), of_logits.mT @ hidden, of_logits.sum(1, True)
    if (norm := settings.get("weight_norm")) is None:
        return found
    parameters = Stack(w, b, v, c)
    kept = [True, settings.get("biases", True)] * 2
    weight = settings["lambda_w"][:, None, None]
    slopes = _norm_slopes([p for p, of in zip(parameters, kept, strict=True) if of], norm, settings)
    return tuple(
        of + weight * next(slopes) if penalised else of for of, penalised in zip(found, kept, strict=True)
    )


def _norm_slopes(parameters: Sequence[Tensor], norm: str, settings: dict) -> Iterator[Tensor]:
    """The gradient of losses.penalties.size of all parameters as one vector, for each net."""
    squared = settings.get("weight_squared", False)
    if norm == "l2" and squared:
        return (2 * p for p in parameters)
    vector = torch.cat([p.flatten(1) for p in parameters], 1)
    length = size(vector, norm)[:, None, None]
    factor = 2 * length if squared else torch.ones_like(length)
    if norm == "l1":
        return (factor * p.sign() for p in parameters)
    if norm == "l2":
        return (p / length for p in parameters)
    return (factor * p.sign() * (p.abs() == length) for p in parameters)


@torch.no_grad()
def attacked(stack: Stack, points: Points, *, eps: float, steps: int, step_size: float) -> Tensor:
    """distinct_points.attacked, by hand: a loss gradient has the signs of its margin's, negated.

    Where a net is so sure that its loss gradient is 0 in single precision, this one moves the point all the
    same.
    """
    w, b, v, _ = stack
    centre = points.v.expand(len(w), *points.v.shape[-2:])
    low, high = (centre - 2 * eps).clamp_min(-1), (centre + 2 * eps).clamp_max(1)
    lead = v[:, 1:] - v[:, :1]
    moved = centre
    for _ in range(steps):
        rising = ((moved @ w).add_(b).gt_(0).mul_(lead) @ w.mT) * points.sign[:, None]
        moved = torch.minimum(torch.maximum(moved - 2 * step_size * rising.sign(), low), high)
    return moved
