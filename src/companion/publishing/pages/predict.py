"""Predict, then reveal: a question before a figure, whose answer follows from the rows of the run.

A question says how its answer is found, never what it is, so another run may answer it otherwise. Differences
are judged as claims are, by companion.publishing.claims: with the same margins, paired by seed, and with the
answer that the run cannot tell. Limits here are two-sided, since the question takes no side.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from html import escape
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from pydantic import Field, ValidationError, model_validator
from scipy.stats import t

from companion.publishing.claims import rules
from companion.publishing.claims.intervals import ALPHA, Estimate
from companion.publishing.claims.ledger import PaperClaims
from companion.publishing.claims.rows import NUMBERS, Row, key, repetitions, select
from companion.publishing.claims.rules import Greater, Rule, Strict, Where, many

_LEGEND = "Dot, whiskers, rings: mean, 95 % interval, the seeds. "
_PAIRED = "Differences are judged as claims are: seed by seed. "
_SYMBOLS = {"lambda": "λ", "beta": "β", "strength": "radius fraction"}
_WIDTH, _HEIGHT, _EDGE = 300.0, 24.0, 8.0


class Question(Strict):
    """How a question is answered. Exactly one of largest, smallest, rule and value.

    largest, smallest: a condition on rows for each choice, beside `where`; each must fit one row. The choice
    whose row has the largest mean is right where its lead over every other is clear; else the last choice,
    that the run cannot tell, is right.
    rule: one part of a rule of claims.rules. With choices these are: positive, negative, neither.
    value: the condition on the one row whose mean a slider asks for.
    range: the lowest and the highest value that the quantity can have; intervals end there. step: that of a
    slider, which goes from one to the other.
    """

    where: Where = {}
    largest: list[Where] = []
    smallest: list[Where] = []
    rule: Rule | None = None
    value: Where | None = None
    range: tuple[float, float] = (-math.inf, math.inf)
    step: float | None = Field(default=None, gt=0)
    unit: str = ""

    @model_validator(mode="after")
    def _one_kind(self) -> "Question":
        if sum(map(bool, (self.largest, self.smallest, self.rule, self.value))) != 1:
            raise ValueError("a question needs one of largest, smallest, rule and value")
        if bool(self.value) > bool(self.step) or self.step and (self.largest or self.smallest):
            raise ValueError("a slider (step) asks for a value or a rule, and a value needs a slider")
        low, high = self.range
        if not low < high or self.step and not math.isfinite(high - low):
            raise ValueError("range is the lowest and the highest value, and a slider needs it")
        return self

    def choices_needed(self) -> int:
        """How many choices the text must list; the last one says that the run cannot tell."""
        return 0 if self.step else 3 if self.rule else len(self.largest or self.smallest) + 1


@dataclass(frozen=True)
class Dot:
    """A line of the picture: mean, 95 % interval, one value a seed."""

    label: str
    value: float
    low: float
    high: float
    values: tuple[float, ...] = ()
    choice: int | None = None


@dataclass(frozen=True)
class Answer:
    """What the run says, as HTML; with choices what to reply to each, and which is right.

    dots: the lines of the picture. scale: its ends. bound: what the value is compared with.
    measured: what a slider's guess is compared with.
    """

    says: str
    dots: tuple[Dot, ...]
    scale: tuple[float, float]
    rows: tuple[Row, ...]
    replies: tuple[str, ...] = ()
    right: int | None = None
    measured: Dot | None = None
    bound: float = 0.0


def read(options: Mapping[str, Any], choices: Sequence[str]) -> Question:
    """A question from a directive's options. Raises ValueError, in one line, for what does not fit."""
    try:
        question = Question.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{place}: {first['msg']}" if place else first["msg"]) from None
    if len(choices) != question.choices_needed():
        raise ValueError(f"{len(choices)} choices, {question.choices_needed()} are needed")
    return question


def answer(
    question: Question, choices: Sequence[str], rows: Sequence[Row], papers: Sequence[PaperClaims] = ()
) -> Answer | None:
    """The answer of a run; None where it has not the rows, or a number of them is missing.

    papers: the claims decided by the same notebook, whose margins count.
    """
    if question.value is not None:
        return _of_value(question, rows)
    if question.rule is not None:
        return _of_rule(question, question.rule, choices, rows, papers)
    return _of_choices(question, choices, rows, papers)


