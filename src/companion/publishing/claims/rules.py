"""The rules that decide claims on rows: data, never code. companion.publishing.claims.ledger reads them.

A rule has parts, each a combination of rows that is positive where the claim holds; claims.intervals measures
them, claims.judging decides. The same rules say whether the numbers that a paper prints bear it out.

greater: {where, more, less, plus, optional}
    Every row that fits `where` and `more`, with `plus` added, exceeds every row that fits `where` and `less`
    and agrees with it in all labels that neither `more` nor `less` names (the quantity too). `more` or `less`
    may be a number, and `best: true` in `more` asks only for the best of each group. Rows are needed, unless
    the part is `optional`.
trend: {of, along, direction}
    The rows `of`, in the order of the number in label `along`, rise or fall: the change from the first to the
    last level of the straight line through their values by rank. Rows are in one series if they agree in all
    labels that `of` does not name. Three levels are needed.
association: {where, x, y, by, direction}
    Over the settings that fit `where`, the quantities x and y rise together (or one falls): Spearman's
    coefficient, with one value a seed of each setting. Labels that x and y do not name make the settings, the
    labels `by` make series of them.
equal: {of, to, within}
    Every row `of` is the number `to`, up to `within`.
identity: {of, to, within}
    The same of numbers that no chance enters, such as rounding errors and counts of violations: decided
    without an interval. `to` may name a label of the row. A bound finer than one part in a million of `to`
    needs a recorded gap and `to: 0`.

judge: every part must be positive, or most (more than half), or all but one. See claims.rows.select for
conditions on labels.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from companion.publishing.claims import intervals, judging
from companion.publishing.claims.intervals import Estimate, Part, Prior
from companion.publishing.claims.judging import Verdict
from companion.publishing.claims.rows import Row, excess, key, repetitions, select

Where = dict[str, Any]


class Strict(BaseModel):
    """Refuses unknown fields, and is never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Greater(Strict):
    """See the head of this module."""

    where: Where = {}
    more: Where | float
    less: Where | float
    plus: float = 0.0
    optional: bool = False

    @model_validator(mode="after")
    def _best_is_asked_of_more(self) -> "Greater":
        if isinstance(self.less, Mapping) and "best" in self.less:
            raise ValueError("best is asked of more: less than the best is less than every one")
        return self


class Trend(Strict):
    """See the head of this module."""

    of: Where
    along: str
    direction: Literal["rising", "falling"]


class Association(Strict):
    """See the head of this module."""

    where: Where = {}
    x: Where
    y: Where
    by: list[str] = []
    direction: Literal["rising", "falling"] = "rising"


class Near(Strict):
    """See `equal` and `identity` at the head of this module."""

    of: Where
    to: float | str = 0.0
    within: float


class Rule(Strict):
    """One or several parts, and how many of them must be positive."""

    greater: Greater | list[Greater] = []
    trend: Trend | list[Trend] = []
    association: Association | list[Association] = []
    equal: Near | list[Near] = []
    identity: Near | list[Near] = []
    judge: Literal["every", "most", "all but one"] = "every"

    @model_validator(mode="after")
    def _one_kind_of_judging(self) -> "Rule":
        positive = [*many(self.greater), *many(self.trend), *many(self.association)]
        kinds = [positive, many(self.equal), many(self.identity)]
        if sum(map(bool, kinds)) != 1:
            raise ValueError("a rule needs greater, trend or association; or equal; or identity")
        if any(isinstance(near.to, str) for near in many(self.equal)):
            raise ValueError("equal needs a number; identity may name a label")
        return self

    def conditions(self) -> list[Where]:
        """The conditions of all parts on the rows they look at."""
        sides = [
            {**part.where, **side}
            for part in (*many(self.greater), *many(self.association))
            for side in ((part.more, part.less) if isinstance(part, Greater) else (part.x, part.y))
            if isinstance(side, Mapping)
        ]
        sides += [part.of for part in (*many(self.trend), *many(self.equal), *many(self.identity))]
        return [{k: v for k, v in where.items() if k != "best"} for where in sides]


def many(given: Any) -> list[Any]:
    """One part or a list of them, as a list."""
    return given if isinstance(given, list) else [given]


