"""Scores of remove and retrain beside the paper's, series by series."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from companion.publishing.claims import ledger
from companion.publishing.pages import tables
from companion.publishing.pages.tables import Table
from companion.publishing.running.chapter import Run

#: What tells two series apart: each is the scores of nets of growing radius.
LABELS = ("metric", "norm", "objective", "map")
Row = Mapping[str, Any]


def criterion(scores: Mapping[float, float]) -> tuple[float, float, int]:
    """The standard net's score, the lowest of the other nets, and how many of these do not exceed it.

    Source: BR section 3.2, the criterion that every adversarially trained net scores higher than every
    standard one; it holds where none is counted. scores: by training radius, the standard net's at 0.
    """
    trained = [score for radius, score in scores.items() if radius > 0]
    return scores[0.0], min(trained), sum(score <= scores[0.0] for score in trained)


def scores(rows: Sequence[Row], series: tuple[str, ...]) -> dict[float, float]:
    """mu by training radius, as a fraction of the largest, of one series (BR figure 4)."""
    asked = dict(zip(LABELS, series, strict=True)) | {"experiment": "BR-F4", "quantity": "mu"}
    return {r["strength"]: r["value"] for r in rows if all(r.get(k) == v for k, v in asked.items())}


def printed_correlation(notebook: str, experiment: str, series: tuple[str, ...]) -> float | None:
    """Spearman's correlation in the legend of the paper's figure; None where it prints none."""
    asked = dict(zip(LABELS, series, strict=True)) | {"experiment": experiment, "quantity": "spearman"}
    found = [r["value"] for r in ledger.printed(notebook) if all(r.get(k) == v for k, v in asked.items())]
    return found[0] if found else None


def table(run: Run, correlations: Mapping[tuple[str, ...], tuple[float, float]], *, caption: str) -> Table:
    """A row a series: mu of the standard net, the lowest of the others, how many are not above; correlations.

    correlations: of each series in this run, with the radius and with clean accuracy.
    """
    printed, recorded = ledger.printed(run.notebook), run.recorded()

    def words(rows: Sequence[Row], series: tuple[str, ...]) -> str:
        of = scores(rows, series)
        if 0.0 not in of or len(of) < 2:
            return "–"
        standard, lowest, failing = criterion(of)
        return f"{standard:.1f}; {lowest:.1f}; {failing} of {len(of) - 1}"

    def here(series: tuple[str, ...]) -> str:
        below = f'<span class="paper">recorded {words(recorded, series)}</span>'
        return f'<td class="num">{words(run.rows, series)}{below}</td>'

    def beside(experiment: str, series: tuple[str, ...], here: float) -> str:
        paper = printed_correlation(run.notebook, experiment, series)
        return tables.number(here, digits=2, below={"paper": paper})

    body = [
        [
            ", ".join(series),
            f'<td class="num">{words(printed, series)}</td>',
            here(series),
            beside("BR-F4", series, radius),
            beside("BR-F5", series, accuracy),
        ]
        for series, (radius, accuracy) in correlations.items()
    ]
    was = run.recorded_run()
    if was:
        caption += f" Recorded: {run.recorded_when()}, {escape(str(was['parameters']['dataset']))}."
    head = ["series", "paper", "here", "ρ, radius", "ρ, accuracy"]
    return tables.table(head, body, caption=caption, kind="cmp-fold")


def below_random(run: Run, metric: str, norm: str, of_map: str) -> str:
    """In words, for how many nets of a norm, the standard one too, mu of a map is negative."""

    def counted(rows: Sequence[Row]) -> tuple[str, float]:
        asked = {"experiment": "BR-F4", "quantity": "mu", "metric": metric, "norm": norm, "map": of_map}
        chosen = [r for r in rows if all(r.get(k) == v for k, v in asked.items())]
        nets = {(r["strength"] and r["objective"], r["strength"]): r["value"] for r in chosen}
        return f"{sum(v < 0 for v in nets.values())} of {len(nets)}", min(nets.values())

    (theirs, lowest), (ours, least) = counted(ledger.printed(run.notebook)), counted(run.rows)
    return f"{theirs} such nets in the paper (lowest {lowest:.2f}) and for {ours} here (lowest {least:+.1f})"


def in_print(notebook: str) -> dict[str, str]:
    """By metric: for how many series of the paper's figure 4 the criterion holds."""
    rows = [r for r in ledger.printed(notebook) if r["experiment"] == "BR-F4" and r["quantity"] == "mu"]
    every = dict.fromkeys(tuple(r[label] for label in LABELS) for r in rows)
    found = {}
    for metric in dict.fromkeys(series[0] for series in every):
        failing = [criterion(scores(rows, series))[2] for series in every if series[0] == metric]
        found[metric] = f"{failing.count(0)} of {len(failing)}"
    return found
