"""What is compared when a claim is decided, and how sure a few nets make us of it.

The unit is the trained net. A part of a claim is a linear combination of rows, such as the robust accuracy of
A minus that of B; it is positive where the claim holds. Its error has two sources: other nets (seeds) would
give other values, and so would other test images. Both are estimated, and the interval covers both.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import brentq
from scipy.special import digamma, polygamma
from scipy.stats import spearmanr, t

from companion.publishing.claims.rows import Row, excess, repetitions

#: One-sided error rate of every limit.
ALPHA = 0.05
#: How often a run should see the difference it was made for.
POWER = 0.8
#: More degrees of freedom than this are never borrowed from other nets.
_MOST_BORROWED = 20.0


@dataclass(frozen=True)
class Part:
    """Rows with their weights and a constant: positive where the claim holds.

    margin: what does not matter of it. resolution: the smallest step of the scale that a row is read on.
    best: the part is the best of these, and has no terms of its own.
    """

    name: str
    terms: tuple[tuple[float, Row], ...] = ()
    constant: float = 0.0
    margin: float = 0.0
    resolution: float = 0.0
    best: tuple["Part", ...] = ()

    @property
    def quantity(self) -> str:
        """What is measured; of a comparison of two quantities the first."""
        return str((self.terms or self.best[0].terms)[0][1]["quantity"])


@dataclass(frozen=True)
class Prior:
    """What the nets of a kind say of each one's variance: a typical one, and what it is worth in degrees."""

    df: float = 0.0
    variance: float = 0.0


@dataclass(frozen=True)
class Estimate:
    """A part, measured. Its limits are one-sided, each with its own error rate.

    unit: what is measured, by which parts are averaged. margin: what does not matter of it.
    nets: how many nets a side has; one: then the interval is over images alone and speaks of these nets.
    between_nets, between_images: the variance that each source adds to the value. se is infinite where
    neither is known. correlation: the value is a rank correlation, whose limits come by
    Fisher's transform. best: the value is the largest of these.
    """

    name: str
    value: float
    unit: str = ""
    margin: float = 0.0
    se: float = math.inf
    df: float = math.inf
    nets: int = 1
    images: int = 0
    between_nets: float = 0.0
    between_images: float = 0.0
    correlation: bool = False
    best: tuple["Estimate", ...] = ()

    def lower(self, alpha: float = ALPHA) -> float:
        """The limit that the true value is below with probability `alpha` at most."""
        if self.best:  # one of them above it is enough, and any of them may be the one
            return max(each.lower(alpha / len(self.best)) for each in self.best)
        return self._limit(-1, alpha)

    def upper(self, alpha: float = ALPHA) -> float:
        """The limit that the true value is above with probability `alpha` at most."""
        return max(each.upper(alpha) for each in self.best) if self.best else self._limit(1, alpha)

    def _limit(self, sign: int, alpha: float) -> float:
        if math.isinf(self.se):
            return sign * math.inf
        distance = float(t.ppf(1 - alpha, self.df)) * self.se
        if self.correlation:
            bounded = min(max(self.value, -0.999999), 0.999999)
            return math.tanh(math.atanh(bounded) + sign * distance)
        return self.value + sign * distance

    @property
    def detectable(self) -> float:
        """The smallest difference that a run like this one sees in four cases of five."""
        return (
            math.inf
            if math.isinf(self.se)
            else float(t.ppf(1 - ALPHA, self.df) + t.ppf(POWER, self.df)) * self.se
        )


def fit_prior(variances: Iterable[float], df: int) -> Prior:
    """Smyth's prior for variances of the same kind, each with `df` degrees of freedom.

    Few nets say little about one variance; what the variances of all nets have in common says more. Smyth
    (2004), Linear models and empirical Bayes methods for assessing differential expression, section 6.2: the
    degrees of freedom and the scale of a scaled inverse chi-square prior, from the mean and the spread of the
    logarithms. Where the variances differ by no more than chance, the prior is worth as many degrees as
    all of them together; here 20 at most, and none from fewer than three. Variances of 0 (nets that all fail,
    or never do) say nothing about the others and are left out.
    """
    logs = np.log([v for v in variances if v > 0])
    if len(logs) < 3 or df < 1:
        return Prior()
    e = logs - digamma(df / 2) + math.log(df / 2)
    beyond_chance = float(np.var(e, ddof=1) - polygamma(1, df / 2))
    worth = min(_MOST_BORROWED, float(df * len(logs)))
    if beyond_chance > 0:
        worth = min(worth, 2 * _trigamma_inverse(beyond_chance))
    return Prior(worth, math.exp(float(e.mean()) + float(digamma(worth / 2)) - math.log(worth / 2)))


