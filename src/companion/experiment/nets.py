"""Training and measuring many nets: what a chapter's first cells call."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Any

import pandas as pd
import torch

from companion import store, training
from companion.data import Images
from companion.training import Recipe, build_model

#: Trained nets, as their recipes, by name and seed.
Nets = Mapping[tuple[str, int], Recipe]


def choose_device(wanted: str) -> str:
    """The device a chapter computes on: "auto" is a GPU where there is one, else the CPU."""
    return ("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted


def train(
    recipes_of: Callable[[int], Mapping[str, Recipe]],
    seeds: Iterable[int],
    *,
    device: str = "cpu",
    announce: Callable[[str], None] = print,
    report: Callable[[str], None] | None = None,
) -> dict[tuple[str, int], Recipe]:
    """Train and keep what the store lacks of the nets of every seed; their recipes, by name and seed.

    recipes_of: recipes by name, given a seed. announce: told once how many nets are to be trained, and about
    how long that takes. report: called with a line of text while something is trained.
    Raises what training raises, after all other nets are trained.
    """
    nets = {(name, seed): recipe for seed in seeds for name, recipe in recipes_of(seed).items()}
    announce(store.estimate(nets.values(), device=device))
    store.train_all(nets.values(), device=device, report=report)
    return nets


def relative_cost(nets: Nets, images: Images, *, base: str, turns: int) -> pd.DataFrame:
    """Time of a training step of each net over that of the net `base` of its seed: model, seed, value.

    The nets take turns, the first of which warms up and does not count, and the median of the others' times
    does; a time is the better of two steps. Nothing is kept. The base is timed twice: the rows of the model
    "<base>, again" say how far apart two times of the same net lie.
    turns: at least 2.
    """
    nets = {**nets, **{(f"{base}, again", seed): of for (name, seed), of in nets.items() if name == base}}
    times = [[training.time_step(recipe, images) for recipe in nets.values()] for _ in range(turns)]
    seconds = dict(zip(nets, map(median, zip(*times[1:], strict=True)), strict=True))
    rows = [
        {"model": model, "seed": seed, "value": of / seconds[base, seed]}
        for (model, seed), of in seconds.items()
    ]
    return pd.DataFrame(rows)


def weight_gap(one: Recipe, other: Recipe, images: Images) -> float:
    """The largest difference of a weight between two trainings on these images: 0 where they are the same."""
    first, second = (training.train(recipe, images)[0].state_dict() for recipe in (one, other))
    return max((first[name] - second[name]).abs().max().item() for name in first)


def measure(
    function: Callable[..., Any],
    nets: Nets,
    images: Images | None = None,
    *,
    device: str = "cpu",
    report: Callable[[str], None] | None = None,
    **settings: Any,
) -> pd.DataFrame:
    """What a function of the package finds of every net: one row a net and quantity.

    function, images, settings: as in store.measure, which keeps what was measured. A setting that depends on
    the net is a function of its recipe, such as seed=lambda recipe: recipe.seed.
    Columns: model, seed, quantity (the function's name, or the names it returns), value, the labels it
    returns, and `images`, what it found of each image, where it is an accuracy: its value is their mean in
    per cent.
    """
    rows: list[dict[str, Any]] = []
    for (model, seed), recipe in nets.items():
        if report is not None:
            report(f"{function.__name__} of {model}, seed {seed}")
        given = {k: v(recipe) if callable(v) else v for k, v in settings.items()}
        found = store.measure(function, recipe, images, device=device, report=report, **given)
        rows += [{"model": model, "seed": seed, **row} for row in _rows(function.__name__, found)]
    return pd.DataFrame(rows)


def measure_untrained(
    function: Callable[..., Any], nets: Nets, *, device: str = "cpu", **settings: Any
) -> pd.DataFrame:
    """As `measure`, of the nets before their first step, on their own images; nothing is kept."""
    rows: list[dict[str, Any]] = []
    for (model, seed), recipe in nets.items():
        images = store.images(recipe.data, device)
        with torch.random.fork_rng():
            torch.manual_seed(recipe.seed)
            net = build_model(recipe, images).to(device).eval()
        found = function(net, images, **settings)
        rows += [{"model": model, "seed": seed, **row} for row in _rows(function.__name__, found)]
    return pd.DataFrame(rows)


def _rows(name: str, found: Any) -> list[dict[str, Any]]:
    """What a measurement returned as rows: a number or a list; several by name; or rows with labels."""
    if isinstance(found, dict):
        return [{"quantity": quantity, **_value(value)} for quantity, value in found.items()]
    if isinstance(found, list) and found and isinstance(found[0], dict):
        return [{"quantity": name, **row, **_value(row["value"])} for row in found]
    return [{"quantity": name, **_value(found)}]


def _value(value: float | Sequence[float]) -> dict[str, Any]:
    """A number as it is; of numbers in [0, 1], one an image, the mean in per cent and the numbers."""
    if isinstance(value, list):
        return {"value": 100 * sum(value) / len(value), "images": value}
    return {"value": value}
