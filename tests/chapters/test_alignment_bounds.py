"""The chapter as its user meets it: refusals, one whole run in profile smoke, and the path for ImageNet."""

import json

import numpy as np
import pytest
from PIL import Image

from companion.publishing.claims import ledger
from tests import page
from tests.browser import needs_browser
from tests.chapter import checkout_at, companion, of

NAME = "alignment_bounds"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-p", "lambda=3"], "lambdas"),
        (["-p", "dropout=1"], "dropout"),
        (["-p", "schedule=steps"], "step"),
        (["-p", "origins=2"], "origins"),
        (["-p", "dataset=folder:/no/such/folder"], "/no/such/folder"),
    ],
)
def test_a_slip_is_one_line_exit_2_and_nothing_runs(assert_refused, arguments, words):
    assert_refused(words, "run", NAME, *arguments)


def photographs(folder):
    """Write eight images of noise in each of two classes, to train on and to validate."""
    draw = np.random.default_rng(0)
    for i in range(32):
        place = folder / ("train" if i % 4 < 2 else "val") / ("cat" if i % 2 else "dog")
        place.mkdir(parents=True, exist_ok=True)
        pixels = draw.integers(0, 256, (40, 36, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{i}.jpg")
    return folder


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """A run in profile smoke with the path for ImageNet: tiny images, random weights; its folder and rows."""
    root = tmp_path_factory.mktemp("checkout")
    env = checkout_at(root)
    settings = {
        "imagenet": "true",
        "imagenet_folder": photographs(tmp_path_factory.mktemp("images")),
        "imagenet_weights": "none",
        "imagenet_size": 32,
        "imagenet_epochs": 1,
        "imagenet_batch_size": 8,
        "imagenet_lambdas": "0,1e-6,2e-6",
        "imagenet_n_test": 4,
    }
    chosen = [word for name, value in settings.items() for word in ("-p", f"{name}={value}")]
    done = companion("run", NAME, "--profile", "smoke", *chosen, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    (results,) = (root / "runs").rglob("results.json")
    return results.parent, json.loads(results.read_text())["rows"]


LAMBDAS = {0.0, 0.01, 0.1, 1.0}


@pytest.mark.slow
class TestSmoke:
    def test_every_experiment_leaves_rows(self, smoke):
        found = {row["experiment"] for row in smoke[1]}
        assert found >= {"ET-ALG", "ET-E1", "ET-F2", "ET-F3", "ET-F4", "ET-F5", "ET-F6", "ET-F7", "ET-F8"}
        assert found >= {"ET-F8, printed", "ET-F9", "ET-origin", "ET-gauge", "ET-kink", "ET-outlook"}
        medians = of(smoke[1], "ET-F3", quantity="median")
        for name in ("rho_tilde", "gradient", "BIM", "CW", "DDN"):
            assert {r["lambda"] for r in medians if r["of"] == name} == LAMBDAS
        for name in ("alpha", "centred alpha", "alpha_plus"):
            places = {(r["lambda"], r["origin"]) for r in medians if r["of"] == name}
            assert places == {(w, origin) for w in LAMBDAS for origin in (0.0, 0.5, 1.0)}
        assert len(of(smoke[1], "ET-F3", quantity="clean_accuracy")) == 4  # beside every kind of net

    def test_the_net_is_the_unit(self, smoke):
        """A value a seed, not one a slice of the images; the paper's attacks look at one seed."""
        medians = of(smoke[1], "ET-F3", quantity="median")
        seeds = {r["of"]: r["n"] for r in medians}
        assert {seeds[name] for name in ("gradient", "BIM", "CW")} == {1}
        assert {seeds[name] for name in ("DDN", "rho_tilde", "alpha", "alpha_plus")} == {2}

    def test_the_identities_hold_and_the_printed_theorem_3_does_not(self, smoke):
        gaps = of(smoke[1], "ET-ALG", quantity="gap")
        assert len(gaps) >= 6 and all(abs(row["value"]) < 1e-9 for row in gaps)
        assert all(row["value"] == 0 for row in of(smoke[1], "ET-ALG", quantity="violations"))
        (printed,) = of(smoke[1], "ET-ALG", quantity="violations as printed, per cent")
        assert printed["value"] > 0
        (without,) = of(smoke[1], "ET-ALG", quantity="gap without running means")
        assert without["value"] > 1e-3
        counter = {row["quantity"]: row["value"] for row in of(smoke[1], "ET-E1")}
        assert counter["theorem 3 as printed"] == pytest.approx(0, abs=1e-12)
        assert counter["theorem 3 with gamma"] > 0.75 == counter["rho_tilde"]

    def test_the_failures_of_every_attack_are_counted(self, smoke):
        failed = of(smoke[1], "ET-F3", quantity="failed")
        assert {r["of"] for r in failed} == {"gradient", "BIM", "CW", "DDN", "rho_tilde"}
        assert all(0 <= r["value"] <= 20 for r in failed)

    def test_the_control_has_three_medians_a_net(self, smoke):
        found = of(smoke[1], "ET-class", quantity="median")
        assert {r["of"] for r in found} == {"centred alpha", "class alpha", "own over class"}
        assert {r["n"] for r in found} == {2}

    def test_shares_and_accuracies_are_in_range(self, smoke):
        for experiment in ("ET-F6", "ET-F7", "ET-F8"):
            shares = of(smoke[1], experiment, quantity="share")
            assert {row["way"] for row in shares} == {"ratio of medians", "median of ratios"}
            assert all(0 <= v <= 1 for row in shares for v in row["values"])
        assert all(0 <= r["value"] <= 1 for r in of(smoke[1], "ET-gauge", quantity="common share"))
        assert all(0 <= r["value"] <= 100 for r in of(smoke[1], "ET-F3", quantity="clean_accuracy"))

    def test_every_rule_finds_its_rows(self, smoke):
        """Relabelled as MNIST and ImageNet, no claim lacks its rows, but one about very robust nets."""
        (claims,) = ledger.of_notebook(NAME)
        named = {row["dataset"] for row in of(smoke[1], "ET-F2")}
        rows = [
            row | {"dataset": "ImageNet" if row["dataset"] in named else "MNIST"} if "dataset" in row else row
            for row in smoke[1]
        ]
        words = {id: {v.word for v in each.values()} for id, each in ledger.decide(claims, rows).items()}
        for claim in ("ET-C1", "ET-C2", "ET-C3", "ET-C4", "ET-C5, corrected", "ET-C13"):
            assert words[claim] == {"reproduced"}, claim
        assert words["ET-C5"] == {"not reproduced"}
        untested = {claim for claim, of_it in words.items() if "not tested here" in of_it}
        assert untested <= {"ET-C11, beyond", "ET-C6, saturation", "ET-C14", "ET-C15"}  # nets of two epochs

    def test_the_imagenet_path_on_tiny_images_and_random_weights(self, smoke):
        found = of(smoke[1], "ET-F2")
        for quantity, attack in (("alpha", ""), ("distance", "DDN"), ("share ET-F6", "")):
            fit = [r for r in found if r["quantity"] == quantity and r["attack"] == attack]
            assert {r["lambda"] for r in fit} == {0.0, 1e-6, 2e-6}

    @needs_browser
    def test_nothing_on_its_page_is_cut_or_scrolls_sideways(self, smoke, tmp_path):
        built = page.built(smoke[0], NAME, tmp_path / "site")
        assert page.cut_off(built, [1400, 1280, 400], tmp_path) == []
        assert page.waiting(built) == []
