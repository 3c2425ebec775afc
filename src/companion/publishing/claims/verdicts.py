"""Claims decided on what there is: the paper's print, a profile's run, the recorded run."""

import html
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from companion.publishing import paths
from companion.publishing.claims import judging, ledger
from companion.publishing.claims.judging import Verdict
from companion.publishing.claims.ledger import Claim, PaperClaims
from companion.publishing.claims.rows import Row, repetitions
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
    """One claim and its verdicts by source (print, run, recorded run), each by images and protocol."""

    claim: Claim
    paper: PaperClaims
    verdicts: Mapping[str, Mapping[str, Verdict]]
    sources: Mapping[str, Source]


def by_source(paper: PaperClaims, sources: Mapping[str, Source]) -> list[ClaimVerdicts]:
    """Every claim of a paper decided on the rows of several sources."""
    decided = {name: ledger.decide(paper, of.rows, exact=name == PRINT) for name, of in sources.items()}
    return [
        ClaimVerdicts(claim, paper, {name: by[claim.id] for name, by in decided.items()}, sources)
        for claim in paper.claims
    ]


def of_profile(profile: str) -> list[ClaimVerdicts]:
    """All claims of all papers, on the paper's print, a profile's complete runs and the recorded runs."""
    found = []
    for paper in ledger.load():
        sources = {
            PRINT: _print(paper.notebook),
            profile: _run(profile, paper.notebook),
            RECORDED: _read(paths.root() / "results" / f"{paper.notebook}.json"),
        }
        found += by_source(paper, sources)
    return found


def _print(notebook: str) -> Source:
    rows = ledger.printed(notebook)
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
            "ours": s.claim.ours,
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
        under: {
            "word": v.word,
            "detail": v.detail,
            "effect": v.effect and [x if math.isfinite(x) else None for x in v.effect],
            "margin": v.margin,
        }
        | {"file": source.file, "rows": list(v.rows), "run": run}
        for under, v in of.items()
    }


def counted(found: Sequence[ClaimVerdicts], source: str, *, ours: bool) -> list[str]:
    """One word for each claim of a source, the papers' or ours, without those that only print decides."""
    return [ledger.overall(s.verdicts[source]) for s in found if s.claim.ours == ours and s.verdicts[source]]


def tally(words: Sequence[str]) -> str:
    """Such as "42 of 93 decided: 30 reproduced, 12 not reproduced; 51 not tested here"."""
    decided = [w for w in words if w in judging.DECIDED]
    said = [f"{words.count(w)} {w}" for w in judging.BADGES if w in words]
    if not any(w in (*judging.DECIDED, "undecided") for w in words):
        return ", ".join(said)
    return f"{len(decided)} of {len(words)} decided: {', '.join(said)}"


def answer(found: Sequence[ClaimVerdicts], source: str) -> str:
    """What a source says of one paper's claims, in a sentence or two, as plain text.

    The claims that fail are named, since they are what a reader asks for next.
    """
    ours = all(s.claim.ours for s in found)  # a chapter that no paper wrote
    of = {
        s.claim.id: ledger.overall(s.verdicts[source])
        for s in found
        if s.claim.ours == ours and s.verdicts[source]
    }
    words = list(of.values())
    decided = [w for w in words if w in judging.DECIDED]
    whose = "our" if ours else "its"
    if not decided:
        return f"None of {whose} {len(words)} claims is decided."
    failed = "; ".join(id for id, word in of.items() if word == "not reproduced")  # ids have commas
    said = [
        f"{words.count(w)} {w}" + (f" ({failed})" if w == "not reproduced" else "")
        for w in judging.BADGES
        if w in words
    ]
    return f"Of {whose} {len(words)} claims: {', '.join(said)}."


def in_short(notebook: str, rows: Iterable[Row]) -> str:
    """What a chapter's rows say of each paper's claims, in a sentence a paper, as plain text."""
    source = {"run": Source(list(rows))}
    papers = ledger.of_notebook(notebook)
    told = [answer(by_source(paper, source), "run") for paper in papers]
    return (
        told[0]
        if len(told) == 1
        else " ".join(f"{p.paper}: {of}" for p, of in zip(papers, told, strict=True))
    )


def as_text(found: Sequence[ClaimVerdicts]) -> list[str]:
    """The claims as an aligned table, a line a claim, image set and protocol, and what they come to."""
    sources = list(found[0].verdicts) if found else []
    lines = [("claim", "on, under", *sources)] if found else []
    for s in found:
        names = dict.fromkeys(name for of in s.verdicts.values() for name in of)
        for name in [n for n in names if n] or [""]:
            words = [_under(of, name) for of in s.verdicts.values()]
            lines.append((s.claim.id, name, *(v.word if v else "" for v in words)))
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))] if lines else []
    table = ["  ".join(t.ljust(w) for t, w in zip(line, widths, strict=True)).rstrip() for line in lines]
    for ours, whose in ((False, "the papers' claims"), (True, "our own")):
        table += [f"{whose}, {source}: {tally(counted(found, source, ours=ours))}" for source in sources]
    return table


