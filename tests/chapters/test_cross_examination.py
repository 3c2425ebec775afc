"""The chapter as its user meets it: refusals within seconds, and one whole run in profile smoke."""

import json

import nbformat
import pytest
from bs4 import BeautifulSoup

from companion.publishing.claims import ledger, verdicts
from tests import page
from tests.browser import needs_browser
from tests.chapter import companion, of

NAME = "cross_examination"
METHODS = (
    *("Standard", "weight decay", "AT l2 0.75", "AT l2 1.5", "AT l2 2", "AT linf 0.05", "AT linf 0.1", "JR"),
    *("double backprop 0.3", "double backprop 3", "IR", "IR, shuffled", "IR, no target"),
    *("noise mod. 0.5", "noise mod. 0.8", "alignment penalty"),
)
MEASURES = (
    *("clean accuracy", "robust accuracy, l2", "robust accuracy, linf", "distance by DDN"),
    *("‖J‖/margin, raw", "‖J‖/margin, centred", "α, centred", "α†", "VII, own − another"),
    *("signs, own − another", "cosine with a robust net", "|g| and pixel variance", "SmoothGrad like plain"),
    *("attacks off the manifold", "share of the attack off the manifold"),
)
SHOWN = tuple(name.replace("attacks off the manifold", "distance of attacked images") for name in MEASURES)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-p", "lamda_a=1"], "lambda_a"),
        (["-p", "betas=1"], "betas"),
        (["-p", "lambdas=0"], "lambdas"),
        (["-p", "permutations=10"], "permutations"),
        (["-p", "dataset=folder:/no/such/folder"], "/no/such/folder"),
    ],
)
def test_a_slip_is_one_line_exit_2_and_nothing_runs(assert_refused, arguments, words):
    assert_refused(words, "run", NAME, *arguments)


def rows(reverse=()):
    """Rows as a run records them: every measure rises with the strength of the method, or falls."""
    falling = {"‖J‖/margin, raw", "‖J‖/margin, centred", "attacks off the manifold", *reverse}
    order = [name for name in METHODS if name != "alignment penalty"]
    order.sort(key=lambda name: name.startswith("AT"))
    made = [{"experiment": "data", "quantity": "test images", "value": 9, "dataset": "MNIST"}]
    for quantity in MEASURES:
        for place, name in enumerate(order):
            value = (-place if quantity in falling else place) + 20.0
            about = {"experiment": "XE-M", "quantity": quantity, "dataset": "MNIST", "model": name}
            made.append({**about, "value": value, "values": [value - 0.1, value, value + 0.1]})
    return made


def word(claim, rows):
    (paper,) = ledger.of_notebook(NAME)
    return next(iter(ledger.decide(paper, rows)[claim].values())).word


@pytest.mark.parametrize(
    ("claim", "reverse"),
    [
        ("XE-C1", "robust accuracy, linf"),
        ("XE-C2", "VII, own − another"),
        ("XE-C3", "SmoothGrad like plain"),
        ("XE-C4", "|g| and pixel variance"),
        ("XE-C5", "distance by DDN"),
        ("XE-C6", "robust accuracy, l2"),
    ],
)
def test_our_claims_on_rankings_hold_one_way_and_fail_the_other(claim, reverse):
    assert word(claim, rows()) == "reproduced"
    assert word(claim, rows([reverse])) == "not reproduced"


def test_a_verdict_that_hangs_on_one_seed_is_named():
    steady = verdicts.without_a_seed(NAME, rows())
    assert steady == "With any one seed left out: every verdict stays."
    shaky = rows()
    order = {row["model"]: row["value"] for row in shaky if row.get("quantity") == "distance by DDN"}
    for row in shaky:
        if row.get("quantity") == "robust accuracy, l2":  # in reverse in the first seed
            row["values"][0] = 100 - order[row["model"]]
    told = verdicts.without_a_seed(NAME, shaky)
    assert "XE-C1" in told and "XE-C2" not in told
    assert verdicts.without_a_seed(NAME, [{**row, "values": [1.0]} for row in rows()]) == ""


def two(values):
    """Rows of the penalty and of two adversarial trainings; values: α, then robust accuracy."""
    made = [{"experiment": "data", "quantity": "test images", "value": 9, "dataset": "MNIST"}]
    for name, both in values.items():
        for quantity, value in zip(("α, centred", "robust accuracy, l2"), both, strict=True):
            about = {"experiment": "XE-M", "quantity": quantity, "dataset": "MNIST", "model": name}
            made.append({**about, "value": value, "values": [value - 0.01, value, value + 0.01]})
    return made


def test_alignment_without_robustness_needs_both():
    attacked = {"AT l2 0.75": (3.0, 60.0), "AT l2 1.5": (3.5, 70.0)}
    assert word("XE-C7", two({"alignment penalty": (5.0, 50.0), **attacked})) == "reproduced"
    assert word("XE-C7", two({"alignment penalty": (2.0, 50.0), **attacked})) == "not reproduced"
    assert word("XE-C7", two({"alignment penalty": (5.0, 90.0), **attacked})) == "not reproduced"


