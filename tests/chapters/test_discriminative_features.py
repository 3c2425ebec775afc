"""The chapter on BP as its user meets it: refusals, and one whole run in profile smoke."""

import json

import nbformat
import pytest

from companion.publishing.claims import ledger
from companion.publishing.running import notebooks, parameters
from tests import page
from tests.browser import needs_browser
from tests.chapter import of

NAME = "discriminative_features"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-p", "lambda=1"], "lambda"),
        (["-p", "lambdas_l2=0"], "0"),
        (["-p", "at_eps=1"], "1"),
        (["-p", "seeds=0,0"], "0"),
    ],
)
def test_a_slip_is_one_line_exit_2_and_nothing_runs(assert_refused, arguments, words):
    assert_refused(words, "run", NAME, *arguments)


def profile(name):
    return parameters.resolve(notebooks.declared(NAME), [notebooks.profile_values(NAME, name)], NAME)


def test_every_profile_trains_by_mini_batches_and_the_paper_s_has_its_size():
    for name in ("smoke", "quick", "recorded", "gpu", "paper"):
        assert (
            profile(name)["points"] % profile(name)["batch_size"] == 0 and profile(name)["batch_size"] == 250
        )
    paper, recorded = profile("paper"), profile("recorded")
    assert (paper["width"], paper["epochs"], paper["points"]) == (25_000, 4000, 10_000)
    assert (recorded["wide"], recorded["epochs"], len(recorded["seeds"])) == (25_000, 4000, 4)


@pytest.mark.slow
class TestSmoke:
    def test_every_penalty_is_there_at_every_weight(self, smoke):
        found = {(r["net"], r["lambda"]) for r in of(smoke[1], "BP-S", quantity="top1", width=40)}
        names = {name for name, _ in found}
        singles = {f"{kind} {n}" for kind in ("weights", "gradients") for n in ("l1", "l2", "linf")}
        variants = {"weights l2, no biases", "weights l2, plain", "logit l1"}
        assert names == {"standard", "adversarial"} | singles | variants
        assert {w for name, w in found if name == "weights l2"} == {0.0003, 0.003}

    def test_one_batch_and_mini_batches_stand_beside_each_other(self, smoke):
        rows = of(smoke[1], "BP-B", quantity="bottom1", width=40)
        assert {r["batch"] for r in rows} == {"250", "all"} and all(len(r["values"]) == 2 for r in rows)
        wide = {r["net"] for r in of(smoke[1], "BP-S", quantity="bottom1", width=60)}
        short = {f"{name}, short" for name in ("standard", "one batch", "adversarial")}
        assert wide == {"standard", "weights l2"} | short

    def test_the_leaking_net_breaks_at_one_over_d(self, smoke):
        rows = of(smoke[1], "BP-R")
        assert [r["value"] for r in rows] == [r["expected"] for r in rows] == [100, 100, 100, 0, 0, 0]

    def test_thirteen_nets_and_an_adversarial_one_are_recorded(self, smoke):
        assert len({r["net"] for r in of(smoke[1], "BP-N", quantity="top1")}) == 14
        radii = [(r["quantity"], r["attack"]) for r in smoke[1] if r["quantity"].startswith("radius")]
        wanted = [("linf", "strong"), ("linf", "sh"), ("l2", "strong"), ("l1", "strong")]
        assert set(radii) == {(f"radius, {norm}", f"{norm}, {how}") for norm, how in wanted}

    def test_nets_are_trained_on_and_compared_at_equal_products(self, smoke):
        rows = of(smoke[1], "BP-T", quantity="ratio")
        assert {(r["net"], r["lambda"]) for r in rows} == {
            ("standard", 0.0),
            ("weights l2", 0.0003),
            ("weights l2", 0.003),
        }
        assert {r["sum"] for r in rows} == {2, 5}
        accuracies = of(smoke[1], "BP-S", quantity="accuracy where top1 is highest")
        assert len(accuracies) == 9 and all(0 <= r["value"] <= 100 for r in accuracies)

    def test_every_claim_has_a_verdict(self, smoke):
        text = json.dumps(nbformat.read(smoke[0] / "executed.ipynb", as_version=4))
        for found in ledger.of_notebook(NAME):
            for claim in found.claims:
                assert claim.id in text, claim.id

    @needs_browser
    def test_nothing_on_its_page_is_cut_or_scrolls_sideways(self, smoke, tmp_path):
        built = page.built(smoke[0], NAME, tmp_path / "site")
        assert page.cut_off(built, [1400, 1280, 400], tmp_path) == []
        assert page.waiting(built) == ["bp-guess-decay"]  # its weights are too few for a trend
