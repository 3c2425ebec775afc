"""The chapter as its user meets it: refusals, the paper's own numbers, and whole runs in profile smoke."""

import json
import math

import nbformat
import numpy as np
import pytest
import yaml
from bs4 import BeautifulSoup
from PIL import Image

from companion.publishing.claims import ledger
from companion.publishing.running import notebooks, parameters
from tests import page
from tests.browser import evaluated, needs_browser
from tests.chapter import ROOT, checkout_at, companion, of

NAME = "boundary_tilting"
TESTS, HELD = "test images", "held-out training images"
MANIFOLDS = ("principal components", "nearest training image", "VAE-GAN")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-p", "week=0.1"], "weak"),
        (["-p", "strong=0.5"], "0.5"),
        (["-p", "radii=0,0.3"], "0.3"),
        (["-p", "objectives=CE,MSE"], "CW"),
        (["-p", "dataset=folder:/no/such/folder"], "/no/such/folder"),
    ],
)
def test_a_slip_is_one_line_exit_2_and_nothing_runs(assert_refused, arguments, words):
    assert_refused(words, "run", NAME, *arguments)


def profile(name):
    declared = notebooks.declared(NAME)
    return parameters.resolve(declared, [notebooks.profile_values(NAME, name)], NAME)


def test_every_profile_can_be_used_and_says_what_it_promises():
    sets = {name: profile(name)["dataset"] for name in ("smoke", "quick", "recorded", "gpu", "paper")}
    assert list(sets.values()) == ["digits", "mnist_small", "mnist", "mnist", "mnist"]
    assert len(profile("quick")["image_seeds"]) == 3 and len(profile("recorded")["image_seeds"]) == 6
    assert len(profile("recorded")["gan_epochs"]) > 1  # trained on until it is as good as PCA
    paper = profile("paper")
    assert paper["of_paper"] and profile("gpu")["of_paper"] and not profile("quick")["of_paper"]
    assert (paper["at_steps"], paper["image_at_steps"], paper["image_attack_steps"]) == (40, 40, 40)
    assert (paper["l2_step"], paper["linf_step"], paper["image_eps"]) == (1, 0.01, 6)  # halves of 2, 0.02, 12
    assert paper["objectives"] == ["CE", "CW"] and (paper["weak"], paper["strong"]) == (0.125, 0.25)


def test_the_modes_read_off_the_paper_s_figure_bear_its_claims_out_on_mnist():
    (paper,) = ledger.of_notebook(NAME)
    rows = ledger.printed(NAME)
    mnist = [r for r in rows if r["dataset"] == "MNIST"]
    shown = {(r.get("norm"), r.get("objective"), r.get("radius")): r["value"] for r in mnist}
    assert len(mnist) == 14
    assert [shown["l2", "CE", radius] for radius in ("small", "middle", "large")] == [0.6, 0.5, 0.42]
    decided = ledger.decide(paper, rows, exact=True)
    for claim in ("BR-C1", "BR-C2", "BR-C11"):
        assert decided[claim]["MNIST"].word == decided[claim]["Fashion-MNIST"].word == "holds", claim


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


def explorers(cells):
    """The data of every explorer, and its HTML, in the page's order."""
    shown = [text for text in html(cells) if "cmp-explorer" in text]
    scripts = [BeautifulSoup(s, "html.parser").find("script", type="application/json") for s in shown]
    return [(json.loads(script.string), text) for script, text in zip(scripts, shown, strict=True)]


