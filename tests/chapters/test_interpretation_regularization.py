"""The chapter as its user meets it: refusals within seconds, and one whole run in profile smoke."""

import json
from pathlib import Path

import nbformat
import pytest

from companion.publishing.claims import ledger
from tests import page
from tests.browser import needs_browser
from tests.chapter import ROOT, checkout_at, companion

NAME = "interpretation_regularization"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-p", "lambda_dd=3"], "lambda_d"),
        (["-p", "eps=abc"], "abc"),
        (["-p", "eps=-1"], "-1"),
        (["--profile", "quik"], "quick"),
        (["-p", "dataset=mnits"], "mnist"),
        (["-p", "dataset=folder:/no/such/folder"], "/no/such/folder"),
        (["-p", "cifar=true", "-p", "cifar_dataset=folder:/no/such/folder"], "/no/such/folder"),
    ],
)
def test_a_slip_is_one_line_exit_2_and_nothing_runs(assert_refused, arguments, words):
    assert_refused(words, "run", NAME, *arguments)


def test_a_notebook_that_does_not_exist(assert_refused):
    assert_refused(NAME, "run", "interpretation_regularisation")


ATTACKS, PROTOCOLS = ("l2 1.5", "linf 0.1", "linf 0.2"), (("ir_paper", "mean"), ("strong", "worst"))
TABLE_1 = {
    **{"Standard": 10, "AT (l2 1.5)": 70, "AT (l2 2.5)": 75, "JR": 45, "IR (R, perm, SmG)": 40},
    **{"IR (NR, simp)": 30, "IR (NR, SmG)": 35, "IR (R, simp)": 50, "IR (R, SmG)": 55},
}
CONTROLS = {
    **{"own map, as IR (R, SmG)": 55, "no target": 50, "own map, shuffled": 40, "no norm": 20},
    **{"map at another image, same class": 45, "this class's map at any other image": 42, "the image": 48},
    **{"the image minus the mean": 47, "own map, centred norm": 56, "no target, centred norm": 51},
}


def row(experiment, quantity, value, **labels):
    values = [value - 0.1, value, value + 0.1]
    return {"experiment": experiment, "quantity": quantity, "value": value, "values": values} | labels


def accuracies():
    """Rows as the chapter records them, on which all claims about accuracies hold."""
    return [
        row(experiment, "robust_accuracy", value, model=model, attack=a, protocol=p, statistic=s)
        for experiment, values in (("IR-T1", TABLE_1), ("IR-K", CONTROLS))
        for model, value in values.items()
        for a in ATTACKS
        for p, s in PROTOCOLS
    ]


def words(claim, rows):
    """The words of a claim, under the paper's protocol and under the strong one, or the one word it has."""
    (ir,) = ledger.of_notebook(NAME)
    return [v.word for v in ledger.decide(ir, rows)[claim].values()]


def swapped(rows, experiment, one, other):
    """The rows with the values of two models exchanged under the last attack of the strong protocol."""
    of = {"experiment": experiment, "attack": ATTACKS[-1], "protocol": "strong"}
    to = {one: other, other: one}
    return [
        r | {"model": to.get(r["model"], r["model"])} if all(r[k] == v for k, v in of.items()) else r
        for r in rows
    ]


@pytest.mark.parametrize(
    ("claim", "more", "less"),
    [
        ("IR-C16", "IR (R, simp)", "IR (NR, SmG)"),
        ("IR-C16", "IR (R, SmG)", "IR (NR, SmG)"),
        ("IR-C17", "IR (R, SmG)", "IR (R, perm, SmG)"),
        ("IR-K1", "own map, as IR (R, SmG)", "no target"),
        ("IR-K2", "no target", "own map, shuffled"),
        ("IR-K3", "own map, as IR (R, SmG)", "map at another image, same class"),
        ("IR-K4", "own map, as IR (R, SmG)", "the image"),
        ("IR-K4", "own map, as IR (R, SmG)", "the image minus the mean"),
        ("IR-K5", "own map, as IR (R, SmG)", "no norm"),
        ("IR-K6", "own map, centred norm", "no target, centred norm"),
    ],
)
def test_a_claim_on_every_attack_fails_with_one_of_them(claim, more, less):
    rows = accuracies()
    assert words(claim, rows) == ["reproduced", "reproduced"]
    experiment = "IR-T1" if more in TABLE_1 else "IR-K"
    assert words(claim, swapped(rows, experiment, more, less)) == ["reproduced", "not reproduced"]


