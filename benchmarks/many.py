"""Sixteen small nets in turn, in two processes and in one stack; and the trainings of remove and retrain."""

import os
import resource
import tempfile
import time
from collections.abc import Callable
from itertools import product

import torch
from common import Table
from torch import Tensor
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn import functional as F

from companion import experiment, models, store
from companion.training.recipe import Mask, Recipe, part

NETS, EPOCHS, BATCH, RATE, MOMENTUM = 16, 20, 50, 0.01, 0.9
GOAL = 1.8


def run(repeats: int) -> list[Table]:
    table = Table(
        f"Training {NETS} digits nets",
        f"{EPOCHS} epochs of the 8x8 CNN on 1,437 digits, batch {BATCH}, from an empty store. `wall s` means "
        "something on a machine with two idle cores only; `CPU s` are those of all processes, start-up "
        "included. *stacked* trains all nets in one pass with torch.func.vmap.",
    )
    recipes = [Recipe(part("digits"), part("digits_cnn"), epochs=EPOCHS, seed=seed) for seed in range(NETS)]
    images = store.images(recipes[0].data, "cpu")
    ways = {
        "one after the other": lambda: from_scratch(recipes, 1),
        "two processes": lambda: from_scratch(recipes, 2),
        "stacked": lambda: stacked(images.x_train, images.y_train),
    }
    found = {name: seconds(way) for name, way in ways.items()}
    one = found["one after the other"]
    for name, (cpu, wall) in found.items():
        table.rows.append(
            {"by": name, "CPU s": cpu, "wall s": wall, "ratio of wall": round(one[1] / wall, 2)}
        )
    gain = one[1] / found["two processes"][1]
    table.judge(f"{GOAL} times as fast on two cores as one after the other", gain, gain >= GOAL)
    return [table, remove_and_retrain()]


def remove_and_retrain() -> Table:
    """Gradient and gradient times input, removed and kept, for two attributed nets."""
    table = Table(
        "Remove and retrain",
        "ROAR and KAR of two maps of two nets at five shares, one seed, 12 epochs of the quick chapter's "
        "perceptron, from an empty store. *as BR's code counts*: a random order retrained for every net and "
        "metric, one training after the other; *companion*: a random order retrained once, nets of one kind "
        "in a stack (*in one process*), and stacks in two processes. `ratio`: CPU time.",
    )
    shares = (0.1, 0.3, 0.5, 0.7, 0.9)
    common = {"model": part("mlp", hidden=(64, 64)), "optimiser": part("Adam", lr=3e-3), "batch_size": 100}
    attributed = [Recipe(part("digits"), **common, epochs=5, seed=seed) for seed in (0, 1)]
    ways = tuple(product(("loss_gradient", "gradient_x_input"), ("largest", "smallest")))
    ranked = [Mask(0.5, net, part(of), remove) for net in attributed for of, remove in ways]
    base = Recipe(part("digits"), **common, epochs=12)
    orders = [*ranked, *(Mask(0.5, seed=seed) for seed in range(4))]

    def trainings(masks: list[Mask]) -> list[Recipe]:
        return [r for mask in masks for r in experiment.retrainings(base, mask, shares=shares, seeds=[0])]

    papers, ours = trainings(orders), trainings([*ranked, Mask(0.5)])
    found = {
        "as BR's code counts": (len(set(papers)), seconds(lambda: from_scratch(papers, 1, alone=True))),
        "companion, in one process": (len(set(ours)), seconds(lambda: from_scratch(ours, 1))),
        "companion": (len(set(ours)), seconds(lambda: from_scratch(ours, 2))),
    }
    slow = found["as BR's code counts"][1]
    for name, (count, (cpu, wall)) in found.items():
        ratios = {"ratio": round(slow[0] / cpu, 2), "ratio of wall": round(slow[1] / wall, 2)}
        table.rows.append({"by": name, "trainings": count, "CPU s": cpu, "wall s": wall} | ratios)
    return table


def seconds(way: Callable[[], None]) -> tuple[float, float]:
    """CPU seconds of this process and its children, and wall seconds."""

    def spent() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.process_time() + children.ru_utime + children.ru_stime

    cpu, wall = spent(), time.perf_counter()
    way()
    return spent() - cpu, time.perf_counter() - wall


def from_scratch(recipes: list[Recipe], jobs: int, *, alone: bool = False) -> None:
    """Train in an empty store. alone: one net after the other, which store.train_all would put in a stack."""
    before = os.environ.get("COMPANION_STORE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COMPANION_STORE"] = folder
        try:
            for recipe in recipes if alone else ():
                store.get(recipe)
            store.get_all(recipes, jobs=jobs)
        finally:
            os.environ.pop("COMPANION_STORE")
            if before is not None:
                os.environ["COMPANION_STORE"] = before


def stacked(x: Tensor, y: Tensor) -> None:
    """SGD with momentum on all nets at once, each with batches and dropout of its own."""
    nets = [models.digits_cnn().train() for _ in range(NETS)]
    parameters, _ = stack_module_state(nets)
    skeleton = models.digits_cnn().train().to("meta")

    def loss(parameters: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(skeleton, parameters, (x,)), y)

    gradients = vmap(grad(loss), randomness="different")
    momenta = {name: torch.zeros_like(value) for name, value in parameters.items()}
    with torch.no_grad():
        for _ in range(EPOCHS):
            orders = torch.stack([torch.randperm(len(x)) for _ in nets])
            for index in orders.split(BATCH, dim=1):
                for name, gradient in gradients(parameters, x[index], y[index]).items():
                    momenta[name].mul_(MOMENTUM).add_(gradient)
                    parameters[name].sub_(momenta[name], alpha=RATE)
