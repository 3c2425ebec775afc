"""The front page: a question a paper, its headline claims, and what became of them."""

import pytest
from bs4 import BeautifulSoup

from companion.publishing.claims import verdicts
from companion.publishing.claims.judging import Verdict
from companion.publishing.claims.ledger import Claim, Headline, PaperClaims
from companion.publishing.claims.verdicts import ClaimVerdicts
from companion.publishing.pages import answers

NONE = Verdict("not tested here", "")


def shown(monkeypatch, recorded, quick):
    """The line of one claim, as text."""
    claim = Claim(id="P-C1", statement="A", anchor="p-t1")
    headline = [Headline(claim="P-C1", says="A is more than B.")]
    paper = PaperClaims(paper="P", question="Is it?", headline=headline, notebook="p", claims=[claim])
    found = ClaimVerdicts(claim, paper, {"recorded run": {"": recorded}, "quick": {"": quick}}, {})
    monkeypatch.setattr(verdicts, "of_profile", lambda profile: [found])
    soup = BeautifulSoup(answers.page("quick"), "html.parser")
    assert soup.h3.text == "Is it?" and soup.a["href"] == "notebooks/p.html#p-t1"
    return soup.p.text


@pytest.mark.parametrize(
    ("recorded", "quick", "text"),
    [
        (
            Verdict("not reproduced", "", images="MNIST"),
            Verdict("reproduced", ""),
            "does not hold on MNIST in the recorded run",
        ),
        (
            Verdict("undecided", ""),
            Verdict("reproduced", "", images="small MNIST"),
            "holds on MNIST in miniature in this book's run (quick)",
        ),
        (
            Verdict("not tested here", "", images="MNIST", elsewhere="reproduced"),
            NONE,
            "not tested on the paper's images; on MNIST in the recorded run: holds",
        ),
        (NONE, Verdict("undecided", ""), "undecided "),
        (NONE, NONE, "not tested "),
    ],
)
def test_the_larger_run_answers_where_it_can(monkeypatch, recorded, quick, text):
    assert shown(monkeypatch, recorded, quick) == f"A is more than B. {text}"


@pytest.mark.parametrize("ours", [True, False])
def test_the_question_of_a_chapter_that_no_paper_wrote_stands_apart(monkeypatch, ours):
    claim = Claim(id="X-C1", statement="A", ours=ours)
    headline = [Headline(claim="X-C1", says="A is more than B.")]
    paper = PaperClaims(paper="X", question="Is it?", headline=headline, notebook="x", claims=[claim])
    found = ClaimVerdicts(claim, paper, {"recorded run": {"": NONE}, "quick": {"": NONE}}, {})
    monkeypatch.setattr(verdicts, "of_profile", lambda profile: [found])
    assert bool(BeautifulSoup(answers.page("quick"), "html.parser").select(".cmp-apart")) == ours


def test_a_headline_names_a_claim_of_its_file():
    with pytest.raises(ValueError, match="P-C9 is no claim of this file"):
        PaperClaims(paper="P", notebook="p", headline=[{"claim": "P-C9", "says": "x"}], claims=[])
