"""One training loop for every recipe."""

import inspect
import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from companion import attacks, data, guards, losses, models, saliency, transforms
from companion.tensors import one_thread
from companion.training.checkpoint import resume, save_state
from companion.training.recipe import Part, Recipe

Progress = Callable[[float], None]

#: The learning rate of an epoch, as a share of the first, by the share of the training already done.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * done)),
    "constant": lambda done: 1.0,
    "step": lambda done: 0.1 ** ((done >= 0.4) + (done >= 0.8)),
}


class Diverged(FloatingPointError):
    """The training loss became NaN or infinite."""


def build_model(recipe: Recipe, images: data.Images) -> nn.Module:
    """A freshly initialised net of the recipe, for these images. Seeded by whoever calls."""
    shape = {"in_channels": images.channels, "size": images.size, "classes": images.n_classes}
    return getattr(models, recipe.model.name)(**(shape | recipe.model.kwargs))


def optimiser_of(recipe: Recipe, parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
    """The recipe's optimiser of these parameters, in torch's fused form where the class has one.

    It goes through memory once instead of once for every term of the update: a quarter of a step of BR's
    MNIST net with Adam, a tenth for the 8x8 net. The update is the same up to rounding.
    """
    of = getattr(torch.optim, recipe.optimiser.name)
    fused = {"fused": True} if "fused" in inspect.signature(of).parameters else {}
    return of(parameters, **fused | recipe.optimiser.kwargs)


def channels_last(model: nn.Module) -> nn.Module:
    """The same net with channels-last weights on a CPU, where its passes are 1.2 to 1.5 times as fast, in
    attacks and in training on cross-entropy; a second derivative gains nothing, and elsewhere nothing
    changes."""
    on_cpu = next(model.parameters()).device.type == "cpu"
    return model.to(memory_format=torch.channels_last) if on_cpu else model


def _laid_out(recipe: Recipe, model: nn.Module) -> nn.Module:
    """Channels-last where most of the work is first derivatives."""
    attacked = recipe.inputs is not None and recipe.inputs.name == "adversarial"
    return channels_last(model) if attacked or recipe.loss.name == "cross_entropy" else model


def train(
    recipe: Recipe,
    images: data.Images,
    *,
    target: Tensor | None = None,
    checkpoint: Path | None = None,
    checkpoint_every: float = 60.0,
    progress: Progress | None = None,
) -> tuple[nn.Module, list[dict[str, float]]]:
    """Train the recipe's net on images.x_train, on the device they lie on; returns the net and its history.

    target: (N, C, H, W), the maps of recipe.target for every training image, permuted but not thresholded.
    checkpoint: a file that keeps model, optimiser and random states at most every checkpoint_every seconds,
    so that a killed training goes on and ends with the weights an undisturbed one ends with; removed by
    the caller. progress: called with the share of the training done, after each epoch.
    history: per epoch, mean loss and seconds, and the clean test accuracy when recipe.select needs it.
    Raises Diverged when the loss is no longer finite. On a CPU one thread trains, so that sums
    round alike. Global random state is left as it was.
    """
    if (recipe.target is None) != (target is None):
        raise ValueError("recipe.target and target maps go together: give both or neither")
    x, y = images.x_train, images.y_train
    devices = [x.device] if x.device.type == "cuda" else []
    with one_thread(x.device), torch.random.fork_rng(devices=devices):
        torch.manual_seed(recipe.seed)
        model = _laid_out(recipe, build_model(recipe, images).to(x.device).train())
        _check_last_batch(recipe, model, x)
        optimiser = optimiser_of(recipe, model.parameters())
        streams = {  # one generator for the order, one on the device for attacks, projections and crops
            "order": torch.Generator().manual_seed(recipe.seed),
            "device": torch.Generator(x.device).manual_seed(recipe.seed + 1),
        }
        base_lr = [group["lr"] for group in optimiser.param_groups]
        history: list[dict[str, float]] = []
        best: dict[str, Tensor] = {}
        if checkpoint is not None and checkpoint.exists():
            history, best = resume(checkpoint, model, optimiser, streams)
        saved_at = time.monotonic()
        for epoch in range(len(history), recipe.epochs):
            began = time.monotonic()
            set_rate(optimiser, base_lr, recipe, epoch)
            total = torch.zeros((), device=x.device)
            order = torch.randperm(len(x), generator=streams["order"]).to(x.device)
            for index in order.split(recipe.batch_size):
                maps = None if target is None else target[index]
                total += _step(recipe, model, optimiser, x[index], y[index], maps, streams["device"]) * len(
                    index
                )
            mean_loss = total.item() / len(x)
            if not math.isfinite(mean_loss):
                raise diverged(recipe, mean_loss, epoch)
            history.append({"loss": mean_loss, "seconds": time.monotonic() - began})
            if recipe.select == "best_test":
                _keep_best(recipe, model, images, history, best)
            if progress is not None:
                progress((epoch + 1) / recipe.epochs)
            if checkpoint is not None and time.monotonic() - saved_at >= checkpoint_every:
                save_state(checkpoint, model, optimiser, streams, history, best)
                saved_at = time.monotonic()
        if best:
            model.load_state_dict(best)
        check_last_update(recipe, model.eval(), x[: recipe.batch_size])
    return model, history


def _check_last_batch(recipe: Recipe, model: nn.Module, x: Tensor) -> None:
    """Raise ValueError where an epoch ends with a single image and the net has no batch statistics of one."""
    if len(x) % recipe.batch_size != 1:
        return
    try:
        devices = [x.device] if x.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), guards.frozen(model, "train"), torch.no_grad():
            model(x[:1])
    except ValueError as error:
        raise ValueError(
            f"{len(x)} training images in batches of {recipe.batch_size} leave one for the last, which this "
            f"net's BatchNorm cannot take ({error}): choose another batch_size or n_train"
        ) from None


