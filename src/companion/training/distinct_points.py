"""Toy nets with one hidden layer, many at a time, trained on a set's distinct points.

x = y e_j of d blocks has 2d distinct points. A mean over the set is a weighted sum over these, and so is its
gradient: a step on the points, each with its fraction of the set, is the full-batch step up to rounding, at
the cost of 20 points instead of 10,000. Nets that differ in seed, drawn set and penalty weights only lie in
one stack of tensors. Their loss is `losses.penalised`; what is written by hand here is how such a net
computes its logits and its input gradients, and how those depend on the weights.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from companion import data, models
from companion.losses.penalties import check_settings, size
from companion.tensors import one_thread
from companion.training.recipe import Recipe, part


class Stack(NamedTuple):
    """S nets z = relu(v W + b) V^T + c on points v = 2x - 1.

    W (S, D, N), b (S, 1, N), V (S, 2, N), c (S, 1, 2).
    """

    w: Tensor
    b: Tensor
    v: Tensor
    c: Tensor


class Trained(NamedTuple):
    """A net in eval mode, its last training loss with penalties, and the sum of the steps it took."""

    net: nn.Module
    loss: float
    travel: float


class Points(NamedTuple):
    """The distinct points of S sets: v = 2x - 1 (P, D), labels -1 and 1 (P,), fractions of a set (S, P)."""

    v: Tensor
    sign: Tensor
    fractions: Tensor


def train(
    recipes: Sequence[Recipe],
    step_sizes: Sequence[float],
    *,
    device: str = "cpu",
    progress: Callable[[float], None] | None = None,
) -> list[Trained]:
    """The recipes' nets after one full-batch step of gradient descent for each of `step_sizes`.

    recipes: of one_hidden nets on one_hot_blocks without noise, with the loss "penalised", equal but for
    `seed`, the data's `split_seed` and the penalty weights. `inputs` is None, or "adversarial" in the linf
    norm with protocol="br_paper": no random start, so that equal points have equal attacks. The seed draws
    the weights that training.train begins with. Optimiser, schedule, epochs and batch size are not looked
    at: `step_sizes` takes their place, and there is no noise of mini-batches.
    Steps may grow beyond the first: a net whose loss has just risen by more than 2 % then takes half of its
    last step, but never less than the first one, and from there its steps grow by no more than 5 % each.
    Returns them in the order of the recipes. A net that diverged is returned as it is, with weights that are
    not finite. progress: called with the fraction done, now and then.
    Raises ValueError for recipes that cannot be stacked.
    """
    _check(recipes)
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
    points = points_of(images)
    stack = Stack(*(p.requires_grad_() for p in initial(recipes, images)))
    settings = first.loss.kwargs
    weights = {k: torch.tensor([r.loss.kwargs.get(k, 0.0) for r in recipes], device=device) for k in _LAMBDAS}
    travel = torch.zeros(len(recipes), device=device)
    limit, before = torch.full_like(travel, torch.inf), torch.full_like(travel, torch.inf)
    for step, wanted in enumerate(step_sizes):
        v = points.v if first.inputs is None else attacked(stack, points, **_attack(first))
        total = loss(stack, points._replace(v=v), **settings | weights)
        gradients = torch.autograd.grad(total.sum(), stack)
        with torch.no_grad():
            eta = limit.clamp_max(wanted)
            travel += eta
            for parameter, gradient in zip(stack, gradients, strict=True):
                parameter.sub_(gradient.mul_(eta[:, None, None]))
            limit = torch.where(total > 1.02 * before, (eta / 2).clamp_min(step_sizes[0]), 1.05 * limit)
            before = total
        if progress is not None and step % 50 == 0:
            progress((step + 1) / len(step_sizes))
    return [
        Trained(_net(r, of, Stack(*(p[i] for p in stack))), before[i].item(), travel[i].item())
        for i, (r, of) in enumerate(zip(recipes, images, strict=True))
    ]


def step_sizes(
    travel: float, *, first: float, steady: int, growth: float, largest: float, last: float
) -> list[float]:
    """Steps that sum to `travel`: `steady` of them of size `first`, then growing, and falling at the end.

    Gradient descent that is stable follows gradient flow, and the sum of its steps is how far. Steps of the
    size `first` until the loss has fallen, then each `growth` times the one before, up to `largest`; the last
    ones fall in a geometric row to `last` and make a tenth of the way, so that penalties with a kink settle.
    Raises ValueError where the steady steps alone go too far.
    """
    if steady * first > 0.9 * travel:
        raise ValueError(f"{steady} steps of {first} go farther than travel={travel}: take fewer, or go on")
    found, eta = [first] * steady, first
    while sum(found) < 0.9 * travel:
        eta = min(largest, eta * growth)
        found.append(eta)
    left = travel - sum(found)
    ratio = left / (left + eta)  # eta (ratio + ratio^2 + ...) = left
    while eta > last:
        eta *= ratio
        found.append(eta)
    return found


def loss(
    stack: Stack,
    points: Points,
    *,
    weight_norm: str | None = None,
    lambda_w: Tensor | float = 0.0,
    weight_squared: bool = False,
    biases: bool = True,
    gradient_norm: str | None = None,
    lambda_g: Tensor | float = 0.0,
    gradient_squared: bool = False,
    of: str = "cross_entropy",
) -> Tensor:
    """losses.penalised of every net on its own points, (S,); settings as there, lambdas one for each net."""
    logits, hidden = _Logits.apply(*stack, _each(points.v, stack))
    margin = (logits[..., 1] - logits[..., 0]) * points.sign
    total = (points.fractions * F.softplus(-margin)).sum(1)
    if weight_norm is not None:
        kept = stack if biases else (stack.w, stack.v)
        vector = torch.cat([p.flatten(1) for p in kept], 1)
        total = total + lambda_w * size(vector, weight_norm, squared=weight_squared)
    if gradient_norm is not None:
        is_true = torch.stack([points.sign < 0, points.sign > 0], 1).to(logits)
        if of == "logit":
            slope = is_true.expand_as(logits)
        else:  # softmax - one-hot, without the rounding of 1 - p
            slope = (-margin).sigmoid()[..., None] * (1 - 2 * is_true)
        gradient = 2 * _InputGradient.apply(stack.w, stack.v, slope, hidden)  # dv / dx = 2
        sizes = size(gradient, gradient_norm, squared=gradient_squared)
        total = total + lambda_g * (points.fractions * sizes).sum(1)
    return total


def attacked(stack: Stack, points: Points, *, eps: float, steps: int, step_size: float) -> Tensor:
    """Every net's linf attack on its points, (S, P, D): transforms.adversarial, all of them at once.

    eps, step_size: in pixel units, as there. From the point itself, signs of the loss gradient, the last
    iterate.
    """
    frozen = [p.detach() for p in stack]
    centre = _each(points.v, stack)
    low, high = (centre - 2 * eps).clamp_min(-1), (centre + 2 * eps).clamp_max(1)
    v = centre
    for _ in range(steps):
        v = v.detach().requires_grad_()
        logits, _ = _Logits.apply(*frozen, v)
        worse = F.softplus((logits[..., 0] - logits[..., 1]) * points.sign).sum()
        step = 2 * step_size * torch.autograd.grad(worse, v)[0].sign()
        v = torch.minimum(torch.maximum(v.detach() + step, low), high)
    return v


def points_of(images: Sequence[data.Images]) -> Points:
    """The distinct training points of several drawn sets, and their fractions in each.

    Raises ValueError where one set lacks a point that another has, or a point occurs with both labels.
    """
    found = [data.toys.distinct(of.x_train, of.y_train) for of in images]
    first = found[0]
    if any(not torch.equal(of.x, first.x) or not torch.equal(of.y, first.y) for of in found):
        raise ValueError("the sets do not have the same distinct points: draw more points, without noise")
    v = 2 * first.x.flatten(1) - 1
    return Points(v, 2 * first.y.to(v) - 1, torch.stack([of.weights for of in found]))


def initial(recipes: Sequence[Recipe], images: Sequence[data.Images]) -> Stack:
    """The recipes' initial weights: those that training.train begins with."""
    layers: list[tuple[Tensor, ...]] = []
    for recipe, of in zip(recipes, images, strict=True):
        with torch.random.fork_rng():
            torch.manual_seed(recipe.seed)
            net = models.one_hidden(of.channels, **recipe.model.kwargs)
        hidden, out = _layers(net)
        parameters = hidden.weight.T, hidden.bias[None], out.weight, out.bias[None]
        layers.append(tuple(p.detach().to(of.x_train).contiguous() for p in parameters))
    return Stack(*(torch.stack(p) for p in zip(*layers, strict=True)))


