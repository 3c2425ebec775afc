"""Choosing rows of results.json by their labels, and comparing their numbers."""

import math
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

Row = Mapping[str, Any]

#: What a row says; everything else names what it says it of.
NUMBERS = ("value", "sd", "n", "values", "correct")

#: Numbers that differ by less, relative to the larger, are equal: in single precision 0.1 is 0.10000000149.
SLACK = 1e-6


def select(rows: Iterable[Row], where: Mapping[str, Any]) -> list[Row]:
    """The rows whose labels fit `where`, in their order.

    A condition is a value; text with * for any characters; a list of such, any of which fits; or a mapping of
    `is` (one of these, all if left out), `not` (what must not fit) and `first` or `last` (how many of the
    label's distinct values, in the order of the rows that fit all other conditions; -1 is all but one). A row
    without the label does not fit.
    """
    chosen = list(rows)
    for label, condition in where.items():
        chosen = [row for row in chosen if label in row and _fits(row[label], condition)]
    for label, condition in where.items():
        if isinstance(condition, Mapping) and ("first" in condition or "last" in condition):
            distinct = list(dict.fromkeys(row[label] for row in chosen))
            kept = distinct[: condition["first"]] if "first" in condition else distinct[-condition["last"] :]
            chosen = [row for row in chosen if row[label] in kept]
    return chosen


def key(row: Row, without: Iterable[str]) -> tuple[tuple[str, Any], ...]:
    """What a row is of, without some labels: rows to be compared have equal keys."""
    left = {*NUMBERS, "experiment", "quantity", *without}
    return tuple(sorted((k, v) for k, v in row.items() if k not in left))


def repetitions(row: Row) -> list[float]:
    """The row's numbers, one a repetition; its value alone where they were not kept. NaN for null."""
    values: Sequence[float | None] = row.get("values") or [row["value"]]
    return [float("nan") if v is None else float(v) for v in values]


def excess(a: float, b: float) -> float:
    """a − b, and 0 where they are equal up to SLACK; every rule compares a number with its bound by this."""
    return 0.0 if math.isclose(a, b, rel_tol=SLACK) else a - b


def _fits(value: Any, condition: Any) -> bool:
    if isinstance(condition, Mapping):
        return _fits(value, condition.get("is", "*")) and not (
            "not" in condition and _fits(value, condition["not"])
        )
    if isinstance(condition, list | tuple):
        return any(_fits(value, c) for c in condition)
    if isinstance(condition, str):
        return fnmatchcase(str(value), condition.replace("[", "[[]"))
    return value == condition
