"""Two kinds of nets compared over seeds."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import pandas as pd
from scipy import stats

from companion.experiment.nets import Nets
from companion.plots import interval
from companion.training import Recipe


class Difference(NamedTuple):
    """A mean difference over seeds, the half-width of its 95 % t-interval (0 for one seed), the seeds."""

    mean: float
    half: float
    n: int

    def __format__(self, spec: str) -> str:
        """Mean ± half-width; spec: of both numbers, ".1f" if empty."""
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


def by_seed(frame: pd.DataFrame, more: str, less: str) -> pd.Series:
    """The values of the model `more` minus those of `less`, by seed.

    frame: rows of one quantity under one attack, with the columns model, seed and value.
    Raises ValueError where a seed has several values, or the two models share no seed.
    """
    table = frame.pivot(index="seed", columns="model", values="value")[[more, less]].dropna()
    if table.empty:
        raise ValueError(f"{more} and {less} have no seed in common")
    return table[more] - table[less]


def difference(frame: pd.DataFrame, more: str, less: str) -> Difference:
    """The mean of `by_seed` and its interval; errors as there."""
    apart = by_seed(frame, more, less)
    return Difference(*interval(apart.tolist()), len(apart))


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