def _trigamma_inverse(y: float) -> float:
    return float(brentq(lambda x: float(polygamma(1, x)) - y, 1e-6, 1e6))


def estimate(part: Part, prior: Prior) -> Estimate:
    """A part's value and its standard error over nets and images.

    The variance between nets is that of the part's values over seeds (paired: seed by seed), drawn towards
    the prior's; the variance between images is that of the per-image verdicts, averaged over seeds, less what
    nets and images together add to it, which the first already holds: the crossed two-way analysis of
    variance, with Satterthwaite's degrees of freedom. It is never below what one image more or less would
    change; and nets that are equal on a coarse scale need not be equal: they are taken to differ by a step of
    it at least, a variance that is not estimated and has no degrees of freedom. A row with one value, beside
    rows of several, is taken as exact.
    """
    if part.best:
        each = [estimate(of, prior) for of in part.best]
        top = max(each, key=lambda e: e.value)
        return (
            replace(top, name=part.name, best=tuple(each)) if len(each) > 1 else replace(top, name=part.name)
        )
    values, paired = _combined(part)
    nets = len(values)
    weight = sum(w * w for w, _ in part.terms)
    images, over_images = _between_images(part)
    value = _rounded(part, float(values.mean()))
    found = Estimate(part.name, value, part.quantity, part.margin, nets=nets, images=images)
    if not np.isfinite(values).all():
        return found
    df, over_nets = 0.0, math.nan
    if nets > 1:
        of_part = float(values.var(ddof=1)) if paired else _unpaired(part)
        df = prior.df + nets - 1
        over_nets = (prior.df * weight * prior.variance + (nets - 1) * of_part) / df / nets
    if math.isnan(over_nets) and not images:
        return found
    if math.isnan(over_nets):
        return replace(found, se=math.sqrt(over_images), df=images - 1.0, between_images=over_images)
    one_step = (part.resolution * max(abs(w) for w, _ in part.terms)) ** 2 / nets
    variance = max(over_nets, one_step) + over_images
    satterthwaite = variance**2 / (over_nets**2 / df) if over_nets > 0 else math.inf
    return replace(
        found,
        se=math.sqrt(variance),
        df=satterthwaite,
        between_nets=max(over_nets, one_step),
        between_images=over_images,
    )


def _combined(part: Part) -> tuple[np.ndarray, bool]:
    """The part's value for each seed, and whether the seeds of all rows belong together."""
    columns = [(w, repetitions(row)) for w, row in part.terms]
    lengths = {len(values) for _, values in columns} - {1}
    if len(lengths) <= 1:
        total = sum((w * np.asarray(values, dtype=float) for w, values in columns), np.zeros(1))
        return np.asarray(total) + part.constant, True
    mean = sum(w * float(np.mean(values)) for w, values in columns) + part.constant
    return np.full(min(lengths), mean), False


def _unpaired(part: Part) -> float:
    """The variance of a single net's part where rows have different numbers of nets."""
    rows = [(w, np.asarray(repetitions(row), dtype=float)) for w, row in part.terms]
    fewest = min(len(v) for _, v in rows if len(v) > 1)
    return sum(w * w * float(v.var(ddof=1)) / len(v) for w, v in rows if len(v) > 1) * fewest


