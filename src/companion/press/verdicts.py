"""Claims decided on what there is: the paper's print, a profile's run, the recorded run."""

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from companion.press import claims, ledger, paths, runner, tables
from companion.press.claims import Verdict
from companion.press.ledger import Claim, Ledger
from companion.press.rows import Row

PRINT, RECORDED = "the paper's print", "recorded run"


@dataclass(frozen=True)
class Standing:
    """One claim and its verdicts by source (print, run, recorded run) and restriction (protocol)."""

    claim: Claim
    ledger: Ledger
    verdicts: Mapping[str, Mapping[str, Verdict]]


def standing(chosen: Ledger, runs: Mapping[str, Iterable[Row]]) -> list[Standing]:
    """Every claim of a ledger decided on the rows of several sources."""
    by_source = {name: ledger.decide(chosen, rows, exact=name == PRINT) for name, rows in runs.items()}
    return [
        Standing(claim, chosen, {name: decided[i].verdicts for name, decided in by_source.items()})
        for i, claim in enumerate(chosen.claims)
    ]


def of_profile(profile: str) -> list[Standing]:
    """All claims of all papers, on the paper's print, a profile's complete runs and the recorded runs."""
    found = []
    for chosen in ledger.load():
        sources = {
            PRINT: ledger.printed(chosen.notebook),
            profile: rows_of(profile, chosen.notebook),
            RECORDED: _rows(paths.root() / "results" / f"{chosen.notebook}.json"),
        }
        found += standing(chosen, sources)
    return found


def rows_of(profile: str, notebook: str) -> list[Row]:
    """The rows of a profile's complete run of a notebook; none where there is no such run."""
    folder = paths.runs_dir() / profile / notebook
    if runner.read_record(folder).get("complete") is not True:
        return []
    return _rows(folder / "results.json")


def _rows(path: Any) -> list[Row]:
    try:
        return json.loads(path.read_text("utf-8"))["rows"]
    except (OSError, ValueError, KeyError):  # not run, or a damaged record: as good as none
        return []


def as_json(found: Sequence[Standing]) -> str:
    """The standings as JSON: a list of claims with word and detail of every verdict."""
    plain = [
        {
            "id": s.claim.id,
            "paper": s.ledger.paper,
            "statement": s.claim.statement,
            "where": s.claim.where,
            "verdicts": {
                source: {under: {"word": v.word, "detail": v.detail} for under, v in of.items()}
                for source, of in s.verdicts.items()
            },
        }
        for s in found
    ]
    return json.dumps(plain, indent=1, ensure_ascii=False)


def as_text(found: Sequence[Standing]) -> list[str]:
    """The standings as an aligned table, one line a claim and protocol, and a line that counts the words."""
    lines = [("claim", "under", *found[0].verdicts)] if found else []
    for s in found:
        names = dict.fromkeys(name for of in s.verdicts.values() for name in of)
        for name in [n for n in names if n] or [""]:
            words = [_under(of, name) for of in s.verdicts.values()]
            lines.append((s.claim.id, name, *(v.word if v else "" for v in words)))
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))] if lines else []
    table = ["  ".join(t.ljust(w) for t, w in zip(line, widths, strict=True)).rstrip() for line in lines]
    counts = {
        source: claims.summary(v for s in found for v in s.verdicts[source].values())
        for source in (found[0].verdicts if found else ())
    }
    return [*table, *(f"{source}: {count}" for source, count in counts.items())]


def _under(verdicts: Mapping[str, Verdict], name: str) -> Verdict | None:
    """The verdict under a restriction; one that holds under all is given once, at the first."""
    return verdicts.get(name, verdicts.get(""))


def table(notebook: str, rows: Iterable[Row], caption: str = "") -> list[tables.Table]:
    """The claims that a notebook's rows decide, a table for each paper, as its chapter shows them.

    Beside each verdict on `rows` stands whether the paper's printed numbers bear the claim out.
    """
    shown = []
    rows = list(rows)
    for chosen in ledger.of_notebook(notebook):
        found = standing(chosen, {"run": rows, PRINT: ledger.printed(notebook)})
        names = list(chosen.under)
        body = [[s.claim.id, tables.text(_statement(s)), *_cells(s.verdicts["run"], names)] for s in found]
        words = [v for s in found for v in s.verdicts["run"].values()]
        head = [f"this run, {name}" if name else "this run" for name in names]
        counted = f"<b>{chosen.paper}: {claims.summary(words)}.</b> {caption}"
        shown.append(tables.table(["claim", "statement", *head], body, caption=counted))
    return shown


def _statement(s: Standing) -> str:
    """Statement, where it stands, what the paper's own numbers say of it, and what is to be known."""
    facts = [s.claim.where, f"the paper: {s.claim.paper}" if s.claim.paper else ""]
    facts += [
        f"in print it {v.word}" if v.word == "holds" else f"in print it is {v.word} ({v.detail})"
        for v in s.verdicts[PRINT].values()
        if v.word in ("holds", "contradicted")
    ]
    small = "; ".join(html.escape(fact, quote=False) for fact in facts if fact)
    note = f" {html.escape(s.claim.note, quote=False)}" if s.claim.note else ""
    return f"{html.escape(s.claim.statement, quote=False)}<br><small>{small}.{note}</small>"


def _cells(verdicts: Mapping[str, Verdict], names: Sequence[str]) -> list[str]:
    """A cell for each restriction; where the verdict rests on nothing restricted, it stands once."""
    if "" in verdicts and names != [""]:
        same = '<td class="na">the same</td>'
        return [_cell(verdicts[""]), *[same] * (len(names) - 1)]
    return [_cell(verdicts[name]) for name in names]


def _cell(v: Verdict) -> str:
    return tables.text(f"{v.badge}<br><small>{html.escape(v.detail, quote=False)}</small>")
