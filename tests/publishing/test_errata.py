"""The errata page, and that it leaves out none of the papers' entries."""

import pytest
from bs4 import BeautifulSoup

from companion.publishing.pages import errata
from companion.publishing.paths import UserError

TEXT = """\
paper: P
notebook: {notebook}
items:
- {{id: P-E1, kind: formula, printed: a < b, right: c, evidence: d, here: "`e(x < 1)`, e", anchor: p-t1}}
"""


@pytest.fixture
def book(checkout):
    (checkout.root / "book" / "errata").mkdir(parents=True)
    return checkout


def shown(book, notebook: str) -> BeautifulSoup:
    (book.root / "book" / "errata" / "p.yaml").write_text(TEXT.format(notebook=notebook), "utf-8")
    return BeautifulSoup(errata.page(), "html.parser")


def test_an_entry_leads_to_the_cell_that_shows_it(book):
    book.notebook("small")
    soup = shown(book, "small")
    assert [td.text for td in soup.select("td")] == ["a < b", "c", "d See the cell.", "e(x < 1), e"]
    assert soup.select_one("a")["href"] == "../notebooks/small.html#p-t1"
    assert [code.text for code in soup.select("code")] == ["e(x < 1)"]
    assert soup.select_one("th#p-e1").text == "P-E1a formula"


def test_an_entry_may_be_shown_in_another_chapter_of_its_paper(book):
    book.notebook("small")
    text = TEXT.format(notebook="small").replace("anchor:", "notebook: second, anchor:")
    (book.root / "book" / "errata" / "p.yaml").write_text(text, "utf-8")
    soup = BeautifulSoup(errata.page(), "html.parser")
    assert soup.select_one("a")["href"] == "../notebooks/second.html#p-t1"


def test_a_chapter_to_come_is_said_and_not_linked(book):
    soup = shown(book, "later")
    assert "its chapter is to come" in soup.caption.text and soup.select_one("a") is None


def test_a_file_that_cannot_be_read_is_named(book):
    (book.root / "book" / "errata" / "p.yaml").write_text(TEXT.replace("formula", "misprint"), "utf-8")
    with pytest.raises(UserError, match="book/errata/p.yaml"):
        errata.load()
