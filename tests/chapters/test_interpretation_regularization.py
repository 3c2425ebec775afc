"""The chapter as its user meets it: refusals within seconds, and one whole run in profile smoke."""

import json
from pathlib import Path

import nbformat
import pytest

from tests import page
from tests.browser import needs_browser
from tests.chapter import checkout_at, companion

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
        assert found >= {"IR-T1", "IR-F3", "IR-F4", "IR-G", "IR-ID", "IR-E5", "data"}
        robust = [r for r in rows if r["experiment"] == "IR-T1" and r["quantity"] == "robust_accuracy"]
        assert {(r["protocol"], r["statistic"]) for r in robust} == {
            ("ir_paper", "mean"), ("ir_paper", "worst"), ("strong", "worst"), ("reference", "worst"),
        }  # fmt: skip
        assert len({r["model"] for r in robust}) == 9 and len({r["attack"] for r in robust}) == 4
        # The reference is given for the first seed alone.
        assert all(r["n"] == (1 if r["protocol"] == "reference" else 2) for r in robust)
        assert all(0 <= r["value"] <= 100 for r in robust)

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
        assert "Not run in this profile" in text

    @needs_browser
    def test_nothing_on_its_page_is_cut_or_scrolls_sideways(self, smoke, tmp_path):
        built = page.built(smoke[0], NAME, tmp_path / "site")
        assert page.cut_off(built, [1400, 1280, 400], tmp_path) == []

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