@pytest.mark.slow
class TestSmoke:
    def test_every_net_has_all_its_numbers_for_every_seed(self, smoke):
        for adversary in ("standard", "weak", "strong"):
            row = {r["quantity"]: r for r in of(smoke[1]["rows"], "BR-F3b", adversary=adversary)}
            assert all(len(r["values"]) == 2 for r in row.values())
            cosines = [math.cos(math.radians(v)) for v in row["displacement_angle"]["values"]]
            assert cosines == pytest.approx(row["displacement_cosine"]["values"])
            assert {"normal_angle", "mahalanobis", "clean_accuracy", "training_loss"} <= row.keys()
            assert [len(bits) for bits in row["clean_accuracy"]["correct"]] == [6000, 6000]

    def test_the_printed_matrix_is_no_covariance_and_the_corrected_one_is(self, smoke):
        smallest = {
            r["covariance"]: r["value"] for r in of(smoke[1]["rows"], "BR-E1", quantity="smallest eigenvalue")
        }
        assert smallest["printed"] == pytest.approx(-7.9e-4, rel=0.01)
        assert smallest["used here"] == pytest.approx(9.9e-4, rel=0.01)

    def test_the_theorem_s_curve_ends_where_it_has_to(self, smoke):
        without, limit = (r["value"] for r in of(smoke[1]["rows"], "BR-T", quantity="gap"))
        assert without < 0.01 and limit < 1

    def test_every_radius_has_a_frame_of_its_own_and_the_sweep_agrees(self, smoke):
        data, shown = explorers(smoke[0])[0]
        swept = of(smoke[1]["rows"], "BR-T", quantity="displacement_angle")
        assert [float(v) for v in data["values"][0]] == [r["eps"] for r in swept] == [0, 0.05, 0.125, 0.25]
        assert len(data["frames"]) == len(data["pictures"]) == 4
        assert [texts[0] for _, texts in data["frames"]] == [f"{r['value']:.1f}°" for r in swept]
        assert len(shown.encode()) < 500_000

    @needs_browser
    def test_in_a_browser_the_slider_changes_the_picture_and_the_printed_angle(self, smoke, tmp_path):
        moves = """
        const root = document.querySelector('.cmp-explorer');
        const slider = root.querySelector('[type=range]');
        const slot = root.querySelector('.slot'), told = root.querySelector('dd');
        const read = () => [told.textContent, slot.innerHTML.length];
        result = [read()];
        for (const value of [slider.max, 1]) {
          slider.value = value;
          slider.dispatchEvent(new Event('input', { bubbles: true }));
          result.push(read());
        }
        """
        states, console = evaluated(explorers(smoke[0])[0][1], moves, tmp_path)
        swept = of(smoke[1]["rows"], "BR-T", quantity="displacement_angle")
        for state, row in zip(states, (swept[0], swept[-1], swept[1]), strict=True):
            assert state[0] == f"{row['value']:.1f}°"
        assert len({state[1] for state in states}) == 3 and not console

    def test_every_attacked_net_has_its_distances_from_every_manifold(self, smoke):
        rows = of(smoke[1]["rows"], "BR-F1q", quantity="distance")
        kinds = ["test images", "standard", *["AT"] * 6, "random", "random, scaled", "another class"]
        for manifold in (*MANIFOLDS, f"30 {MANIFOLDS[0]}"):
            found = [r["training"] for r in rows if r["projection"] == manifold]
            assert sorted(found) == sorted(kinds)
        assert len(rows) == 4 * len(kinds) and {r["n"] for r in rows} == {2}
        assert len(of(smoke[1]["rows"], "BR-F1r", quantity="distance")) == 4 * 3 * 7  # three steps a net
        shares = of(smoke[1]["rows"], "BR-F1s", quantity="share outside")
        assert sorted(r["training"] for r in shares) == sorted(2 * kinds[1:])
        values = [v for r in shares for v in r["values"] if v is not None]  # None: no attack succeeded
        assert values and all(0 < value < 1.001 for value in values)

    def test_both_judges_are_asked_and_agree_on_the_standard_net(self, smoke):
        rows = of(smoke[1]["rows"], "BR-F1", quantity="distance")
        assert len(rows) == 2 * (1 + 1 + 2 * 3)
        own, standard = (
            of(smoke[1]["rows"], "BR-F1", quantity="distance", training="standard", judge=j)[0]
            for j in ("own", "standard")
        )
        assert own["values"] == standard["values"]
        (same,) = of(
            smoke[1]["rows"], "BR-F1q", quantity="distance", training="standard", projection="VAE-GAN"
        )
        assert same["values"] == own["values"]

    def test_every_manifold_has_its_error_on_images_it_has_not_seen(self, smoke):
        errors = of(smoke[1]["rows"], "BR-F1q", quantity="error")
        on = {where: {r["projection"] for r in errors if r["on"] == where} for where in (TESTS, HELD)}
        assert on == {
            TESTS: {*MANIFOLDS, "mean image", f"30 {MANIFOLDS[0]}"},
            HELD: {*MANIFOLDS, "mean image"},
        }

    def test_the_searched_projection_is_never_farther_than_the_encoder_s(self, smoke):
        rows = smoke[1]["rows"]
        for name in {r["of"] for r in of(rows, "BR-F1p")}:
            (encoder,), (nearest,) = (of(rows, "BR-F1p", of=name, latent=z) for z in ("mean", "optimised"))
            assert nearest["value"] <= encoder["value"]

    def test_the_other_explorer_has_every_image_net_and_manifold(self, smoke):
        data, _ = explorers(smoke[0])[1]
        assert [len(values) for values in data["values"]] == [3, 7, 3]
        assert len(data["frames"]) == 63 and data["values"][2] == list(MANIFOLDS)
        shown = {(tuple(pictures), *texts) for pictures, texts in data["frames"]}
        assert len(shown) == 63  # no two positions show the same

    def test_nets_without_dropout_are_attacked_and_their_checks_passed(self, smoke):
        assert len(smoke[1]["checks"]) == 3
        expected = {"R9", "R11", "R12", "R22"}
        for rows in smoke[1]["checks"].values():
            assert all(row["status"] != "failed" or row["id"] in expected for row in rows)

    def test_every_claim_has_a_verdict_and_three_stand_side_by_side(self, smoke):
        texts = html(smoke[0])
        (table,) = [text for text in texts if "BR-C3" in text and "BR-F1q, chance" in text]
        for claim in ledger.of_notebook(NAME)[0].claims:
            assert claim.id in table, claim.id
        (both,) = [text for text in texts if "BR-C1, C2, C11" in text and "PCA</th>" in text]
        assert len(BeautifulSoup(both, "html.parser").select("tbody tr")) == 3

    def test_every_rule_finds_its_rows(self, smoke):
        """Relabelled as MNIST, no claim lacks its rows."""
        (claims,) = ledger.of_notebook(NAME)
        rows = [r | {"dataset": "MNIST"} if r.get("dataset") == "digits" else r for r in smoke[1]["rows"]]
        for id, verdicts in ledger.decide(claims, rows).items():
            assert "not tested here" not in {v.word for v in verdicts.values()}, id

    @needs_browser
    def test_nothing_on_its_page_is_cut_or_scrolls_sideways(self, smoke, tmp_path):
        built = page.built(smoke[2], NAME, tmp_path / "site")
        assert page.cut_off(built, [1400, 1280, 400], tmp_path) == []
        assert page.waiting(built) == ["br-guess-manifold", "br-guess-share"]  # smoke has other radii