def _under(verdicts: Mapping[str, Verdict], name: str) -> Verdict | None:
    """The verdict of this name; one without a name holds for all and is given once, at the first."""
    return verdicts.get(name, verdicts.get(""))


def table(notebook: str, rows: Iterable[Row], caption: str = "") -> list[tables.Table]:
    """The claims that a notebook's rows decide, a table for each paper, as its chapter shows them.

    Beside each verdict on `rows`: whether the paper's printed numbers bear the claim out.
    """
    shown = []
    rows = list(rows)
    for paper in ledger.of_notebook(notebook):
        found = by_source(paper, {"run": Source(rows), PRINT: Source(ledger.printed(notebook))})
        body = [[s.claim.id, _statement(s), _cell(s.verdicts["run"])] for s in found]
        theirs, own = (tally(counted(found, "run", ours=ours)) for ours in (False, True))
        said = "; ".join([*([theirs] if theirs else []), *([f"of our own {own}"] if own else [])])
        shown.append(
            tables.cards(
                ["claim", "statement", "this run"], body, caption=f"<b>{paper.paper}: {said}.</b> {caption}"
            )
        )
    return shown


def words(notebook: str, rows: Iterable[Row]) -> dict[str, str]:
    """One word for each claim that a notebook's rows decide, by id."""
    rows = list(rows)
    return {
        id: ledger.overall(of)
        for paper in ledger.of_notebook(notebook)
        for id, of in ledger.decide(paper, rows).items()
    }


def without_a_seed(notebook: str, rows: Iterable[Row]) -> str:
    """What becomes of the verdicts when any one seed is left out, in a sentence, as plain text.

    It names the claims whose word changes and how often; empty for fewer than three seeds.
    """
    rows = list(rows)
    seeds = max((len(row.get("values") or []) for row in rows), default=0)
    if seeds < 3:
        return ""
    whole = words(notebook, rows)
    left = [words(notebook, [_left_out(row, seed, seeds) for row in rows]) for seed in range(seeds)]
    kept = {id: sum(of[id] == word for of in left) for id, word in whole.items()}
    changed = [f"{id} {whole[id]} in {n} of {seeds}" for id, n in kept.items() if n < seeds]
    said = "; ".join(changed) if changed else "every verdict stays"
    return f"With any one seed left out: {said}{', all others in each' if changed else ''}."


def _left_out(row: Row, seed: int, seeds: int) -> Row:
    """The row without what it keeps of one seed; rows of another number of seeds stay."""
    if len(row.get("values") or []) != seeds:
        return row
    kept = {k: [v for i, v in enumerate(row[k]) if i != seed] for k in ("values", "correct") if k in row}
    return {**row, **kept, "value": math.fsum(repetitions(kept)) / (seeds - 1)}


def beside(
    notebook: str, rows: Iterable[Row], columns: Mapping[str, Sequence[str]], *, caption: str
) -> tables.Table:
    """Verdicts on the same claims in several versions: a column of claims' ids for each, by its heading.

    The statement shown is that of the first column's claim.
    """
    source = {"run": Source(list(rows))}
    found = {s.claim.id: s for paper in ledger.of_notebook(notebook) for s in by_source(paper, source)}
    body = [
        [ids[0], html.escape(found[ids[0]].claim.statement), *(_cell(found[i].verdicts["run"]) for i in ids)]
        for ids in zip(*columns.values(), strict=True)
    ]
    return tables.cards(["claim", "statement", *columns], body, caption=caption)


def _statement(s: ClaimVerdicts) -> str:
    """Statement; folded, where it is, what the paper's own numbers say of it, and what is to be known."""
    facts = [s.claim.where]
    facts += [f"the paper: {s.claim.paper}" if s.claim.paper else ""]
    for name, v in s.verdicts[PRINT].items():
        if v.word != "not tested here":
            on = f" ({name})" if name else ""
            facts.append(
                f"in print it {v.word}" if v.word == "holds" else f"in print it is {v.word}{on}: {v.detail}"
            )
    if s.claim.margin and s.claim.margin.value:
        facts.append(f"a difference within {s.claim.margin.value:g} counts as none: {s.claim.margin.because}")
    facts += [f"{revision.date}: {revision.why}" for revision in s.claim.revised]
    small = "; ".join(html.escape(fact.rstrip("."), quote=False) for fact in dict.fromkeys(facts) if fact)
    note = f" {html.escape(s.claim.note, quote=False)}" if s.claim.note else ""
    of_ours = s.claim.ours and not all(claim.ours for claim in s.paper.claims)  # a chapter of no paper
    whose = "<br><small>our claim, not the paper's</small>" if of_ours else ""
    folded = f"<details><summary>source and notes</summary><small>{small}.{note}</small></details>"
    return f"{html.escape(s.claim.statement, quote=False)}{whose}{folded if small or note else ''}"


def _cell(verdicts: Mapping[str, Verdict]) -> str:
    """Every verdict with its images and protocol, and what it rests on."""
    if not verdicts:
        return "<small>the print alone decides it</small>"
    return "<br>".join(
        f"{f'<small>{html.escape(name)}</small> ' if name else ''}{v.badge}"
        f"<br><small>{html.escape(v.detail, quote=False)}</small>"
        for name, v in verdicts.items()
    )
