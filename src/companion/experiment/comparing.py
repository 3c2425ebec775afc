"""Two kinds of nets compared over seeds."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from companion.experiment.nets import Nets
from companion.plots import interval
from companion.training import Recipe


class Difference(NamedTuple):
    """A mean difference over seeds, the half-width of its 95 % t-interval (0 for one seed), the seeds.

    Over no seed, where no value could be measured, the mean is NaN.
    """

    mean: float
    half: float
    n: int

    def __format__(self, spec: str) -> str:
        """Mean ± half-width, or "not measured"; spec: of both numbers, ".1f" if empty."""
        if not self.n:
            return "not measured"
        spec = spec or ".1f"
        spread = f" ± {self.half:{spec}}" if self.n > 1 else " (one seed)"
        return f"{self.mean:+{spec}}{spread}"

    def __str__(self) -> str:
        return format(self)

    @property
    def sign(self) -> int:
        """1 or -1 where the interval is above or below 0, else 0; always 0 for one seed."""
        return 0 if self.n < 2 or abs(self.mean) <= self.half else (1 if self.mean > 0 else -1)


def where(frame: pd.DataFrame, **labels: object) -> pd.DataFrame:
    """The rows whose columns have these values."""
    for column, value in labels.items():
        frame = frame[frame[column] == value]
    return frame


def excess(frame: pd.DataFrame, label: str, more: str, less: str) -> pd.DataFrame:
    """The values where a column is `more` minus those where it is `less`, of rows that agree in all others.

    The column is gone. Raises ValueError where no two rows belong together.
    """
    one, other = (where(frame, **{label: of}).drop(columns=label) for of in (more, less))
    shared = [column for column in one if column != "value"]
    found = one.merge(other, on=shared, suffixes=("", "_less"), validate="one_to_one")
    if found.empty:
        raise ValueError(f"no row of {more} agrees with one of {less} in {', '.join(shared)}")
    return found.assign(value=found["value"] - found["value_less"])[[*shared, "value"]]


def best(frame: pd.DataFrame, kinds: Sequence[str]) -> dict[str, str]:
    """Of the models whose names begin with a kind and a comma: the one with the largest mean value, by kind.

    frame: with the columns model and value.
    """
    mean = frame.groupby("model")["value"].mean()
    return {kind: mean[mean.index.str.startswith(f"{kind}, ")].idxmax() for kind in kinds}


def by_seed(frame: pd.DataFrame, more: str, less: str) -> pd.Series:
    """The values of the model `more` minus those of `less`, by seed; without the seeds where one is NaN.

    frame: rows of one quantity under one attack, with the columns model, seed and value.
    Raises ValueError where a seed has several values, or the two models share no seed.
    """
    seeds = [set(where(frame, model=model)["seed"]) for model in (more, less)]
    if seeds[0].isdisjoint(seeds[1]):
        raise ValueError(f"{more} and {less} have no seed in common")
    table = frame.pivot(index="seed", columns="model", values="value")
    return (table[more] - table[less]).dropna()


def difference(frame: pd.DataFrame, more: str, less: str) -> Difference:
    """The mean of `by_seed` and its interval; errors as there."""
    apart = by_seed(frame, more, less)
    return Difference(*interval(apart.tolist()), len(apart)) if len(apart) else Difference(math.nan, 0.0, 0)


def falling_seeds(frame: pd.DataFrame, models: Sequence[str]) -> int:
    """In how many seeds the value falls from each of these models to the next; NaN does not fall."""
    table = frame.pivot(index="seed", columns="model", values="value")[list(models)]
    return int((table.diff(axis=1).iloc[:, 1:] < 0).all(axis=1).sum())


def median_seed(frame: pd.DataFrame, **labels: object) -> int:
    """The seed whose value is the median of the rows with these labels; of two, the larger."""
    ordered = where(frame, **labels).sort_values("value")
    return int(ordered["seed"].iloc[len(ordered) // 2])


def seeds_above(frame: pd.DataFrame, more: str, less: str) -> int:
    """In how many seeds every model's value of the set `more` exceeds its value of the set `less`.

    frame: rows of one quantity, with the columns model, seed, set and value; NaN does not exceed.
    """
    table = frame.pivot(index=["seed", "model"], columns="set", values="value")
    return int((table[more] > table[less]).groupby("seed").all().sum())


def told_apart(frame: pd.DataFrame, models: Sequence[str], less: str, words: Mapping[int, str]) -> str:
    """In words, the `difference` of each of several models and one: "b: farther (+1.00 ± 0.30); c: ...".

    words: for the sign of the difference, 1, 0 and -1.
    """
    apart = {name: difference(frame, name, less) for name in models}
    return "; ".join(f"{name}: {words[of.sign]} ({of:.2f})" for name, of in apart.items())


def changes(frame: pd.DataFrame, more: str, less: str, digits: int) -> str:
    """In words, the `difference` of two trainings in each net: "mlp +0.1 ± 0.2, lenet +0.3 ± 0.1".

    frame: rows of one quantity, with the columns model (of nets), training, seed and value.
    """
    by_net = frame.assign(net=frame["model"], model=frame["training"]).groupby("net", sort=False)
    return ", ".join(f"{net} {difference(of, more, less):.{digits}f}" for net, of in by_net)


def relative(
    quantities: Mapping[str, pd.DataFrame],
    pairs: Sequence[Mapping[str, Any]],
    called: Callable[[Any], str] = str,
) -> pd.DataFrame:
    """How much larger a quantity is for one model than for another, in per cent, by seed.

    quantities: frames with the columns model, seed and value, by name. pairs: the two models as `more` and
    `less`, and labels of the pair. Columns: the pair's, nets (their names by `called`), of (the quantity's
    name), quantity, seed, value.
    """
    rows = []
    for pair in pairs:
        nets = f"{called(pair['more'])} − {called(pair['less'])}"
        for of, frame in quantities.items():
            table = frame.pivot(index="seed", columns="model", values="value")
            change = (100 * (table[pair["more"]] / table[pair["less"]] - 1)).dropna()
            rows += [{**pair, "nets": nets, "of": of, "seed": s, "value": v} for s, v in change.items()]
    columns = ["more", "less", "weight", "nets", "of", "seed", "value"]
    return pd.DataFrame(rows, columns=columns if not rows else None).assign(quantity="relative change")


def shares(frame: pd.DataFrame, terms: Sequence[str], whole: str = "") -> pd.DataFrame:
    """The first of several quantities beside the sum of all, or beside `whole`, of every net in two ways:
    as a ratio of medians over images and as a median of ratios (ET-E4).

    frame: rows with the values of all images in the column `each`. Columns: model, seed, way, value.
    """
    rows, parts = [], [whole] if whole else list(terms)
    chosen = frame[frame["quantity"].isin([terms[0], *parts]) & frame["each"].notna()]
    for (model, seed), of in chosen.groupby(["model", "seed"], sort=False):
        each = {name: np.array(values) for name, values in of.set_index("quantity")["each"].items()}
        medians = np.median(each[terms[0]]) / sum(np.median(each[name]) for name in parts)
        ratios = np.median(each[terms[0]] / sum(each[name] for name in parts))
        ways = {"ratio of medians": medians, "median of ratios": ratios}
        rows += [{"model": model, "seed": seed, "way": way, "value": float(v)} for way, v in ways.items()]
    return pd.DataFrame(rows)


def pearson(one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Pearson's correlation over images of two quantities, of every net that both frames hold.

    one, other: rows with the values of images in the column `each`, the first values both have being paired;
    pairs that are not finite are left out. NaN for fewer than three pairs or where either is constant.
    Columns: model, seed, value.
    """
    pairs = one.merge(other, on=["model", "seed"], suffixes=("", "_other"))
    found = [_pearson(row["each"], row["each_other"]) for row in pairs.to_dict("records")]
    return pairs[["model", "seed"]].assign(value=found)