@dataclass(frozen=True)
class Asked:
    """What a rule asks of rows: parts to be estimated, estimates there are, whether rows are missing."""

    parts: tuple[Part, ...] = ()
    estimates: tuple[Estimate, ...] = ()
    missing: bool = False

    @property
    def complete(self) -> bool:
        """Whether every part that is not optional found its rows."""
        return not self.missing and bool(self.parts or self.estimates)


def verdict(
    rule: Rule,
    rows: Sequence[Row],
    *,
    margin: Callable[[str], float] = lambda quantity: 0.0,
    resolution: Callable[[str], float] = lambda quantity: 0.0,
    reading: Mapping[str, float] | None = None,
) -> Verdict:
    """The verdict of one rule on rows; "not tested here" where a part finds no rows to compare.

    margin: what does not matter of a quantity. resolution: the step of the scale it is read on. reading: the
    rows are printed numbers; how far each may be off, by the row's `kind` ("" for none).
    """
    if rule.identity:
        return _identity(many(rule.identity), rows)
    found = asked(rule, rows, margin, resolution)
    if not found.complete:
        none = "its inputs were not run" if reading is None else "the paper prints no numbers for it"
        return Verdict("not tested here", none)
    if reading is not None:
        of_parts = [
            (intervals.estimate(part, Prior()), _reading_error(part, reading)) for part in found.parts
        ]
        of_parts += [(e, 0.0) for e in found.estimates]
        return judging.in_print(of_parts, majority=rule.judge != "every")
    estimates = [*measured(rule, found.parts, rows), *found.estimates]
    if rule.equal:
        return judging.equal(estimates)
    if rule.judge == "every" or len(estimates) == 1:
        return judging.every(estimates)
    return judging.at_least(
        estimates, len(estimates) // 2 + 1 if rule.judge == "most" else len(estimates) - 1
    )


def asked(
    rule: Rule,
    rows: Sequence[Row],
    margin: Callable[[str], float],
    resolution: Callable[[str], float] = lambda quantity: 0.0,
) -> Asked:
    """The parts of a rule on rows, each with its margin and its resolution."""
    found: list[Part] = []
    estimates: list[Estimate] = []
    missing = False
    for part in many(rule.greater):
        of = _greater(part, rows)
        found += of
        missing |= not of and not part.optional
    for part in many(rule.trend):
        of = _trend(part, rows)
        found += of
        missing |= not of
    for part in many(rule.association):
        of = _association(part, rows, margin("rank correlation"))
        estimates += of
        missing |= not of
    for near in many(rule.equal):
        chosen = select(rows, near.of)
        found += [
            Part(_described(row, chosen), ((1.0, row),), -float(near.to), near.within) for row in chosen
        ]
        missing |= not chosen
    if not rule.equal:
        found = [_with(part, margin=margin(part.quantity)) for part in found]
    found = [_with(part, resolution=resolution(part.quantity)) for part in found]
    return Asked(tuple(_told_apart(found)), tuple(estimates), missing)


def _told_apart(parts: Sequence[Part]) -> list[Part]:
    """The parts, with their quantity in the name where names would be the same, and then with a number."""
    names = [part.name for part in parts]
    named = [p.name if names.count(p.name) == 1 else f"{p.name} ({p.quantity})" for p in parts]
    return [
        replace(part, name=name if named.count(name) == 1 else f"{name} {named[: i + 1].count(name)}")
        for i, (part, name) in enumerate(zip(parts, named, strict=True))
    ]


def _with(part: Part, **known: float) -> Part:
    return replace(part, best=tuple(_with(each, **known) for each in part.best), **known)