def _between_images(part: Part) -> tuple[int, float]:
    """How many images the part was measured on, and the variance they add to its value, in points of a
    hundred.

    No images where a row keeps no verdicts, or not on the same images.
    """
    kept = [(w, row["correct"]) for w, row in part.terms if "correct" in row]
    if len(kept) < len(part.terms) or len({(len(c), len(c[0])) for _, c in kept}) != 1:
        return 0, 0.0
    correct = sum(w * _truth(c) for w, c in kept)
    nets, images = correct.shape
    one_image = (100 / images) ** 2
    by_image = correct.mean(0)
    between = float(by_image.var(ddof=1))
    if nets > 1:
        residual = correct - by_image - correct.mean(1, keepdims=True) + correct.mean()
        between -= float((residual**2).sum()) / (nets - 1) / (images - 1) / nets
    return images, max(1e4 * between / images, one_image)


def _truth(correct: Sequence[str]) -> np.ndarray:
    """Verdicts kept as text, or as an array, one row a net."""
    if isinstance(correct, np.ndarray):
        return correct.astype(float)
    return np.stack([np.frombuffer(of.encode(), np.uint8) == ord("1") for of in correct]).astype(float)


def _rounded(part: Part, value: float) -> float:
    """0 where both sides are equal up to rounding: single precision writes 0.1 as 0.10000000149."""
    above = sum(w * float(np.mean(repetitions(r))) for w, r in part.terms if w > 0) + max(part.constant, 0.0)
    return excess(above, above - value)


def together(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of several parts. Its error is at most the mean of theirs, whatever they share.

    Parts in different units are averaged in standard errors.
    """
    if len({e.unit for e in estimates}) > 1 and all(0 < e.se < math.inf for e in estimates):
        estimates = [replace(e, value=e.value / e.se, se=1.0, unit="standard errors") for e in estimates]
    return Estimate(
        "all parts together" + (" (in standard errors)" if estimates[0].unit == "standard errors" else ""),
        float(np.mean([e.value for e in estimates])),
        se=float(np.mean([e.se for e in estimates])),
        df=min(e.df for e in estimates),
        nets=min(e.nets for e in estimates),
        images=min(e.images for e in estimates),
        between_nets=float(np.mean([math.sqrt(e.between_nets) for e in estimates])) ** 2,
        between_images=float(np.mean([math.sqrt(e.between_images) for e in estimates])) ** 2,
    )


def rank_correlation(
    name: str, x: Sequence[Sequence[float]], y: Sequence[Sequence[float]], sign: int, margin: float
) -> Estimate:
    """Spearman's coefficient over settings, such as training weights, each with a value for every seed.

    It is computed seed by seed and averaged. Its error, on Fisher's scale, is that of one seed (Bonett and
    Wright 2000): the seeds repeat the same settings. Fewer than four settings have no interval, nor have
    values of which one is missing.
    """
    by_seed = [sign * _spearman(a, b) for a, b in zip(np.transpose(x), np.transpose(y), strict=True)]
    value, n = float(np.mean(by_seed)), len(x)
    known = n > 3 and math.isfinite(value)
    se = math.sqrt((1 + value * value / 2) / (n - 3)) if known else math.inf
    return Estimate(name, value, "rank correlation", margin, se=se, nets=n, correlation=True)


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's, and 0 where one of the two does not change."""
    if len(set(a)) < 2 or len(set(b)) < 2:
        return 0.0
    return float(spearmanr(a, b).statistic)


def spreads(rows: Sequence[Sequence[Row]], *, contrasts: bool) -> Prior:
    """The prior of the nets in several groups of rows of one kind, such as one group an attack.

    contrasts: for differences between rows; what all nets of a seed share (its data order) cancels there, so
    the mean of the seed over the group is taken off first.
    """
    groups = [[repetitions(row) for row in group] for group in rows]
    seeds = [len(values) for group in groups for values in group]
    most = max(set(seeds), key=seeds.count, default=0)
    variances: list[float] = []
    for group in groups:
        table = np.asarray([values for values in group if len(values) == most], dtype=float)
        if most < 2 or not len(table) or not np.isfinite(table).all():
            continue
        m = len(table)
        if contrasts and m > 1:
            table = (table - table.mean(0)) * math.sqrt(m / (m - 1))
        variances += list(table.var(axis=1, ddof=1))
    return fit_prior(variances, most - 1)
