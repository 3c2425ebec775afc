"""Do several measures of the same nets say the same? Rank correlations over training methods.

The unit is the method: the nets of its seeds are averaged first, since they repeat it. A table has a row for
each net, indexed by model and seed, and a column for each measure.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats


def table_of(measured: pd.DataFrame) -> pd.DataFrame:
    """The table of a frame with the columns model, seed, quantity and value; orders as in the frame."""
    index = pd.MultiIndex.from_frame(measured[["model", "seed"]].drop_duplicates())
    columns = measured["quantity"].drop_duplicates()
    wide = measured.pivot(index=["model", "seed"], columns="quantity", values="value")
    return wide.reindex(index=index, columns=columns)


def methods(table: pd.DataFrame) -> pd.DataFrame:
    """The mean over seeds of every measure: a row a method."""
    return table.groupby(level="model", sort=False).mean()


def rank_correlations(table: pd.DataFrame, *, given: str = "", level: float = 0.95) -> pd.DataFrame:
    """Spearman's correlation over methods of every two measures: a row a pair, x, y, value, low and high.

    given: a measure that is held fixed; then the correlation is partial, that of the ranks' residuals from
    their straight line on its ranks, and its own pairs are left out. The interval is Fisher's with the error
    of Bonett and Wright (2000); a fixed measure takes one degree. It treats methods as drawn one by one:
    `interval_coverage` says what it is worth where they come in families.
    NaN for a measure that is the same for all methods, or whose ranks are those of the one held fixed.
    Raises ValueError for fewer than five methods, or NaN.
    """
    ranks = _ranks(methods(table))
    left = [name for name in ranks if name != given]
    n = len(ranks) - bool(given)
    values = _correlations(ranks[left].to_numpy(), ranks[given].to_numpy() if given else None)
    rows = []
    for i, x in enumerate(left):
        for j in range(i):
            value = float(values[i, j])
            low, high = _interval(value, n, level)
            rows.append(
                {
                    "x": left[j],
                    "y": x,
                    "value": value,
                    "low": float(min(low, value)),
                    "high": float(max(high, value)),
                }
            )
    return pd.DataFrame(rows)


def verb(low: float, high: float) -> str:
    """What the interval of a correlation says in a word or two: the verb of a sentence on the pair.

    "agree" where all of it is above 0.5, "are related" above 0, "go in reverse" below 0; else "are not shown
    to be related".
    """
    if high < 0:
        return "go in reverse"
    return "agree" if low > 0.5 else "are related" if low > 0 else "are not shown to be related"


def pair(pairs: pd.DataFrame, x: str, y: str) -> pd.Series:
    """The row of two measures in the frame of rank_correlations, in either order."""
    there = ((pairs["x"] == x) & (pairs["y"] == y)) | ((pairs["x"] == y) & (pairs["y"] == x))
    return pairs[there].iloc[0]


def counted_verbs(pairs: pd.DataFrame, of: Sequence[tuple[str, str]]) -> str:
    """How many of some pairs agree, are related and so on, such as "2 of 3 pairs agree, 1 of 3 pairs ..."."""
    ends = sorted((tuple(pair(pairs, x, y)[["low", "high"]]) for x, y in of), reverse=True)
    verbs = [verb(*limits) for limits in ends]
    return ", ".join(f"{verbs.count(word)} of {len(of)} pairs {word}" for word in dict.fromkeys(verbs))


def family_limit(
    table: pd.DataFrame,
    givens: Sequence[str],
    *,
    families: Mapping[str, str] | None = None,
    permutations: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> float:
    """What the largest of all partial rank correlations exceeds in 1 - level of the cases by chance alone.

    Chance: the ranks of every measure are dealt anew over the methods. The largest absolute value of all
    pairs under all `givens`, "" for none held fixed, is taken in every deal (Westfall and Young's maximum),
    so that of all pairs whose correlation is above the limit any is false in 1 - level of the cases at most.
    families: of every method; then chance is that of `family_ranks`, at the run's own `family_share`: the
    methods of one family lie together, so that fewer of them count, and the limit is higher (ours). The
    share is estimated: with 16 methods in 7 families the error is near 1 - level, up to twice it.
    Errors as in rank_correlations.
    """
    ranks, rng = _ranks(methods(table)), np.random.default_rng(seed)
    if families is None:
        dealt = rng.permuted(np.broadcast_to(ranks, (permutations, *ranks.shape)), axis=1)
    else:
        labels = [families[name] for name in ranks.index]
        dealt = family_ranks(labels, family_share(table, families), (permutations, ranks.shape[1]), rng)
    largest = []
    for given in givens:
        left = [i for i, name in enumerate(ranks) if name != given]
        values = _correlations(dealt[:, :, left], ranks[given].to_numpy() if given else None)
        largest.append(np.nanmax(np.abs(np.tril(values, -1)), (1, 2)))
    return float(np.quantile(np.max(largest, 0), level))


def family_limits(
    table: pd.DataFrame, givens: Sequence[str], families: Mapping[str, str], *, permutations: int
) -> dict[str, float]:
    """Both limits of family_limit, by what they take methods to be."""
    kinds = {"independent methods": None, "methods in kinds": families}
    return {
        name: family_limit(table, givens, families=of, permutations=permutations)
        for name, of in kinds.items()
    }


def family_share(table: pd.DataFrame, families: Mapping[str, str]) -> float:
    """The share of a measure's variance over methods that lies between their families, in [0, 0.95].

    The one of family_ranks whose ranks have on average the intraclass correlation that the ranks of `table`
    have, the median over measures; that of ranks itself is too low, since ranks have no tails. families: of
    every method. 0 where every method is its own family or all are one. Errors as in rank_correlations.
    """
    ranks = _ranks(methods(table))
    labels = [families[name] for name in ranks.index]
    if len(set(labels)) in (1, len(labels)):
        return 0.0
    planted = np.linspace(0, 0.95, 20)
    rng, shape = np.random.default_rng(0), (200, ranks.shape[1])
    medians = [_between_families(family_ranks(labels, of, shape, rng), labels).mean() for of in planted]
    found = _between_families(ranks.to_numpy(), labels)
    return float(np.interp(found, np.maximum.accumulate(medians), planted))


def _between_families(ranks: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """Intraclass correlation by the one-way analysis of variance, unequal families; median over measures."""
    member = pd.get_dummies(pd.Series(labels)).to_numpy(float)
    sizes, (n, k) = member.sum(0), member.shape
    each = (n - (sizes**2).sum() / n) / (k - 1)  # what counts as the size of a family
    means = member @ (member.T @ ranks / sizes[:, None])
    between = ((means - ranks.mean(-2, keepdims=True)) ** 2).sum(-2) / (k - 1)
    within = ((ranks - means) ** 2).sum(-2) / (n - k)
    return np.asarray(np.nanmedian((between - within) / (between + (each - 1) * within), axis=-1))


def family_ranks(
    labels: Sequence[str], share: float, shape: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Ranks of unrelated measures of methods that come in families: (draws, methods, measures).

    A measure is the sum of a normal effect of the family, `share` of the variance, and one of the method.
    labels: the family of every method. shape: draws and measures.
    """
    names, places = np.unique(labels, return_inverse=True)
    draws, measures = shape
    effects = rng.standard_normal((draws, len(names), measures))[:, places]
    own = rng.standard_normal((draws, len(labels), measures))
    return (np.sqrt(share) * effects + np.sqrt(1 - share) * own).argsort(1).argsort(1) + 1.0


def interval_coverage(labels: Sequence[str], share: float, *, draws: int = 4000, seed: int = 0) -> float:
    """How often the 95 % interval of two unrelated measures holds 0 where methods come in families.

    labels, share: as in family_ranks.
    """
    ranks = family_ranks(labels, share, (draws, 2), np.random.default_rng(seed))
    low, high = _interval(_correlations(ranks, None)[:, 0, 1], len(labels), 0.95)
    return float(((low <= 0) & (high >= 0)).mean())


def half_power(methods: int, limit: float, *, draws: int = 4000, seed: int = 0) -> float:
    """The true partial correlation that exceeds `limit` in half of the cases, over so many methods.

    Of three normal measures, the third held fixed, unrelated to the others and so is every method to the
    next: methods that come in families pass less often. By bisection, on the same draws.
    """
    a, b, fixed = np.random.default_rng(seed).standard_normal((3, draws, methods))
    low, high = 0.0, 1.0
    for _ in range(12):
        true = (low + high) / 2
        measures = np.stack([fixed, a, true * a + np.sqrt(1 - true**2) * b], 2)
        r = _correlations(measures.argsort(1).argsort(1) + 1.0, None)
        one, other, both = r[:, 0, 1], r[:, 0, 2], r[:, 1, 2]
        partial = (both - one * other) / np.sqrt((1 - one**2) * (1 - other**2))
        low, high = (low, true) if np.median(partial) > limit else (true, high)
    return (low + high) / 2


def _ranks(means: pd.DataFrame) -> pd.DataFrame:
    if len(means) < 5:
        raise ValueError(
            f"{len(means)} methods; expected at least 5, a rank correlation of fewer says nothing"
        )
    if means.isna().any(axis=None):
        raise ValueError(
            f"{means.columns[means.isna().any()][0]} is NaN for some method: leave one of them out"
        )
    return means.rank()


def _interval(value: Any, n: int, level: float) -> Any:
    """Fisher's interval of a rank correlation, or of an array of them, with Bonett and Wright's error."""
    width = stats.norm.ppf((1 + level) / 2) * np.sqrt((1 + value**2 / 2) / (n - 3))
    middle = np.arctanh(np.clip(value, -0.999999, 0.999999))
    return np.tanh(middle - width), np.tanh(middle + width)


def _correlations(ranks: np.ndarray, given: np.ndarray | None) -> np.ndarray:
    """Correlations of ranks (..., methods, measures), less their straight line on the ranks `given`."""
    rest = ranks - ranks.mean(-2, keepdims=True)
    if given is not None:
        along = given - given.mean()
        rest = rest - along[:, None] * (along @ rest / (along @ along or 1.0))[..., None, :]
    size = np.linalg.norm(rest, axis=-2, keepdims=True)
    rest = rest / np.where(size > 1e-9, size, np.nan)
    return np.clip(np.swapaxes(rest, -1, -2) @ rest, -1, 1)


def square(pairs: pd.DataFrame, column: str = "value") -> pd.DataFrame:
    """Pairs as a symmetric table of one of their columns, 1 on the diagonal."""
    names = list(dict.fromkeys([*pairs["x"], *pairs["y"]]))
    found = pd.DataFrame(np.eye(len(names)), index=names, columns=names)
    for x, y, value in zip(pairs["x"], pairs["y"], pairs[column], strict=True):
        found.loc[x, y] = found.loc[y, x] = value
    return found


def measure_map(pairs: pd.DataFrame) -> tuple[pd.DataFrame, float]:
    """A place in the plane for every measure, near where rankings agree or are each other's reverse.

    Classical scaling of the distances sqrt(2 - 2 |rank correlation|), NaN counting as 0. Returns the places,
    columns x and y, and the fraction in [0, 1] of the squared distances that the plane holds.
    """
    squared = 2 - 2 * square(pairs).abs().fillna(0.0).to_numpy()
    centre = np.eye(len(squared)) - 1 / len(squared)
    values, vectors = np.linalg.eigh(-centre @ squared @ centre / 2)
    largest = [-1, -2]
    places = vectors[:, largest] * np.sqrt(values[largest].clip(0))
    places *= np.sign(places[np.abs(places).argmax(0), [0, 1]])  # a mirror image is the same map
    kept = values[largest].clip(0).sum() / values.clip(0).sum()
    return pd.DataFrame(places, index=square(pairs).index, columns=["x", "y"]), float(kept)


def resolutions(table: pd.DataFrame, *, level: float = 0.95) -> pd.Series:
    """By measure, what the difference of two methods has to exceed not to be noise, if only these two count.

    From the spread between seeds pooled over all methods, as in experiment.resolution; NaN for one seed.
    """
    groups = table.groupby(level="model")
    n, freedom = len(table) / groups.ngroups, len(table) - groups.ngroups
    within = ((table - groups.transform("mean")) ** 2).sum() / freedom if freedom else table.iloc[0] * np.nan
    return stats.t.ppf((1 + level) / 2, max(freedom, 1)) * np.sqrt(2 * within / n)


def choices(table: pd.DataFrame, better: Mapping[str, int], cost: Mapping[str, float]) -> pd.DataFrame:
    """For every measure the best method, and the cheapest one that cannot be told from it.

    better: 1 where more is better, -1 where less is. cost: of each method. A row a measure: want, best,
    value, its cost, cheapest, its value and cost. Cannot be told: nearer than `resolutions`.
    """
    means, noise = methods(table), resolutions(table).where(np.isfinite, 0.0)
    rows = []
    for measure, sign in better.items():
        of = (sign * means[measure]).sort_values(ascending=False)
        near = [name for name in of.index if of[name] >= of.iloc[0] - noise[measure]]
        cheap = min(near, key=lambda name: cost[name])
        rows.append(
            {
                "want": measure,
                "best": of.index[0],
                "value": means[measure][of.index[0]],
                "cost": cost[of.index[0]],
            }
            | {
                "cheapest": cheap,
                "its value": means[measure][cheap],
                "its cost": cost[cheap],
                "near": len(near),
            }
        )
    return pd.DataFrame(rows)
