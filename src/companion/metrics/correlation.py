"""Correlation of two lists of numbers, with an interval."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Correlation:
    """A correlation coefficient in [-1, 1] and the interval from `low` to `high` around it."""

    value: float
    low: float
    high: float


def correlation(
    x: Sequence[float],
    y: Sequence[float],
    *,
    kind: str = "pearson",
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Correlation:
    """Pearson's linear or Spearman's rank correlation, with a percentile bootstrap interval over the pairs.

    Source: BR figures 4 and 5 report both kinds, without intervals. kind: "pearson" or "spearman" (ranks of
    ties are averaged). level: fraction of the bootstrap distribution inside the interval; resamples in
    which x or y is constant have no correlation and are left out.
    Raises ValueError on another kind, lengths that differ, fewer than 3 pairs, NaN or infinity, or constant
    x or y.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    if kind not in ("pearson", "spearman"):
        raise ValueError(f'kind={kind!r}; expected "pearson" or "spearman"')
    if x.shape != y.shape or x.ndim != 1 or len(x) < 3:
        raise ValueError(
            f"x and y have shapes {x.shape} and {y.shape}; expected two lists of 3 or more numbers"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("x or y holds NaN or infinity: leave out those pairs")
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        raise ValueError("x or y is constant: it has no correlation with anything")

    def statistic(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
        if kind == "spearman":
            x, y = stats.rankdata(x, axis=axis), stats.rankdata(y, axis=axis)
        constant = (np.ptp(x, axis=axis) == 0) | (np.ptp(y, axis=axis) == 0)
        x, y = (v - v.mean(axis, keepdims=True) for v in (x, y))
        with np.errstate(invalid="ignore"):
            value = (x * y).sum(axis) / np.sqrt((x**2).sum(axis) * (y**2).sum(axis))
        return np.where(constant, np.nan, value)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy's own interval is NaN where one resample is
        drawn = stats.bootstrap(
            (x, y),
            statistic,
            paired=True,
            method="percentile",
            n_resamples=resamples,
            rng=np.random.default_rng(seed),
        ).bootstrap_distribution
    low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Correlation(float(statistic(x, y)), float(low), float(high))
