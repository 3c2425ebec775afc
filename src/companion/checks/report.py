"""The table of rows, what one row says, and the report they make together."""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

#: Row -> its name, and what it is called when it does not hold: a gate fails, a flag is shown.
#: Source: checklist of Carlini et al. 2019; Athalye et al. 2018; AutoAttack's own checks.
ROWS: dict[str, tuple[str, str]] = {
    "R1": ("eval mode, parameters untouched", "failed"),
    "R2": ("inputs and labels in range", "failed"),
    "R3": ("perturbation inside ball and box", "failed"),
    "R4": ("radius 0 changes nothing", "failed"),
    "R5": ("deterministic forward pass", "failed"),
    "R6": ("prediction independent of the batch", "failed"),
    "R7": ("logits, not probabilities", "failed"),
    "R8": ("gradients that vanish", "flagged"),
    "R9": ("losses agree", "failed"),
    "R10": ("accuracy decreases with the radius", "failed"),
    "R11": ("large radii reach chance and 0", "failed"),
    "R12": ("many steps beat one", "failed"),
    "R13": ("converged in steps", "flagged"),
    "R14": ("converged in restarts", "flagged"),
    "R15": ("gradient attack beats random noise", "flagged"),
    "R16": ("gradient attack beats a black box", "flagged"),
    "R17": ("gradient attack beats transfer", "flagged"),
    "R18": ("untargeted attack beats targeted", "flagged"),
    "R19": ("worst case for each image", "failed"),
    "R20": ("loss rises along the attack", "flagged"),
    "R21": ("verdicts survive a second prediction", "failed"),
    "R22": ("undefended baseline is not robust", "failed"),
    "R23": ("known-broken nets are caught", "failed"),
    "R24": ("minimal distances agree", "flagged"),
    "R25": ("clean accuracy, n and interval beside it", "failed"),
    "R26": ("enough classes for the loss", "failed"),
    "R27": ("no optimiser inside, no choice on test data", "failed"),
}


@dataclass(frozen=True)
class Check:
    """What one row says: `status` is "passed", "flagged", "failed" or "not run"; `value` the number it rests
    on (None where there is none), explained by `sentence`."""

    id: str
    name: str
    status: str
    value: float | None
    sentence: str


def judge(id: str, holds: bool, value: float | None, sentence: str) -> Check:
    """The row's Check: passed if it holds, else failed for a gate and flagged for a flag (ROWS)."""
    name, otherwise = ROWS[id]
    return Check(id, name, "passed" if holds else otherwise, value, sentence)


def not_run(id: str, reason: str) -> Check:
    """A row that could not be judged, and why."""
    return Check(id, ROWS[id][0], "not run", None, reason)


@dataclass(frozen=True)
class Report:
    """All rows, in order, for one net and one ball, on n points. Make one with `complete`."""

    norm: str
    eps: float
    n: int
    checks: tuple[Check, ...]

    def __getitem__(self, id: str) -> Check:
        return next(check for check in self.checks if check.id == id)

    def ids(self, status: str) -> tuple[str, ...]:
        """The rows with this status."""
        return tuple(check.id for check in self.checks if check.status == status)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; a value that is not finite becomes None."""
        plain = asdict(self)
        for row in plain["checks"]:
            if row["value"] is not None and not math.isfinite(row["value"]):
                row["value"] = None
        return plain


def complete(norm: str, eps: float, n: int, checks: Iterable[Check], reason: str) -> Report:
    """A report of every row in ROWS; rows without a Check are "not run" for this reason."""
    done = {check.id: check for check in checks}
    rows = tuple(done.get(id) or not_run(id, _REASONS.get(id, reason)) for id in ROWS)
    return Report(norm, eps, n, rows)


_REASONS = {"R23": "Not a question about one net: the package's tests ask it of companion.checks.broken."}


def join(first: Report, second: Report) -> Report:
    """One report of two on the same ball, such as `fast` and `slow`: each row from the report that ran it.

    A row both ran keeps the worse status. Raises ValueError when norm or eps differ.
    """
    if (first.norm, first.eps) != (second.norm, second.eps):
        raise ValueError(
            f"reports of {first.norm} {first.eps:g} and {second.norm} {second.eps:g}: join those of one ball"
        )
    worse = {"not run": 0, "passed": 1, "flagged": 2, "failed": 3}
    rows = tuple(
        max(pair, key=lambda check: worse[check.status])
        for pair in zip(first.checks, second.checks, strict=True)
    )
    return Report(first.norm, first.eps, max(first.n, second.n), rows)


def percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"


def named(losses: Iterable[str]) -> str:
    """Losses as a sentence names them: "cross-entropy and margin"."""
    return " and ".join(losses).replace("_", "-")


def wilson(hits: int, n: int) -> tuple[float, float]:
    """95 % interval of a fraction hits / n (Wilson 1927): inside [0, 1], and of positive width at 0 and n."""
    z = 1.959964
    centre, half = hits + z * z / 2, z * math.sqrt(hits * (n - hits) / n + z * z / 4)
    return max(0.0, (centre - half) / (n + z * z)), min(1.0, (centre + half) / (n + z * z))