def _of_value(question: Question, rows: Sequence[Row]) -> Answer | None:
    row = _one(select(rows, question.where), question.value or {})
    if row is None:
        return None
    dot, unit = _dot("Measured", row, question), question.unit
    spread = f", sd {_n(stdev(dot.values), unit)}" if len(dot.values) > 1 else ""
    says = f"This run measures <b>{_with(unit, dot.value)}</b>{_counted(row)}{spread}."
    return Answer(says, (dot,), _reach(question.range, [dot]), (row,), measured=dot)


def _of_choices(
    question: Question, choices: Sequence[str], rows: Sequence[Row], papers: Sequence[PaperClaims]
) -> Answer | None:
    asked = question.largest or question.smallest
    shared = select(rows, question.where)
    found = [_one(shared, of) for of in asked]
    chosen = [row for row in found if row is not None]
    if len(chosen) < len(asked):
        return None
    sign = 1 if question.largest else -1
    dots = [_dot(choices[i], row, question, i) for i, row in enumerate(chosen)]
    order = sorted(range(len(asked)), key=lambda i: -sign * dots[i].value)
    leads = {i: _lead(question, asked, order[0], i, sign, rows, papers) for i in order[1:]}
    if not all(leads.values()):
        return None
    tied = [i for i, lead in leads.items() if lead and not _sign(lead)]
    says, replies = _compared(question, choices, order, tied, {i: e for i, e in leads.items() if e}, dots)
    right = len(asked) if tied else order[0]
    return Answer(says, tuple(dots), _reach((0.0, 0.0), dots), tuple(chosen), tuple(replies), right)


def _lead(
    question: Question,
    asked: Sequence[Where],
    first: int,
    other: int,
    sign: int,
    rows: Sequence[Row],
    papers: Sequence[PaperClaims],
) -> Estimate | None:
    """The lead of one choice over another, positive where it is ahead."""
    more, less = (asked[first], asked[other])[::sign]
    return _estimate(Rule(greater=Greater(where=question.where, more=more, less=less)), rows, papers)


def _compared(
    question: Question,
    choices: Sequence[str],
    order: Sequence[int],
    tied: Sequence[int],
    leads: Mapping[int, Estimate],
    dots: Sequence[Dot],
) -> tuple[str, list[str]]:
    """The sentence of a comparison, and the reply to each choice."""
    word, unit = ("most", "more") if question.largest else ("least", "less"), question.unit
    apart = _apart(unit)
    first, name = order[0], [f"<b>{escape(c)}</b>" for c in choices]
    nearest = tied[0] if tied else order[1]
    lead = leads[nearest]
    ahead = f"{_with(apart, abs(lead.value))} {word[1]} than {name[nearest]}{_limits(apart, lead)}"
    if not tied:
        says = f"{name[first]}: {_with(unit, dots[first].value)}, {ahead}."
    else:
        others = ", ".join(name[i] for i in tied)
        ahead = ahead if len(tied) > 1 else ahead.replace(f" than {name[nearest]}", "")
        says = f"This run cannot tell {name[first]} from {others}: it has {ahead}. {_why(apart, lead)}"
    replies = []
    for i in range(len(choices)):
        if i == len(order):
            reply = "Your guess agrees." if tied else f"The run can tell: it is {name[first]}."
        elif i == first:
            reply = (
                f"Your choice has the {word[0]}, but not by a clear margin." if tied else "Your guess agrees."
            )
        elif i in tied:
            reply = f"Your choice is not clearly behind {name[first]}."
        else:
            behind = _with(unit, dots[i].value)
            reply = f"Not in this run: your choice, {name[i]}, has {behind}."
        replies.append(reply)
    return says, replies


