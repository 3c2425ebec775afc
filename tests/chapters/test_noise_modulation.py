"""The chapter as its user meets it: refusals within seconds, and one whole run in profile smoke."""

import json
from itertools import product

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup

from companion import data, metrics
from companion.publishing.claims import ledger
from tests import page
from tests.browser import needs_browser
from tests.chapter import ROOT, companion, of

NAME = "noise_modulation"
CONTROLS = ("Gaussian multiplier", "noise by pixel", "additive noise")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-p", "bta=0.5"], "beta"),
        (["-p", "beta=1.2"], "1.2"),
        (["-p", "beta=-0.1"], "-0.1"),
        (["-p", "betas=0,0.5,2"], "2"),
        (["-p", "carrier=gausian"], "gaussian"),
        (["-p", "models=mlp,alexnet"], "alexnet"),
        (["-p", "grids=2,8"], "2"),
        (["-p", "second=true", "-p", "second_dataset=folder:/no/such/folder"], "/no/such/folder"),
    ],
)
def test_a_slip_is_one_line_exit_2_and_nothing_runs(assert_refused, arguments, words):
    assert_refused(words, "run", NAME, *arguments)


@pytest.mark.parametrize("profile", ["gpu", "paper"])
def test_the_papers_figures_on_cifar_10_run_by_themselves(profile):
    values = yaml.safe_load((ROOT / f"notebooks/profiles/{profile}/{NAME}.yaml").read_text("utf-8"))
    assert values["second"] is True and values["second_dataset"] == "cifar10"
    assert values["resnet_blocks"] == [2, 2, 2, 2] and values["resnet_width"] == 64
    assert len(values["second_betas"]) == 11 and len(values["second_carriers"]) == 6
    assert set(values["second_models"]) == {"mlp", "fcnn", "vgg", "resnet"}


def row(experiment, value, quantity="vii", dataset="MNIST", n=3, **labels):
    values = [value - 0.001, value, value + 0.001][:n]
    return {"experiment": experiment, "quantity": quantity, "value": value, "values": values} | {
        "dataset": dataset,
        **labels,
    }


def word(claim, rows):
    """The word of a claim on MNIST."""
    (nm,) = ledger.of_notebook(NAME)
    found = ledger.decide(nm, [row("data", 1000, "test images", n=1), *rows])[claim]
    return next(iter(found.values())).word


def nets(exact, float32=None):
    """Rows of NM-F3 by training; one sign everywhere has .6."""
    of_gradient = {"log odds": exact, "float32 cross-entropy": float32 or exact}
    rows = [
        row("NM-F3", value, model="lenet", training=training, gradient=gradient)
        for gradient, values in of_gradient.items()
        for training, value in values.items()
    ]
    return [*rows, row("NM-F3", 0.6, level="one sign everywhere") | {"values": [0.6] * 3}]


def test_the_papers_claims_are_decided_on_the_exact_gradient():
    risen, fallen = {"standard": 0.08, "NM": 0.15}, {"standard": 0.15, "NM": 0.08}
    assert word("NM-C1", nets(risen, fallen)) == "reproduced"
    assert word("NM-C1", nets(fallen, risen)) == "not reproduced"


def test_nm_g1_compares_the_gains_with_the_two_gradients():
    def gains(exact, float32):
        of = {"log odds": exact, "float32 cross-entropy": float32}
        return [row("NM-G", v, quantity="gain", model="lenet", of=g) for g, v in of.items()]

    assert word("NM-G1", gains(0.06, 0.02)) == "reproduced"
    assert word("NM-G1", gains(0.02, 0.06)) == "not reproduced"


def test_a_net_below_its_own_gradients_with_random_phases_refutes_nm_c11():
    def rows(own, level):
        by_training = zip(("standard", "NM"), own, level, strict=True)
        return [
            row("NM-S", v, training=t, model="lenet", against=a)
            for t, *both in by_training
            for a, v in zip(("own", "random phases"), both, strict=True)
        ]

    assert word("NM-C11", rows((0.09, 0.15), (0.06, 0.07))) == "reproduced"
    assert word("NM-C11", rows((0.09, 0.07), (0.06, 0.15))) == "not reproduced"


def test_a_net_above_one_sign_everywhere_refutes_nm_c12():
    assert word("NM-C12", nets({"standard": 0.08, "NM": 0.25})) == "reproduced"
    assert word("NM-C12", nets({"standard": 0.08, "NM": 0.75})) == "not reproduced"


@pytest.mark.parametrize("steady", [True, False])
def test_times_of_an_unsteady_machine_decide_nothing(steady):
    quantity = "relative_cost" if steady else "relative_cost, machine not steady"
    value = {"NM": 1.0, "AT": 4.0}
    rows = [row("NM-C8", v, quantity, training=t, model="lenet") for t, v in value.items()]
    rows.append(row("NM-C8", 2.0, "relative_cost", training="(T + 1) / 2", model="lenet"))
    assert word("NM-C8", rows) == ("reproduced" if steady else "not tested here")


@pytest.mark.parametrize(
    ("claim", "quantity", "against", "more", "less"),
    [
        ("NM-S1", "vii", "own − another class", "NM", "standard"),
        ("NM-S1, image", "vii", "own − same class", "NM", "standard"),
        ("NM-S2", "correlation", "own", "NM", "standard"),
        ("NM-S3", "focus", "own − another class", "NM", "standard"),
        ("NM-S3, image", "focus", "own − same class", "NM", "standard"),
        ("NM-A1", "vii", "own", "NM", "additive noise"),
        ("NM-A4", "vii", "own − same class", "NM", "noise by pixel"),
        ("NM-A2", "focus", "own − another class", "additive noise", "NM"),
    ],
)
def test_our_claims_hold_one_way_and_fail_the_other(claim, quantity, against, more, less):
    def rows(high, low):
        about = {"quantity": quantity, "against": against, "model": "lenet"}
        return [row("NM-S", v, training=t, **about) for t, v in ((more, high), (less, low))]

    assert word(claim, rows(0.9, 0.5)) == "reproduced"
    assert word(claim, rows(0.5, 0.9)) == "not reproduced"


