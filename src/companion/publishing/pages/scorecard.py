"""The scorecard page: all claims of all papers by where they were decided, as HTML that needs no kernel."""

import re
from collections.abc import Mapping, Sequence
from html import escape

from companion.publishing.claims import judging, verdicts
from companion.publishing.claims.judging import Verdict
from companion.publishing.claims.verdicts import PRINT, ClaimVerdicts, Source
from companion.publishing.pages import forest, tables

#: Filters the table below it. Without JavaScript the form stays hidden and the table is whole.
_SCRIPT = """
(() => {
  const form = document.currentScript.parentElement.querySelector("form");
  const rows = [...form.parentElement.querySelectorAll("tr[data-paper]")];
  const output = form.querySelector("output");
  const filter = () => {
    const paper = form.elements.paper.value, word = form.elements.word.value;
    let shown = 0;
    for (const row of rows) {
      const words = row.dataset.words.split("|");
      row.hidden = (paper && row.dataset.paper !== paper) || (word && !words.includes(word));
      shown += !row.hidden;
    }
    output.value = shown + " of " + rows.length + " claims";
  };
  form.addEventListener("input", filter);
  form.addEventListener("submit", event => event.preventDefault());
  form.hidden = false;
  filter();
})();
"""


def page(profile: str, link: str = "../{notebook}.html#{anchor}") -> str:
    """The scorecard as HTML: an answer for each paper, then counts, a filter, and a row for each claim.

    link: the address of a chapter's cell, with {notebook} and {anchor} to be filled in.
    """
    found = verdicts.of_profile(profile)
    if not found:
        return "<p>No claims are written down in <code>book/claims</code> yet.</p>"
    sources = list(found[0].verdicts)
    papers = list(dict.fromkeys(s.paper.paper for s in found))
    head = "".join(f'<th scope="col">{escape(_source(name, profile))}</th>' for name in ("claim", *sources))
    body = "".join(_row(s, link, profile) for s in found)
    return (
        f'<div class="cmp-scorecard">{_answers(found, papers, profile)}'
        f"<h2>How many are decided</h2>{_summary(found, papers, sources, profile)}"
        f"{_origins(found, sources, profile)}<h2>Every claim</h2>{_form(papers)}"
        '<div class="cmp-scroll"><table class="cmp-table cmp-cards cmp-claims">'
        f"<thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div><script>{_SCRIPT}</script></div>"
    )


def _answers(found: Sequence[ClaimVerdicts], papers: Sequence[str], profile: str) -> str:
    """A line a paper, then a forest plot for each: the largest run, and on demand the others."""
    lines, plots = "", ""
    for paper in papers:
        of_paper = [s for s in found if s.paper.paper == paper]
        title = escape(f"{paper}: {of_paper[0].paper.title}" if of_paper[0].paper.title else paper)
        runs = [name for name in of_paper[0].verdicts if name != PRINT]
        runs = [name for name in reversed(runs) if any(s.sources[name].rows for s in of_paper)]
        told = [
            f"<b>{escape(_source(name, profile))}</b>: {escape(verdicts.answer(of_paper, name))}"
            for name in runs
        ]
        lines += f"<li><b>{title}.</b> {told[0] if told else 'Nothing was run.'}</li>"
        drawn = [forest.plot(of_paper, name, lambda claim: f"#{anchor(claim)}") for name in runs]
        plots += f"<h2>{title}</h2>" if drawn else ""
        for place, (says, picture) in enumerate(zip(told, drawn, strict=True)):
            folded = f"<details><summary>{says}</summary>{picture}</details>"
            plots += folded if place else f"<p>{says}</p>{picture}"
    return f'<ul class="cmp-answers">{lines}</ul>{plots}'


def anchor(claim: str) -> str:
    """The name of a claim's place on the page."""
    return re.sub(r"\W+", "-", claim.lower())


def _source(name: str, profile: str) -> str:
    return f"This book's run ({profile})" if name == profile else name[0].upper() + name[1:]


def _summary(
    found: Sequence[ClaimVerdicts], papers: Sequence[str], sources: Sequence[str], profile: str
) -> str:
    """Two rows for each paper: what its claims, and ours about it, came to, by source."""
    rows = []
    for paper in papers:
        of_paper = [s for s in found if s.paper.paper == paper]
        for ours, whose in ((False, "claims of the paper"), (True, "claims of ours")):
            counts = [verdicts.counted(of_paper, source, ours=ours) for source in sources]
            if any(counts):
                n = sum(s.claim.ours == ours for s in of_paper)
                rows.append([f"{escape(paper)}<br><small>{n} {whose}</small>", *map(_counted, counts)])
    caption = (
        "Claims by paper. On several image sets or under two protocols the least favourable answer counts: "
        "a claim is reproduced only where all that was decided says so."
    )
    heads = [escape(_source(name, profile)) for name in ("paper", *sources)]
    return tables.cards(heads, rows, caption=caption).html


