"""The claims of the papers: book/claims/PAPER.yaml, each claim with the rule that decides it on a run's rows.

A rule is data, never code. It yields differences, each positive where the claim holds and given once per
repetition (seed); claims.judging judges them. The same rules decide whether the numbers that a paper prints
(book/claims/printed/NOTEBOOK.csv) support it. The rules:

greater: {where, more, less, margin, optional}
    Every row that fits `where` and `more` exceeds, by more than -margin, every row that fits `where` and
    `less` and agrees with it in all labels that neither `more` nor `less` names. `more` or `less` may be a
    number, and `best: true` in one of them keeps only its highest row of each group. Rows are needed, unless
    the part is `optional`.
trend: {of, along, direction}
    The rows `of`, ordered by the number in label `along`, are rising or falling (Spearman's coefficient).
    Rows are in one series if they agree in all labels that `of` does not name.
close: {of, to, within}
    Every row `of` is within `within` of the number `to`, or of its own label `to`. Decided without spread.
    A bound finer than one part in a million of `to` needs a recorded gap and `to: 0`.

See claims.rows.select for conditions on labels; numbers that differ by rounding alone are equal
(claims.rows.excess).
"""

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from scipy.stats import spearmanr

from companion.publishing import paths
from companion.publishing.claims import judging
from companion.publishing.claims.judging import Verdict
from companion.publishing.claims.rows import Row, excess, key, repetitions, select
from companion.publishing.paths import UserError

Where = dict[str, Any]
Differences = dict[str, list[float]]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Greater(_Strict):
    """See the head of this module."""

    where: Where = {}
    more: Where | float
    less: Where | float
    margin: float = 0.0
    optional: bool = False


class Trend(_Strict):
    """See the head of this module."""

    of: Where
    along: str
    direction: Literal["rising", "falling"]


class Close(_Strict):
    """See the head of this module."""

    of: Where
    to: float | str
    within: float


class Rule(_Strict):
    """One or several parts, and how many of their differences must be positive."""

    greater: Greater | list[Greater] = []
    trend: Trend | list[Trend] = []
    close: Close | list[Close] = []
    judge: Literal["all", "most"] = "all"
    tolerance: float | Literal["accuracy"] = 0.0

    @model_validator(mode="after")
    def _one_kind_of_judging(self) -> "Rule":
        if not (self.parts(self.greater) or self.parts(self.trend) or self.parts(self.close)):
            raise ValueError("a rule needs greater, trend or close")
        if self.parts(self.close) and (self.parts(self.greater) or self.parts(self.trend)):
            raise ValueError("close is decided without spread and goes with no other rule")
        return self

    @staticmethod
    def parts(given: Any) -> list[Any]:
        return given if isinstance(given, list) else [given]

    def conditions(self) -> list[Where]:
        """The conditions of all parts on the rows they look at."""
        sides = [
            {**part.where, **side}
            for part in self.parts(self.greater)
            for side in (part.more, part.less)
            if isinstance(side, Mapping)
        ]
        sides += [part.of for part in (*self.parts(self.trend), *self.parts(self.close))]
        return [{k: v for k, v in where.items() if k != "best"} for where in sides]


class Claim(_Strict):
    """What a paper says, where, with which numbers, and the rule that decides it, fixed before the run.

    anchor: the label of the cell in the notebook that makes the rows it is decided on.
    of_print: what a text says of its own tables, which a run has nothing to say about.
    """

    id: str
    statement: str
    where: str = ""
    paper: str = ""
    note: str = ""
    anchor: str = ""
    of_print: bool = False
    rule: Rule | None = None


class PaperClaims(_Strict):
    """One paper's claims. under: named restrictions, such as protocols, under each of which all are decided.

    A restriction binds rows that have its labels, unless the claim's rule names the label itself.
    """

    paper: str
    notebook: str
    under: dict[str, Where] = {"": {}}
    claims: list[Claim]


def folder() -> Path:
    """Where the claims are: in the checkout, or beside this module where no checkout is."""
    installed = Path(__file__).parent / "claims_of_papers"
    return installed if installed.is_dir() else paths.root() / "book" / "claims"


