"""The chapter as its user meets it: refusals within seconds, and one whole run in profile smoke."""

import json

import nbformat
import pytest
from bs4 import BeautifulSoup

from tests.chapter import checkout_at, companion, of

NAME = "noise_modulation"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-p", "bta=0.5"], "beta"),
        (["-p", "beta=1.2"], "1.2"),
        (["-p", "beta=-0.1"], "-0.1"),
        (["-p", "betas=0,0.5,2"], "2"),
        (["-p", "carrier=gausian"], "gaussian"),
        (["-p", "models=mlp,alexnet"], "alexnet"),
        (["-p", "second=true", "-p", "second_dataset=folder:/no/such/folder"], "/no/such/folder"),
    ],
)
def test_a_slip_is_one_line_exit_2_and_nothing_runs(assert_refused, arguments, words):
    assert_refused(words, "run", NAME, *arguments)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """A run of its own in a copy of the checkout's sources, with an empty store."""
    root = tmp_path_factory.mktemp("checkout")
    env = checkout_at(root)
    done = companion("run", NAME, "--profile", "smoke", env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = root / "runs" / "smoke" / NAME
    return folder, json.loads((folder / "results.json").read_text())["rows"]


@pytest.mark.slow
class TestSmoke:
    def test_every_experiment_leaves_rows(self, smoke):
        found = {row["experiment"] for row in smoke[1]}
        assert found >= {
            *("NM-F2", "NM-F3", "NM-F4", "NM-F5", "NM-E1", "NM-C7", "NM-C8", "NM-D", "NM-ID", "NM-R", "NM-S"),
            "data",
        }

    def test_every_vii_has_its_chance_level_and_its_baseline_beside_it(self, smoke):
        (chance, *_) = of(smoke[1], "NM-F3", training="chance")
        assert chance["value"] == pytest.approx((2 / (3.14159265 * 64)) ** 0.5)
        for row in of(smoke[1], "NM-F3", quantity="vii"):
            assert 0 <= row["value"] <= 1 and row["n"] == 2
            for baseline in ("chance", "constant sign"):
                assert of(smoke[1], "NM-F3", training=baseline, model=row["model"])

    def test_beta_1_is_the_standard_net(self, smoke):
        for quantity in ("vii", "clean_accuracy"):
            (standard,) = of(smoke[1], "NM-F3", quantity=quantity, model="mlp", training="standard")
            (beta_1,) = of(smoke[1], "NM-F4", quantity=quantity, beta=1.0)
            assert beta_1["values"] == standard["values"]

    def test_the_identities_hold(self, smoke):
        for row in of(smoke[1], "NM-ID"):
            name, expected = row["quantity"], row["expected"]
            if name.startswith(("mean", "eq.", "β = 1, mlp")):
                assert abs(row["value"] - expected) < 1e-12, name
            elif not name.startswith("β = 1"):
                assert row["value"] == pytest.approx(expected, abs=0.02, rel=0.005), name

    def test_vii_is_the_sum_of_its_parts_and_one_sign_has_no_correlation(self, smoke):
        for training in ("standard", "NM"):
            part = {r["quantity"]: r["values"] for r in of(smoke[1], "NM-S", model="mlp", training=training)}
            (whole,) = of(smoke[1], "NM-F3", quantity="vii", model="mlp", training=training)
            for i in range(2):
                assert part["brighter"][i] + part["darker"][i] == pytest.approx(part["vii"][i])
                # signs of the cross-entropy in double precision, and of the log odds in single
                assert part["vii"][i] == pytest.approx(whole["values"][i], abs=2e-3)
        (one,) = of(smoke[1], "NM-S", quantity="correlation", training="one sign")
        assert one["value"] == 0

    def test_the_explorer_is_complete_and_needs_nothing(self, smoke):
        cells = nbformat.read(smoke[0] / "executed.ipynb", as_version=4).cells
        shown = [
            str(output["data"]["text/html"])
            for cell in cells
            for output in cell.get("outputs", [])
            if "cmp-explorer" in str(output.get("data", {}).get("text/html", ""))
        ]
        (html,) = shown
        data = json.loads(BeautifulSoup(html, "html.parser").find("script", type="application/json").string)
        assert len(data["frames"]) == 2 * 3 * 1  # two β, three carriers, one image
        assert len(html) < 30_000

    def test_every_claim_has_a_verdict(self, smoke):
        text = json.dumps(nbformat.read(smoke[0] / "executed.ipynb", as_version=4))
        for claim in [f"NM-C{i}" for i in range(1, 13)]:
            assert claim in text, claim
