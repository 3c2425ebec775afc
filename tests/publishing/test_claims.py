"""Claims: rules as data, decided on rows; a hand-made case for each kind of rule and each verdict."""

import json
import shutil

import pytest

from companion.publishing.claims import rules, verdicts
from companion.publishing.claims.rows import select
from companion.publishing.claims.rules import Claim, PaperClaims, Rule
from companion.publishing.paths import UserError


def row(quantity="acc", values=(1.0, 1.1, 0.9), experiment="T", **labels):
    values = list(values)
    mean = sum(values) / len(values)
    return {
        "experiment": experiment,
        "quantity": quantity,
        "value": mean,
        "n": len(values),
        "values": values,
    } | labels


def word(rows, exact=False, **rule):
    return rules.verdict(Rule.model_validate(rule), rows, exact=exact).word


A_OVER_B = {"where": {"quantity": "acc"}, "more": {"net": "A"}, "less": {"net": "B"}}
HIGH, LOW, WIDE = (5.0, 5.1, 4.9), (1.0, 1.1, 0.9), (-9.0, 1.0, 11.0)


class TestSelect:
    ROWS = [row(net=net, eps=eps) for net in ("A", "B", "IR (x)") for eps in (0.1, 0.2, 0.3)]

    @pytest.mark.parametrize(
        ("where", "n"),
        [
            ({"net": "A"}, 3),
            ({"net": ["A", "B"]}, 6),
            ({"net": "IR (*"}, 3),
            ({"net": {"not": "IR*"}}, 6),
            ({"eps": {"last": 1}}, 3),
            ({"eps": {"first": 2}, "net": "B"}, 2),
            ({"eps": {"first": -1}, "net": "B"}, 2),
            ({"eps": 0.2}, 3),
            ({"missing": "A"}, 0),
            ({"net": "[AB]"}, 0),
        ],
    )
    def test_conditions(self, where, n):
        assert len(select(self.ROWS, where)) == n

    def test_the_last_of_the_rows_that_fit_everything_else(self):
        rows = [row(net="A", eps=0.1), row(net="B", eps=0.1), row(net="B", eps=0.2)]
        assert select(rows, {"eps": {"last": 1}, "net": "A"}) == rows[:1]


class TestGreater:
    @pytest.mark.parametrize(
        ("a", "b", "expected"),
        [
            (HIGH, LOW, "reproduced"),
            (LOW, HIGH, "not reproduced"),
            (WIDE, LOW, "inconclusive"),
            (HIGH[:1], LOW[:1], "inconclusive"),  # one seed has no spread
        ],
    )
    def test_verdicts(self, a, b, expected):
        assert word([row(values=a, net="A"), row(values=b, net="B")], greater=A_OVER_B) == expected

    def test_only_rows_that_agree_in_all_other_labels_are_compared(self):
        rows = [row(values=HIGH, net="A", attack="x"), row(values=LOW, net="B", attack="x")]
        rows.append(row(values=(99.0, 99.1, 98.9), net="B", attack="y"))
        assert word(rows, greater=A_OVER_B) == "reproduced"

    def test_repetitions_are_paired(self):
        a, b = (1.0, 50.0, 99.0), (0.5, 49.4, 98.6)  # a wide spread each, a narrow one of the differences
        assert word([row(values=a, net="A"), row(values=b, net="B")], greater=A_OVER_B) == "reproduced"

    def test_all_or_most(self):
        rows = [row(values=HIGH, net="A", attack=a) for a in "xyz"] + [
            row(values=LOW, net="B", attack=a) for a in "xy"
        ]
        rows.append(row(values=(9.0, 9.1, 8.9), net="B", attack="z"))
        assert word(rows, greater=A_OVER_B) == "not reproduced"
        assert word(rows, greater=A_OVER_B, judge="most") == "reproduced"

    def test_margin_and_numbers(self):
        rows = [row(values=LOW, net="A")]
        assert word(rows, greater={"more": {"net": "A"}, "less": 0.5}) == "reproduced"
        assert word(rows, greater={"more": {"net": "A"}, "less": 2}) == "not reproduced"
        assert word(rows, greater={"more": {"net": "A"}, "less": 2, "margin": 3}) == "reproduced"
        assert word(rows, greater={"more": 2, "less": {"net": "A"}}) == "reproduced"

    def test_the_best_of_a_group(self):
        rows = [
            row(values=v, net=n, attack=a)
            for n, v in (("A1", LOW), ("A2", HIGH), ("B", (3, 3.1, 2.9)))
            for a in "xy"
        ]
        part = {"more": {"net": "A*"}, "less": {"net": "B"}}
        assert word(rows, greater=part) == "not reproduced"
        assert word(rows, greater=part | {"more": {"net": "A*", "best": True}}) == "reproduced"

    def test_quantities_are_compared(self):
        rows = [row("true", HIGH, net="A"), row("wrong", LOW, net="A")]
        assert (
            word(rows, greater={"more": {"quantity": "true"}, "less": {"quantity": "wrong"}}) == "reproduced"
        )

    def test_missing_rows_are_not_run_unless_optional(self):
        rows = [row(values=HIGH, net="A"), row(values=LOW, net="B")]
        missing = {"more": {"net": "C"}, "less": {"net": "D"}}
        assert word(rows, greater=missing) == word(rows, greater=[A_OVER_B, missing]) == "not run"
        assert word(rows, greater=[A_OVER_B, missing | {"optional": True}]) == "reproduced"
        assert word(rows, greater=missing | {"optional": True}) == "not run"

    def test_the_allowance_for_the_size_of_the_test_set(self):
        rows = [row(values=HIGH, net="A"), row(values=LOW, net="B")]
        rows.append({"experiment": "data", "quantity": "test images", "value": 100})  # 5 points
        assert word(rows, greater=A_OVER_B, tolerance="accuracy") == "inconclusive"
        rows[-1]["value"] = 10000
        assert word(rows, greater=A_OVER_B, tolerance="accuracy") == "reproduced"

    def test_printed_numbers_have_no_spread(self):
        rows = [row(values=[5.0], net="A"), row(values=[4.9], net="B")]
        assert word(rows, exact=True, greater=A_OVER_B) == "holds"
        assert (
            word(rows[::-1], exact=True, greater=A_OVER_B | {"more": {"net": "B"}, "less": {"net": "A"}})
            == "contradicted"
        )

    def test_the_smallest_difference_is_named(self):
        rows = [row(values=HIGH, net="A", attack="x"), row(values=LOW, net="B", attack="x")]
        rows += [row(values=LOW, net="A", attack="y"), row(values=LOW, net="B", attack="y")]
        detail = rules.verdict(Rule.model_validate({"greater": A_OVER_B}), rows).detail
        assert detail.startswith("1 of 2 hold, 0 fail, 1 open; smallest: A − B, y +0.00")