def pictures(folder, mode, size):
    """Write twelve images of noise in each of two classes."""
    draw = np.random.default_rng(0)
    shape = (size, size) if mode == "L" else (size, size, 3)
    for i in range(24):
        place = folder / ("light" if i % 2 else "dark")
        place.mkdir(parents=True, exist_ok=True)
        pixels = draw.integers(0, 128, shape, dtype=np.uint8) + 120 * (i % 2)
        Image.fromarray(pixels.astype(np.uint8), mode).save(place / f"{i}.png")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "size", "more"),
    [
        ("L", 28, ["objectives=CE,CW", "classifier=compact_cnn"]),
        ("RGB", 32, ["gan=miyato", "classifier=compact_cnn"]),
    ],
)
def test_an_image_folder_and_other_parameters_run(tmp_path, mode, size, more):
    folder = pictures(tmp_path / "noise", mode, size)
    small = [
        "seeds=0,1",
        "images_n_train=0",
        "images_n_test=0",
        "latent=3",
        "l2_radii=0.3,0.6,1.2",
        "strong=0.2",
    ]
    chosen = [f"dataset=folder:{folder}", *small, *more]
    settings = [word for setting in chosen for word in ("-p", setting)]
    root = tmp_path / "checkout"
    root.mkdir()
    done = companion("run", NAME, "--profile", "smoke", *settings, env=checkout_at(root))
    assert done.returncode == 0, done.stdout + done.stderr
    (results,) = (root / "runs").rglob("results.json")
    rows = json.loads(results.read_text())["rows"]
    assert {r["dataset"] for r in rows if "dataset" in r} == {"noise"}
    count = 12 if "CW" in more[0] else 6
    projections = [*MANIFOLDS, f"9 {MANIFOLDS[0]}"]  # 30 do not fit into so few images
    found = [r["projection"] for r in of(rows, "BR-F1q", quantity="distance", training="AT")]
    assert sorted(found) == sorted(count * projections)


def test_what_claims_point_to_is_in_the_notebook():
    text = (ROOT / "notebooks" / f"{NAME}.ipynb").read_text("utf-8")
    register = yaml.safe_load((ROOT / f"book/claims/deviations/{NAME}.yaml").read_text("utf-8"))
    errata = yaml.safe_load((ROOT / "book/errata/br.yaml").read_text("utf-8"))
    anchors = {claim.anchor for claim in ledger.of_notebook(NAME)[0].claims}
    anchors |= {item.get("anchor", "") for item in register["settings"]}
    anchors |= {item.get("anchor", "") for item in errata["items"] if "notebook" not in item}
    for anchor in anchors - {""}:
        assert f"({anchor})=" in text, anchor
