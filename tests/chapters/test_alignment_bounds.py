"""The chapter as its user meets it: refusals, one whole run in profile smoke, and the path for ImageNet."""

import json

import numpy as np
import pytest
from PIL import Image

from companion.publishing.claims import ledger
from tests.chapter import checkout_at, companion

NAME = "alignment_bounds"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-p", "lamda_max=3"], "lambda_max"),
        (["-p", "dropout=1"], "dropout"),
        (["-p", "schedule=steps"], "step"),
        (["-p", "imagenet=true", "-p", "imagenet_dataset=folder:/no/such/folder"], "/no/such/folder"),
    ],
)
def test_a_slip_is_one_line_exit_2_and_nothing_runs(assert_refused, arguments, words):
    assert_refused(words, "run", NAME, *arguments)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the checkout's sources with an empty store, and the environment that leads there."""
    root = tmp_path_factory.mktemp("checkout")
    return root, checkout_at(root)


def noise_images(folder):
    """Write ten images of noise in each of two classes."""
    draw = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (folder / label).mkdir()
        for i in range(10):
            pixels = draw.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def rows(checkout, tmp_path_factory):
    """The rows of a run in profile smoke with the path for ImageNet: tiny images, random weights."""
    root, env = checkout
    settings = {
        "imagenet": "true",
        "imagenet_dataset": f"folder:{noise_images(tmp_path_factory.mktemp('images'))}",
        "imagenet_weights": "none",
        "imagenet_size": 32,
        "imagenet_epochs": 1,
        "imagenet_batch_size": 8,
        "imagenet_lambdas": "0,0.001",
        "imagenet_n_test": 4,
    }
    chosen = [word for name, value in settings.items() for word in ("-p", f"{name}={value}")]
    done = companion("run", NAME, "--profile", "smoke", *chosen, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    (results,) = (root / "runs").rglob("results.json")
    return json.loads(results.read_text())["rows"]


def select(rows, experiment, quantity, **labels):
    fit = [r for r in rows if r["experiment"] == experiment and r["quantity"] == quantity]
    return [r for r in fit if all(r.get(k) == v for k, v in labels.items())]


@pytest.mark.slow
class TestSmoke:
    def test_every_experiment_leaves_rows(self, rows):
        found = {row["experiment"] for row in rows}
        assert found >= {"ET-ALG", "ET-E1", "ET-F3", "ET-F4", "ET-F5", "ET-F6", "ET-F7", "ET-F8", "ET-F9"}
        assert found >= {"ET-eps", "ET-outlook", "ET-F8, printed"}
        assert len(select(rows, "ET-F3", "clean_accuracy")) == 4  # beside every net
        for name in ("rho_tilde", "gradient", "BIM", "CW", "DDN", "alpha"):
            assert len(select(rows, "ET-F3", "median", of=name)) == 4

    def test_the_identities_hold_and_the_printed_theorem_3_does_not(self, rows):
        gaps = select(rows, "ET-ALG", "gap")
        assert len(gaps) >= 5 and all(abs(row["value"]) < 1e-9 for row in gaps)
        assert all(row["value"] == 0 for row in select(rows, "ET-ALG", "violations"))
        (printed,) = select(rows, "ET-ALG", "violations as printed, per cent")
        assert printed["value"] > 5
        (without_means,) = select(rows, "ET-ALG", "gap without running means")
        assert min(without_means["values"]) > 1e-3
        bound = {row["of"]: row["value"] for row in select(rows, "ET-E1", "bound")}
        assert bound["theorem 3 as printed"] == pytest.approx(0, abs=1e-12)
        assert bound["theorem 3 with gamma"] > 0.75 == select(rows, "ET-E1", "rho_tilde")[0]["value"]

    def test_shares_and_accuracies_are_in_range(self, rows):
        for experiment in ("ET-F6", "ET-F7", "ET-F8"):
            shares = select(rows, experiment, "share")
            assert {row["way"] for row in shares} == {"ratio of medians", "median of ratios"}
            assert all(0 <= v <= 1 for row in shares for v in row["values"])
        clean = {row["lambda"]: row["value"] for row in select(rows, "ET-F3", "clean_accuracy")}
        assert all(0 <= v <= 100 for v in clean.values())

    def test_the_rules_decide_what_can_be_decided(self, rows, checkout, monkeypatch):
        monkeypatch.setenv("COMPANION_ROOT", str(checkout[0]))
        (claims,) = ledger.of_notebook(NAME)
        digits = [row for row in rows if row["experiment"] != "ET-F2"]  # what a run without ImageNet leaves
        words = {id: of[""].word for id, of in ledger.decide(claims, digits).items()}
        for claim in ("ET-C1", "ET-C2", "ET-C3", "ET-C4", "ET-C5, corrected", "ET-C13"):
            assert words[claim] == "reproduced", claim
        assert words["ET-C5"] == "not reproduced"
        assert words["ET-C9, ImageNet"] == "not tested here"
        # The others rest on trained nets, and in two epochs any of these may count as degenerate.

    def test_the_imagenet_path_on_tiny_images_and_random_weights(self, rows):
        assert len(select(rows, "ET-F2", "clean_accuracy")) == 2
        for name in ("rho_tilde", "gradient", "BIM", "CW", "DDN", "alpha"):
            assert {r["lambda"] for r in select(rows, "ET-F2", "median", of=name)} == {0.0, 0.001}
