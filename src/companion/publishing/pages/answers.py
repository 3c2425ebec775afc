"""The front page's answers: each paper's question, what became of the claims that answer it; then ours."""

from html import escape

from companion.publishing.claims import judging, verdicts
from companion.publishing.claims.judging import Verdict
from companion.publishing.claims.ledger import STAND_INS, overall
from companion.publishing.claims.verdicts import RECORDED, ClaimVerdicts

_APART = ' class="cmp-apart"'
_WORDS = {
    "reproduced": "holds",
    "not reproduced": "does not hold",
    "no difference": "makes no difference",
    "undecided": "undecided",
    "not tested here": "not tested",
}


def page(profile: str, link: str = "{notebook}.html#{anchor}") -> str:
    """A question a paper, and under it its headline claims with their answers, as HTML.

    The question of a chapter that no paper wrote stands apart, below the others.
    An answer comes from the recorded run where that decides the claim, else from the profile's run.
    link: the address of a chapter's cell, with {notebook} and {anchor} to be filled in.
    """
    found = {s.claim.id: s for s in verdicts.of_profile(profile)}
    papers = {id(s.paper): s.paper for s in found.values() if s.paper.headline}
    blocks = [
        f"<div{_APART * all(claim.ours for claim in paper.claims)}><h3>{escape(paper.question)}</h3>"
        + "".join(_line(of.says, found[of.claim], profile, link) for of in paper.headline)
        + "</div>"
        for paper in papers.values()
    ]
    return f'<div class="cmp-front">{"".join(blocks)}</div>'


def _line(says: str, s: ClaimVerdicts, profile: str, link: str) -> str:
    runs = (RECORDED, profile)
    decided = [name for name in runs if overall(s.verdicts[name]) in judging.DECIDED]
    elsewhere = [name for name in runs if any(v.elsewhere for v in s.verdicts[name].values())]
    source = [*decided, *elsewhere, profile][0]
    word = overall(s.verdicts[source])
    answer = next((v for v in s.verdicts[source].values() if v.word == word), None)
    place = escape(link.format(notebook=f"notebooks/{s.paper.notebook}", anchor=s.claim.anchor))
    badge = f'<span class="cmp-verdict {judging.BADGES[word]}">{_WORDS[word]}</span>'
    return f'<p><a href="{place}">{escape(says)}</a> {badge} <small>{_on(answer, source)}</small></p>'


def _on(v: Verdict | None, source: str) -> str:
    """On which images and in which run it was decided; of a claim about other images, what these say."""
    if v is None or not (v.elsewhere or v.word in judging.DECIDED):
        return ""
    images = STAND_INS.get(v.images, ("", f"on {v.images}"))[1] if v.images else ""
    run = "in the recorded run" if source == RECORDED else f"in this book's run ({source})"
    on = " ".join(text for text in (images, run) if text)
    return escape(f"on the paper's images; {on}: {_WORDS[v.elsewhere]}" if v.elsewhere else on, quote=False)