def _of_rule(
    question: Question,
    rule: Rule,
    choices: Sequence[str],
    rows: Sequence[Row],
    papers: Sequence[PaperClaims],
) -> Answer | None:
    estimate = _estimate(rule, rows, papers)
    if estimate is None:
        return None
    used = [row for where in rule.conditions() for row in select(rows, where)]
    if many(rule.greater) and not 0 < len(used) < 3:
        return None
    against = [float(part.less) for part in many(rule.greater) if not isinstance(part.less, Mapping)]
    says, dots = _said(question, rule, estimate, used, against)
    base = question.range if question.step else (-1.0, 1.0) if estimate.correlation else (0.0, 0.0)
    scale = _reach((min(*base, *against), max(*base, *against)), dots)
    bound = against[0] if against else 0.0
    if question.step:
        guessed = Dot("Measured", estimate.value, *_ends(estimate))
        return Answer(says, dots, scale, tuple(used), measured=guessed, bound=bound)
    right = {1: 0, -1: 1, 0: 2}[_sign(estimate)]
    if right == 2:
        says += f" {_why(_apart(question.unit), estimate)}"
    name = f"<b>{escape(choices[right])}</b>"
    replies = ["Your guess agrees." if i == right else f"The run says: {name}." for i in range(3)]
    return Answer(says, dots, scale, tuple(used), tuple(replies), right, bound=bound)


def _said(
    question: Question, rule: Rule, e: Estimate, used: Sequence[Row], against: Sequence[float]
) -> tuple[str, tuple[Dot, ...]]:
    """The sentence of a rule's one part, and the rows behind it; of a correlation its own line."""
    unit = question.unit if against else _apart(question.unit)
    told = f" over {_many(e.nets, 'setting' if e.correlation else 'seed')}{_limits(unit, e)}."
    if e.correlation:
        line = Dot("Rank correlation", e.value, *_ends(e))
        return f"The rank correlation, taken seed by seed, is <b>{_n(e.value)}</b>{told}", (line,)
    if against:
        (of,) = [_dot("Measured", row, question) for row in used]
        dot = Dot("Measured", of.value, *(against[0] + end for end in _ends(e)), of.values)
        apart = f"{_with(unit, abs(e.value))} {'above' if e.value > 0 else 'below'} {_with(unit, against[0])}"
        says = f"This run measures <b>{_with(unit, dot.value)}</b>{f', {apart}' * bool(against[0])}{told}"
        return says, (dot,)
    if rule.trend:
        used = sorted(used, key=lambda row: row[many(rule.trend)[0].along])
    dots = tuple(_dot(name, row, question) for name, row in zip(_told_apart(used), used, strict=True))
    ends = [f"{_with(question.unit, d.value)} at {d.label}" for d in dots]
    change = f"<b>{'+' * (e.value > 0)}{_with(unit, e.value)}</b>{told}"
    if rule.trend:
        return f"From {ends[0]} to {ends[-1]}. Along a fitted line the change is {change}", dots
    return f"{' against '.join(ends)}: a difference of {change}", dots


def _told_apart(rows: Sequence[Row]) -> list[str]:
    """The labels in which rows differ."""
    differ = [k for k in rows[0] if k not in NUMBERS and len({str(row.get(k)) for row in rows}) > 1]
    return [", ".join(f"{_SYMBOLS.get(k, k)} {_text(row[k])}" for k in differ if k in row) for row in rows]


def _estimate(rule: Rule, rows: Sequence[Row], papers: Sequence[PaperClaims]) -> Estimate | None:
    """The one part of a rule, measured; None where its rows are missing, or more than one is found."""

    def known(quantity: str, kind: str) -> float:
        return next(
            (of.value for paper in papers for of in getattr(paper, kind) if fnmatchcase(quantity, of.of)), 0.0
        )

    found = rules.asked(rule, rows, lambda q: known(q, "margins"), lambda q: known(q, "resolutions"))
    estimates = [*rules.measured(rule, found.parts, rows), *found.estimates] if found.complete else []
    return estimates[0] if len(estimates) == 1 and math.isfinite(estimates[0].value) else None


def _sign(e: Estimate) -> int:
    """1 or −1 where the 95 % interval leaves out 0; 0 where it does not, or lies within the margin."""
    low, high = _ends(e)
    if e.margin and -e.margin <= low and high <= e.margin:
        return 0
    return 1 if low > 0 else -1 if high < 0 else 0