def test_trend():
    rows = [row(values=(10 - i, 11 - i, 10.5 - 2 * i), share=i / 4) for i in range(5)]
    of = {"of": {"quantity": "acc"}, "along": "share"}
    assert word(rows, trend=of | {"direction": "falling"}) == "reproduced"
    assert word(rows, trend=of | {"direction": "rising"}) == "not reproduced"
    assert word(rows[:2], trend=of | {"direction": "rising"}) == "not run"  # two points are no trend
    flat = [row | {"value": 1.0} for row in rows]
    flat = [{k: v for k, v in row.items() if k != "values"} for row in flat]
    for direction in ("rising", "falling"):  # correlation 0, with no warning that it is not defined
        assert word(flat, trend=of | {"direction": direction}) != "reproduced"


def test_close():
    rows = [row(values=[1e-12], expected=0.0), row("b", [2.0], expected=2.0)]
    assert word(rows, close={"of": {}, "to": "expected", "within": 1e-9}) == "reproduced"
    assert word(rows, close={"of": {}, "to": 0.0, "within": 1e-9}) == "not reproduced"
    assert word(rows, close={"of": {"quantity": "c"}, "to": 0.0, "within": 1e-9}) == "not run"
    assert word([row(values=[float("nan")])], close={"of": {}, "to": 0.0, "within": 1}) == "not reproduced"


class TestBoundsOfRoundedNumbers:
    """Single precision writes 0.1 as 0.10000000149: a bound of 0.1 is met, not exceeded."""

    SINGLE = 0.10000000149

    def test_close(self):
        on, beyond = row(values=[self.SINGLE]), row(values=[0.1001])
        assert word([on], close={"of": {}, "to": 0.0, "within": 0.1}) == "reproduced"
        assert word([beyond], close={"of": {}, "to": 0.0, "within": 0.1}) == "not reproduced"
        assert word([row(values=[99.989998])], close={"of": {}, "to": 100, "within": 0.01}) == "reproduced"
        assert word([row(values=[1.1e-12])], close={"of": {}, "to": 0, "within": 1e-12}) == "not reproduced"

    def test_greater(self):
        rows = [row(values=[self.SINGLE] * 3, net="A")]
        assert word(rows, greater={"more": {"net": "A"}, "less": 0.1}) == "inconclusive"
        assert word(rows, greater={"more": {"net": "A"}, "less": 0.0999}) == "reproduced"
        assert word(rows, greater={"more": 0.1, "less": {"net": "A"}}) == "inconclusive"

    def test_margin_and_tolerance(self):
        a, b = row(values=[0.1 + 0.2] * 3, net="A"), row(values=[0.3 - self.SINGLE] * 3, net="B")
        assert word([b, a], greater=A_OVER_B, tolerance=0.1) == "inconclusive"  # ahead by 0.10000000149
        assert word([b, a], greater=A_OVER_B, tolerance=0.0999) == "reproduced"
        behind = {"more": {"net": "B"}, "less": {"net": "A"}}
        assert word([b, a], greater=behind, tolerance=0.1) == "inconclusive"
        assert word([b, a], greater=behind | {"margin": 0.1}, exact=True) == "contradicted"
        assert word([b, a], greater=behind | {"margin": 0.1001}, exact=True) == "holds"


