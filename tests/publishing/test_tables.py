import pytest
from bs4 import BeautifulSoup

from companion.publishing.claims import judging
from companion.publishing.pages import sources, tables


def test_a_number_stands_above_the_papers_and_the_recorded_one():
    cell = tables.number(51.25, sd=1.04, below={"paper": 78.41, "recorded": 50.0, "none": None}, best=True)
    assert cell.startswith('<td class="num best">51.2')
    assert "± 1.0" in cell and "paper 78.4" in cell and "recorded 50.0" in cell and "none" not in cell
    empty = tables.number(None, below={"paper": 3.0})
    assert "not run" in empty and "paper 3.0" in empty
    assert "±" not in tables.number(1.0)


def test_each_cell_carries_its_columns_heading_as_plain_words():
    head = ["m", '<i>a</i> &lt; "b"', "c"]
    html = tables.table(head, [["x", tables.number(1.0), "words"]], caption="C").html
    assert [td["data-label"] for td in BeautifulSoup(html, "html.parser").select("td")] == ['a < "b"', "c"]


def test_a_table_keeps_its_cells_and_refuses_a_ragged_row():
    html = tables.table(["m", "a"], [["x", tables.number(1.0)], ["y", "words"]], caption="C").html
    assert html.count("<tr>") == 3 and "<caption>C</caption>" in html and 'class="text">words</td>' in html
    with pytest.raises(ValueError, match="'x' has 2 cells"):
        tables.table(["m", "a", "b"], [["x", "1"]], caption="")


def test_plain_text_is_escaped():
    assert "&lt;b&gt;" in tables.plain("<b>")


def test_a_source_listing_shows_the_function():
    html = sources.of(judging.every).html
    assert "companion.publishing.claims.every" in html and "together" in html and "<details" in html


def test_short_numbers_keep_their_order():
    assert [tables.short(v) for v in (123.4, -10.4, 9.96, 0.0123)] == ["123", "-10", "10", "0.012"]
    assert tables.shortened([94.1, 95.3, 94.6]) == ["94.1", "95.3", "94.6"]
    assert tables.shortened([94.1, 5.34]) == ["94", "5.3"]