def test_smoothgrad_beats_the_simple_gradient_of_standard_nets_on_most_attacks():
    rows = accuracies()
    assert words("IR-C18", rows) == ["reproduced", "reproduced"]
    once = swapped(rows, "IR-T1", "IR (NR, SmG)", "IR (NR, simp)")
    assert words("IR-C18", once) == ["reproduced", "reproduced"]  # one of three attacks
    strong = [r for r in once if r["attack"] != ATTACKS[0]]
    assert words("IR-C18", strong) == ["reproduced", "not reproduced"]  # one of two is not most


def test_ir_c13_asks_for_the_norms_that_figure_4_plots():
    """The norm of the whole Jacobian plays no part: it is the larger of JR here."""
    ir, jr = ("IR (R, simp)", "IR (R, SmG)"), ("JR",)
    sizes = {"norm_true": (2, 1), "norm_wrong": (1.5, 1), "norm_frobenius": (4, 5)}

    def norms(**changed):
        of_each = sizes | changed
        return [
            row("IR-F4", quantity, size, model=model)
            for quantity, pair in of_each.items()
            for models, size in zip((ir, jr), pair, strict=True)
            for model in models
        ]

    def word(**changed):
        return words("IR-C13", accuracies() + norms(**changed))

    assert word() == ["reproduced", "reproduced"]
    assert word(norm_true=(1, 2)) == ["not reproduced", "not reproduced"]
    assert word(norm_wrong=(1, 1.5)) == ["not reproduced", "not reproduced"]
    worse = swapped(accuracies(), "IR-T1", "IR (R, simp)", "JR") + norms()
    assert words("IR-C13", worse) == ["reproduced", "not reproduced"]


def test_ir_c10_is_decided_on_the_rows_of_figure_3():
    def curves(strong):
        falling = (5.0, 4.0, 3.0)
        under = {"ir_paper": falling, "strong": strong}
        found = [
            row("IR-F3", "robust accuracy", v, permuted=q, protocol=p, statistic=s)
            for p, s in PROTOCOLS
            for q, v in zip((0.0, 0.5, 1.0), under[p], strict=True)
        ]
        return found + [
            row("IR-F3", quantity, v, permuted=q)
            for quantity in ("gradient norm", "cosine with the target", "clean accuracy")
            for q, v in zip((0.0, 0.5, 1.0), falling, strict=True)
        ]

    assert words("IR-C10", curves((5.0, 4.0, 3.0))) == ["reproduced", "reproduced"]
    assert words("IR-C10", curves((3.0, 4.0, 5.0))) == ["reproduced", "not reproduced"]


def official_and_margin(experiment, last, margin, **along):
    """Rows of two attacks at the first and last place along a label, the official recipe's first at 50."""
    ((label, places),) = along.items()
    return [
        row(experiment, "robust_accuracy", v, model="Standard", attack="l2 1.5", protocol=p, **{label: n})
        for p, values in (("official recipe", (50, last)), ("no floor, margin loss", (50, margin)))
        for n, v in zip(places, values, strict=True)
    ]


def test_ir_c15_is_decided_on_the_official_recipe_of_ir_e5():
    scaled = {"margin": 90, "factor": (1.0, 10.0)}
    assert words("IR-C15", official_and_margin("IR-E5", 50.5, **scaled)) == ["reproduced"]
    assert words("IR-C15", official_and_margin("IR-E5", 60, **scaled)) == ["not reproduced"]


def test_ir_c15_training_is_decided_on_the_longest_training():
    trained = {"margin": 50, "epochs": (3, 100)}
    assert words("IR-C15, training", official_and_margin("IR-E5n", 80, **trained)) == ["reproduced"]
    assert words("IR-C15, training", official_and_margin("IR-E5n", 20, **trained)) == ["not reproduced"]