def _ends(e: Estimate) -> tuple[float, float]:
    """The 95 % interval, over nets and images; infinite where no spread is known."""
    return e.lower(ALPHA / 2), e.upper(ALPHA / 2)


def _one(rows: Sequence[Row], where: Where) -> Row | None:
    """The only row that fits, if there is one and its number is known."""
    found = select(rows, where)
    return found[0] if len(found) == 1 and all(map(math.isfinite, repetitions(found[0]))) else None


def _dot(label: str, row: Row, question: Question, choice: int | None = None) -> Dot:
    """A row's mean, and its 95 % t-interval over seeds as in the figures; no interval of a single value."""
    lowest, highest = question.range
    values = repetitions(row)
    mean, n = fmean(values), len(values)
    half = float(t.ppf(1 - ALPHA / 2, n - 1)) * stdev(values) / math.sqrt(n) if n > 1 else 0.0
    low, high = max(mean - half, lowest), min(mean + half, highest)
    return Dot(label, mean, low, high, tuple(values) if n > 1 else (), choice)


def _many(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n > 1)}"


def _counted(row: Row) -> str:
    n = len(repetitions(row))
    return f", the mean of n = {n}" if n > 1 else f", n = {row['n']}" if row.get("n") else ""


def _limits(unit: str, e: Estimate) -> str:
    low, high = _ends(e)
    if not math.isfinite(low):
        return ""
    return f" (95 % interval: {_n(low, unit)} to {_with(unit, high)})"


def _why(unit: str, e: Estimate) -> str:
    """Why an estimate has no sign."""
    low, high = _ends(e)
    if not math.isfinite(low):
        return "One net has no spread, so nothing is clear."
    if e.margin and -e.margin <= low and high <= e.margin:
        return f"Within {_with(unit, e.margin)} counts as no difference."
    return "The interval holds 0: it could be either way round."


def _apart(unit: str) -> str:
    """The unit of a difference."""
    return "points" if unit == "%" else unit


def _with(unit: str, value: float) -> str:
    written = _n(value, unit)
    return f"{written}{unit}" if unit == "°" else f"{written} {unit}".rstrip()


def _text(label: Any) -> str:
    return _n(label) if isinstance(label, float | int) else str(label)


def _end(unit: str, value: float) -> str:
    """The end of a scale, which is a round number."""
    written = f"{value:.3g}".replace("-", "−")
    return f"{written}{unit}" if unit == "°" else f"{written} {unit}".rstrip()


def _n(x: float, unit: str = "") -> str:
    written = f"{x:.1f}" if unit in ("%", "points") else f"{x:.3g}"
    return written.lstrip("-") if not float(written) else written.replace("-", "−")


def _reach(base: tuple[float, float], dots: Sequence[Dot]) -> tuple[float, float]:
    """The ends of the scale: what is asked for, and all that is drawn, up to a round number."""
    drawn = [x for d in dots for x in (d.value, d.low, d.high, *d.values) if math.isfinite(x)]
    low, high = min(base[0], *drawn), max(base[1], *drawn)
    step = 10.0 ** math.floor(math.log10(high - low or 1.0)) / 2
    low, high = (step * math.floor(low / step + 1e-9), step * math.ceil(high / step - 1e-9))
    return (low, high) if high > low else (low, low + 1.0)


def picture(of: Answer, unit: str) -> str:
    """A line for each row as HTML: its name, a dot with its interval and its seeds, the number."""
    low, high = of.scale

    def x(value: float) -> float:
        return _EDGE + (_WIDTH - 2 * _EDGE) * (min(max(value, low), high) - low) / (high - low)

    lines = "".join(_line(dot, x, unit, of) for dot in of.dots)
    ends = "".join(f"<span>{_end(unit, end)}</span>" for end in of.scale)
    return (
        f'<div class="lines" data-ends="{low!r} {high!r}">{lines}'
        f'<div class="ends" aria-hidden="true"><span></span><span class="scale">{ends}</span></div></div>'
    )


