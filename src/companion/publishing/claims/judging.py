"""Deciding a paper's claim on measured numbers and their spread."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.stats import t

from companion.publishing.claims.rows import excess

BADGES = {
    **{"reproduced": "ok", "not reproduced": "no", "inconclusive": "maybe", "not run": "none"},
    **{"holds": "ok", "contradicted": "no"},  # of the numbers a paper prints, which come without spread
}


@dataclass(frozen=True)
class Verdict:
    """The answer to a claim, and the numbers it rests on, in one sentence.

    rows: the places of the rows it was decided on among those of the run, counted from 0.
    """

    word: str
    detail: str
    rows: tuple[int, ...] = ()

    @property
    def badge(self) -> str:
        return f'<span class="cmp-verdict {BADGES[self.word]}">{self.word}</span>'


def half_width(values: Sequence[float], tolerance: float = 0.0) -> float:
    """Half the 95 % t-interval of the mean, at least `tolerance`; infinite for one value."""
    n = len(values)
    if n < 2:
        return math.inf
    return max(tolerance, float(t.ppf(0.975, n - 1)) * stdev(values) / math.sqrt(n))


def all_positive(differences: Mapping[str, Sequence[float]], *, tolerance: float = 0.0) -> Verdict:
    """Decide "every one of these differences is positive", each given as its values over seeds.

    A difference holds when its mean over seeds is above the half-width of its 95 % t-interval and above
    `tolerance` (what the finite test set leaves open), fails when it lies as far below 0, and is open
    otherwise; so is one that is not a number. All hold: reproduced. Any fails: not reproduced. Else
    inconclusive: the spread covers both, and one seed has no spread. None given: not run.
    No correction for many comparisons: a claim with many parts fails by chance more easily.
    """
    return _decide(differences, tolerance, lambda held, failed, n: 1 if held == n else -1 if failed else 0)


def most_positive(differences: Mapping[str, Sequence[float]], *, tolerance: float = 0.0) -> Verdict:
    """Decide "most of these differences are positive", each judged as in `all_positive`.

    More than half hold: reproduced. At least half fail: not reproduced. Else inconclusive.
    """
    return _decide(
        differences, tolerance, lambda held, failed, n: 1 if held > n / 2 else -1 if failed >= n / 2 else 0
    )


def in_print(differences: Mapping[str, Sequence[float]], *, most: bool = False) -> Verdict:
    """Say whether printed numbers, without spread, bear a claim out: all differences (or most) positive."""
    means = {name: fmean(values) for name, values in differences.items()}
    held, n = sum(mean > 0 for mean in means.values()), len(means)
    weakest = min(means, key=means.get)
    word = "holds" if held == n or (most and held > n / 2) else "contradicted"
    return Verdict(word, f"{held} of {n} hold; smallest: {weakest} {means[weakest]:+.2f}")


def _decide(
    differences: Mapping[str, Sequence[float]], tolerance: float, rule: Callable[[int, int, int], int]
) -> Verdict:
    known = {name: values for name, values in differences.items() if not any(map(math.isnan, values))}
    if not known:
        return Verdict("not run", "its inputs were not run")
    means = {name: fmean(values) for name, values in known.items()}
    halves = {name: half_width(values, tolerance) for name, values in known.items()}
    held = sum(excess(means[name], halves[name]) > 0 for name in means)
    failed = sum(excess(-halves[name], means[name]) > 0 for name in means)
    weakest = min(means, key=means.get)
    spread = "one seed" if math.isinf(halves[weakest]) else f"± {halves[weakest]:.2f}"
    n = len(differences)
    counts = f"{held} of {n} hold, {failed} fail, {n - held - failed} open"
    word = {1: "reproduced", -1: "not reproduced", 0: "inconclusive"}[rule(held, failed, n)]
    return Verdict(word, f"{counts}; smallest: {weakest} {means[weakest]:+.2f} ({spread})")


def summary(verdicts: Iterable[Verdict]) -> str:
    """How many claims got which word, in the order of BADGES."""
    words = [verdict.word for verdict in verdicts]
    return ", ".join(f"{words.count(word)} {word}" for word in BADGES if word in words)