def test_a_trend_is_over_all_rows_that_its_condition_names():
    rows = [row(values=(s, s + 1.0), carrier=c, sd_of_m=s) for c, s in (("a", 1.0), ("b", 2.0), ("c", 2.0))]
    part = {"along": "sd_of_m", "direction": "rising"}
    assert word(rows, trend=part | {"of": {"quantity": "acc"}}) == "not run"  # each carrier is its own series
    assert word(rows, trend=part | {"of": {"quantity": "acc", "carrier": "*"}}) == "reproduced"


def of_paper(rule=None, under=None) -> PaperClaims:
    return PaperClaims(
        paper="P",
        notebook="n",
        claims=[Claim(id="P-C1", statement="A beats B", rule=rule)],
        **({"under": under} if under else {}),
    )


PROTOCOLS = {"weak": {"protocol": "weak"}, "strong": {"protocol": "strong"}}


class TestUnder:
    def test_each_restriction_has_its_verdict(self):
        rows = [
            row(values=v, net=n, protocol=p)
            for p, (a, b) in {"weak": (HIGH, LOW), "strong": (LOW, HIGH)}.items()
            for n, v in (("A", a), ("B", b))
        ]
        (decided,) = rules.decide(of_paper({"greater": A_OVER_B}, PROTOCOLS), rows).values()
        assert {k: v.word for k, v in decided.items()} == {
            "weak": "reproduced",
            "strong": "not reproduced",
        }

    def test_rows_without_the_label_give_one_verdict(self):
        rows = [row(values=HIGH, net="A"), row(values=LOW, net="B"), row("other", protocol="weak")]
        (decided,) = rules.decide(of_paper({"greater": A_OVER_B}, PROTOCOLS), rows).values()
        assert {k: v.word for k, v in decided.items()} == {"": "reproduced"}

    def test_a_rule_that_names_the_label_is_not_restricted(self):
        rows = [row(values=HIGH, net="A", protocol="own"), row(values=LOW, net="B", protocol="own")]
        rule = {"greater": A_OVER_B | {"where": {"quantity": "acc", "protocol": "own"}}}
        (decided,) = rules.decide(of_paper(rule, PROTOCOLS), rows).values()
        assert {k: v.word for k, v in decided.items()} == {"": "reproduced"}

    def test_a_claim_without_rule_is_not_run(self):
        (decided,) = rules.decide(of_paper(), []).values()
        assert decided[""].word == "not run"


TEXT = """\
paper: P
notebook: small
claims:
- id: P-C1
  statement: A beats B.
  rule: {greater: {more: {net: A}, less: {net: B}}}
"""


@pytest.fixture
def book(checkout):
    """A checkout with the claims of one paper and a complete run that supports them."""
    (checkout.root / "book" / "claims" / "printed").mkdir(parents=True)
    (checkout.root / "book" / "claims" / "p.yaml").write_text(TEXT, "utf-8")
    printed = "experiment,quantity,value,net,attack\nT,acc,5,B,\nT,acc,4,A,\n"
    (checkout.root / "book" / "claims" / "printed" / "small.csv").write_text(printed, "utf-8")
    folder = checkout.folder("small")
    folder.mkdir(parents=True)
    (folder / "run.json").write_text('{"complete": true}', "utf-8")
    rows = [row(values=HIGH, net="A"), row(values=LOW, net="B")]
    (folder / "results.json").write_text(json.dumps({"rows": rows}), "utf-8")
    return checkout


def words():
    (found,) = verdicts.of_profile("quick")
    return {source: [v.word for v in of.values()] for source, of in found.verdicts.items()}