def _pearson(one: Sequence[float], other: Sequence[float]) -> float:
    n = min(len(one), len(other))
    pairs = np.array([one[:n], other[:n]], float)
    pairs = pairs[:, np.isfinite(pairs).all(0)]
    if pairs.shape[1] < 3 or (np.ptp(pairs, axis=1) == 0).any():
        return float("nan")
    return float(np.corrcoef(pairs)[0, 1])


def beside(frame: pd.DataFrame, other: pd.DataFrame, name: str) -> pd.DataFrame:
    """The frame with a column `name`, the value of the same model and seed in another frame."""
    value = other.set_index(["model", "seed"])["value"]
    places = zip(frame["model"], frame["seed"], strict=True)
    return frame.assign(**{name: [value[place] for place in places]})


def trends(frame: pd.DataFrame, x: str) -> list[float]:
    """`rank_correlation` over the nets of each seed, in the order of the seeds."""
    return [rank_correlation(of, x) for _, of in frame.groupby("seed")]


def bends(frame: pd.DataFrame, x: str) -> list[float]:
    """Of each seed, the slope of `value` over the half of the nets with the smaller x, minus that over the
    other half: above 0 for a curve that saturates. NaN for fewer than two nets in a half."""
    found = []
    for _, of in frame.groupby("seed"):
        places = of[np.isfinite(of[x]) & np.isfinite(of["value"])].sort_values(x)[[x, "value"]].to_numpy()
        halves = np.array_split(places.astype(float), 2)
        slopes = [np.polyfit(*half.T, 1)[0] if len(half) > 1 else np.nan for half in halves]
        found.append(float(slopes[0] - slopes[1]))
    return found


