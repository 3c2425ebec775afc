"""The scorecard: a row for each claim, a badge for each verdict, and nothing but HTML."""

import pytest
from bs4 import BeautifulSoup

from companion.publishing.claims import judging, verdicts
from companion.publishing.claims.judging import Verdict
from companion.publishing.claims.ledger import Claim, PaperClaims
from companion.publishing.claims.verdicts import ClaimVerdicts, Source
from companion.publishing.pages import scorecard
from tests.browser import evaluated, needs_browser


@pytest.fixture
def soup(monkeypatch):
    first = Claim(id="P-C1", statement="A < B", where="table 1", anchor="p-t1")
    second = Claim(id="Q-C1", statement="C", note="Only ever said.")
    both = {
        "weak": Verdict("reproduced", "3 of 3 hold", (4, 7)),
        "strong": Verdict("not reproduced", "1 of 3 hold"),
    }
    none = {"": Verdict("not tested here", "its inputs were not run")}
    print_only = Claim(id="P-E1", statement="the text says 3", of_print=True)
    run = {"commit": "c0ffee" * 6, "dirty": False, "started": "2026-01-31T10:00:00+00:00", "device": "CPU"}
    sources = {"the paper's print": Source([]), "quick": Source([{}] * 9, "runs/quick/p/results.json", run)}
    found = [
        ClaimVerdicts(claim, PaperClaims(paper=paper, notebook=name, claims=[claim]), of, sources)
        for claim, paper, name, of in (
            (first, "P", "p", {"the paper's print": none, "quick": both}),
            (print_only, "P", "p", {"the paper's print": none, "quick": {}}),
            (second, "Q", "q", {"the paper's print": none, "quick": none}),
        )
    ]
    monkeypatch.setattr(verdicts, "of_profile", lambda profile: found)
    return BeautifulSoup(scorecard.page("quick"), "html.parser")


def test_a_claim_links_to_the_cell_that_decides_it(soup):
    links = [a["href"] for a in soup.select("tbody tr[data-paper] th a")]
    assert links == ["../notebooks/p.html#p-t1", "../notebooks/p.html", "../notebooks/q.html"]
    assert soup.select_one("tr[data-paper=P] .statement").text == "A < B"


def test_verdicts_open_to_their_numbers_their_rows_and_the_cell(soup):
    cells = soup.select_one("tr[data-paper=P]").select("td")
    assert [c["data-label"] for c in cells] == ["The paper's print", "This book's run (quick)"]
    assert [d.text for d in cells[1].select("details > small")] == [
        "3 of 3 hold2 rows of runs/quick/p/results.json, the cell",
        "1 of 3 hold0 rows of runs/quick/p/results.json, the cell",
    ]
    assert {a["href"] for a in cells[1].select("a")} == {"../notebooks/p.html#p-t1"}
    assert cells[0].select_one(".cmp-verdict")["class"] == ["cmp-verdict", "none"]


def test_what_a_text_says_of_its_own_tables_has_no_verdict_on_a_run(soup):
    cell = soup.select("tr[data-paper=P]")[1].select("td")[1]
    assert cell.text == "the print alone decides it" and not cell.select(".cmp-verdict")


def test_the_runs_behind_the_columns_are_named(soup):
    rows = soup.select("details.cmp-origins tbody tr")
    assert [row.th.text for row in rows] == ["p", "q"]
    printed, run = rows[0].select("td")
    assert printed.text == "–"
    assert run.text == "runs/quick/p/results.json, 9 rows2026-01-31, CPU, commit c0ffeec0ff"


def test_what_the_filter_reads(soup):
    assert soup.select_one("tr[data-paper=P]")["data-words"] == "not tested here|reproduced|not reproduced"
    assert [o.text for o in soup.select("select[name=word] option")] == ["any", *judging.BADGES]
    assert soup.select_one("form").has_attr("hidden")  # shown by its script, without which it does nothing


def test_two_protocols_count_once_and_by_the_worse(soup):
    row = soup.select("table")[0].select("tbody tr")[0]
    assert [c.text for c in row.select("td")] == ["2 not tested here", "1 not reproduced"]


@needs_browser
def test_the_filter_needs_no_kernel_and_no_network(soup, tmp_path):
    choose = """
    const form = document.querySelector("form.cmp-filter");
    const shown = (paper, word) => {
      form.elements.paper.value = paper; form.elements.word.value = word;
      form.dispatchEvent(new Event("input"));
      const rows = [...document.querySelectorAll("tr[data-paper]:not([hidden])")];
      return [form.querySelector("output").value, rows.map(row => row.querySelector("a").textContent)];
    };
    result = [form.hidden, shown("", ""), shown("P", ""), shown("P", "not reproduced"), shown("Q", "holds")];
    """
    (hidden, everything, paper, failed, none), console = evaluated(str(soup), choose, tmp_path)
    assert not hidden and everything[1] == ["P-C1", "P-E1", "Q-C1"]
    assert paper[1] == ["P-C1", "P-E1"]
    assert failed == ["1 of 3 claims", ["P-C1"]]
    assert none == ["0 of 3 claims", []]
    assert not console


def test_no_claims_is_said(monkeypatch):
    monkeypatch.setattr(verdicts, "of_profile", lambda profile: [])
    assert "No claims" in scorecard.page("quick")
