"""The scorecard: a row for each claim, a badge for each verdict, and nothing but HTML."""

import pytest
from bs4 import BeautifulSoup

from companion.press import claims, scorecard, verdicts
from companion.press.claims import Verdict
from companion.press.ledger import Claim, Ledger
from companion.press.verdicts import Standing


@pytest.fixture
def soup(monkeypatch):
    first = Claim(id="P-C1", statement="A < B", where="table 1", anchor="p-t1")
    second = Claim(id="Q-C1", statement="C", note="Only ever said.")
    both = {"weak": Verdict("reproduced", "3 of 3 hold"), "strong": Verdict("not reproduced", "1 of 3 hold")}
    none = {"": Verdict("not run", "its inputs were not run")}
    found = [
        Standing(
            first, Ledger(paper="P", notebook="p", claims=[first]), {"the paper's print": none, "quick": both}
        ),
        Standing(
            second,
            Ledger(paper="Q", notebook="q", claims=[second]),
            {"the paper's print": none, "quick": none},
        ),
    ]
    monkeypatch.setattr(verdicts, "of_profile", lambda profile: found)
    return BeautifulSoup(scorecard.page("quick"), "html.parser")


def test_a_claim_links_to_the_cell_that_decides_it(soup):
    links = [a["href"] for a in soup.select("tbody tr[data-paper] a")]
    assert links == ["../notebooks/p.html#p-t1", "../notebooks/q.html"]
    assert soup.select_one("tr[data-paper=P] .statement").text == "A < B"


def test_verdicts_open_to_their_numbers(soup):
    cells = soup.select("tr[data-paper=P] td")
    assert [c["data-source"] for c in cells] == ["the paper's print", "this book's run (quick)"]
    assert [d.text for d in cells[1].select("details > small")] == ["3 of 3 hold", "1 of 3 hold"]
    assert cells[0].select_one(".cmp-verdict")["class"] == ["cmp-verdict", "none"]


def test_what_the_filter_reads(soup):
    assert soup.select_one("tr[data-paper=P]")["data-words"] == "not run|reproduced|not reproduced"
    assert [o.text for o in soup.select("select[name=word] option")] == ["any", *claims.BADGES]
    assert soup.select_one("form").has_attr("hidden")  # shown by its script, without which it does nothing


def test_two_protocols_count_once_and_by_the_worse(soup):
    row = soup.select("table")[0].select("tbody tr")[0]
    assert [c.text for c in row.select("td")] == ["1 not run", "1 not reproduced"]


def test_an_empty_ledger_is_said(monkeypatch):
    monkeypatch.setattr(verdicts, "of_profile", lambda profile: [])
    assert "No claims" in scorecard.page("quick")