def set_rate(optimiser: torch.optim.Optimizer, base_lr: list[float], recipe: Recipe, epoch: int) -> None:
    """The learning rates of an epoch, by the recipe's schedule."""
    factor = SCHEDULES[recipe.schedule](epoch / recipe.epochs)
    for group, lr in zip(optimiser.param_groups, base_lr, strict=True):
        group["lr"] = lr * factor


def diverged(recipe: Recipe, loss: float, epoch: int) -> Diverged:
    """The error that says so."""
    return Diverged(
        f"the loss of {recipe.describe()} is {loss} in epoch {epoch + 1}: "
        "lower the learning rate or the penalty weights"
    )


@torch.no_grad()
def check_last_update(recipe: Recipe, model: nn.Module, x: Tensor) -> None:
    """Losses are computed before an update, so none has seen the last one."""
    if not model(x).isfinite().all():
        raise Diverged(
            f"{recipe.describe()} ends with logits that are NaN or infinite: lower the learning rate or the "
            "penalty weights"
        )


def time_step(recipe: Recipe, images: data.Images) -> float:
    """Seconds of one training step of the recipe on these images, the better of two; nothing is kept."""
    x, y = images.x_train[: recipe.batch_size], images.y_train[: recipe.batch_size]
    with torch.random.fork_rng(devices=[x.device] if x.device.type == "cuda" else []):
        model = _laid_out(recipe, build_model(recipe, images).to(x.device).train())
        optimiser = optimiser_of(recipe, model.parameters())
        generator = torch.Generator(x.device).manual_seed(0)
        target = None if recipe.target is None else torch.randn_like(x)
        times = []
        for _ in range(2):
            began = time.monotonic()
            _step(recipe, model, optimiser, x, y, target, generator).item()
            times.append(time.monotonic() - began)
    return min(times)


def _step(
    recipe: Recipe,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    x: Tensor,
    y: Tensor,
    target: Tensor | None,
    generator: torch.Generator,
) -> Tensor:
    """One update; returns the detached loss. No synchronisation with the host.

    A loss that yields several scalars, each for a part of the net's parameters, gets one update for each, the
    next scalar computed after it; the result is their sum.
    """
    if recipe.augment:
        if target is None:
            x = data.augment(x, generator=generator)
        else:
            x, target = data.augment(x, target, generator=generator)
    if recipe.inputs is not None:
        x = call(transforms, recipe.inputs, model, x, y, generator=generator)
    if recipe.target is not None and recipe.target.phi is not None:
        target = saliency.threshold(target, recipe.target.phi)
    tensors = (x, y) if target is None else (x, y, target)
    result = call(losses, recipe.loss, model, *tensors, generator=generator)
    total = torch.zeros((), device=x.device)
    # Named, so that losses of an input gradient are not differentiated with respect to the images too
    weights = [p for group in optimiser.param_groups for p in group["params"] if p.requires_grad]
    for loss in (result,) if isinstance(result, Tensor) else result:
        optimiser.zero_grad(set_to_none=True)  # parameters without a gradient are left as they are
        loss.backward(inputs=weights)
        optimiser.step()
        total += loss.detach()
    return total


def call(namespace: object, chosen: Part, *args: object, generator: torch.Generator) -> Any:
    """namespace.chosen(*args, **settings), with the generator if the function takes one."""
    function = getattr(namespace, chosen.name)
    takes_generator = "generator" in function.__annotations__
    return function(*args, **chosen.kwargs, **({"generator": generator} if takes_generator else {}))


def _keep_best(
    recipe: Recipe, model: nn.Module, images: data.Images, history: list[dict], best: dict[str, Tensor]
) -> None:
    """IR's choice of checkpoint: best clean test accuracy among the epochs of the second half."""
    accuracy = attacks.correct(model, images.x_test, images.y_test).float().mean().item()
    earlier = [h["test_accuracy"] for i, h in enumerate(history[:-1]) if i + 1 > recipe.epochs / 2]
    history[-1]["test_accuracy"] = accuracy
    if len(history) > recipe.epochs / 2 and accuracy > max(earlier, default=-1.0):
        best.update({k: v.clone() for k, v in model.state_dict().items()})