def differences(frame: pd.DataFrame, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """`by_seed` of several pairs of models, under every attack: difference, attack, seed and value."""
    rows = [
        {"difference": f"{more} − {less}", "attack": attack, "seed": seed, "value": value}
        for attack, of in frame.groupby("attack", sort=False)
        for more, less in pairs
        for seed, value in by_seed(of, more, less).items()
    ]
    return pd.DataFrame(rows)


def resolution(frame: pd.DataFrame) -> float:
    """What the difference of two models' means has to exceed not to be noise, if only these two are compared.

    Half the width of its 95 % t-interval, from the spread between seeds pooled over all models: three seeds
    of two models say little of a spread, and one pair of them may lie close together by chance. NaN for one
    seed. frame: rows of one quantity, with the columns model, seed and value.
    """
    by_model = frame.groupby("model")["value"]
    n, freedom = by_model.count().mean(), len(frame) - by_model.ngroups
    if freedom < 1:
        return float("nan")
    within = ((frame["value"] - by_model.transform("mean")) ** 2).sum() / freedom
    return float(stats.t.ppf(0.975, freedom) * (2 * within / n) ** 0.5)


def flattening(frame: pd.DataFrame, x: str, at: float) -> dict[str, list[float]]:
    """By seed: how far `value` changes from x = `at` to the largest x, and how far it ranges below `at`."""
    table = frame.pivot(index="seed", columns=x, values="value")
    low, end = table[[place for place in table if place <= at]], max(table)
    return {
        f"change from {at:g} to {end:g}": list((table[at] - table[end]).abs()),
        f"range from {min(table):g} to {at:g}": list(low.max(axis=1) - low.min(axis=1)),
    }


def at_last(frame: pd.DataFrame, x: str, label: str) -> str:
    """In words, the mean of each kind, told apart by `label`, where `x` is largest."""
    last = frame[frame[x] == frame[x].max()]
    means = last.groupby(label, sort=False)["value"].mean()
    return f"{x} {last[x].iloc[0]:g}: " + "; ".join(f"{kind} {mean:.1f}" for kind, mean in means.items())


def rank_correlation(frame: pd.DataFrame, x: str) -> float:
    """Spearman's correlation of `value` with the column `x`, over all seeds; NaN where either is constant."""
    if frame[x].nunique() < 2 or frame["value"].nunique() < 2:
        return float("nan")
    return float(stats.spearmanr(frame[x], frame["value"]).statistic)


def verdicts_of(frame: pd.DataFrame, nets: Nets) -> Callable[[Recipe], list[bool]]:
    """For a recipe of `nets`, the verdicts on images in its row of the frame, one for each model and seed."""
    rows = frame.set_index(["model", "seed"])["images"]
    place = {recipe: key for key, recipe in nets.items()}
    return lambda recipe: rows[place[recipe]]


def compared(frame: pd.DataFrame, more: str, less: str) -> str:
    """In words, whether one model is more robust than another: by the interval of their difference."""
    of = difference(frame, more, less)
    words = {1: "is more robust than", 0: "is not told apart from", -1: "is less robust than"}
    return f"{words[of.sign]} {less} ({of} points)"


def agreement(correlations: Mapping[str, Sequence[float]], settings: int) -> str:
    """In words, what correlations from several origins, each as in `direction`, say together.

    An origin from which it is unclear contradicts none: one that rises and one that falls do.
    """
    words = {name: direction(values, settings).split(" (")[0] for name, values in correlations.items()}
    if {"rises", "falls"} <= set(words.values()):
        return "depends on what counts as zero"
    clear = [name for name, said in words.items() if said in ("rises", "falls")]
    if not clear:
        return f"cannot be told from {settings} nets"
    said = f"{words[clear[0]]} from {_listed(clear)}"
    unclear = [name for name in words if name not in clear]
    return f"{said}; from {_listed(unclear)} {settings} nets cannot tell" if unclear else said


def _listed(names: Sequence[str]) -> str:
    return " and ".join(", ".join(names).rsplit(", ", 1))


def direction(values: Sequence[float], settings: int) -> str:
    """In words, whether rank correlations, one a seed, say that one quantity rises with another.

    settings: how many nets a seed has. Seeds repeat the same settings, so the interval of their mean is that
    of one correlation over `settings` nets (Fisher's, with the error of Bonett and Wright 2000); its limits
    are one-sided 95 % limits, as of the claims. It rises where the lower one is above 0.
    """
    mean = float(np.mean(values))
    width = 1.645 * np.sqrt((1 + mean**2 / 2) / (settings - 3)) if settings > 3 else np.inf
    low, high = np.tanh(np.arctanh(np.clip(mean, -0.9999, 0.9999)) + np.array([-width, width]))
    words = "rises" if low > 0 else "falls" if high < 0 else "shows no clear trend"
    return f"{words} (Spearman {mean:+.2f}, {low:+.2f} to {high:+.2f})"
