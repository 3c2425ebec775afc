"""Deciding a claim on the estimates of its parts, with known error rates.

A part's margin is what does not matter: a difference within it counts as none. Every limit is a one-sided 95
% limit. The page book/decisions.md says the same for readers, and how often each answer comes in worlds where
it is known.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.stats import t

from companion.publishing.claims.intervals import ALPHA, POWER, Estimate, together

BADGES = {
    **{"reproduced": "ok", "not reproduced": "no", "no difference": "same", "undecided": "maybe"},
    "not tested here": "none",
    **{"holds": "ok", "contradicted": "no", "too close to read": "maybe"},  # of printed numbers
}
#: The answers that decide a claim on a run.
DECIDED = ("reproduced", "not reproduced", "no difference")
_MANY = 1000


@dataclass(frozen=True)
class Verdict:
    """The answer to a claim, and the numbers it rests on, in one sentence.

    rows: the places of the rows it was decided on among those of the run, counted from 0. images: the set
    they are of. elsewhere: the answer on images that the claim is not about, which counts for nothing.
    binding: the part that binds; effect: its lower limit, value and upper limit; margin: what does not matter
    of it. values: those of all parts, by name.
    """

    word: str
    detail: str
    rows: tuple[int, ...] = ()
    images: str = ""
    elsewhere: str = ""
    binding: str = ""
    effect: tuple[float, float, float] | None = None
    margin: float = 0.0
    values: Mapping[str, float] = field(default_factory=dict)

    @property
    def badge(self) -> str:
        return f'<span class="cmp-verdict {BADGES[self.word]}">{self.word}</span>'


def every(parts: Sequence[Estimate]) -> Verdict:
    """Decide "every part is positive".

    No difference: all limits of every part lie within its margin. Not reproduced: some part's upper limit,
    at 5 % divided by the number of parts (Bonferroni), lies below minus its margin, or that of all parts
    together lies below 0. Reproduced: every part's lower limit lies above minus its margin (an
    intersection-union test: no correction), and the parts together are above 0 also without the largest, so
    that one large part cannot speak for all. Else undecided.
    """
    alpha = ALPHA / len(parts)
    low = min(parts, key=lambda e: _scaled(e.lower() + e.margin, e))
    worst = min(parts, key=lambda e: _scaled(e.upper(alpha) + e.margin, e))
    whole, rest = together(parts), _without_the_largest(parts)
    if _within(parts):
        return _verdict("no difference", _farthest(parts), parts)
    if worst.upper(alpha) < -worst.margin:
        return _verdict("not reproduced", worst, parts, alpha)
    if whole.upper() < 0:
        return _verdict("not reproduced", whole if len(parts) > 1 else worst, parts)
    if low.lower() <= -low.margin:
        return _undecided(low, -low.margin if len(parts) > 1 else 0.0, parts)
    return _verdict("reproduced", low, parts) if rest.lower() > 0 else _undecided(rest, 0.0, parts)


def at_least(parts: Sequence[Estimate], needed: int) -> Verdict:
    """Decide "at least so many of the parts are positive", by partial conjunction (Benjamini and Heller
    2008).

    Of n parts r are positive when the r-th largest lower limit at 5 % / (n − r + 1) lies above 0: reproduced.
    Not reproduced: so many lie below minus their margin in the same way that too few are left. No difference:
    all limits within the margins. Else undecided.
    """
    n = len(parts)
    above_alpha, enough_against = ALPHA / (n - needed + 1), n - needed + 1
    below_alpha = ALPHA / (n - enough_against + 1)
    above = sorted(parts, key=lambda e: _scaled(e.lower(above_alpha), e))[n - needed]
    below = sorted(parts, key=lambda e: _scaled(e.upper(below_alpha) + e.margin, e))[enough_against - 1]
    if _within(parts):
        return _verdict("no difference", _farthest(parts), parts)
    if above.lower(above_alpha) > 0:
        return _verdict("reproduced", above, parts, above_alpha)
    if below.upper(below_alpha) < -below.margin:
        return _verdict("not reproduced", below, parts, below_alpha)
    return _undecided(above, 0.0, parts)


def equal(parts: Sequence[Estimate]) -> Verdict:
    """Decide "every part is 0, up to its margin", by two one-sided tests a part.

    Reproduced: all limits of every part lie within. Not reproduced: some part lies outside by its limit at
    5 % divided by twice the number of parts. Else undecided.
    """
    alpha = ALPHA / len(parts) / 2
    farthest = max(parts, key=lambda e: _scaled(max(e.upper(), -e.lower()) - e.margin, e))
    outside = max(parts, key=lambda e: _scaled(max(e.lower(alpha), -e.upper(alpha)) - e.margin, e))
    if _within(parts):
        return _verdict("reproduced", farthest, parts)
    if max(outside.lower(alpha), -outside.upper(alpha)) > outside.margin:
        return _verdict("not reproduced", outside, parts, alpha)
    return _undecided(farthest, math.copysign(farthest.margin, farthest.value), parts)


def in_print(parts: Sequence[tuple[Estimate, float]], *, majority: bool = False) -> Verdict:
    """Say whether printed numbers, without spread, bear a claim out: every part (or most) positive.

    parts: each with how far it may be off by reading and rounding; what fails by less than that and its
    margin is not contradicted.
    """
    n = len(parts)
    held = sum(e.value > 0 for e, _ in parts)
    against = sum(e.value < -(error + e.margin) for e, error in parts)
    weakest, error = min(parts, key=lambda p: p[0].value)
    if held == n or (majority and held > n / 2):
        word = "holds"
    else:
        word = "contradicted" if against and (not majority or against >= n / 2) else "too close to read"
    read = f", read to ± {error:.2g}" if error else ""
    near = (
        f", within {weakest.margin:g} counts as none"
        if weakest.margin and word == "too close to read"
        else ""
    )
    return Verdict(
        word,
        f"{held} of {n} hold; smallest: {weakest.name} {weakest.value:+.2f}{read}{near}",
        binding=weakest.name,
        effect=(weakest.value - error, weakest.value, weakest.value + error),
        values={e.name: e.value for e, _ in parts},
    )


def _within(parts: Iterable[Estimate]) -> bool:
    return all(e.margin > 0 and -e.margin <= e.lower() and e.upper() <= e.margin for e in parts)


def _farthest(parts: Sequence[Estimate]) -> Estimate:
    return max(parts, key=lambda e: _scaled(abs(e.value), e))


def _scaled(distance: float, e: Estimate) -> float:
    """A distance in standard errors, so that parts in different units compare; exact parts are far."""
    if math.isinf(distance) or math.isinf(e.se):
        return math.copysign(math.inf, distance)
    return distance / max(e.se, 1e-12)


def _without_the_largest(parts: Sequence[Estimate]) -> Estimate:
    if len(parts) == 1:
        return parts[0]
    largest = max(range(len(parts)), key=lambda i: _scaled(parts[i].value, parts[i]))
    rest = together([e for i, e in enumerate(parts) if i != largest])
    return replace(
        rest, name=rest.name.replace("all parts together", "the parts together without the largest")
    )


def _verdict(word: str, binding: Estimate, parts: Sequence[Estimate], alpha: float = ALPHA) -> Verdict:
    """A verdict and its sentence: the part that binds, its limits, what they are limits of."""
    return Verdict(
        word,
        f"{_binding(binding, parts, alpha)}{_about(binding)}",
        binding=binding.name,
        effect=(binding.lower(alpha), binding.value, binding.upper(alpha)),
        margin=binding.margin,
        values={e.name: e.value for e in parts},
    )


def _binding(e: Estimate, parts: Sequence[Estimate], alpha: float) -> str:
    of = f"of {len(parts)} parts the one that binds: " if len(parts) > 1 else ""
    limits = (
        f"({_n(e.lower(alpha))} to {_n(e.upper(alpha))})" if math.isfinite(e.se) else "(no spread is known)"
    )
    return f"{of}{e.name} {_n(e.value)} {limits}"


def _about(e: Estimate) -> str:
    if e.nets == 1 and e.images and not e.correlation:
        return f"; one net a side, {e.images} images: it speaks of these nets"
    return ""


def _undecided(e: Estimate, bound: float, parts: Sequence[Estimate]) -> Verdict:
    """Undecided, and what would decide it."""
    found = _verdict("undecided", e, parts)
    return replace(found, detail=f"{found.detail}; {_what_would_decide(e, bound)}")


def _what_would_decide(e: Estimate, bound: float) -> str:
    """The smallest difference that this run could have seen, and the nets or images that settle the observed.

    The variance between nets falls with their number, the variance between images with theirs.
    """
    if math.isnan(e.value):
        return "some of its values are missing or infinite"
    if e.correlation and math.isinf(e.se):
        return f"a correlation over {e.nets} settings has no interval: it takes at least four"
    if math.isinf(e.se):
        return "one net has no spread: it takes at least three"
    if e.correlation:
        return f"{e.nets} settings see a coefficient of about {math.tanh(e.detectable):.2f}"
    sees = f"a difference of {e.detectable:.2g} would have been seen"
    gap = abs(e.value - bound)
    wanted = (gap / (t.ppf(1 - ALPHA, 30) + t.ppf(POWER, 30))) ** 2
    if wanted <= 0 or e.se**2 / wanted > _MANY:
        return f"{sees}; what was seen is too small to be settled"
    more = math.ceil(e.se**2 / wanted)
    if e.nets == 1:
        return f"{sees}; about {more * e.images:,} images would settle what was, for these nets"
    left = wanted - e.between_images
    nets = math.ceil(e.between_nets * e.nets / left) if left > 0 else math.inf
    if nets <= more * e.nets:
        return f"{sees}; about {max(nets, e.nets + 1)} nets a side would settle what was"
    return f"{sees}; about {more * e.nets} nets a side on {more * e.images:,} images would settle what was"


def _n(x: float) -> str:
    return f"{x:+.2f}" if 0.1 <= abs(x) < 1e4 or x == 0 else f"{x:+.2g}"


def summary(verdicts: Iterable[Verdict]) -> str:
    """How many claims got which word, in the order of BADGES."""
    words = [verdict.word for verdict in verdicts]
    return ", ".join(f"{words.count(word)} {word}" for word in BADGES if word in words)


def exact(distances: Sequence[tuple[str, float, float]]) -> Verdict:
    """Decide an identity: (name, distance from it, bound) of numbers that no chance enters.

    Reproduced when every distance is within its bound; a distance that is not a number is not.
    """
    off = [distance for _, distance, bound in distances if not distance <= bound]
    name, farthest, bound = max(distances, key=lambda d: np.nan_to_num(d[1] / d[2], nan=math.inf))
    counted = f"{len(distances) - len(off)} of {len(distances)} within bounds"
    detail = f"{counted}; farthest: {name}, off by {farthest:.2g}"
    return Verdict("not reproduced" if off else "reproduced", detail)
