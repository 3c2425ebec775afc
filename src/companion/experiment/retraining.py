"""Remove and retrain: what a map is worth, told by nets retrained without the pixels it ranks.

ROAR and KAR (BR section 3.2, after Hooker et al. 2018) and DiffROAR (SH) are one measurement: nets trained
from scratch, and tested, on images whose pixels are replaced in the order of a map. `retrainings` lists these
trainings as recipes, `retrained` does and measures many of them, and `scores` compares the curves.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from companion import metrics, saliency, store
from companion.experiment.comparing import Difference
from companion.experiment.nets import Nets
from companion.plots import interval
from companion.training.recipe import Mask, Part, Recipe, part


def retrainings(
    recipe: Recipe, mask: Mask, *, fractions: Sequence[float], seeds: Sequence[int]
) -> list[Recipe]:
    """`recipe` on images masked by `mask`, for every fraction and, innermost, every training seed.

    fractions: of the pixels that are replaced, in [0, 1]; mask.fraction itself does not count. Fraction 0 is
    the recipe unmasked, fraction 1 the same for every map, and a random order (mask.source None) the same for
    ROAR and KAR: such nets are trained once for all curves. BR's code retrains its random baseline for every
    net.
    """
    return [replace(recipe, mask=_at(mask, fraction), seed=seed) for fraction in fractions for seed in seeds]


def _at(mask: Mask, fraction: float) -> Mask | None:
    if fraction == 0:
        return None
    if fraction == 1 or mask.source is None:
        mask = replace(mask, source=None, map=None, remove="largest")
    return replace(mask, fraction=fraction)


def retrained_accuracies(
    recipe: Recipe, mask: Mask, *, fractions: Sequence[float], seeds: Sequence[int], device: str = "cpu"
) -> Tensor:
    """Accuracy on the masked test images of every retrained net: (S, R), fractions by seeds, in [0, 1].

    A ROAR curve where mask.remove is "largest", a KAR curve where it is "smallest". Source: BR section 3.2,
    whose KAR counts the fraction kept: that mirrors the curve and leaves its area as it is.
    Nets that the store lacks are trained; accuracies are kept there too.
    """
    every = retrainings(recipe, mask, fractions=fractions, seeds=seeds)
    found = [fmean(store.measure(metrics.clean_accuracy, r, device=device)) for r in every]
    return torch.tensor(found, dtype=torch.float64).view(len(fractions), len(seeds))


def area_under(
    fractions: Sequence[float], accuracies: Tensor, *, ends: tuple[float, float] | None = None
) -> Tensor:
    """Area under a curve of accuracies (S, R) over fractions in [0, 1], by the trapezoidal rule: (R,).

    ends: the accuracies at fractions 0 and 1 where `fractions` leaves them out. BR's code fixes them at the
    accuracy on whole images and at chance. The area over the curve is 1 minus the area under it.
    Raises ValueError for fractions that do not ascend from 0 to 1, ends included.
    """
    if len(fractions) != len(accuracies):
        raise ValueError(
            f"{len(fractions)} fractions, but accuracies for {len(accuracies)}: one row for each fraction"
        )
    places = torch.tensor(fractions, dtype=torch.float64)
    heights = accuracies.double()
    if ends is not None:
        places = torch.cat([torch.zeros(1), places, torch.ones(1)])
        first, last = (heights.new_full((1, heights.shape[1]), value) for value in ends)
        heights = torch.cat([first, heights, last])
    if places[0] != 0 or places[-1] != 1 or not (places.diff() > 0).all():
        raise ValueError(
            f"the fractions are {places.tolist()}; expected them to ascend from 0 to 1: give "
            "ends=(whole, chance) where the ends were not measured"
        )
    return torch.trapezoid(heights, places, dim=0)


def mu_roar(
    fractions: Sequence[float],
    accuracies: Tensor,
    random: Tensor,
    *,
    ends: tuple[float, float] | None = None,
) -> Tensor:
    """Area over the ROAR curve minus area over the random one, per seed: (R,), positive for a good map.

    Source: BR section 3.2, mu_ROAR. accuracies, random: (S, R), from retrained_accuracies. Both curves have
    the same ends, so these change nothing, fixed or measured.
    Raises ValueError as area_under does.
    """
    return area_under(fractions, random, ends=ends) - area_under(fractions, accuracies, ends=ends)


def mu_kar(
    fractions: Sequence[float],
    accuracies: Tensor,
    random: Tensor,
    *,
    ends: tuple[float, float] | None = None,
) -> Tensor:
    """Area under the KAR curve minus area under the random one, per seed: (R,), positive for a good map.

    Source: BR section 3.2, mu_KAR; the rest as in mu_roar.
    """
    return area_under(fractions, accuracies, ends=ends) - area_under(fractions, random, ends=ends)


def diff_roar(largest_kept: Tensor, smallest_kept: Tensor) -> Tensor:
    """Accuracy with the largest pixels kept minus accuracy with as many of the smallest kept: (S, R * R').

    Source: SH, DiffROAR (attribution quality in their first version): positive supports their assumption (A),
    about 0 for a random order. All pairs of retrained nets are compared, as in their code. Its area over all
    fractions is mu_roar + mu_kar.
    largest_kept: (S, R), from a mask that removes the "smallest", a KAR curve; smallest_kept: (S, R'), a ROAR
    curve over the same fractions. SH's own masks: map=part("loss_gradient", of="logit"), unit="entry",
    fill="mean". Raises ValueError for curves of different lengths.
    """
    if len(largest_kept) != len(smallest_kept):
        raise ValueError(
            f"curves of {len(largest_kept)} and {len(smallest_kept)} fractions cannot be compared"
        )
    return (largest_kept[:, :, None] - smallest_kept[:, None, :]).flatten(1)


def retrained(
    recipe: Recipe,
    asked: pd.DataFrame,
    *,
    fractions: Sequence[float],
    function: Callable[..., float] = metrics.fraction_correct,
    keep_nets: bool = False,
    device: str = "cpu",
    announce: Callable[[str], None] = print,
    report: Callable[[str], None] | None = None,
    **settings: Any,
) -> pd.DataFrame:
    """Test accuracy, per cent, of nets trained from scratch on masked images: a row a mask and fraction.

    Source: BR section 3.2. What is measured is kept, the nets are not, unless keep_nets.
    recipe: of the retrained nets, except for mask and seed.
    asked: a row a curve, with the columns mask, seeds (of the trainings, whose mean is taken) and labels.
    fractions: of the pixels that are replaced, in (0, 1).
    function, settings: what is measured on each net and its masked images, in [0, 1].
    announce: told once how many nets are left to train, how long that takes and what they would weigh.
    Columns: the labels, share (the fraction) and value. Errors as in store.measure_all.
    """
    rows = [
        {**labels, "share": share, "nets": retrainings(recipe, mask, fractions=[share], seeds=seeds)}
        for curve in asked.to_dict("records")
        for mask, seeds, labels in [(curve.pop("mask"), curve.pop("seeds"), curve)]
        for share in fractions
    ]
    every = list(dict.fromkeys(net for row in rows for net in row["nets"]))

    def begin(left: list[Recipe]) -> None:
        where = "are kept and take" if keep_nets else "are not kept; they would take"
        size = store.size(left, device=device) / 1e6
        announce(f"{store.estimate(left, device=device)} Retrained nets {where} {size:,.0f} MB.")

    how = {"keep_nets": keep_nets, "begin": begin, "device": device, "report": report}
    found = dict(zip(every, store.measure_all(function, every, **how, **settings), strict=True))
    values = [100 * fmean(found[net] for net in row.pop("nets")) for row in rows]
    return pd.DataFrame(rows).assign(value=values)


SCORES = {"ROAR": mu_roar, "KAR": mu_kar}


def scores(curves: pd.DataFrame, random: pd.DataFrame) -> pd.DataFrame:
    """mu of every curve, in points of accuracy: the mean over all fractions of the gap to a random order.

    Source: BR section 3.2. curves: what `retrained` returns, with the columns metric (a key of SCORES), seed
    and any labels; random: the curve of a random order of each seed, over the same fractions.
    Columns: metric, seed, the labels and value.
    """
    baseline = {seed: _points(of) for seed, of in random.groupby("seed")}
    labels = [column for column in curves if column not in ("share", "value")]
    rows = []
    for place, of in curves.groupby(labels, sort=False):
        named = dict(zip(labels, place, strict=True))
        (at, accuracy), (_, chance) = _points(of), baseline[named["seed"]]
        # whatever nets reach on whole images and on none is the same for both curves and cancels
        mu = SCORES[named["metric"]](at, accuracy, chance, ends=(0.0, 0.0))
        rows.append({**named, "value": mu.item()})
    return pd.DataFrame(rows)


def _points(curve: pd.DataFrame) -> tuple[list[float], Tensor]:
    ordered = curve.sort_values("share")
    return list(ordered["share"]), torch.tensor(ordered["value"].to_numpy(), dtype=torch.float64)[:, None]


def map_scores(
    recipe: Recipe, nets: Nets, *, fractions: Sequence[float], device: str = "cpu", **how: Any
) -> pd.DataFrame:
    """What retraining says of the gradient maps of many nets: ROAR, KAR and the part that is the image's own.

    Source: BR section 3.2, of g_G, against one random order for each seed of `nets`. "ROAR, own − another" is
    ROAR of the own map less that of another image's map of the same predicted class (ours): what is left of
    the score when that is taken away which any such map earns. ROAR + KAR is the area under DiffROAR's curve
    (SH).
    recipe: of the retrained nets, their number of epochs and size; each mask has its net's seed, 1000 added.
    nets: recipes by name and seed. fractions: of the pixels, in (0, 1). how: as in `retrained`.
    Columns: model, seed, quantity and value, in points of accuracy.
    """
    own, another = part("loss_gradient"), part("gradient_elsewhere")
    wanted = {"ROAR": (own, "largest"), "KAR": (own, "smallest"), "another": (another, "largest")}

    def curve(seed: int, model: str, named: str, metric: str, mask: Mask) -> dict[str, Any]:
        labels = {"model": model, "named": named, "metric": metric, "seed": seed}
        return {**labels, "mask": mask, "seeds": [1000 + seed]}

    asked = [
        curve(seed, "", "random", "ROAR", Mask(0.5, seed=seed)) for seed in sorted({seed for _, seed in nets})
    ]
    for (model, seed), source in nets.items():
        for named, (of, remove) in wanted.items():
            mask = Mask(0.5, source=source, map=of, remove=remove, seed=seed)
            asked.append(curve(seed, model, named, "KAR" if named == "KAR" else "ROAR", mask))
    curves = retrained(recipe, pd.DataFrame(asked), fractions=fractions, device=device, **how)
    random = curves["named"] == "random"
    found = scores(curves[~random], curves[random])
    wide = found.pivot(index=["model", "seed"], columns="named", values="value")
    wide["ROAR, own − another"] = wide["ROAR"] - wide.pop("another")
    return wide.reset_index().melt(["model", "seed"], var_name="quantity", value_name="value")


def at_equal_accuracy(scores: pd.DataFrame) -> pd.DataFrame:
    """mu of both norms where their nets classify clean images equally well (BR section 3.3, figure 5).

    A line is fitted to the scores of each norm over clean accuracy, for every seed, and read at the mean
    accuracy of the adversarially trained nets of both norms. A row a norm, objective, map, metric and seed.
    scores: columns metric, map, objective, norm, strength, seed, accuracy and value.
    """
    rows = []
    for place, of in scores.groupby(["metric", "map", "objective", "seed"], sort=False):
        at = of.loc[of["strength"] > 0, "accuracy"].mean()
        for norm, line in of.groupby("norm", sort=False):
            straight = line["accuracy"].nunique() > 1
            fitted = np.polyfit(line["accuracy"], line["value"], 1) if straight else [line["value"].mean()]
            named = dict(zip(("metric", "map", "objective", "seed"), place, strict=True))
            rows.append({**named, "norm": norm, "value": float(np.polyval(fitted, at))})
    return pd.DataFrame(rows)


def one_order(values: Tensor) -> Part:
    """The map, for a Mask, that ranks the pixels of all images alike: largest |values| first, (C, H, W)."""
    places = saliency.ranks(
        values[None], unit="entry", generator=torch.Generator(values.device).manual_seed(0)
    )
    return part("given_order", values=(values.numel() - places.flatten()).tolist())


def readings(
    recipe: Recipe, nets: Nets, *, fractions: Sequence[float], unit: str = "pixel", device: str = "cpu"
) -> pd.DataFrame:
    """What nets read off masks alone, which show nothing of the images (BR-E12; ours).

    A reader for each net, fraction and order: `recipe`, trained on masks by the image's "own" loss gradient,
    made for the predicted label, as BR's code makes them; and on masks by "another's", an image of the same
    predicted class (saliency.gradient_elsewhere), which know nothing of this image but the net's decision.
    nets: the attributed nets. fractions: of the pixels that a mask marks, in (0, 1).
    Columns: model, seed, order, share, and quantity and value as metrics.read_off_masks names them, per cent;
    values that do not exist are left out. Beside decision_on_errors, as the order "chance": that of a guess.
    """
    whole, rows = store.images(recipe.data, device), []
    orders = {"own": part("loss_gradient"), "another's": part("gradient_elsewhere")}
    for (model, seed), source in nets.items():
        for order, chosen in orders.items():
            mask = Mask(0.5, source=source, map=chosen, unit=unit, shows="mask", seed=seed)
            readers = retrainings(recipe, mask, fractions=fractions, seeds=[1000 + seed])
            about = {"source": source, "whole": whole}
            read = store.measure_all(metrics.read_off_masks, readers, device=device, **about)
            rows += [
                {"model": model, "seed": seed, "order": order, "share": share, "quantity": q, "value": v}
                for share, found in zip(fractions, read, strict=True)
                for q, v in found.items()
            ]
    frame = pd.DataFrame(rows).dropna()
    errors = frame[(frame["quantity"] == "decision_on_errors") & (frame["order"] == "another's")]
    return pd.concat([frame, errors.assign(order="chance", value=100 / whole.n_classes)], ignore_index=True)


def apart(scores: pd.DataFrame, more: str, less: str, column: str = "order") -> pd.DataFrame:
    """The value of one kind minus that of another, by model, metric and seed, where both are there.

    column: whose entries `more` and `less` are.
    """
    on = [label for label in ("model", "metric", "seed") if label in scores]
    pair = scores[scores[column] == more].merge(scores[scores[column] == less], on=on)
    return pair.assign(value=pair["value_x"] - pair["value_y"])[[*on, "value"]]


def mean_difference(frame: pd.DataFrame) -> Difference:
    """The mean of `value` over the rows, one a seed, and its interval."""
    return Difference(*interval(frame["value"].tolist()), len(frame))


def by_model(frame: pd.DataFrame) -> dict[str, Difference]:
    """The mean of `value` over seeds and its interval, by model."""
    return {model: mean_difference(of) for model, of in frame.groupby("model", sort=False)}


def listed(frame: pd.DataFrame, digits: int = 1) -> str:
    """In words, `by_model`: "standard -2.0 ± 0.5; l2 1.5, CE +0.1 ± 0.4"."""
    return "; ".join(f"{model} {of:.{digits}f}" for model, of in by_model(frame).items())


def added(frame: pd.DataFrame, quantity: str, column: str, more: str, less: str) -> str:
    """In words, what `more` in place of `less` in one column of a grid adds to a quantity, seed by seed.

    frame: columns net, optimiser, training, seed, quantity and value; those that vary name the others.
    """
    of = frame[frame["quantity"] == quantity]
    others = [c for c in ("net", "optimiser", "training") if c != column and of[c].nunique() > 1]
    named = of.assign(model=of[others].agg(", ".join, axis=1))
    pairs = apart(named[["model", "seed", column, "value"]], more, less, column)
    return listed(pairs, 2)


def from_to(frame: pd.DataFrame, quantity: str, state: str, digits: int) -> str:
    """In words, a quantity's mean before and after: "mlp, Adam 0.10 → 0.90, mlp, SGD 0.80 → 0.90".

    frame: columns net, optimiser, quantity, value and `state`, of whose two values the first is "before".
    """
    of = frame[frame["quantity"] == quantity]
    means = of.groupby(["net", "optimiser", state], sort=False)["value"].mean()
    pairs = means.groupby(["net", "optimiser"], sort=False).apply(list)
    return "; ".join(
        f"{net}, {optimiser} " + " → ".join(f"{value:.{digits}f}" for value in pair)
        for (net, optimiser), pair in pairs.items()
    )