def load() -> list[PaperClaims]:
    """All papers' claims. Raises UserError naming the file, the claim and what is wrong with it."""
    found = []
    for path in sorted(folder().glob("*.yaml")):
        try:
            found.append(PaperClaims.model_validate(yaml.safe_load(path.read_text("utf-8"))))
        except yaml.YAMLError as error:
            raise UserError(f"{paths.shown(path)}: {error}") from None
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise UserError(f"{paths.shown(path)}, {place}: {first['msg']}") from None
    ids = [claim.id for paper in found for claim in paper.claims]
    if twice := {i for i in ids if ids.count(i) > 1}:
        raise UserError(f"{paths.shown(folder())}: {sorted(twice)[0]} is there twice")
    return sorted(found, key=lambda of: paths.paper_rank(of.paper))


def of_notebook(notebook: str) -> list[PaperClaims]:
    """The claims decided by a notebook's runs, by paper."""
    return [paper for paper in load() if paper.notebook == notebook]


def printed(notebook: str) -> list[Row]:
    """The numbers the paper prints, as rows of a notebook's results; none where it prints none."""
    path = folder() / "printed" / f"{notebook}.csv"
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [{k: _number(v) for k, v in row.items() if v != ""} for row in csv.DictReader(file)]


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def decide(paper: PaperClaims, rows: Iterable[Row], *, exact: bool = False) -> dict[str, dict[str, Verdict]]:
    """Every claim of a paper, by id, decided on the rows of one run, or of the paper (exact).

    A claim has a verdict by the name of each restriction; one only where no row it rests on is restricted,
    none where the rows have nothing to say about it.
    """
    rows = list(rows)
    return {claim.id: _verdicts(claim, paper, rows, exact) for claim in paper.claims}


def _verdicts(claim: Claim, paper: PaperClaims, rows: list[Row], exact: bool) -> dict[str, Verdict]:
    if claim.of_print and not exact:
        return {}
    if claim.rule is None:
        return {"": Verdict("not run", claim.note or "no rule decides it")}
    places = {id(row): place for place, row in enumerate(rows)}
    named = {label for where in claim.rule.conditions() for label in where}
    found = {}
    for name, restriction in paper.under.items():
        binding = {k: v for k, v in restriction.items() if k not in named}
        left = [row for row in rows if all(row.get(k, v) == v for k, v in binding.items())]
        rests_on = {places[id(row)] for where in claim.rule.conditions() for row in select(left, where)}
        found[name] = replace(verdict(claim.rule, left, exact=exact), rows=tuple(sorted(rests_on)))
    used = [row for where in claim.rule.conditions() for row in select(rows, where)]
    labels = {label for restriction in paper.under.values() for label in restriction} - named
    if not any(label in row for row in used for label in labels):
        return {"": next(iter(found.values()))}  # nothing it rests on knows the restriction
    return found


def verdict(rule: Rule, rows: list[Row], *, exact: bool = False) -> Verdict:
    """The verdict of one rule on rows; "not run" where a part finds no rows to compare.

    exact: the rows are printed numbers, without spread; their differences hold or do not.
    """
    if rule.parts(rule.close):
        return _close(rule.parts(rule.close), rows)
    parts: list[tuple[Differences, bool]] = [
        *((_greater(part, rows), part.optional) for part in rule.parts(rule.greater)),
        *((_trend(part, rows), False) for part in rule.parts(rule.trend)),
    ]
    differences: Differences = {}
    for number, (found, _) in enumerate(parts):
        differences |= {f"{k} (part {number + 1})" if k in differences else k: v for k, v in found.items()}
    if not differences or any(not found and not optional for found, optional in parts):
        return Verdict(
            "not run", "the paper prints no numbers for it" if exact else "its inputs were not run"
        )
    if exact:
        return judging.in_print(differences, most=rule.judge == "most")
    decide = judging.most_positive if rule.judge == "most" else judging.all_positive
    return decide(differences, tolerance=_tolerance(rule, rows))


def _tolerance(rule: Rule, rows: list[Row]) -> float:
    """`accuracy`: one standard error, at most, of an accuracy in per cent on the run's test images."""
    if rule.tolerance != "accuracy":
        return rule.tolerance
    counts = select(rows, {"experiment": "data", "quantity": "test images"})
    return 100 * 0.5 / math.sqrt(counts[0]["value"]) if counts else 0.0


