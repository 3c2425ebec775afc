"""The answer to a question follows from the rows, in both directions, and says where a run cannot tell."""

import re
from pathlib import Path

import jupytext
import pytest
import yaml

from companion.publishing.claims.ledger import Margin, PaperClaims
from companion.publishing.pages import predict

ROOT = Path(__file__).parents[2]
CHOICES = ["A", "B", "C", "no clear winner"]
OF = {"where": {"experiment": "E", "quantity": "accuracy"}}
LARGEST = OF | {"largest": [{"model": m} for m in "abc"]}
CHANGE = ["it rises", "it falls", "no clear change"]
TREND = {"rule": {"trend": {"of": {"experiment": "E"}, "along": "eps", "direction": "rising"}}}


def row(values, **labels):
    mean = sum(values) / len(values)
    return {"experiment": "E", "quantity": "accuracy", "value": mean, "values": values, **labels}


def rows(**of):
    return [row(values, model=model) for model, values in of.items()]


CLEAR = rows(a=[10, 11, 12], b=[50, 51, 52.5], c=[30, 31, 32])
NOISE = rows(a=[10, 11, 12], b=[40, 61, 52], c=[56, 44, 50])


def answered(options, found, choices=CHOICES, papers=()):
    return predict.answer(predict.read(options, choices), choices, found, papers)


def text(html):
    return re.sub("<[^>]*>", "", html)


def test_the_largest_row_is_right_and_every_guess_is_told():
    found = answered(LARGEST | {"unit": "%"}, CLEAR)
    assert found.right == 1
    assert text(found.says).startswith("B: 51.2 %, 20.2 points more than C (95 % interval: ")
    assert [text(reply) for reply in found.replies] == [
        "Not in this run: your choice, A, has 11.0 %.",
        "Your guess agrees.",
        "Not in this run: your choice, C, has 31.0 %.",
        "The run can tell: it is B.",
    ]


def test_another_run_has_another_answer():
    assert answered(LARGEST, rows(a=[60, 61, 62], b=[50, 51, 52.5], c=[30, 31, 32])).right == 0
    found = answered(OF | {"smallest": LARGEST["largest"]}, CLEAR)
    assert found.right == 0 and "20 less than C" in text(found.says)


def test_a_lead_within_the_spread_over_seeds_is_no_answer():
    found = answered(LARGEST, NOISE)
    assert found.right == 3 and text(found.says).startswith("This run cannot tell B from C: it has 1 more")
    assert [text(reply) for reply in found.replies] == [
        "Not in this run: your choice, A, has 11.",
        "Your choice has the most, but not by a clear margin.",
        "Your choice is not clearly behind B.",
        "Your guess agrees.",
    ]


def test_seeds_are_paired():
    """The values of two nets overlap, but on every seed one is ahead by the same."""
    two = OF | {"largest": [{"model": m} for m in "ab"]}, ["A", "B", "no clear winner"]
    for b, right in (([12, 32.1, 51.9], 1), ([32.1, 51.9, 12], 2)):
        assert answered(two[0], rows(a=[10, 30, 50], b=b), two[1]).right == right


def test_equal_rows_are_a_tie_and_so_is_a_difference_within_the_papers_margin():
    assert answered(LARGEST, rows(a=[5, 6, 7], b=[5, 6, 7], c=[1, 1.1, 1.2])).right == 3
    margin = Margin(of="acc*", value=25, because="of the test")
    paper = PaperClaims(paper="P", notebook="n", margins=[margin], claims=[])
    found = answered(LARGEST, CLEAR, papers=[paper])
    assert found.right == 3 and "Within 25 counts as no difference." in found.says


def test_one_net_has_no_spread_and_decides_nothing():
    found = answered(LARGEST, rows(a=[1], b=[2], c=[3]))
    assert found.right == 3 and "One net has no spread" in found.says
    assert "nan" not in predict.picture(found, "") and "inf" not in predict.picture(found, "")


@pytest.mark.parametrize(
    "found",
    [
        [],
        CLEAR[:2],
        [*CLEAR, row([1, 2, 3], model="a", attack="another")],
        [*CLEAR[:2], row([30, 31, 32], model="c") | {"values": [30, None, 32]}],
    ],
)
def test_a_question_waits_for_rows_that_are_missing_doubled_or_without_a_number(found):
    assert answered(LARGEST, found) is None


def test_a_condition_on_all_choices_is_met_by_all_of_them_together():
    """Each choice on its own would find another first attack."""
    two = [row(v["values"], model=v["model"], attack=a) for a in ("x", "y") for v in CLEAR]
    one = [row([90, 91, 92], model="c", attack="w")]
    first = {"where": OF["where"] | {"attack": {"first": 1}}}
    assert answered(LARGEST | first, two).right == 1
    assert answered(LARGEST | first, [*one, *two]) is None  # under the first attack only one was measured