def measured(rule: Rule, parts: Sequence[Part], rows: Sequence[Row]) -> list[Estimate]:
    """The parts' estimates; each borrows from the variance of the nets of its kind.

    Of a kind are the rows of the same experiment and quantity that the run has, whatever the rule asks of
    them. So numbers in different units, such as radii in two norms, need quantities of different names. A
    quantity on a coarse scale borrows nothing: many of its variances are 0, which says little of the others.
    """
    named = {label for where in rule.conditions() for label in where} - {"experiment", "quantity"}
    named |= {part.along for part in many(rule.trend)}
    priors: dict[tuple[Any, ...], Prior] = {}

    def prior(part: Part) -> Prior:
        terms = part.terms or part.best[0].terms
        kind = (terms[0][1]["experiment"], terms[0][1]["quantity"], len(terms) > 1)
        if kind not in priors:
            groups: dict[Any, list[Row]] = {}
            for row in rows:
                if (row["experiment"], row["quantity"]) == kind[:2]:
                    groups.setdefault(key(row, named), []).append(row)
            priors[kind] = intervals.spreads(list(groups.values()), contrasts=kind[2])
        return priors[kind]

    return [intervals.estimate(part, Prior() if part.resolution else prior(part)) for part in parts]


def _reading_error(part: Part, reading: Mapping[str, float]) -> float:
    terms = part.terms or part.best[0].terms
    return sum(abs(w) * reading.get(row.get("kind", ""), 0.0) for w, row in terms)


def _greater(part: Greater, rows: Sequence[Row]) -> list[Part]:
    named = {label for side in (part.more, part.less) if isinstance(side, Mapping) for label in side}
    chosen = select(rows, part.where)
    more, less = _side(part.more, chosen, named), _side(part.less, chosen, named)
    pairs = [
        (above, below)
        for above in more
        for below in less
        if above[:1] != below[:1] and (not above or not below or _match(above[0], below[0], named))
    ]
    shared = [dict(key((above or below)[0], named)) for above, below in pairs]
    varying = sorted({k for of in shared for k in of if len({s.get(k) for s in shared}) > 1})
    found = []
    for (above, below), labels in zip(pairs, shared, strict=True):
        of = [_of(above, below, named, part.more), _of(below, above, named, part.less)]
        plus = [f"{part.plus:+g}"] if part.plus else []
        name = ", ".join(
            [" ".join([" − ".join(of), *plus]), *(_text(labels[k]) for k in varying if k in labels)]
        )
        each = [_difference(name, row, below, part) for row in above or [None]]
        found.append(each[0] if len(each) == 1 else Part(name, best=tuple(each)))
    return found


def _match(of: Row, other: Row, named: set[str]) -> bool:
    """Rows are compared where they agree in every label that is not named, the quantity among them."""
    same_quantity = "quantity" in named or of["quantity"] == other["quantity"]
    return same_quantity and key(of, named) == key(other, named)


def _difference(name: str, above: Row | None, below: Sequence[Row], part: Greater) -> Part:
    terms = ([(1.0, above)] if above is not None else []) + [(-1.0, row) for row in below]
    constant = part.plus
    constant += 0.0 if isinstance(part.more, Mapping) else float(part.more)
    constant -= 0.0 if isinstance(part.less, Mapping) else float(part.less)
    return Part(name, tuple(terms), constant)


def _side(side: Where | float, rows: Sequence[Row], named: set[str]) -> list[list[Row]]:
    """The rows of one side: each by itself, the group of which the best is asked, or none for a number."""
    if not isinstance(side, Mapping):
        return [[]]
    chosen = select(rows, {k: v for k, v in side.items() if k != "best"})
    if not side.get("best"):
        return [[row] for row in chosen]
    groups: dict[Any, list[Row]] = {}
    for row in chosen:
        groups.setdefault((row["quantity"], key(row, named)), []).append(row)
    return list(groups.values())


def _of(side: Sequence[Row], beside: Sequence[Row], named: set[str], given: Where | float) -> str:
    """What a side is of, in the labels it does not share with the other; or the number."""
    if not isinstance(given, Mapping):
        return f"{given:g}"
    if len(side) > 1:
        varying = sorted(k for k in named if len({str(row.get(k)) for row in side}) > 1)
        return f"the best of {', '.join(' '.join(_text(row[k]) for k in varying) for row in side)}"
    row, other = side[0], beside[0] if beside else {}
    differs = [row[k] for k in row if k in named and other.get(k) != row[k]]
    return " ".join(map(_text, differs)) or row["quantity"]


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _described(row: Row, among: Sequence[Row]) -> str:
    """The labels in which a row differs from the others, or its quantity."""
    labels = dict(key(row, ()))
    differs = [_text(v) for k, v in labels.items() if len({str(r.get(k)) for r in among}) > 1]
    return ", ".join(differs) or row["quantity"]


