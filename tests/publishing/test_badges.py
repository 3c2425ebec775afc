"""Evaluation checks on a page and in results.json; no net is needed, publishing knows them as plain data."""

import html.parser

import pytest

from companion.publishing.pages import badges
from tests.publishing.test_chapter import CELL, begin, results


class Report:
    """What companion.checks returns, as far as publishing knows it."""

    def __init__(self, eps=0.5, **statuses):
        self.eps, self.statuses = eps, statuses

    def as_dict(self):
        return {"norm": "l2", "eps": self.eps, "n": 300, "checks": rows(**self.statuses)}


def rows(**statuses):
    return [
        {"id": id, "name": f"row {id}", "status": s, "value": 0.5, "sentence": f"{id} says 1 < 2."}
        for id, s in statuses.items()
    ]


MIXED = {"R1": "passed", "R2": "passed", "R8": "flagged", "R14": "flagged", "R17": "not run"}


def test_the_badge_counts_in_one_line_and_names_what_needs_a_look():
    checked = badges.Checked("net", rows(**MIXED))
    assert checked.summary == "2 checks passed, 2 flagged (R8, R14), 1 not run"
    assert badges.Checked("net", rows(R1="passed")).summary == "1 check passed, 0 not run"
    assert checked.badge.count("<span") == 1 and "\n" not in checked.badge


@pytest.mark.parametrize(
    ("statuses", "colour"),
    [
        ({"R1": "passed", "R2": "not run"}, "ok"),
        ({"R1": "passed", "R8": "flagged"}, "maybe"),
        ({"R1": "failed", "R8": "flagged"}, "no"),
        ({"R1": "not run"}, "none"),
    ],
)
def test_the_badge_has_the_colour_of_the_worst_status(statuses, colour):
    assert f'cmp-badge {colour}"' in badges.Checked("net", rows(**statuses)).badge


def test_a_failure_that_is_the_point_is_called_so():
    checked = badges.Checked("net", rows(R9="failed", R1="passed"), frozenset({"R9"}))
    checked.refuse()
    assert checked.summary == "1 check passed, 1 failed (R9, as intended), 0 not run"


class Text(html.parser.HTMLParser):
    """Tags in order, and the text of each list item."""

    def __init__(self, source):
        super().__init__()
        self.open, self.items = [], []
        self.feed(source)
        assert not self.open  # well-formed

    def handle_starttag(self, tag, attributes):
        if tag != "br":
            self.open.append(tag)
        if tag == "li":
            self.items.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "li" in self.open:
            self.items[-1] += data


def test_it_opens_to_every_sentence_the_worst_first():
    shown = badges.Checked("IR <R>", rows(**MIXED, R9="failed"))._repr_html_()
    items = Text(shown).items
    assert [item.split()[0] for item in items] == ["R9", "R8", "R14", "R1", "R2", "R17"]
    assert all("says 1 < 2." in item for item in items)  # escaped in the source, one sign on the page
    assert "IR &lt;R&gt;" in shown and "IR <R>" not in shown
    assert shown.startswith('<details class="cmp-checks"><summary>')


def test_a_table_shows_nets_beside_each_other():
    nets = [badges.Checked("A & B", rows(**MIXED)), badges.Checked("C", rows(R1="failed", R2="passed"))]
    shown = badges.table(nets, caption="<b>Checks</b>").html
    assert "A &amp; B" in shown and "<caption><b>Checks</b></caption>" in shown
    assert "<summary>R8, R14</summary>" in shown and "<summary>R1</summary>" in shown
    for status in badges.COLOURS:
        assert shown.count(f'data-label="{status}"') == 2
    Text(shown)


def test_a_chapter_records_its_checks(checkout):
    run, _ = begin(CELL)
    checked = run.check("Standard", Report(R1="passed", R8="flagged"))
    assert isinstance(checked, badges.Checked) and "1 flagged (R8)" in checked.badge
    run.check("AT", Report(R1="passed"))
    kept = results(run)["checks"]
    assert list(kept) == ["Standard", "AT"]
    assert kept["Standard"][1] == {
        "id": "R8", "name": "row R8", "status": "flagged", "value": 0.5, "sentence": "R8 says 1 < 2.",
        "norm": "l2", "eps": 0.5, "n": 300,
    }  # fmt: skip


def test_a_cell_executed_again_replaces_its_checks_and_another_radius_stands_beside(checkout):
    run, _ = begin(CELL)
    run.check("Standard", Report(R1="passed"))
    run.check("Standard", Report(eps=1.0, R1="passed"))
    run.check("Standard", Report(R1="flagged"))
    assert [(r["eps"], r["status"]) for r in results(run)["checks"]["Standard"]] == [
        (1.0, "passed"),
        (0.5, "flagged"),
    ]


def test_a_failed_gate_stops_the_chapter_with_the_rows_and_the_nets_name(checkout):
    run, _ = begin(CELL)
    with pytest.raises(badges.CheckFailed, match=r"^R9 \(row R9\) failed for IR: R9 says") as raised:
        run.check("IR", Report(R1="passed", R9="failed"))
    assert "\n" not in str(raised.value)
    assert raised.value._render_traceback_() == [f"CheckFailed: {raised.value}"]
    assert results(run)["checks"]["IR"][1]["status"] == "failed"  # the reader can look it up


def test_only_the_rows_that_were_expected_may_fail(checkout):
    run, _ = begin(CELL)
    run.check("IR", Report(R9="failed"), expected=("R9",))
    with pytest.raises(badges.CheckFailed, match="R11"):
        run.check("IR", Report(R9="failed", R11="failed"), expected=("R9",))
    run.check("IR", Report(R9="passed"), expected=("R9",))  # expected, not demanded
