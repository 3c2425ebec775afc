import math

import pytest
from bs4 import BeautifulSoup

from companion.publishing.claims import judging
from companion.publishing.pages import sources, tables


@pytest.mark.parametrize(
    ("differences", "word"),
    [
        ({"a": [1.0, 1.1, 0.9], "b": [5.0, 5.2, 5.1]}, "reproduced"),
        ({"a": [1.0, 1.1, 0.9], "b": [-5.0, -5.2, -5.1]}, "not reproduced"),
        ({"a": [1.0, 1.1, 0.9], "b": [0.5, -0.4, 0.2]}, "inconclusive"),
        ({"a": [-1.0, -1.1, -0.9], "b": [0.5, -0.4, 0.2]}, "not reproduced"),
        ({"a": [100.0]}, "inconclusive"),  # one seed has no spread
        ({"a": [-100.0]}, "inconclusive"),
        ({}, "not run"),
    ],
)
def test_a_claim_needs_every_difference_beyond_its_spread(differences, word):
    verdict = judging.all_positive(differences)
    assert verdict.word == word
    assert judging.BADGES[word] in verdict.badge and word in verdict.badge


def test_the_detail_counts_and_names_the_weakest():
    detail = judging.all_positive({"a": [3.0, 3.1], "b": [0.1, -0.1]}).detail
    assert "1 of 2 hold, 0 fail, 1 open" in detail and "smallest: b +0.00" in detail


def test_most_is_a_majority_beyond_its_spread():
    up, down, unclear = [1.0, 1.1], [-1.0, -1.1], [1.0, -1.0]
    assert judging.most_positive({"a": up, "b": up, "c": down}).word == "reproduced"
    assert judging.most_positive({"a": up, "b": down}).word == "not reproduced"
    assert judging.most_positive({"a": up, "b": unclear, "c": unclear}).word == "inconclusive"


def test_the_tolerance_of_the_test_set_is_never_undercut():
    """Equal differences at all seeds have no spread, yet 360 test images do not settle 0.8 points."""
    same = {"a": [0.8, 0.8, 0.8]}
    assert judging.all_positive(same).word == "reproduced"
    assert judging.all_positive(same, tolerance=2.6).word == "inconclusive"
    assert judging.all_positive({"a": [-0.8, -0.8]}, tolerance=2.6).word == "inconclusive"


def test_what_is_not_a_number_stays_open():
    verdict = judging.all_positive({"a": [1.0, 1.1], "b": [float("nan"), 1.0]})
    assert verdict.word == "inconclusive" and "1 of 2 hold, 0 fail, 1 open" in verdict.detail
    assert judging.all_positive({"b": [float("nan")]}).word == "not run"


def test_half_width_is_students():
    assert judging.half_width([1.0, 2.0, 3.0]) == pytest.approx(4.302653 / math.sqrt(3), rel=1e-5)
    assert judging.half_width([1.0]) == math.inf


def test_summary_counts_in_a_fixed_order():
    words = [judging.Verdict(w, "") for w in ("not reproduced", "reproduced", "not reproduced")]
    assert judging.summary(words) == "1 reproduced, 2 not reproduced"


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
    html = sources.of(judging.half_width).html
    assert "companion.publishing.claims.half_width" in html and "stdev" in html and "<details" in html
