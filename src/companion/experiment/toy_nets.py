"""Nets on a toy's distinct points, trained by mini-batches in stacks and kept."""

from collections.abc import Callable, Mapping, Sequence

import torch
from safetensors.torch import load, save

from companion import data
from companion.code import fingerprint
from companion.store.files import folder, keep, verified
from companion.store.keys import key
from companion.training import minibatches
from companion.training.distinct_points import Trained
from companion.training.loop import build_model
from companion.training.recipe import Recipe, digest


def paper_steps(epochs: int, *, a_epoch: int, lr: float) -> list[float]:
    """The step sizes of SH's and BP's schedule: x 0.75 every 50 epochs, never below a hundredth of lr.

    a_epoch: steps in an epoch, 40 for batches of 250 of 10,000 points.
    """
    return [max(lr * 0.75 ** (epoch // 50), 0.01 * lr) for epoch in range(epochs) for _ in range(a_epoch)]


def toy_nets(
    nets: Mapping[tuple[str, int], Recipe],
    steps: Sequence[float],
    *,
    device: str = "cpu",
    report: Callable[[str], None] | None = None,
) -> dict[tuple[str, int], Trained]:
    """The nets after these steps of training.minibatches.train, by name and seed; kept, and found again.

    What is missing is trained in one stack for each kind of penalty, with the loss and the travel of each.
    """
    found: dict[tuple[str, int], Trained] = {}
    missing: dict[str, list[tuple[str, int]]] = {}
    for place, recipe in nets.items():
        if (kept := _kept(recipe, steps, device)) is not None:
            found[place] = kept
        else:
            missing.setdefault(_kind(recipe), []).append(place)
    for places in missing.values():
        for place, trained in zip(
            places, _train([nets[p] for p in places], steps, device, report), strict=True
        ):
            found[place] = trained
    return {place: found[place] for place in nets}


def _train(recipes: list[Recipe], steps: Sequence[float], device: str, report) -> list[Trained]:
    def progress(fraction: float) -> None:
        report(f"{len(recipes)} toy net(s), {recipes[0].loss.kwargs}: {fraction:.0%}")

    trained = minibatches.train(recipes, steps, device=device, progress=report and progress)
    for recipe, of in zip(recipes, trained, strict=True):
        tensors = {k: v.contiguous().cpu() for k, v in of.net.state_dict().items()}
        tensors["loss, travel"] = torch.tensor([of.loss, of.travel], dtype=torch.float64)
        keep(_path(recipe, steps), save(tensors), {"toy net": recipe.as_dict()})
    return trained


def _kept(recipe: Recipe, steps: Sequence[float], device: str) -> Trained | None:
    if (stored := verified(_path(recipe, steps))) is None:
        return None
    tensors = load(stored)
    loss, travel = tensors.pop("loss, travel").tolist()
    images = data.maker(recipe.data.name)(**recipe.data.kwargs)
    with torch.random.fork_rng(devices=[]):
        net = build_model(recipe, images)
    net.load_state_dict(tensors)
    return Trained(net.to(device).eval(), loss, travel)


def _path(recipe: Recipe, steps: Sequence[float]):
    code = fingerprint("companion.training.minibatches"), torch.__version__
    return folder() / f"toy-{digest([key(recipe), list(steps), *code])}.safetensors"


def _kind(recipe: Recipe) -> str:
    """What nets of one stack share: all but seed and penalty weights."""
    settings = {k: v for k, v in recipe.loss.kwargs.items() if not k.startswith("lambda")}
    return digest([settings, recipe.model.kwargs, recipe.batch_size, str(recipe.inputs)])