def _greater(part: Greater, rows: list[Row]) -> Differences:
    named = {label for side in (part.more, part.less) if isinstance(side, Mapping) for label in side}
    rows = select(rows, part.where)
    more, less = _side(part.more, rows, named), _side(part.less, rows, named)
    pairs = [
        (of, other, [excess(a + part.margin, b) for a, b in _paired(above, below)])
        for of, above in more
        for other, below in less
        if of is not other and (of is None or other is None or key(of, named) == key(other, named))
    ]
    shared = [dict(key(of or other, named)) for of, other, _ in pairs]
    varying = sorted({k for labels in shared for k in labels if len({s.get(k) for s in shared}) > 1})
    found = {}
    for (of, other, values), labels in zip(pairs, shared, strict=True):
        sides = [
            _of(row, beside, named, side)
            for row, beside, side in ((of, other, part.more), (other, of, part.less))
        ]
        found[", ".join([" − ".join(sides), *(_text(labels[k]) for k in varying if k in labels)])] = values
    return found


def _of(row: Row | None, beside: Row | None, named: set[str], side: Where | float) -> str:
    """What a row is of, in the labels it does not share with the one it is compared with; or the number."""
    if row is None:
        return f"{side:g}"
    differs = [row[k] for k in row if k in named and (beside is None or beside.get(k) != row[k])]
    return " ".join(map(_text, differs)) or row["quantity"]


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _side(side: Where | float, rows: list[Row], named: set[str]) -> list[tuple[Row | None, list[float]]]:
    """Rows of one side with their values; for a number, no row and that number."""
    if not isinstance(side, Mapping):
        return [(None, [float(side)])]
    chosen = select(rows, {k: v for k, v in side.items() if k != "best"})
    if side.get("best"):
        groups: dict[Any, list[Row]] = {}
        for row in chosen:
            groups.setdefault(key(row, named), []).append(row)
        chosen = [max(group, key=_highest) for group in groups.values()]
    return [(row, repetitions(row)) for row in chosen]


def _highest(row: Row) -> float:
    return -math.inf if row["value"] is None else row["value"]


def _paired(above: list[float], below: list[float]) -> list[tuple[float, float]]:
    """Values of the same repetition together; a number goes with all; otherwise only the means compare."""
    if len(above) == len(below):
        return list(zip(above, below, strict=True))
    if len(above) == 1:
        return [(above[0], b) for b in below]
    if len(below) == 1:
        return [(a, below[0]) for a in above]
    return [(sum(above) / len(above), sum(below) / len(below))]


def _trend(part: Trend, rows: list[Row]) -> Differences:
    groups: dict[Any, list[Row]] = {}
    for row in select(rows, part.of):
        groups.setdefault((row["quantity"], *key(row, [part.along, *part.of])), []).append(row)
    sign = 1 if part.direction == "rising" else -1
    found = {}
    for group in groups.values():
        if len(group) < 3:
            continue
        group = sorted(group, key=lambda row: row[part.along])
        along = [row[part.along] for row in group]
        by_repetition = zip(*map(repetitions, group), strict=False)
        name = f"{'−' if sign < 0 else ''}Spearman({part.along}, {group[0]['quantity']})"
        found[name] = [sign * _rank_correlation(along, values) for values in by_repetition]
    return found


def _rank_correlation(along: list[float], values: tuple[float, ...]) -> float:
    """Spearman's, and 0 where nothing changes: neither rising nor falling."""
    return float(spearmanr(along, values).statistic) if len(set(values)) > 1 else 0.0


def _close(parts: list[Close], rows: list[Row]) -> Verdict:
    off, worst, n = 0, ("", 0.0, 0.0), 0
    for part in parts:
        chosen = select(rows, part.of)
        if not chosen:
            return Verdict("not run", "its inputs were not run")
        for row in chosen:
            to = row[part.to] if isinstance(part.to, str) else part.to
            distance = max(abs(v - to) for v in repetitions(row))
            inside = excess(abs(to) + distance, abs(to) + part.within) <= 0
            off, n = off + (not inside), n + 1
            if not worst[0] or not distance / part.within <= worst[1]:
                worst = (row["quantity"], distance / part.within, distance)
    counted = f"{n - off} of {n} within bounds; farthest: {worst[0]}, off by {worst[2]:.2g}"
    return Verdict("not reproduced" if off else "reproduced", counted)
