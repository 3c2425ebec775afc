"""Claims decided on what there is: the paper's print, a profile's run, the recorded run."""

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from companion.publishing import paths
from companion.publishing.claims import judging, rules
from companion.publishing.claims.judging import Verdict
from companion.publishing.claims.rows import Row
from companion.publishing.claims.rules import Claim, PaperClaims
from companion.publishing.pages import tables
from companion.publishing.running import runner

PRINT, RECORDED = "the paper's print", "recorded run"


@dataclass(frozen=True)
class Source:
    """Rows, the file they are in, and what is known of the run that wrote it."""

    rows: Sequence[Row]
    file: str = ""
    run: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ClaimVerdicts:
    """One claim and its verdicts by source (print, run, recorded run) and restriction (protocol)."""

    claim: Claim
    paper: PaperClaims
    verdicts: Mapping[str, Mapping[str, Verdict]]
    sources: Mapping[str, Source]


def by_source(paper: PaperClaims, sources: Mapping[str, Source]) -> list[ClaimVerdicts]:
    """Every claim of a paper decided on the rows of several sources."""
    decided = {name: rules.decide(paper, of.rows, exact=name == PRINT) for name, of in sources.items()}
    return [
        ClaimVerdicts(claim, paper, {name: by[claim.id] for name, by in decided.items()}, sources)
        for claim in paper.claims
    ]


def of_profile(profile: str) -> list[ClaimVerdicts]:
    """All claims of all papers, on the paper's print, a profile's complete runs and the recorded runs."""
    found = []
    for paper in rules.load():
        sources = {
            PRINT: _print(paper.notebook),
            profile: _run(profile, paper.notebook),
            RECORDED: _read(paths.root() / "results" / f"{paper.notebook}.json"),
        }
        found += by_source(paper, sources)
    return found


def _print(notebook: str) -> Source:
    rows = rules.printed(notebook)
    return Source(rows, f"book/claims/printed/{notebook}.csv" if rows else "")


def _run(profile: str, notebook: str) -> Source:
    """A profile's complete run of a notebook; no rows where there is none."""
    folder = paths.runs_dir() / profile / notebook
    about = runner.read_record(folder)
    if about.get("complete") is not True:
        return Source([])
    return replace(_read(folder / "results.json"), run=about)


def _read(path: Path) -> Source:
    """The rows of a results.json, or of a recorded run, which says itself where it comes from."""
    try:
        kept = json.loads(path.read_text("utf-8"))
        return Source(kept["rows"], paths.shown(path), kept.get("run", {}))
    except (OSError, ValueError, KeyError):  # not run, or a damaged record: as good as none
        return Source([])


def as_json(found: Sequence[ClaimVerdicts]) -> str:
    """The claims as JSON, a line for each claim: every verdict's word, detail, and what it rests on.

    `rows` are places in the file's list of rows (for a csv: in its lines after the first), counted from 0.
    """
    plain = [
        {
            "id": s.claim.id,
            "paper": s.paper.paper,
            "statement": s.claim.statement,
            "where": s.claim.where,
            "cell": f"notebooks/{s.paper.notebook}#{s.claim.anchor}",
            "verdicts": {source: _plain(of, s.sources[source]) for source, of in s.verdicts.items()},
        }
        for s in found
    ]
    return "[\n" + ",\n".join(json.dumps(claim, ensure_ascii=False) for claim in plain) + "\n]"


def _plain(of: Mapping[str, Verdict], source: Source) -> dict[str, Any]:
    """Verdicts by restriction, each with the rows it was decided on and the run they come from."""
    run = {k: source.run.get(k) for k in ("commit", "started", "device", "command")} if source.run else None
    return {
        under: {"word": v.word, "detail": v.detail, "file": source.file, "rows": list(v.rows), "run": run}
        for under, v in of.items()
    }


def as_text(found: Sequence[ClaimVerdicts]) -> list[str]:
    """The claims as an aligned table, one line a claim and protocol, and a line that counts the words."""
    lines = [("claim", "under", *found[0].verdicts)] if found else []
    for s in found:
        names = dict.fromkeys(name for of in s.verdicts.values() for name in of)
        for name in [n for n in names if n] or [""]:
            words = [_under(of, name) for of in s.verdicts.values()]
            lines.append((s.claim.id, name, *(v.word if v else "" for v in words)))
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))] if lines else []
    table = ["  ".join(t.ljust(w) for t, w in zip(line, widths, strict=True)).rstrip() for line in lines]
    counts = {
        source: judging.summary(v for s in found for v in s.verdicts[source].values())
        for source in (found[0].verdicts if found else ())
    }
    return [*table, *(f"{source}: {count}" for source, count in counts.items())]


def _under(verdicts: Mapping[str, Verdict], name: str) -> Verdict | None:
    """The verdict under a restriction; one that holds under all is given once, at the first."""
    return verdicts.get(name, verdicts.get(""))


def table(notebook: str, rows: Iterable[Row], caption: str = "") -> list[tables.Table]:
    """The claims that a notebook's rows decide, a table for each paper, as its chapter shows them.

    Beside each verdict on `rows`: whether the paper's printed numbers support the claim.
    """
    shown = []
    rows = list(rows)
    for paper in rules.of_notebook(notebook):
        found = by_source(paper, {"run": Source(rows), PRINT: Source(rules.printed(notebook))})
        names = list(paper.under)
        body = [[s.claim.id, _statement(s), *_cells(s.verdicts["run"], names)] for s in found]
        words = [v for s in found for v in s.verdicts["run"].values()]
        head = [f"this run, {name}" if name else "this run" for name in names]
        counted = f"<b>{paper.paper}: {judging.summary(words)}.</b> {caption}"
        shown.append(tables.cards(["claim", "statement", *head], body, caption=counted))
    return shown


def _statement(s: ClaimVerdicts) -> str:
    """Statement, where it is, what the paper's own numbers say of it, and what is to be known."""
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
    """A cell for each restriction; where the verdict rests on nothing restricted, it is shown once."""
    if not verdicts:
        return ["<small>the print alone decides it</small>"] * len(names)
    if "" in verdicts and names != [""]:
        return [_cell(verdicts[""]), *["<small>the same</small>"] * (len(names) - 1)]
    return [_cell(verdicts[name]) for name in names]


def _cell(v: Verdict) -> str:
    return f"{v.badge}<br><small>{html.escape(v.detail, quote=False)}</small>"
