"""The chapter on SH as its user meets it: refusals, the theorem's net, and a whole run in profile smoke."""

import json

import nbformat
import pytest

from companion.publishing.claims import ledger
from companion.publishing.running import notebooks, parameters
from tests import page
from tests.browser import needs_browser
from tests.chapter import of

NAME = "feature_leakage"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-p", "patches=filled"], "patch"),
        (["-p", "patch=circle"], "crossed"),
        (["-p", "roar_kept=0.5,1"], "1"),
        (["-p", "roar_nets=lenet"], "lenet"),
        (["-p", "cnn=compact_cnn"], "compact_cnn"),
        (["-p", "leak_eta=1"], "1"),
        (["-p", "dataset=folder:/no/such/folder"], "/no/such/folder"),
        (["-p", "roar_dataset=folder:/no/such/folder"], "/no/such/folder"),
    ],
)
def test_a_slip_is_one_line_exit_2_and_nothing_runs(assert_refused, arguments, words):
    assert_refused(words, "run", NAME, *arguments)


def test_what_the_digitised_values_say_of_the_claims():
    rows = ledger.printed(NAME)
    (sh,) = (found for found in ledger.of_notebook(NAME) if found.paper == "SH")
    decided = ledger.decide(sh, rows, exact=True)
    words = {id: {on: v.word for on, v in decided[id].items()} for id in ("SH-A1", "SH-A3", "SH-A4")}
    assert words == {
        "SH-A1": {"CIFAR-10": "holds", "ImageNet-10": "too close to read"},
        "SH-A3": {"CIFAR-10": "holds", "ImageNet-10": "holds"},
        "SH-A4": {"CIFAR-10": "holds", "ImageNet-10": "contradicted"},
    }
    assert "3 of 4" in decided["SH-A1"]["ImageNet-10"].detail
    # adversarial and standard training are level at k = 0.5 on ImageNet-10, and change places at 0.9
    assert "5 of 7" in decided["SH-A4"]["ImageNet-10"].detail
    for row in rows:
        assert -100 <= row["value"] <= 100 and row["quantity"] in (
            "diff_roar",
            "clean_accuracy",
            "robust_accuracy",
        )


def decided(rows):
    (sh,) = ledger.of_notebook(NAME)
    return {id: ledger.overall(v) for id, v in ledger.decide(sh, rows).items()}


def masses(values, **labels):
    """Rows of SH-B, three seeds, |g| and g² alike: by set and training; the excess of each training."""
    rows = []
    for size in ("mass", "energy"):
        for model in ("MLP", "CNN"):
            for (d, t), v in values.items():
                found = {"quantity": f"lead_{size}", "data": d, "training": t, "model": model}
                rows.append(found | {"values": [v - 0.5, v, v + 0.5], "value": v})
            for t in {t for _, t in values}:
                v = values["BlockMNIST", t] - values["BlockMNIST-Top", t]
                found = {"quantity": f"lead_{size}_excess", "training": t, "model": model}
                rows.append(found | {"values": [v - 0.5, v, v + 0.5], "value": v})
    return [{"experiment": "SH-B", "dataset": "MNIST", "n": 3} | row | labels for row in rows]


def test_a_level_that_training_leaves_on_top_too_is_no_leak():
    """Adversarial training that lifts both sets alike, and more on the null block than standard training."""
    lifted = {("BlockMNIST", "standard"): 40, ("BlockMNIST-Top", "standard"): 25, ("BlockMNIST", "AT"): 46}
    found = decided(masses(lifted | {("BlockMNIST-Top", "AT"): 46}))
    assert found["SH-B1"] == found["SH-B4"] == "reproduced" and found["SH-B3"] != "not reproduced"
    found = decided(masses(lifted | {("BlockMNIST-Top", "AT"): 20}))
    assert found["SH-B3"] == found["SH-B4"] == "not reproduced"


def test_a_mass_that_a_net_has_on_top_too_is_not_reproduced_as_leakage():
    """Two fifths on the null block of both sets passed as leakage when the cut was a quarter."""
    level = {(d, t): 40 for d in ("BlockMNIST", "BlockMNIST-Top") for t in ("standard", "AT")}
    assert decided(masses(level))["SH-B1"] == "no difference"
    assert decided(masses(level | {("BlockMNIST", "standard"): 34}))["SH-B1"] == "not reproduced"


def test_a_block_that_is_the_smallest_is_singled_out():
    rows = [
        {
            "experiment": "SH-S",
            "quantity": q,
            "net": "MLP",
            "training": "standard",
            "values": [v, v + 1, v - 1],
        }
        | {"value": v, "n": 3}
        for q, v in (("top1", 2), ("bottom1", 90))
    ]
    assert decided(rows)["SH-T2"] == "not reproduced"
    assert decided([r | ({"values": [9, 10, 11], "value": 10}) for r in rows])["SH-T2"] == "reproduced"


def profile(name):
    declared = notebooks.declared(NAME)
    return parameters.resolve(declared, [notebooks.profile_values(NAME, name)], NAME)


