"""What every chapter shows alike: its first line, tables of measurements, what was found, what it costs."""

from collections.abc import Mapping, Sequence
from html import escape
from statistics import fmean, stdev
from typing import Any

from companion.publishing.pages import tables
from companion.publishing.pages.tables import Table
from companion.publishing.running.chapter import Run

_SMOKE = (
    "<p><b>This page was built in profile <code>smoke</code></b>, which only tests that every cell runs: its "
    "nets have learnt nothing, its numbers mean nothing. Build it with <code>make book</code> to read it.</p>"
)
_COSTS = (
    "<b>What it costs.</b> Nets and measurements found in the store take no time: a first run takes longest."
)


def opening(run: Run, images: str, device: str) -> Table:
    """The chapter's first line: profile, images, device; and in profile smoke that no number means anything."""
    run.set_device(device)
    line = f"Profile <b>{escape(run.profile or 'none')}</b>, {escape(images)}, on {escape(device)}."
    return Table(f'<div class="cmp-opening"><p>{line}</p>{_SMOKE * (run.profile == "smoke")}</div>')


def found(run: Run, sentences: Sequence[str]) -> None:
    """Fill the box *What we found* at the top of the chapter with sentences (HTML) made of this run's rows.

    A smoke run gets none, and the box says why.
    """
    none = ["Nothing: in profile <code>smoke</code> the nets have learnt nothing."]
    items = "".join(f"<li>{sentence}</li>" for sentence in (none if run.profile == "smoke" else sentences))
    run.fill("found", Table(f'<div class="cmp-found"><h3>What we found</h3><ul>{items}</ul></div>'))


def link(anchor: str, words: str = "figure") -> str:
    """A link to a place of the same page."""
    return f'<a href="#{escape(anchor)}">{escape(words)}</a>'


def spread(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and standard deviation; no deviation of a single value."""
    return fmean(values), stdev(values) if len(values) > 1 else None


def measured(
    frame: Any, *, caption: str, rows: str = "model", columns: str = "attack", digits: int = 1
) -> Table:
    """Mean ± sd over seeds: a row for each value of one column, a column for each of another, the best
    marked.

    frame: what companion.experiment.measure returns, one value for each row, column and seed.
    """
    names, heads = (list(dict.fromkeys(frame[column])) for column in (rows, columns))
    cell = {place: spread(list(of["value"])) for place, of in frame.groupby([rows, columns], sort=False)}
    best = {head: max(cell[name, head][0] for name in names if (name, head) in cell) for head in heads}

    def written(name: Any, head: Any) -> str:
        mean, sd = cell.get((name, head), (None, None))
        return tables.number(mean, sd=sd, best=mean == best[head], digits=digits)

    body = [[escape(str(name)), *(written(name, head) for head in heads)] for name in names]
    return tables.table([rows, *(escape(str(h)) for h in heads)], body, caption=caption, kind="cmp-fold")


def beside(
    printed: Mapping[tuple[str, str], float],
    others: Mapping[str, Mapping[tuple[str, str], float]],
    *,
    caption: str,
) -> Table:
    """The paper's numbers, and below each the numbers of other runs.

    printed: by row and column. others: by the name of a run, its numbers by row and column, as far as it has.
    """
    names, heads = (list(dict.fromkeys(place[i] for place in printed)) for i in (0, 1))

    def cell(place: tuple[str, str]) -> str:
        return tables.number(printed.get(place), below={k: v.get(place) for k, v in others.items()})

    body = [[escape(name), *(cell((name, head)) for head in heads)] for name in names]
    return tables.table(["training", *map(escape, heads)], body, caption=caption, kind="cmp-fold")


def costs(run: Run) -> Table:
    """What this run, runs in other profiles and the recorded run took."""

    def cell(value: float | None) -> str:
        return '<td class="num na">–</td>' if value is None else f'<td class="num">{value:.0f}</td>'

    asked = ("wall_s", "cpu_s", "peak_memory_mb")
    body = [
        [escape(b["run"]), escape(b["device"] or "–"), *(cell(b[k]) for k in asked)] for b in run.budgets()
    ]
    head = ["run", "device", "wall, s", "CPU, s", "peak memory, MB"]
    return tables.table(head, body, caption=_COSTS, kind="cmp-cost")