def test_the_recorded_run_stands_beside_the_papers_table():
    """Rows of IR-T1 on MNIST, for the comparison with the paper; the second radius of AT may differ."""
    kept = json.loads((ROOT / "results" / f"{NAME}.json").read_text())
    second = f"AT (l2 {kept['run']['parameters']['eps_strong']:g})"
    printed = [r for r in ledger.printed(NAME) if r["experiment"] == "IR-T1"]
    places = {(r["model"].replace("AT (l2 2.5)", second), r.get("attack")) for r in printed}
    found = [r for r in kept["rows"] if r["experiment"] == "IR-T1" and r.get("protocol") in (None, "strong")]
    assert {r["dataset"] for r in found} == {"MNIST"}
    assert places == {(r["model"], r.get("attack")) for r in found}


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """A run of its own in a copy of the checkout's sources, with an empty store."""
    root = tmp_path_factory.mktemp("checkout")
    env = checkout_at(root)
    # Fractions come as text; eps=8/255 must arrive as a number
    done = companion("run", NAME, "--profile", "smoke", "-p", "eps=120/255", env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = [f for f in (root / "runs" / "smoke").iterdir() if f.name.startswith(NAME)]
    return folder, env


@pytest.mark.slow
class TestSmoke:
    def test_every_experiment_leaves_rows(self, smoke):
        rows = json.loads((smoke[0] / "results.json").read_text())["rows"]
        found = {row["experiment"] for row in rows}
        assert found >= {"IR-T1", "IR-K", "IR-F3", "IR-F4", "IR-G", "IR-ID", "IR-E5", "IR-E5n", "data"}
        robust = [r for r in rows if r["experiment"] == "IR-T1" and "attack" in r]
        assert {(r["protocol"], r["statistic"]) for r in robust} == {
            ("ir_paper", "mean"), ("ir_paper", "worst"), ("strong", "worst"), ("reference", "worst"),
        }  # fmt: skip
        assert len({r["model"] for r in robust}) == 9 and len({r["attack"] for r in robust}) == 4
        # The reference is given for the first seed alone.
        assert all(r["n"] == (1 if r["protocol"] == "reference" else 2) for r in robust)
        assert all(0 <= r["value"] <= 100 for r in robust)

    def test_every_rule_finds_its_rows(self, smoke):
        """All but those on CIFAR-10, and on a trend, for which two shuffled fractions are too few.

        Digits decide nothing about MNIST, but the rows are there, and the rules say what they would.
        """
        (ir,) = ledger.of_notebook(NAME)
        decided = ledger.decide(ir, json.loads((smoke[0] / "results.json").read_text())["rows"])
        without = {
            claim
            for claim, of in decided.items()
            if any(v.word == "not tested here" and not v.elsewhere for v in of.values())
        }
        assert without == {"IR-C4", "IR-C10", "IR-C10, maps", "IR-C14"}

    def test_the_worst_case_is_never_above_the_mean_nor_the_clean_accuracy_below(self, smoke):
        rows = json.loads((smoke[0] / "results.json").read_text())["rows"]
        value = {
            (r["model"], r.get("attack"), r.get("protocol"), r.get("statistic")): r["value"]
            for r in rows
            if r["experiment"] == "IR-T1"
        }
        for (model, attack, protocol, statistic), v in value.items():
            if statistic == "worst":
                assert v <= value[model, None, None, None] + 1e-6
                if protocol == "ir_paper":
                    assert v <= value[model, attack, "ir_paper", "mean"] + 1e-6

    def test_the_identities_hold(self, smoke):
        rows = {
            r["quantity"]: r
            for r in json.loads((smoke[0] / "results.json").read_text())["rows"]
            if r["experiment"] == "IR-ID"
        }
        for name, row in rows.items():
            tolerance = 0.03 * row["expected"] if "eq. 14" in name else 1e-8
            assert row["value"] == pytest.approx(row["expected"], abs=tolerance), name

    def test_parameters_arrive_as_numbers_and_the_cifar_table_says_not_run(self, smoke):
        notebook = nbformat.read(smoke[0] / "executed.ipynb", as_version=4)
        text = json.dumps(notebook)
        assert json.loads((smoke[0] / "run.json").read_text())["parameters"]["eps"] == pytest.approx(
            120 / 255
        )
        assert "IR-T2 was not run" in text

    @needs_browser
    def test_nothing_on_its_page_is_cut_or_scrolls_sideways(self, smoke, tmp_path):
        built = page.built(smoke[0], NAME, tmp_path / "site")
        assert page.cut_off(built, [1400, 1280, 400], tmp_path) == []
        assert page.waiting(built) == []

    def test_the_same_command_again_has_nothing_to_do(self, smoke):
        folder, env = smoke
        before = (folder / "executed.ipynb").stat().st_mtime_ns
        done = companion("run", NAME, "--profile", "smoke", "-p", "eps=120/255", env=env)
        assert "up to date" in done.stdout
        assert (folder / "executed.ipynb").stat().st_mtime_ns == before

    def test_a_changed_attack_radius_trains_nothing_again(self, smoke):
        folder, env = smoke
        store = Path(env["COMPANION_STORE"])
        nets = set(store.glob("*.safetensors"))
        settings = ("eps=120/255", "eps_linf=0.05,0.3", "seeds=0", "restarts=1")  # fewer seeds: in less time
        chosen = [word for setting in settings for word in ("-p", setting)]
        done = companion("run", NAME, "--profile", "smoke", *chosen, env=env)
        assert done.returncode == 0, done.stderr
        assert set(store.glob("*.safetensors")) == nets