def test_every_profile_can_be_used_and_names_what_it_needs():
    sets = {
        name: (profile(name)["dataset"], profile(name)["colour"])
        for name in ("smoke", "quick", "recorded", "gpu", "paper")
    }
    assert sets["smoke"] == ("digits", False) and sets["quick"] == ("mnist_small", False)
    assert sets["recorded"] == ("mnist", False) and sets["gpu"] == sets["paper"] == ("mnist", True)
    assert set(profile("paper")["roar_kept"]) == {r["kept"] for r in ledger.printed(NAME) if "kept" in r}


@pytest.fixture(scope="module")
def smoke(smoke):
    """The cells of the executed copy, the results and the folder."""
    folder = smoke[0]
    cells = nbformat.read(folder / "executed.ipynb", as_version=4).cells
    return cells, json.loads((folder / "results.json").read_text()), folder


def html(cells):
    return [
        str(output["data"]["text/html"])
        for cell in cells
        for output in cell.get("outputs", [])
        if "text/html" in output.get("data", {})
    ]


@pytest.mark.slow
class TestSmoke:
    def test_the_theorem_s_net_leaks_exactly_and_no_trained_net_has_a_larger_margin(self, smoke):
        rows = smoke[1]["rows"]
        identities = [r for r in of(rows, "SH-S") if r["quantity"].startswith("leaking solution")]
        assert len(identities) == 4 and all(abs(r["value"]) < 1e-12 for r in identities)
        shares = [v for r in of(rows, "SH-S", quantity="margin_share") for v in r["values"]]
        assert len(shares) == 4 and all(share < 1 for share in shares)

    def test_every_block_net_has_its_scores_for_every_seed(self, smoke):
        rows = smoke[1]["rows"]
        for name in ("BlockMNIST", "BlockMNIST-Top"):
            for model in ("MLP", "CNN"):
                for training in ("standard", "AT"):
                    found = {
                        r["quantity"]: r for r in of(rows, "SH-B", data=name, model=model, training=training)
                    }
                    masses = {f"{of}_{size}" for of in ("lead", "logit") for size in ("mass", "energy")}
                    assert masses | {"leak_cosine", "clean_accuracy", "robust_accuracy"} <= found.keys()
                    assert all(len(r["values"]) == 2 for r in found.values())
                    assert found["robust_accuracy"]["protocol"] == "strong"
                    for clean, robust in zip(
                        found["clean_accuracy"]["values"], found["robust_accuracy"]["values"], strict=True
                    ):
                        assert robust <= clean + 100 / 30  # attacked are the first 30 of 40 images
                    assert all(0 <= v <= 100 for of in masses for v in found[of]["values"])

    def test_the_excess_is_over_the_same_training_s_top_seed_by_seed(self, smoke):
        rows = smoke[1]["rows"]
        for model in ("MLP", "CNN"):
            for training in ("standard", "AT"):
                place = {"model": model, "training": training}
                (excess,) = of(rows, "SH-B", quantity="lead_energy_excess", **place)
                on, top = (
                    of(rows, "SH-B", quantity="lead_energy", data=d, **place)[0]["values"]
                    for d in ("BlockMNIST", "BlockMNIST-Top")
                )
                assert excess["values"] == pytest.approx([a - b for a, b in zip(on, top, strict=True)])

    def test_before_training_the_gradient_is_spread_over_both_blocks(self, smoke):
        for row in of(smoke[1]["rows"], "SH-B", quantity="lead_mass", training="untrained", model="MLP"):
            assert row["value"] == pytest.approx(50, abs=5)

    def test_diff_roar_is_there_for_every_order_and_share_and_the_mask_alone_beside_it(self, smoke):
        rows = smoke[1]["rows"]
        found = of(rows, "SH-D", quantity="diff_roar")
        kept = profile("smoke")["roar_kept"]
        assert {(r["training"], r["kept"]) for r in found} == {
            (t, k) for t in ("standard", "AT", "random") for k in kept
        }
        for training in ("standard", "AT"):
            for k in kept:
                alone = {"quantity": "mask_accuracy", "training": training, "kept": k}
                top, bottom, difference = (
                    of(rows, "SH-D", **alone, end=end)[0]["value"] for end in ("top", "bottom", "difference")
                )
                assert difference == pytest.approx(top - bottom)

    def test_attacked_nets_were_checked(self, smoke):
        checked = smoke[1]["checks"]
        assert {"BlockMNIST, MLP, adversarial", "BlockMNIST, CNN, adversarial"} <= checked.keys()
        assert all(row["status"] != "failed" for net in checked.values() for row in net)

    def test_every_claim_has_a_verdict(self, smoke):
        shown = " ".join(html(smoke[0]))
        for found in ledger.of_notebook(NAME):
            for claim in found.claims:
                assert claim.id in shown, claim.id

    @needs_browser
    def test_nothing_on_its_page_is_cut_or_scrolls_sideways(self, smoke, tmp_path):
        built = page.built(smoke[2], NAME, tmp_path / "site")
        assert page.cut_off(built, [1400, 1280, 400], tmp_path) == []
        assert page.waiting(built) == []
