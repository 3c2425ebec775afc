"""Many small nets trained at once, their parameters in one stack of tensors."""

import math
import time
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from companion import data, losses, transforms
from companion.tensors import one_thread
from companion.training.loop import (
    Diverged,
    Progress,
    build_model,
    call,
    check_last_update,
    diverged,
    optimiser_of,
    set_rate,
)
from companion.training.recipe import Recipe, part


def kind(recipe: Recipe) -> Recipe | None:
    """What recipes trained together have in common, all but seed, mask and noise; None for one trained alone.

    Together are perceptrons on cross-entropy, with or without noise modulation: their steps wait for their
    calls, not for arithmetic, so that 16 in one stack took a third of the time. Convolutions become grouped
    and gain less or lose; dropout draws from a random stream of each net, and attacks ask each net.
    """
    suits = (
        recipe.model.name == "mlp"
        and recipe.loss == part("cross_entropy")
        and recipe.optimiser.name in ("SGD", "Adam", "AdamW")  # each number on its own
        and (recipe.inputs is None or recipe.inputs.name == "noise_modulation")
        and (recipe.target, recipe.augment, recipe.select) == (None, False, "last")
    )
    return replace(recipe, seed=0, mask=None, inputs=None) if suits else None


def at_once(recipe: Recipe, images: data.Images) -> int:
    """How many nets of the recipe's kind are trained together, each on masked images of its own.

    32, or 400 MB of such images. One where a training takes over 5,000 steps, about a minute for 32: a stack
    keeps no checkpoint, a net alone does.
    """
    if recipe.epochs * math.ceil(len(images.x_train) / recipe.batch_size) > 5_000:
        return 1
    return max(1, min(32, 100_000_000 // images.x_train.numel()))


def train(
    recipes: Sequence[Recipe], images: Sequence[data.Images], *, progress: Progress | None = None
) -> list[tuple[nn.Module, list[dict[str, float]]] | Diverged]:
    """training.train of each recipe on its images, in one stack of parameters: the same steps up to rounding.

    What rounding grows to by the last epoch depends on the training; other nets in the stack may change it.
    recipes: of one `kind`. A net that diverges does not touch the others: its place holds the error.
    history: as there, the seconds those of the stack divided by its nets.
    Raises ValueError for recipes of several kinds.
    """
    first = recipes[0]
    if kind(first) is None or len({kind(recipe) for recipe in recipes}) > 1:
        raise ValueError(
            f"{first.describe()} and {len(recipes) - 1} more are not of one kind: train each alone"
        )
    with one_thread(images[0].x_train.device):
        return _train(recipes, images, progress)


def _train(
    recipes: Sequence[Recipe], images: Sequence[data.Images], progress: Progress | None
) -> list[tuple[nn.Module, list[dict[str, float]]] | Diverged]:
    first = recipes[0]
    x, y = [of.x_train for of in images], torch.stack([of.y_train for of in images])
    nets, orders = [], [torch.Generator().manual_seed(recipe.seed) for recipe in recipes]
    noise = [torch.Generator(y.device).manual_seed(recipe.seed + 1) for recipe in recipes]
    with torch.random.fork_rng(devices=[x[0].device] if x[0].device.type == "cuda" else []):
        for recipe, of in zip(recipes, images, strict=True):
            torch.manual_seed(recipe.seed)
            nets.append(build_model(recipe, of).to(x[0].device).train())
    stack, optimiser = _stacked(first, nets)
    base_lr = [group["lr"] for group in optimiser.param_groups]
    net_of, losses_of = torch.arange(len(nets), device=y.device)[:, None], []
    began = time.monotonic()
    for epoch in range(first.epochs):
        set_rate(optimiser, base_lr, first, epoch)
        total = torch.zeros(len(nets), device=y.device)
        order = torch.stack([torch.randperm(len(x[0]), generator=g) for g in orders]).to(y.device)
        for index in order.split(first.batch_size, dim=1):
            labels = y[net_of, index]
            batch = [of[i] for of, i in zip(x, index, strict=True)]
            batch = _transformed(recipes, nets, batch, labels, noise)
            total += _step(nets[0], stack, optimiser, batch, labels) * index.shape[1]
        losses_of.append((total / len(x[0])).tolist())
        if progress is not None:
            progress((epoch + 1) / first.epochs)
    seconds = (time.monotonic() - began) / first.epochs / len(nets)
    found: list[tuple[nn.Module, list[dict[str, float]]] | Diverged] = []
    for i, (recipe, net) in enumerate(zip(recipes, nets, strict=True)):
        net.load_state_dict({name: value[i] for name, value in stack.items()}, strict=False)
        history = [{"loss": each[i], "seconds": seconds} for each in losses_of]
        lost = [epoch for epoch, of in enumerate(history) if not math.isfinite(of["loss"])]
        try:
            if lost:
                raise diverged(recipe, history[lost[0]]["loss"], lost[0])
            check_last_update(recipe, net.eval(), x[i][: recipe.batch_size])
        except Diverged as error:
            found.append(error)
        else:
            found.append((net, history))
    return found


def _stacked(recipe: Recipe, nets: list[nn.Module]) -> tuple[dict[str, Tensor], torch.optim.Optimizer]:
    """The parameters of all nets, (S, ...) each, and their optimiser."""
    names = [name for name, _ in nets[0].named_parameters()]
    stack = {n: torch.stack([net.get_parameter(n).detach() for net in nets]).requires_grad_() for n in names}
    return stack, optimiser_of(recipe, stack.values())


def _transformed(
    recipes: Sequence[Recipe], nets: list[nn.Module], x: list[Tensor], y: Tensor, noise: list[torch.Generator]
) -> Tensor:
    """Each net's batch as its recipe transforms it, (S, B, ...)."""
    return torch.stack(
        [
            of if recipe.inputs is None else call(transforms, recipe.inputs, net, of, labels, generator=own)
            for recipe, net, of, labels, own in zip(recipes, nets, x, y, noise, strict=True)
        ]
    )


def _step(
    net: nn.Module, stack: dict[str, Tensor], optimiser: torch.optim.Optimizer, x: Tensor, y: Tensor
) -> Tensor:
    """One update of every net on a batch of its own, x (S, B, ...), y (S, B); the detached losses, (S,)."""

    def loss(parameters: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return losses.cross_entropy(lambda image: functional_call(net, parameters, (image,)), x, y)

    each = vmap(loss)(stack, x, y)
    optimiser.zero_grad(set_to_none=True)
    each.sum().backward(inputs=list(stack.values()))
    optimiser.step()
    return each.detach()


def time_step(recipes: Sequence[Recipe], images: data.Images) -> float:
    """As training.time_step, of a net among those of the recipes trained together: its part of the step."""
    first, count = recipes[0], len(recipes)
    x, y = images.x_train[: first.batch_size], images.y_train[: first.batch_size].expand(count, -1)
    with torch.random.fork_rng(devices=[x.device] if x.device.type == "cuda" else []):
        nets = [build_model(first, images).to(x.device).train()] * count
    stack, optimiser = _stacked(first, nets)
    noise, times = [torch.Generator(x.device)] * count, []
    for _ in range(2):
        began = time.monotonic()
        _step(nets[0], stack, optimiser, _transformed(recipes, nets, [x] * count, y, noise), y).sum().item()
        times.append(time.monotonic() - began)
    return min(times) / count