def _counted(words: Sequence[str]) -> str:
    """How often each word was said, as badges."""
    return " ".join(
        f'<span class="cmp-verdict {badge}">{words.count(word)} {word}</span>'
        for word, badge in judging.BADGES.items()
        if word in words
    )


def _origins(found: Sequence[ClaimVerdicts], sources: Sequence[str], profile: str) -> str:
    """A row for each chapter: the files that its verdicts rest on, and the runs that wrote them."""
    by_chapter = {s.paper.notebook: s.sources for s in found}
    rows = [
        [notebook.replace("_", " "), *(_origin(of[name]) for name in sources)]
        for notebook, of in by_chapter.items()
    ]
    heads = [escape(_source(name, profile)) for name in ("chapter", *sources)]
    table = tables.cards(heads, rows, caption="The files, and the runs that wrote them.").html
    return f'<details class="cmp-origins"><summary>Where the numbers come from</summary>{table}</details>'


def _origin(source: Source) -> str:
    if not source.rows:
        return "–"
    about = f"<code>{escape(source.file)}</code>, {len(source.rows)} rows"
    if source.run:
        commit = (source.run.get("commit") or "not in git")[:10]
        changed = " with uncommitted changes" if source.run.get("dirty") else ""
        day = (source.run.get("started") or "")[:10]
        about += (
            f"<br><small>{day}, {escape(str(source.run.get('device')))}, commit {commit}{changed}</small>"
        )
    if note := source.run.get("note"):
        about += f"<br><small>{escape(note, quote=False)}</small>"
    return about


def _form(papers: Sequence[str]) -> str:
    options = "".join(f"<option>{escape(p)}</option>" for p in papers)
    words = "".join(f"<option>{word}</option>" for word in judging.BADGES)
    return (
        '<form class="cmp-filter" hidden>'
        f'<label>Paper <select name="paper"><option value="">all</option>{options}</select></label> '
        f'<label>Verdict <select name="word"><option value="">any</option>{words}</select></label> '
        "<output></output></form>"
    )


def _row(s: ClaimVerdicts, link: str, profile: str) -> str:
    words = "|".join(dict.fromkeys(v.word for of in s.verdicts.values() for v in of.values()))
    place = escape(link.format(notebook=f"notebooks/{s.paper.notebook}", anchor=s.claim.anchor or ""))
    about = "; ".join(t for t in (s.claim.where, f"the paper: {s.claim.paper}" if s.claim.paper else "") if t)
    small = f"<br><small>{escape(about, quote=False)}</small>" if about else ""
    notes = [s.claim.note, *(f"{of.date}: {of.why}" for of in s.claim.revised)]
    note = "".join(f"<br><small>{escape(text, quote=False)}</small>" for text in notes if text)
    whose = " <small>ours</small>" if s.claim.ours else ""
    first = (
        f'<th scope="row"><a href="{place.removesuffix("#")}">{s.claim.id}</a>{whose}<br>'
        f'<span class="statement">{escape(s.claim.statement, quote=False)}</span>{small}{note}</th>'
    )
    cells = "".join(
        f'<td class="text" data-label="{escape(_source(name, profile))}">'
        f"{_cell(of, s.sources[name].file, place.removesuffix('#'))}</td>"
        for name, of in s.verdicts.items()
    )
    row = f'<tr id="{anchor(s.claim.id)}" data-paper="{escape(s.paper.paper)}" data-words="{words}">'
    return f"{row}{first}{cells}</tr>"


def _cell(of: Mapping[str, Verdict], file: str, place: str) -> str:
    """A badge for each restriction under which something was decided; on demand its numbers and rows."""
    if not of:
        return "<small>the print alone decides it</small>"
    parts = []
    for name, v in of.items():
        under = f"<small>{escape(name)}</small> " if name else ""
        rests_on = (
            f'{len(v.rows)} rows of <code>{escape(file)}</code>, <a href="{place}">the cell</a>'
            if file
            else ""
        )
        parts.append(
            f"<details><summary>{under}{v.badge}</summary>"
            f"<small>{escape(v.detail, quote=False)}<br>{rests_on}</small></details>"
        )
    return "".join(parts)