def _line(dot: Dot, x: Callable[[float], float], unit: str, of: Answer) -> str:
    seeds = "".join(f'<circle class="seed" cx="{x(v):.1f}" cy="12" r="2.5"/>' for v in dot.values)
    zero, mean = x(of.bound), x(dot.value)
    bar = (
        f'<rect class="bar" x="{min(zero, mean):.1f}" y="7" width="{abs(mean - zero):.1f}" height="10"/>'
        f'<line class="zero" x1="{zero:.1f}" x2="{zero:.1f}" y1="1" y2="23"/>'
    )
    interval, known = "", math.isfinite(dot.high - dot.low) and dot.high > dot.low
    if known:
        ends = [x(dot.low), x(dot.high)]
        caps = "".join(f"M{e:.1f} 8V16" for e in ends)
        interval = f'<path class="interval" d="M{ends[0]:.1f} 12H{ends[1]:.1f}{caps}"/>'
    drawing = f'{bar}{interval}{seeds}<circle class="mean" cx="{mean:.1f}" cy="12" r="4.5"/>'
    limits = f"{_n(dot.low, unit)} to {_n(dot.high, unit)}" if known else ""
    number = f'<span class="number">{_with(unit, dot.value)}</span><small>{limits}</small>'
    choice = "" if dot.choice is None else f' data-choice="{dot.choice}"'
    best = " right" if dot.choice is not None and dot.choice == of.right else ""
    return (
        f'<div class="line{best}"{choice}><span class="name">{escape(dot.label)}</span>'
        f'<svg viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" aria-hidden="true">{drawing}</svg>'
        f"{number}</div>"
    )


def source(of: Answer, profile: str) -> str:
    """Where the numbers come from: experiment, quantity, and the labels that all their rows share."""
    same = {k: v for k, v in of.rows[0].items() if v != "" and all(r.get(k) == v for r in of.rows)}
    told = dict(key(same, ["dataset"]))
    shared = [str(same.get("dataset", "")), *(f"{k} {v}" for k, v in told.items())]
    places = dict.fromkeys(f"{r['experiment']}, {r['quantity']}" for r in of.rows)
    labels = ", ".join(escape(text) for text in shared if text)
    return f"{escape('; '.join(places))}{': ' * bool(labels)}{labels}. Profile {escape(profile)}."


def rows_of(results: Path) -> list[Row]:
    """The rows of a results.json; none where there is no such file, or a damaged one."""
    try:
        return list(json.loads(results.read_text("utf-8"))["rows"])
    except (OSError, ValueError, KeyError):
        return []


def waiting(notebook: str, profile: str) -> str:
    """The line of a question that the run has no rows for."""
    command = f"<code>companion run {escape(notebook)} --profile {escape(profile)}</code>"
    return f'<p class="wait">This question waits for a run that measures its rows, such as {command}.</p>'


def slider(name: str, question: Question) -> str:
    """The slider, at the middle of its range."""
    (low, high), step = question.range, question.step or 1.0
    middle = low + step * round((high - low) / step / 2)
    ends = [f"<span>{_end(question.unit, end)}</span>" for end in (low, high)]
    return (
        f'<label class="range">{ends[0]}<input type="range" name="{escape(name)}" '
        f'min="{low:g}" max="{high:g}" step="{step:g}" value="{middle:g}" '
        f'aria-label="Your guess">{ends[1]}</label>'
    )


def told(question: Question, of: Answer) -> dict[str, Any]:
    """What the page's script has to know: the replies to the choices; or what a guess is compared with."""
    if of.measured is None:
        return {"replies": of.replies, "right": of.right}
    dot, unit = of.measured, _apart(question.unit)
    known = dot.high > dot.low and math.isfinite(dot.high - dot.low)
    interval = [dot.low, dot.high] if known else None
    return {"value": dot.value, "interval": interval, "unit": question.unit, "apart": unit}


def revealed(question: Question, of: Answer, profile: str) -> str:
    """The answer as a fold, which works without the page's script."""
    legend = _LEGEND if any(d.values for d in of.dots) else ""
    legend += _PAIRED if legend and len(of.dots) > 1 else ""
    return (
        f'<details class="answer"><summary>What the run says</summary><p class="says">{of.says}</p>'
        f"{picture(of, question.unit)}"
        f'<p class="from">{legend}{source(of, profile)}</p></details>'
    )
