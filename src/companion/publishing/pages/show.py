"""What every chapter shows alike: its first line, tables of measurements, what was found, what it costs."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from math import isfinite
from statistics import fmean, stdev
from typing import Any

from companion.publishing import paths
from companion.publishing.claims import ledger
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
    """The first line: profile, images, device; in profile smoke also that the numbers mean nothing."""
    run.set_device(device)
    line = f"Profile <b>{escape(run.profile or 'none')}</b>, {escape(images)}, on {escape(device)}."
    return Table(f'<div class="cmp-opening"><p>{line}</p>{_SMOKE * (run.profile == "smoke")}</div>')


def found(run: Run, sentences: Sequence[str]) -> None:
    """Fill the box *What we found* at the top of the chapter with sentences (HTML) made of this run's rows.

    A smoke run gets none, and the box says why.
    """
    none = ["Nothing: in profile <code>smoke</code> the nets have learnt nothing."]
    items = "".join(f"<li>{sentence}</li>" for sentence in (none if run.profile == "smoke" else sentences))
    box = f'<div class="cmp-found"><h3>What we found</h3><ul>{items}</ul></div>'
    run.fill("found", Table(box + _larger(run)))


def _larger(run: Run) -> str:
    """The picture that the recorded run kept; empty where no run is recorded with one."""
    about, rows = run.recorded_run(), run.recorded()
    pictures = {theme: paths.recorded_picture(run.notebook or "", theme) for theme in ("light", "dark")}
    if not all(path.is_file() for path in pictures.values()):
        return ""
    images = next((escape(str(r["dataset"])) for r in rows if "dataset" in r), "")  # the chapter's first set
    size = about["parameters"].get("n_train")
    parts = [images, f"profile {escape(about['profile'])}", f"{size or 0:,} training images" * bool(size)]
    told = ", ".join(filter(None, [*parts, run.recorded_when()]))
    shown = "".join(
        f'<img class="only-{theme}" src="data:image/png;base64,{b64encode(path.read_bytes()).decode()}" '
        f'alt="A picture of the recorded run: {told}." style="width:100%">'
        for theme, path in pictures.items()
    )
    caption = f"<b>At larger scale.</b> A picture of the recorded run: {told}."
    # In a box of their own: the theme hides a caption that stands beside the other theme's picture
    return f'<figure class="cmp-larger"><div>{shown}</div><figcaption>{caption}</figcaption></figure>'


def link(anchor: str, words: str = "figure") -> str:
    """A link to a place of the same page."""
    return f'<a href="#{escape(anchor)}">{escape(words)}</a>'


def spread(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and standard deviation; no deviation of a single value, nor where one is infinite."""
    return fmean(values), stdev(values) if len(values) > 1 and all(map(isfinite, values)) else None


def measured(
    frame: Any,
    *,
    caption: str,
    rows: str = "model",
    columns: str = "attack",
    best: bool = True,
    digits: int = 1,
) -> Table:
    """Mean ± sd over seeds: a row for each value of one column, a column for each of another, the best
    marked.

    frame: what companion.experiment.measure returns, one value for each row, column and seed.
    """
    names, heads = (list(dict.fromkeys(frame[column])) for column in (rows, columns))
    cell = {place: spread(list(of["value"])) for place, of in frame.groupby([rows, columns], sort=False)}
    top = {head: max(cell[name, head][0] for name in names if (name, head) in cell) for head in heads}

    def written(name: Any, head: Any) -> str:
        mean, sd = cell.get((name, head), (None, None))
        return tables.number(mean, sd=sd, best=best and mean == top[head], digits=digits)

    body = [[escape(str(name)), *(written(name, head) for head in heads)] for name in names]
    return tables.table([rows, *(escape(str(h)) for h in heads)], body, caption=caption, kind="cmp-fold")


def beside(
    run: Run,
    experiment: str,
    shown: Mapping[str, Mapping[str, Any]],
    *,
    caption: str,
    row: str = "model",
    column: str = "attack",
    otherwise: str = "clean",
) -> Table:
    """The paper's printed numbers of an experiment; below each, this run's and the recorded run's.

    The lines of a cell are named once, in the first column; where a row is a block of its own, in the cell.

    shown: what is to stand beside each other, conditions on labels by name: the first finds the paper's own.
    A row without the label `column` stands in the column `otherwise`.
    """

    def numbers(rows: Sequence[Mapping[str, Any]], where: Mapping[str, Any]) -> dict[tuple[str, str], float]:
        chosen = [r for r in rows if r["experiment"] == experiment]
        chosen = [r for r in chosen if all(r.get(label, value) == value for label, value in where.items())]
        return {(r[row], r.get(column, otherwise)): r["value"] for r in chosen}

    printed = numbers(ledger.printed(run.notebook), next(iter(shown.values())))
    others = {
        f"{name}, {of}": numbers(rows, where)
        for name, rows in (("here", run.rows), ("recorded", run.recorded()))
        for of, where in shown.items()
    }
    others = {name: values for name, values in others.items() if values.keys() & printed.keys()}
    names, heads = (list(dict.fromkeys(place[i] for place in printed)) for i in (0, 1))

    def lines(texts: Mapping[str, str]) -> str:
        return "".join(f'<span class="paper"><i>{escape(of)}</i> {text}</span>' for of, text in texts.items())

    def cell(place: tuple[str, str]) -> str:
        first, *texts = (
            f"{values[place]:.1f}" if place in values else "–" for values in (printed, *others.values())
        )
        return f'<td class="num">{first}{lines(dict(zip(others, texts, strict=True)))}</td>'

    legend = lines(dict.fromkeys(others, ""))
    body = [[escape(name) + legend, *(cell((name, head)) for head in heads)] for name in names]
    when = run.recorded_when()
    caption += f" Recorded run: {when}." if when else " No run is recorded yet."
    return tables.table([row, *map(escape, heads)], body, caption=caption, kind="cmp-fold cmp-beside")


