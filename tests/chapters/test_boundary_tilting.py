"""The chapter as its user meets it: refusals within seconds, and one whole run in profile smoke."""

import json
import math

import nbformat
import pytest
from bs4 import BeautifulSoup

from companion.publishing.claims import ledger
from tests.browser import evaluated, needs_browser
from tests.chapter import checkout_at, companion, of

NAME = "boundary_tilting"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-p", "week=0.1"], "weak"),
        (["-p", "strong=0.5"], "0.5"),
        (["-p", "radii=0,0.3"], "0.3"),
        (["-p", "dataset=folder:/no/such/folder"], "/no/such/folder"),
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
    cells = nbformat.read(folder / "executed.ipynb", as_version=4).cells
    return cells, json.loads((folder / "results.json").read_text())["rows"]


def html(cells):
    return [
        str(output["data"]["text/html"])
        for cell in cells
        for output in cell.get("outputs", [])
        if "text/html" in output.get("data", {})
    ]


@pytest.mark.slow
class TestSmoke:
    def test_every_net_has_all_its_numbers_for_every_seed(self, smoke):
        for adversary in ("standard", "weak", "strong"):
            row = {r["quantity"]: r for r in of(smoke[1], "BR-F3b", adversary=adversary)}
            assert all(len(r["values"]) == 2 for r in row.values())
            cosines = [math.cos(math.radians(v)) for v in row["displacement_angle"]["values"]]
            assert cosines == pytest.approx(row["displacement_cosine"]["values"])
            assert {"normal_angle", "mahalanobis", "clean_accuracy", "training_loss"} <= row.keys()

    def test_the_printed_matrix_is_no_covariance_and_the_corrected_one_is(self, smoke):
        smallest = {
            r["covariance"]: r["value"] for r in of(smoke[1], "BR-E1", quantity="smallest eigenvalue")
        }
        assert smallest["printed"] == pytest.approx(-7.9e-4, rel=0.01)
        assert smallest["used here"] == pytest.approx(9.9e-4, rel=0.01)
        assert any("has the eigenvalue -0.00079" in text for text in html(smoke[0]))

    def test_the_theorem_s_curve_ends_where_it_has_to(self, smoke):
        without, limit = (r["value"] for r in of(smoke[1], "BR-T", quantity="gap"))
        assert without < 0.01 and limit < 1

    def test_every_radius_has_a_frame_of_its_own_and_the_sweep_agrees(self, smoke):
        (shown,) = [text for text in html(smoke[0]) if "cmp-explorer" in text]
        soup = BeautifulSoup(shown, "html.parser")
        data = json.loads(soup.find("script", type="application/json").string)
        radii = [r["eps"] for r in of(smoke[1], "BR-T", quantity="displacement_angle")]
        assert len(radii) >= 12 and [float(v) for v in data["values"][0]] == radii
        assert len(data["frames"]) == len(data["pictures"]) == len(radii)
        angles = [r["value"] for r in of(smoke[1], "BR-T", quantity="displacement_angle")]
        assert [texts[0] for _, texts in data["frames"]] == [f"{a:.1f}°" for a in angles]
        assert all(picture.count("<svg") == 1 for picture in data["pictures"])
        assert soup.select_one("input[type=range]")["max"] == str(len(radii) - 1)
        assert len(shown.encode()) < 500_000 and "http" not in soup.find_all("script")[-1].string

    @needs_browser
    def test_in_a_browser_the_slider_changes_the_picture_and_the_printed_angle(self, smoke, tmp_path):
        (shown,) = [text for text in html(smoke[0]) if "cmp-explorer" in text]
        moves = """
        const root = document.querySelector('.cmp-explorer');
        const slider = root.querySelector('[type=range]');
        const read = () => [root.querySelector('dd').textContent,
                            root.querySelector('.slot svg').getAttribute('aria-label'),
                            root.querySelector('.slot').innerHTML.length,
                            root.querySelector('output').textContent];
        result = [read()];
        for (const value of [slider.max, 3]) {
          slider.value = value;
          slider.dispatchEvent(new Event('input', { bubbles: true }));
          result.push(read());
        }
        """
        states, console = evaluated(shown, moves, tmp_path)
        swept = of(smoke[1], "BR-T", quantity="displacement_angle")
        for state, row in zip(states, (swept[0], swept[-1], swept[3]), strict=True):
            assert state[0] == f"{row['value']:.1f}°" and state[3] == f"{row['eps']:g}"
            assert state[1].endswith(f"radius {row['eps']:g}.")
        assert len({state[2] for state in states}) == 3  # three pictures, not one with three titles
        assert not console

    def test_every_attacked_net_has_its_distances_under_both_judges(self, smoke):
        rows = of(smoke[1], "BR-F1", quantity="distance")
        assert len(rows) == 2 * (1 + 1 + 2 * 2 * 3)
        kinds = {(r.get("norm"), r.get("objective"), r.get("radius")) for r in rows if r["training"] == "AT"}
        assert len(kinds) == 12
        for judge in ("own", "standard"):
            (clean,) = of(smoke[1], "BR-F1", training="test images", judge=judge)
            assert clean["value"] > 0 and clean["n"] == 2
        own, standard = (of(smoke[1], "BR-F1", training="standard", judge=j)[0] for j in ("own", "standard"))
        assert own["values"] == standard["values"]

    def test_the_searched_projection_is_never_farther_than_the_encoder_s(self, smoke):
        for name in {r["of"] for r in of(smoke[1], "BR-F1p")}:
            (encoder,), (nearest,) = (
                of(smoke[1], "BR-F1p", of=name, latent=z) for z in ("mean", "optimised")
            )
            assert nearest["value"] <= encoder["value"]

    def test_every_claim_has_a_verdict(self, smoke):
        (table,) = [text for text in html(smoke[0]) if "BR-C3" in text and "BR-C11" in text]
        for claim in ledger.of_notebook(NAME)[0].claims:
            assert claim.id in table, claim.id