def test_one_method_without_attacks_that_is_more_robust_refutes_xe_c8():
    def accuracies(best):
        by_name = {"AT l2 1.5": 70.0, "AT linf 0.1": 60.0, "JR": 50.0, "IR": best}
        return [
            {**row, "quantity": quantity}
            for quantity in ("robust accuracy, l2", "robust accuracy, linf")
            for row in two({name: (0.0, value) for name, value in by_name.items()})
            if row["quantity"] == "robust accuracy, l2"
        ]

    assert word("XE-C8", accuracies(55.0)) == "reproduced"
    assert word("XE-C8", accuracies(90.0)) == "not reproduced"


@pytest.mark.slow
class TestSmoke:
    def test_every_method_has_every_measure(self, smoke):
        found = {(row["model"], row["quantity"]): row for row in of(smoke[1], "XE-M")}
        assert set(found) == {(name, measure) for name in METHODS for measure in MEASURES}
        assert all(len(row["values"]) == 2 for row in found.values())
        robust = {q for (_, q), row in found.items() if "correct" in row}
        assert robust == {"clean accuracy", "robust accuracy, l2", "robust accuracy, linf"}

    def test_what_a_training_costs_is_counted(self, smoke):
        taken = {row["model"]: row["value"] for row in of(smoke[1], "XE-cost")}
        assert taken["Standard"] == taken["weight decay"] == taken["noise mod. 0.5"] == 1
        assert taken["AT l2 1.5"] == 3 and taken["AT l2 0.75"] == 2 and taken["double backprop 3"] == 3
        assert taken["IR"] == 3 + 3 + 2 and taken["IR, no target"] == 3

    def test_all_pairs_are_recorded_with_their_interval(self, smoke):
        by = [of(smoke[1], "XE-R", quantity=f"spearman, {name}") for name in ("low", "value", "high")]
        found = [[row["value"] for row in rows] for rows in zip(*by, strict=True)]
        assert len(found) == len(MEASURES) * (len(MEASURES) - 1) // 2
        assert all(-1 <= low <= value <= high <= 1 for low, value, high in found if value is not None)
        held = of(smoke[1], "XE-R", quantity="pairs above the limit")
        assert [row["of"] for row in held] == [55, 45, 45, 45]

    def test_both_limits_are_recorded_with_what_an_interval_is_worth(self, smoke):
        for kind in ("independent methods", "methods in kinds"):
            assert all(0 < row["value"] < 1 for row in of(smoke[1], "XE-R", quantity=f"limit, {kind}"))
        (covered,) = of(smoke[1], "XE-R", quantity="coverage of the interval")
        assert 0.5 < covered["value"] <= 1

    def test_the_explorer_holds_every_net_and_measure(self, smoke):
        cells = nbformat.read(smoke[0] / "executed.ipynb", as_version=4).cells
        texts = [
            str(output["data"]["text/html"])
            for cell in cells
            for output in cell.get("outputs", [])
            if "cmp-scatter" in str(output.get("data", {}).get("text/html", ""))
        ]
        (text,) = texts
        kept = json.loads(BeautifulSoup(text, "html.parser").find("script", type="application/json").string)
        assert len(kept["nets"]) == 2 * len(METHODS) and tuple(kept["measures"]) == SHOWN
        assert all(
            "Spearman over 16 methods" in kept["says"][i][j] for i in range(len(SHOWN)) for j in range(i)
        )

    def test_every_claim_has_a_verdict(self, smoke):
        text = json.dumps(nbformat.read(smoke[0] / "executed.ipynb", as_version=4))
        (paper,) = ledger.of_notebook(NAME)
        assert all(claim.id in text and claim.ours for claim in paper.claims)

    def test_one_seed_and_other_strengths_run_with_retrained_nets(self, smoke):
        settings = ("seeds=0", "lambdas=0.1,1,10", "betas=0.2", "retrain=true", "retrain_shares=0.5")
        chosen = [word for setting in settings for word in ("-p", setting)]
        done = companion("run", NAME, "--profile", "smoke", *chosen, env=smoke[2])
        assert done.returncode == 0, done.stdout + done.stderr
        (folder,) = smoke[0].parent.glob(f"{NAME}@*")
        rows = json.loads((folder / "results.json").read_text("utf-8"))["rows"]
        for quantity in ("ROAR", "KAR", "ROAR, own − another"):
            assert len(of(rows, "XE-M", quantity=quantity)) == len(METHODS)

    @needs_browser
    def test_nothing_on_its_page_is_cut_or_scrolls_sideways(self, smoke, tmp_path):
        built = page.built(smoke[0], NAME, tmp_path / "site")
        assert page.cut_off(built, [1400, 1280, 400], tmp_path) == []
        assert page.waiting(built) == []