@pytest.mark.slow
class TestSmoke:
    def test_every_experiment_leaves_rows(self, smoke):
        found = {row["experiment"] for row in smoke[1]}
        parts = ("C7", "C8", "D", "E1", "F2", "F3", "F4", "F5", "G", "ID", "N", "R", "S")
        assert found == {"data", *(f"NM-{part}" for part in parts)}

    def test_the_levels_are_there_for_every_image_set(self, smoke):
        (chance,) = of(smoke[1], "NM-N", map="independent signs", dataset="digits")
        assert chance["value"] == pytest.approx((2 / (3.14159265 * 64)) ** 0.5)
        for label in ("digits", "small MNIST"):
            (coarse,) = of(smoke[1], "NM-N", map="smooth, 8×8 grid", dataset=label)
            assert len(coarse["values"]) == 200
            (one,) = of(smoke[1], "NM-F3", level="one sign everywhere", dataset=label)
            assert one["value"] > coarse["value"]
            model = "lenet" if label == "digits" else "resnet"
            about = {"quantity": "vii", "against": "random phases", "dataset": label, "model": model}
            for training in ("standard", "NM", *CONTROLS):
                (level,) = of(smoke[1], "NM-S", training=training, **about)
                assert 0 < level["value"] < one["value"]

    def test_every_net_has_both_gradients(self, smoke):
        for experiment in ("NM-F3", "NM-F4", "NM-F5", "NM-D"):
            by = {g: of(smoke[1], experiment, quantity="vii", gradient=g) for g in metrics.GRADIENTS}
            first, second = by.values()
            assert first and len(first) == len(second)
            assert all(0 <= r["value"] <= 1 for r in first + second)

    def test_beta_1_is_the_standard_net(self, smoke):
        for label, model in (("digits", "lenet"), ("small MNIST", "resnet")):
            about = {"dataset": label, "model": model, "quantity": "vii", "gradient": "log odds"}
            (standard,) = of(smoke[1], "NM-F3", training="standard", **about)
            (beta_1,) = of(smoke[1], "NM-F4", beta=1.0, **about)
            assert beta_1["values"] == standard["values"]

    def test_own_minus_another_is_their_difference(self, smoke):
        for training, model in product(("standard", "NM", *CONTROLS, "AT"), ("lenet", "mlp")):
            about = {"dataset": "digits", "model": model}
            rows = of(smoke[1], "NM-S", quantity="vii", training=training, **about)
            if (training, model) == ("AT", "mlp"):
                assert not rows  # one net is trained on attacks
                continue
            part = {r["against"]: r["value"] for r in rows}
            assert part["own"] - part["same class"] == pytest.approx(part["own − same class"])
            assert part["own"] - part["another class"] == pytest.approx(part["own − another class"])

    def test_the_identities_hold(self, smoke):
        for row in of(smoke[1], "NM-ID"):
            exact = row["quantity"].startswith(("mean", "eq.", "β"))
            bound = {"abs": 1e-12} if exact else {"rel": 0.03}
            assert row["value"] == pytest.approx(row["expected"], **bound), row["quantity"]

    def test_the_explorers_are_complete_and_need_nothing(self, smoke):
        cells = nbformat.read(smoke[0] / "executed.ipynb", as_version=4).cells
        texts = [
            str(output["data"]["text/html"])
            for cell in cells
            for output in cell.get("outputs", [])
            if "cmp-explorer" in str(output.get("data", {}).get("text/html", ""))
        ]
        stored = [BeautifulSoup(t, "html.parser").find("script", type="application/json") for t in texts]
        frames = [len(json.loads(script.string)["frames"]) for script in stored]
        assert frames == [16, 16]  # of four images: four β; no noise and three carriers
        assert all(len(text) < 60_000 for text in texts)

    def test_every_claim_has_a_verdict(self, smoke):
        text = json.dumps(nbformat.read(smoke[0] / "executed.ipynb", as_version=4))
        (nm,) = ledger.of_notebook(NAME)
        assert all(claim.id in text for claim in nm.claims)

    def test_other_parameters_and_a_folder_of_grey_images(self, smoke, tmp_path):
        from PIL import Image

        images = data.load("mnist_small", n_train=60, n_test=20)
        for part, x, y in (
            ("train", images.x_train, images.y_train),
            ("test", images.x_test, images.y_test),
        ):
            for i, (picture, label) in enumerate(zip(x, y.tolist(), strict=True)):
                place = tmp_path / "few" / part / str(label)
                place.mkdir(parents=True, exist_ok=True)
                Image.fromarray((255 * picture[0]).byte().numpy()).save(place / f"{i}.png")
        settings = (f"dataset=folder:{tmp_path / 'few'}", "n_train=0", "n_test=0", "seeds=0", "second=false")
        settings += ("beta=0.3", "carrier=laplace", "order=before", "variants=false", "model=mlp")
        chosen = [word for setting in settings for word in ("-p", setting)]
        done = companion("run", NAME, "--profile", "smoke", *chosen, env=smoke[2])
        assert done.returncode == 0, done.stdout + done.stderr

    @needs_browser
    def test_nothing_on_its_page_is_cut_or_scrolls_sideways(self, smoke, tmp_path):
        built = page.built(smoke[0], NAME, tmp_path / "site")
        assert page.cut_off(built, [1400, 1280, 400], tmp_path) == []
        assert page.waiting(built) == []