def quoted(run: Run, said: Mapping[str, tuple[Mapping[str, Any], str]], here: str, *, caption: str) -> Table:
    """What the paper says of quantities that it prints no table of, beside this run's and the recorded run's.

    said: labels of a row, and the paper's words (HTML), by name. here: what this run's column is called.
    """

    def value(rows: Sequence[Mapping[str, Any]], where: Mapping[str, Any]) -> str:
        fit = [r["value"] for r in rows if all(r.get(label) == v for label, v in where.items())]
        told = f"{fit[0]:.2f}" if fit and fit[0] is not None else "–"
        return f'<td class="num">{told}</td>'

    recorded = run.recorded_run()
    when = run.recorded_when() or "none yet"
    head = ["", "paper", escape(here), f"recorded, {when}"]
    if recorded:
        size, seeds = (recorded.get("parameters", {}).get(name) for name in ("n_train", "seeds"))
        caption += f" Recorded run: profile {escape(recorded['profile'])}"
        caption += f", {size or 0:,} training images" * bool(size) + f", {len(seeds or [])} seed(s)."
    body = [
        [escape(name), words, value(run.rows, where), value(run.recorded(), where)]
        for name, (where, words) in said.items()
    ]
    return tables.table(head, body, caption=caption, kind="cmp-fold")


def along(
    run: Run, experiment: str, quantity: str, label: str, *, caption: str, digits: int, **where: Any
) -> Table:
    """A quantity of an experiment against a label with numbers: a column each for the paper's print, this
    run and the recorded run, and each of their data sets.

    where: labels that a row has to have if it has them at all. The recorded run is named by its parameters
    n_train and epochs.
    """
    before = run.recorded_run().get("parameters", {})
    settings = {"n_train": "training images", "epochs": "epochs"}
    recorded = "earlier run" + "".join(f", {before[k]} {of}" for k, of in settings.items() if k in before)
    sources = {"paper": ledger.printed(run.notebook), "here": run.rows, recorded: run.recorded()}
    cells: dict[tuple[float, str], float] = {}
    for name, rows in sources.items():
        for r in rows:
            asked = r["experiment"] == experiment and r["quantity"] == quantity and label in r
            if asked and all(r.get(k, v) == v for k, v in where.items()):
                cells[round(r[label], 6), f"{name}: {r['dataset']}, {r['model']}"] = r["value"]
    heads = list(dict.fromkeys(head for _, head in cells))
    places = sorted({place for place, _ in cells})
    body = [
        [f"{p:g}", *(tables.number(cells.get((p, head)), digits=digits) for head in heads)] for p in places
    ]
    return tables.table([label, *map(escape, heads)], body, caption=caption, kind="cmp-fold")


def listed(frame: Any, columns: Sequence[str], *, caption: str) -> Table:
    """Some columns of a frame as they are, numbers with six digits; the first names the row."""

    def cell(value: Any) -> str:
        return tables.plain(value) if isinstance(value, str) else f'<td class="num">{value:.6g}</td>'

    rows = frame[list(columns)].itertuples(index=False)
    body = [[escape(str(first)), *map(cell, rest)] for first, *rest in rows]
    return tables.table(columns, body, caption=caption, kind="cmp-fold")


def costs(run: Run) -> Table:
    """What this run, runs in other profiles and the recorded run took."""

    def cell(value: float | None) -> str:
        return '<td class="num na">–</td>' if value is None else f'<td class="num">{value:.0f}</td>'

    asked = ("wall_s", "cpu_s", "peak_memory_mb")
    body = [
        [escape(b["run"]), escape(b["device"] or "–"), *(cell(b[k]) for k in asked)] for b in run.budgets()
    ]
    head = ["run", "device", "wall, s", "CPU, s", "peak memory, MB"]
    return tables.table(head, body, caption=_COSTS, kind="cmp-fold cmp-cost")
