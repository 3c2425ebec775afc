"""Deciding a paper's claim on measured numbers and their spread."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.stats import t

BADGES = {"reproduced": "ok", "not reproduced": "no", "inconclusive": "maybe", "not run": "none"}


@dataclass(frozen=True)
class Verdict:
    """The answer to a claim, and the numbers it rests on, in one sentence."""

    word: str
    detail: str

    @property
    def badge(self) -> str:
        return f'<span class="cmp-verdict {BADGES[self.word]}">{self.word}</span>'


def half_width(values: Sequence[float]) -> float:
    """Half the 95 % t-interval of the mean; infinite for one value, which says nothing about spread."""
    n = len(values)
    if n < 2:
        return math.inf
    return float(t.ppf(0.975, n - 1)) * stdev(values) / math.sqrt(n)


def all_positive(differences: Mapping[str, Sequence[float]]) -> Verdict:
    """Decide "every one of these differences is positive", each given as its values over seeds.

    A difference holds when the 95 % t-interval of its mean over seeds lies above 0, fails when it lies below,
    and is open otherwise. All hold: reproduced. Any fails: not reproduced. Else inconclusive: the
    spread covers both, and one seed has no spread. None given: not run.
    """
    return _decide(differences, lambda held, failed, n: 1 if held == n else -1 if failed else 0)


def most_positive(differences: Mapping[str, Sequence[float]]) -> Verdict:
    """Decide "most of these differences are positive", each judged as in `all_positive`.

    More than half hold: reproduced. At least half fail: not reproduced. Else inconclusive.
    """
    return _decide(differences, lambda held, failed, n: 1 if held > n / 2 else -1 if failed >= n / 2 else 0)


def _decide(differences: Mapping[str, Sequence[float]], rule: Callable[[int, int, int], int]) -> Verdict:
    if not differences:
        return Verdict("not run", "its inputs were not run")
    means = {name: fmean(values) for name, values in differences.items()}
    halves = {name: half_width(values) for name, values in differences.items()}
    held = sum(means[name] - halves[name] > 0 for name in means)
    failed = sum(means[name] + halves[name] < 0 for name in means)
    weakest = min(means, key=means.get)
    spread = "one seed" if math.isinf(halves[weakest]) else f"± {halves[weakest]:.2f}"
    counts = f"{held} of {len(means)} hold, {failed} fail, {len(means) - held - failed} open"
    word = {1: "reproduced", -1: "not reproduced", 0: "inconclusive"}[rule(held, failed, len(means))]
    return Verdict(word, f"{counts}; smallest: {weakest} {means[weakest]:+.2f} ({spread})")


def summary(verdicts: Iterable[Verdict]) -> str:
    """How many claims got which word, in the order of BADGES."""
    words = [verdict.word for verdict in verdicts]
    return ", ".join(f"{words.count(word)} {word}" for word in BADGES if word in words)