@pytest.mark.parametrize(
    ("by_level", "right"),
    [
        ([[1, 2, 3], [5, 6, 7], [9, 10, 11]], 0),
        ([[9, 10, 11], [5, 6, 7], [1, 2, 3]], 1),
        ([[1, 9, 4], [8, 2, 6], [3, 9, 1]], 2),
        ([[1, 2, 3], [5, 6, 7]], None),
    ],
)
def test_a_trend_rises_falls_or_neither(by_level, right):
    found = answered(TREND, [row(v, eps=0.1 * i) for i, v in enumerate(by_level)], CHANGE)
    assert found is None if right is None else found.right == right
    if right == 0:
        assert text(found.says).startswith("From 2 at eps 0 to 10 at eps 0.2.")
        assert [text(reply) for reply in found.replies][:2] == [
            "Your guess agrees.",
            "The run says: it rises.",
        ]


def test_a_value_against_a_bound_and_against_another_row():
    bound = {"rule": {"greater": {"more": {"model": "a"}, "less": 1}}}
    words = ["above", "below", "no difference"]
    found = answered(bound, rows(a=[0.8, 0.81, 0.82]), words)
    assert found.right == 1 and "0.81, 0.19 below 1 over 3 seeds" in text(found.says)
    assert answered(bound, rows(a=[1.8, 1.81, 1.82]), words).right == 0
    both = {"rule": {"greater": {"more": {"model": "b"}, "less": {"model": "c"}}}, "unit": "%"}
    found = answered(both, CLEAR, words)
    assert found.right == 0 and "51.2 % at model b against 31.0 % at model c" in text(found.says)


def test_an_association_over_settings():
    about = {"experiment": "E", "quantity": "x"}
    x = [row([i, i + 0.1, i], model=str(i)) | about for i in range(8)]
    rule = {"association": {"x": {"quantity": "x"}, "y": {"quantity": "accuracy"}}}
    words = ["together", "in reverse", "neither"]
    order = {"together": range(8), "in reverse": range(7, -1, -1), "neither": [3, 0, 7, 4, 1, 6, 2, 5]}
    for word, values in order.items():
        y = [row([v, v, v + 0.1], model=str(i)) for i, v in enumerate(values)]
        assert words[answered({"rule": rule}, [*x, *y], words).right] == word


def test_a_slider_asks_for_the_mean_with_its_seeds_and_ends_where_the_quantity_ends():
    asked = OF | {"value": {"model": "a"}, "range": [0, 100], "step": 1, "unit": "%"}
    found = answered(asked, rows(a=[90, 96, 99]), ())
    assert text(found.says) == "This run measures 95.0 %, the mean of n = 3, sd 4.6."
    assert (
        found.scale == (0, 100)
        and found.measured.high == 100
        and found.measured.low == pytest.approx(83.6, 0.01)
    )
    told = predict.told(predict.read(asked, ()), found)
    assert told["value"] == 95 and told["interval"][1] == 100 and told["apart"] == "points"
    assert answered(asked, rows(a=[90]), ()).measured.values == ()


@pytest.mark.parametrize(
    ("options", "choices", "said"),
    [
        (LARGEST, CHOICES[:3], "3 choices, 4 are needed"),
        (TREND, CHOICES, "4 choices, 3 are needed"),
        (OF, (), "one of largest, smallest, rule and value"),
        (LARGEST | TREND, CHOICES, "one of largest"),
        (OF | {"value": {"model": "a"}}, (), "needs a slider"),
        (OF | {"value": {"model": "a"}, "step": 1}, (), "a slider needs it"),
        (LARGEST | {"answer": "A"}, CHOICES, "answer: "),
    ],
)
def test_a_question_that_does_not_fit_is_refused_in_a_line(options, choices, said):
    with pytest.raises(ValueError, match=said) as refused:
        predict.read(options, choices)
    assert "\n" not in str(refused.value)


def test_the_picture_has_a_line_for_each_row_and_escapes_its_name():
    found = answered(LARGEST | {"unit": "%"}, CLEAR, ["A & <b>", "B", "C", "none"])
    drawn = predict.picture(found, "%")
    assert drawn.count("data-choice=") == 3 and drawn.count('class="seed"') == 9
    assert drawn.count("line right") == 1 and "A &amp; &lt;b&gt;" in drawn and "<b>" not in drawn
    assert "<b>A & <b></b>" not in found.says


def test_a_results_file_that_is_missing_or_damaged_has_no_rows(tmp_path):
    assert predict.rows_of(tmp_path / "results.json") == []
    (tmp_path / "results.json").write_text("{")
    assert predict.rows_of(tmp_path / "results.json") == []


def questions():
    """(chapter, name, options, choices) of every question in the chapters."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in jupytext.read(path).cells:
            for name, body in re.findall(r"```\{predict\} (\S+)\n(.*?)```", cell.source, re.DOTALL):
                options = {k: yaml.safe_load(v) for k, v in re.findall(r"(?m)^:(\w+): (.*)$", body)}
                yield path.stem, name, options, re.findall(r"(?m)^- (.*)$", body)


def test_every_chapter_asks_two_or_three_questions_that_can_be_read():
    asked = list(questions())
    chapters = [chapter for chapter, *_ in asked]
    assert set(chapters) == {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert all(2 <= chapters.count(chapter) <= 3 for chapter in chapters) and len(asked) >= 16
    assert len({name for _, name, *_ in asked}) == len(asked)
    for _, name, options, choices in asked:
        assert predict.read(options, choices), name