def _series(of: Where, along: str, rows: Sequence[Row]) -> list[list[Row]]:
    groups: dict[Any, list[Row]] = {}
    for row in select(rows, of):
        groups.setdefault((row["quantity"], *key(row, [along, *of])), []).append(row)
    return [sorted(group, key=lambda row: row[along]) for group in groups.values()]


def _trend(part: Trend, rows: Sequence[Row]) -> list[Part]:
    sign = 1 if part.direction == "rising" else -1
    series = [of for of in _series(part.of, part.along, rows) if len({row[part.along] for row in of}) > 2]
    return [
        Part(
            f"{part.direction} {of[0]['quantity']}{_asked(part)}{_labels(of[0], series, part)}",
            tuple(zip(_slope([row[part.along] for row in of], sign), of, strict=True)),
        )
        for of in series
    ]


def _asked(part: Trend) -> str:
    """What a series was asked for besides its quantity, so that parts with different conditions differ."""
    named = [v for k, v in part.of.items() if k not in ("experiment", "quantity") and v != "*"]
    return "".join(f", {_text(v)}" for v in named if not isinstance(v, Mapping | list))


def _labels(row: Row, series: Sequence[Sequence[Row]], part: Trend) -> str:
    differs = [
        _text(v)
        for k, v in key(row, [part.along])
        if k not in part.of and len({str(dict(key(of[0], ())).get(k)) for of in series}) > 1
    ]
    return "".join(f", {text}" for text in differs)


def _slope(levels: Sequence[float], sign: int) -> list[float]:
    """Weights whose sum of products with values is the change of the fitted line from first to last rank."""
    distinct = sorted(set(levels))
    ranks = [float(distinct.index(level)) for level in levels]
    mean = sum(ranks) / len(ranks)
    square = sum((r - mean) ** 2 for r in ranks)
    return [sign * (len(distinct) - 1) * (r - mean) / square for r in ranks]


def _association(part: Association, rows: Sequence[Row], margin: float) -> list[Estimate]:
    """One estimate for each series; a setting is a row of x and one of y that agree in all other labels."""
    chosen = select(rows, part.where)
    named = {*part.x, *part.y} - set(part.by)
    sign = 1 if part.direction == "rising" else -1
    x = select(chosen, part.x)
    series: dict[tuple[Any, ...], list[tuple[Row, Row]]] = {}
    for of in select(chosen, part.y):
        for beside in x:
            shared = [label for label in part.by if label in of and label in beside]
            if _labels_agree(of, beside, named) and all(of[label] == beside[label] for label in shared):
                series.setdefault(tuple(of.get(label) for label in part.by), []).append((beside, of))
    found = []
    for labels, pairs in series.items():
        if len(pairs) > 2:
            first, second = ([repetitions(pair[i]) for pair in pairs] for i in (0, 1))
            seeds = min(len(values) for values in (*first, *second))
            name = f"Spearman({pairs[0][0]['quantity']}, {pairs[0][1]['quantity']})"
            name = ", ".join([name, *map(_text, labels)])
            seen = [[values[:seeds] for values in of] for of in (first, second)]
            found.append(intervals.rank_correlation(name, seen[0], seen[1], sign, margin))
    return found


def _labels_agree(of: Row, beside: Row, named: set[str]) -> bool:
    """Whether two rows agree in every label both have and the rule does not name."""
    a, b = dict(key(of, named)), dict(key(beside, named))
    return all(a[label] == b[label] for label in a.keys() & b.keys())


def _identity(nears: Iterable[Near], rows: Sequence[Row]) -> Verdict:
    distances = []
    for near in nears:
        chosen = select(rows, near.of)
        if not chosen:
            return Verdict("not tested here", "its inputs were not run")
        for row in chosen:
            to = float(row[near.to] if isinstance(near.to, str) else near.to)
            distance = max((abs(v - to) for v in repetitions(row)), key=lambda d: (d != d, d))
            inside = excess(abs(to) + distance, abs(to) + near.within) <= 0
            distances.append(
                (row["quantity"], near.within if inside and distance > near.within else distance, near.within)
            )
    return judging.exact(distances)