class _Logits(torch.autograd.Function):
    """z = relu(v W + b) V^T + c, and the hidden values relu(v W + b)."""

    @staticmethod
    def forward(ctx: Any, w: Tensor, b: Tensor, v: Tensor, c: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = (x @ w).add_(b).relu_()
        ctx.save_for_backward(w, v, x, hidden)
        ctx.mark_non_differentiable(hidden)
        return torch.baddbmm(c, hidden, v.mT), hidden

    @staticmethod
    def backward(ctx: Any, g: Tensor, _: Any) -> tuple[Tensor | None, ...]:
        w, v, x, hidden = ctx.saved_tensors
        back = (g @ v).mul_(hidden.sign())
        if ctx.needs_input_grad[4]:
            return None, None, None, None, _rows(back, w)
        return x.mT @ back, back.sum(1, keepdim=True), g.mT @ hidden, g.sum(1, keepdim=True), None


class _InputGradient(torch.autograd.Function):
    """((u V) * 1[hidden > 0]) W^T, the gradient with respect to v of sum_k u_k z_k at every point, (S, P, D).

    Differentiable in W, V and u; the pattern of active units is piecewise constant.
    """

    @staticmethod
    def forward(ctx: Any, w: Tensor, v: Tensor, u: Tensor, hidden: Tensor) -> Tensor:
        active = hidden.sign()
        through = (u @ v).mul_(active)
        ctx.save_for_backward(w, v, u, active, through)
        return _rows(through, w)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        w, v, u, active, through = ctx.saved_tensors
        back = (g @ w).mul_(active)
        return g.mT @ through, u.mT @ back, back @ v.mT, None


def _rows(a: Tensor, w: Tensor) -> Tensor:
    """a W^T for a (S, P, N) and W (S, D, N), in the order that takes half the time on a CPU."""
    return (w @ a.mT).mT


_LAMBDAS = ("lambda_w", "lambda_g")


def _check(recipes: Sequence[Recipe]) -> None:
    if not recipes:
        raise ValueError("no recipes to train; expected at least one")
    first = recipes[0]
    if (first.data.name, first.model.name, first.loss.name) != ("one_hot_blocks", "one_hidden", "penalised"):
        raise ValueError(
            f"{first.describe()}: only one_hidden nets on one_hot_blocks with the loss penalised stack"
        )
    if first.inputs is not None:
        attack = first.inputs.kwargs
        if (
            first.inputs.name != "adversarial"
            or attack.get("protocol") != "br_paper"
            or attack["norm"] != "linf"
        ):
            raise ValueError(
                f"{first.inputs}: expected adversarial inputs, norm linf, protocol br_paper (no random start)"
            )
    common = {_without(r) for r in recipes}
    if len(common) > 1:
        raise ValueError(
            f"{len(common)} kinds of recipes: they may differ in seed, split_seed and penalty weights only"
        )
    for r in recipes:
        k = r.loss.kwargs
        norms = k.get("weight_norm"), k.get("lambda_w", 0.0), k.get("gradient_norm"), k.get("lambda_g", 0.0)
        check_settings(*norms, k.get("of", "cross_entropy"))


def _without(recipe: Recipe) -> Recipe:
    """The recipe without what may differ within a stack."""
    loss_settings = {k: v for k, v in recipe.loss.kwargs.items() if k not in _LAMBDAS}
    data_settings = {k: v for k, v in recipe.data.kwargs.items() if k != "split_seed"}
    return replace(
        recipe,
        seed=0,
        loss=part(recipe.loss.name, **loss_settings),
        data=part(recipe.data.name, **data_settings),
    )


def _attack(recipe: Recipe) -> dict[str, Any]:
    return {k: recipe.inputs.kwargs[k] for k in ("eps", "steps", "step_size")}


def _each(v: Tensor, stack: Stack) -> Tensor:
    """Points (P, D) for every net, or each net's own (S, P, D)."""
    return v.expand(len(stack.w), *v.shape[-2:])


def _layers(net: nn.Module) -> list[nn.Linear]:
    return [layer for layer in net if isinstance(layer, nn.Linear)]


def _net(recipe: Recipe, images: data.Images, of: Stack) -> nn.Module:
    net = models.one_hidden(images.channels, **recipe.model.kwargs).to(images.x_train)
    hidden, out = _layers(net)
    with torch.no_grad():
        for parameter, value in zip(
            (hidden.weight, hidden.bias, out.weight, out.bias), (of.w.T, of.b[0], of.v, of.c[0]), strict=True
        ):
            parameter.copy_(value)
    return net.eval()