class TestStanding:
    def test_print_run_and_record(self, book):
        assert words() == {
            "the paper's print": ["contradicted"],
            "quick": ["reproduced"],
            "recorded run": ["not run"],
        }

    def test_a_changed_row_changes_the_verdict_and_a_missing_run_is_not_run(self, book):
        path = book.folder("small") / "results.json"
        content = json.loads(path.read_text())
        content["rows"][0]["values"] = [0.0, 0.1, -0.1]
        path.write_text(json.dumps(content))
        assert words()["quick"] == ["not reproduced"]
        (book.folder("small") / "run.json").write_text('{"complete": false}')
        assert words()["quick"] == ["not run"]

    def test_a_deleted_run_is_not_run(self, book):
        shutil.rmtree(book.folder("small"))
        assert words()["quick"] == ["not run"]

    def test_a_damaged_run_is_not_run(self, book):
        (book.folder("small") / "results.json").write_text("{")
        assert words()["quick"] == ["not run"]

    def test_text_and_json(self, book):
        found = verdicts.of_profile("quick")
        assert any("P-C1" in line and "reproduced" in line for line in verdicts.as_text(found))
        (plain,) = json.loads(verdicts.as_json(found))
        assert plain["verdicts"]["quick"][""]["word"] == "reproduced"

    def test_every_number_leads_to_its_rows_and_its_run(self, book):
        """By the JSON alone: open the file, take the rows, compute the smallest difference again."""
        about = {"complete": True, "commit": "abc", "device": "CPU", "started": "now", "command": "again"}
        (book.folder("small") / "run.json").write_text(json.dumps(about))
        (plain,) = json.loads(verdicts.as_json(verdicts.of_profile("quick")))
        of = plain["verdicts"]["quick"][""]
        assert of["run"] == {k: about[k] for k in ("commit", "started", "device", "command")}
        rows = json.loads((book.root / of["file"]).read_text())["rows"]
        values = {rows[i]["net"]: rows[i]["value"] for i in of["rows"]}
        assert f"{values['A'] - values['B']:+.2f}" in of["detail"]
        printed = plain["verdicts"]["the paper's print"][""]
        lines = (book.root / printed["file"]).read_text().splitlines()[1:]
        assert [lines[i] for i in printed["rows"]] == ["T,acc,5,B,", "T,acc,4,A,"]

    def test_the_chapters_table(self, book):
        (table,) = verdicts.table("small", [row(values=HIGH, net="A"), row(values=LOW, net="B")], "digits.")
        assert "P-C1" in table.html and "cmp-verdict ok" in table.html
        assert "in print it is contradicted" in table.html and "1 reproduced" in table.html


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("rule: {greater", "rule: {grater"), "grater"),
        (("statement: A beats B.", "states: A"), "claims.0.statement"),
        (("{greater: {more: {net: A}, less: {net: B}}}", "{}"), "needs greater, trend or close"),
        (("- id: P-C1", "- id: P-C1\n  statement: x\n- id: P-C1"), "P-C1 is there twice"),
        (("paper: P", "paper: [P"), "p.yaml"),
    ],
)
def test_claims_that_cannot_be_read_is_one_clear_line(book, change, said):
    (book.root / "book" / "claims" / "p.yaml").write_text(TEXT.replace(*change), "utf-8")
    with pytest.raises(UserError, match=said):
        rules.load()


def test_the_papers_tables_decide_what_the_spec_says_of_them():
    """Facts 1.2 and 1.4: C8 and the text's E7, E8 and E9 are contradicted by the paper's own tables."""
    (ir,) = rules.of_notebook("interpretation_regularization")
    decided = rules.decide(ir, rules.printed(ir.notebook), exact=True)
    words = {i: next(iter(v.values())).word for i, v in decided.items()}
    assert words == {
        **{f"IR-C{i}": "holds" for i in (1, 2, 3, 4, 5, 6, 7, 9, 14)},
        **{f"IR-{i}": "contradicted" for i in ("C8", "E7", "E8", "E9")},
        **{f"IR-C{i}": "not run" for i in (10, 11, 12, 13, 15)},
    }
    detail = {i: of["paper's protocol"].detail for i, of in decided.items() if "paper's protocol" in of}
    assert detail["IR-C5"] == "3 of 3 hold; smallest: IR (R, SmG) − AT (l2 2.5) +0.58"
    assert detail["IR-E8"].endswith("IR (R, simp) − IR (R, SmG) -0.04")  # 6.71, not 6.67
    assert "-1.10" in detail["IR-E7"]  # the smallest gap is 1.23, not 2.34
    assert "-8.76" in detail["IR-E9"]


def test_a_text_on_its_own_tables_is_decided_by_them_alone():
    paper = of_paper({"greater": A_OVER_B})
    paper = paper.model_copy(update={"claims": [paper.claims[0].model_copy(update={"of_print": True})]})
    rows = [row(values=[2.0], net="A"), row(values=[1.0], net="B")]
    (printed,) = rules.decide(paper, rows, exact=True).values()
    (run,) = rules.decide(paper, rows).values()
    assert printed[""].word == "holds" and run == {}


def test_a_verdict_names_the_rows_it_rests_on():
    rows = [row("other"), row(values=LOW, net="B"), row(values=HIGH, net="C"), row(values=HIGH, net="A")]
    (decided,) = rules.decide(of_paper({"greater": A_OVER_B}), rows).values()
    assert decided[""].rows == (1, 3)
