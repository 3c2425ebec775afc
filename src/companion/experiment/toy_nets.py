"""Nets on a toy's distinct points, trained by mini-batches in stacks and kept."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load, save

from companion import data, metrics
from companion.code import PACKAGE, code_hash
from companion.store.files import folder, keep, verified
from companion.store.keys import key
from companion.training import distinct_points, minibatches
from companion.training.distinct_points import Trained
from companion.training.loop import build_model
from companion.training.recipe import Recipe, digest

#: A kind of net with the weight of its penalty, and a seed.
Place = tuple[tuple[str, float], int]

_CODE = ("distinct_points.py", "minibatches.py")


def paper_steps(epochs: int, *, a_epoch: int, lr: float) -> list[float]:
    """The step sizes of SH's and BP's schedule: x 0.75 every 50 epochs, never below a hundredth of lr.

    a_epoch: steps in an epoch, 40 for batches of 250 of 10,000 points.
    """
    return [max(lr * 0.75 ** (epoch // 50), 0.01 * lr) for epoch in range(epochs) for _ in range(a_epoch)]


def toy_nets(
    nets: Mapping[Place, Recipe],
    steps: Sequence[float],
    *,
    train: Callable[..., list[Trained]] = minibatches.train,
    device: str = "cpu",
    report: Callable[[str], None] | None = None,
) -> dict[Place, Trained]:
    """The nets after these steps of training, by name and seed; kept, and found again.

    What is missing is trained in one stack for each kind of penalty, with the loss and the travel of each.
    train: minibatches.train, or distinct_points.train for full-batch training in a few growing steps.
    """
    found: dict[Place, Trained] = {}
    missing: dict[str, list[Place]] = {}
    for place, recipe in nets.items():
        if (kept := _kept(recipe, _path(recipe, steps, train), device)) is not None:
            found[place] = kept
        else:
            missing.setdefault(_kind(recipe), []).append(place)
    for places in missing.values():
        stack = {place: nets[place] for place in places}
        found |= _trained(stack, steps, train, device, report)
    return {place: found[place] for place in nets}


def toy_frame(nets: Mapping[Place, Trained], blocks: int) -> pd.DataFrame:
    """metrics.toy_scores of every net, its loss and travel: columns net, lambda, seed, quantity, value."""
    rows = [
        {"net": name, "lambda": weight, "seed": seed, "quantity": quantity, "value": value}
        for ((name, weight), seed), of in nets.items()
        for quantity, value in {
            **metrics.toy_scores(of.net, blocks),
            "loss": of.loss,
            "travel": of.travel,
        }.items()
    ]
    return pd.DataFrame(rows)


def toy_attacked(
    nets: Mapping[Place, Trained], blocks: int, *, radii: Mapping[str, Sequence[float]], steps: int
) -> pd.DataFrame:
    """metrics.toy_robustness of every net: columns net, seed, norm, radius, protocol, value."""
    rows = [
        {"net": name, "seed": seed, **row}
        for ((name, _), seed), of in nets.items()
        for row in metrics.toy_robustness(of.net, blocks, radii=radii, steps=steps)
    ]
    return pd.DataFrame(rows)


def toy_reach(curves: pd.DataFrame) -> pd.DataFrame:
    """metrics.reach of every net, seed, norm and protocol of `toy_attacked`, as quantity "radius, NORM".

    Columns net, seed, norm, attack ("NORM, PROTOCOL"), quantity, value.
    """
    rows = [
        {
            "net": net,
            "seed": seed,
            "norm": norm,
            "attack": f"{norm}, {protocol}",
            "quantity": f"radius, {norm}",
        }
        | {"value": metrics.reach(of.to_dict("records"))}
        for (net, seed, norm, protocol), of in curves.groupby(["net", "seed", "norm", "protocol"], sort=False)
    ]
    return pd.DataFrame(rows)


def toy_trained_on(
    nets: Mapping[Place, Recipe], sums: Sequence[float], blocks: int, *, growing: Mapping[str, float], **how
) -> pd.DataFrame:
    """`toy_frame` of the nets trained full-batch in steps that sum to each of `sums`, with two more columns.

    sum: of the steps that were wanted. product: the weight of the penalty times the sum of the steps that its
    nets took, their mean. growing: of distinct_points.step_sizes. how: of `toy_nets`.
    """
    found = []
    for total in sorted(sums):
        steps = distinct_points.step_sizes(total, **growing)
        made = toy_nets(nets, steps, train=distinct_points.train, **how)
        found.append(toy_frame(made, blocks).assign(sum=total))
    frame = pd.concat(found, ignore_index=True)
    kinds = ["net", "lambda", "sum"]
    taken = frame[frame["quantity"] == "travel"].groupby(kinds)["value"].mean().rename("taken")
    frame = frame.join(taken, on=kinds)
    return frame.assign(product=frame["lambda"] * frame["taken"]).drop(columns="taken")


def apart_at_equal_product(frame: pd.DataFrame) -> dict[str, list[float]]:
    """The largest minus the smallest value of nets whose `lambda` times `sum` is equal to one digit, a seed.

    frame: rows of one quantity of `toy_trained_on`. By the product; products of one lambda alone are left
    out.
    """
    near = [f"{weight * total:.1g}" for weight, total in zip(frame["lambda"], frame["sum"], strict=True)]
    return {
        product: list(of.groupby("seed")["value"].agg(np.ptp))
        for product, of in frame.groupby(near)
        if of["lambda"].nunique() > 1
    }


def _trained(nets: Mapping[Place, Recipe], steps, train, device: str, report) -> dict[Place, Trained]:
    recipes = list(nets.values())

    def progress(fraction: float) -> None:
        report(f"{len(recipes)} toy net(s), {recipes[0].loss.kwargs}: {fraction:.0%}")

    trained = train(recipes, steps, device=device, progress=report and progress)
    for recipe, of in zip(recipes, trained, strict=True):
        tensors = {k: v.contiguous().cpu() for k, v in of.net.state_dict().items()}
        tensors["loss, travel"] = torch.tensor([of.loss, of.travel], dtype=torch.float64)
        keep(_path(recipe, steps, train), save(tensors), {"toy net": recipe.as_dict()})
    return dict(zip(nets, trained, strict=True))


def _kept(recipe: Recipe, path: Path, device: str) -> Trained | None:
    if (stored := verified(path)) is None:
        return None
    tensors = load(stored)
    loss, travel = tensors.pop("loss, travel").tolist()
    images = data.maker(recipe.data.name)(**recipe.data.kwargs)
    with torch.random.fork_rng(devices=[]):
        net = build_model(recipe, images)
    net.load_state_dict(tensors)
    return Trained(net.to(device).eval(), loss, travel)


def _path(recipe: Recipe, steps: Sequence[float], train: Callable[..., list[Trained]]) -> Path:
    """By recipe, whose key covers data, net and loss, steps and the code of both ways to train."""
    files = {name: (PACKAGE / "training" / name).read_text("utf-8") for name in _CODE}
    parts = key(recipe), list(steps), train.__module__, code_hash(files), torch.__version__
    return folder() / f"toy-{digest(parts)}.safetensors"


def _kind(recipe: Recipe) -> str:
    """What nets of one stack share: all but seed and penalty weights."""
    settings = {k: v for k, v in recipe.loss.kwargs.items() if not k.startswith("lambda")}
    return digest([settings, recipe.model.kwargs, recipe.batch_size, str(recipe.inputs)])
