"""The chapter as its user meets it: refusals, the paper's own numbers, and one whole run in profile smoke."""

import json

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup

from companion.publishing.claims import ledger
from companion.publishing.running import notebooks, parameters
from tests.browser import evaluated, needs_browser
from tests.chapter import ROOT, checkout_at, companion, of

NAME = "remove_and_retrain"
PANELS = [(norm, objective) for norm in ("l2", "linf") for objective in ("CE", "CW")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-p", "share=0.5"], "shares"),
        (["-p", "shares=0,0.5"], "0"),
        (["-p", "strengths=0.5,1.5"], "1.5"),
        (["-p", "fill=median"], "channel_mean"),
        (["-p", "unit=image"], "entry"),
        (["-p", "ends=none"], "measured"),
        (["-p", "dataset=folder:/no/such/folder"], "/no/such/folder"),
    ],
)
def test_a_slip_is_one_line_exit_2_and_nothing_runs(assert_refused, arguments, words):
    assert_refused(words, "run", NAME, *arguments)


class TestThePaper:
    ROWS = ledger.printed(NAME)

    def series(self, metric):
        found = {}
        for row in of(self.ROWS, "BR-F4", quantity="mu", metric=metric):
            found.setdefault((row["norm"], row["objective"], row["map"]), {})[row["strength"]] = row["value"]
        return found

    def test_sixteen_series_of_21_nets_one_of_them_standard_and_shared(self):
        for metric in ("ROAR", "KAR"):
            found = self.series(metric)
            assert len(found) == 8 and {len(scores) for scores in found.values()} == {21}
            for name in ("G", "GX"):
                assert len({scores[0.0] for key, scores in found.items() if key[2] == name}) == 1

    def test_correlations_of_the_digitised_scores_are_those_of_the_legends(self):
        """To within 0.02 under ROAR and 0.05 under KAR: what was read off is what the paper drew."""
        from companion import metrics

        for metric, within in (("ROAR", 0.021), ("KAR", 0.051)):
            for (norm, objective, name), scores in self.series(metric).items():
                for kind in ("pearson", "spearman"):
                    labels = {"metric": metric, "norm": norm, "objective": objective, "map": name}
                    (row,) = of(self.ROWS, "BR-F4", quantity=kind, **labels)
                    found = metrics.correlation(list(scores), list(scores.values()), kind=kind, resamples=9)
                    assert found.value == pytest.approx(row["value"], abs=within)

    def test_what_its_numbers_say_of_its_claims(self):
        decided = {
            id: of[""]
            for of_notebook in ledger.of_notebook(NAME)
            for id, of in ledger.decide(of_notebook, self.ROWS, exact=True).items()
        }
        for held in ("BR-C4", "BR-C5", "BR-C6", "BR-C7", "BR-C10"):
            assert decided[held].word == "holds", held
        assert decided["BR-C9"].word == decided["BR-C9, KAR"].word == "contradicted"
        assert "159 of 160" in decided["BR-C9"].detail  # one net of one series, so 7 of 8 series
        worst = dict.fromkeys(("ROAR", "KAR"), 0)
        for metric in worst:
            for scores in self.series(metric).values():
                worst[metric] += min(v for s, v in scores.items() if s) > scores[0.0]
        assert worst == {"ROAR": 7, "KAR": 0}


def profile(name):
    declared = notebooks.declared(NAME)
    return parameters.resolve(declared, [notebooks.profile_values(NAME, name)], NAME)


def test_every_profile_can_be_used_and_paper_has_the_paper_s_grid():
    assert [profile(name)["dataset"] for name in ("smoke", "quick", "gpu")] == ["digits", "digits", "mnist"]
    paper = profile("paper")
    nets = 1 + 4 * len(paper["strengths"])
    assert nets == 81 and nets * 2 * 3 * len(paper["shares"]) * paper["repeats"] == 7290
    assert paper["strengths"] == pytest.approx([i / 20 for i in range(1, 21)])
    assert (paper["l2_eps"], paper["linf_eps"]) == (0.8, 0.02)  # 1.6 and 0.04 in pixels of [-1, 1]


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """A run of its own in a copy of the checkout's sources, with an empty store."""
    root = tmp_path_factory.mktemp("checkout")
    env = checkout_at(root)
    done = companion("run", NAME, "--profile", "smoke", env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = root / "runs" / "smoke" / NAME
    cells = nbformat.read(folder / "executed.ipynb", as_version=4).cells
    return cells, json.loads((folder / "results.json").read_text()), done.stdout + done.stderr


def html(cells):
    return [
        str(output["data"]["text/html"])
        for cell in cells
        for output in cell.get("outputs", [])
        if "text/html" in output.get("data", {})
    ]


@pytest.mark.slow
class TestSmoke:
    def test_every_net_has_all_its_scores_and_the_standard_net_is_one_in_all_panels(self, smoke):
        rows = smoke[1]["rows"]
        assert len(of(rows, "BR-F4", quantity="mu")) == 2 * 2 * 4 * 3  # metrics, maps, panels, strengths
        for metric in ("ROAR", "KAR"):
            for name in ("G", "GX"):
                standard = of(rows, "BR-F4", quantity="mu", strength=0.0, metric=metric, map=name)
                assert len(standard) == 4 and len({tuple(r["values"]) for r in standard}) == 1

    def test_a_score_is_the_area_between_the_retrained_curves(self, smoke):
        """Both scores of a map add up to the area of keeping its largest minus its smallest pixels."""
        rows = smoke[1]["rows"]
        for net, strength, norm in (("standard", 0.0, "l2"), ("l2", 1.0, "l2"), ("linf", 1.0, "linf")):
            labels = {"strength": strength, "norm": norm, "objective": "CE", "map": "G"}
            total = sum(
                of(rows, "BR-F4", quantity="mu", metric=metric, **labels)[0]["value"]
                for metric in ("ROAR", "KAR")
            )
            curve = {
                (metric, share): of(rows, "BR-K", net=net, map="G", metric=metric, share=share)[0]["value"]
                for metric in ("ROAR", "KAR")
                for share in (0.3, 0.7)
            }
            gap = {share: curve["KAR", share] - curve["ROAR", share] for share in (0.3, 0.7)}
            # trapezoids over 0, 0.3, 0.7, 1 with both ends 0
            assert total == pytest.approx(0.35 * gap[0.3] + 0.35 * gap[0.7], abs=1e-6)

    def test_every_series_has_its_correlations_one_a_seed(self, smoke):
        for experiment in ("BR-F4", "BR-F5"):
            for kind in ("pearson", "spearman"):
                found = of(smoke[1]["rows"], experiment, quantity=kind)
                assert len(found) == 16 and all(r["n"] == 2 for r in found)

    def test_the_criterion_is_decided_for_the_paper_and_for_us(self, smoke):
        (table,) = [text for text in html(smoke[0]) if "<b>BR-C9</b>" in text]
        words = BeautifulSoup(table, "html.parser").caption.text
        assert "7 of 8 series under ROAR and for 0 of 8 under KAR" in words
        assert len(of(smoke[1]["rows"], "BR-C9")) == 16

    def test_plain_gradients_below_random_are_counted_in_the_paper_s_figure(self, smoke):
        (shown,) = [text for text in html(smoke[0]) if "<b>BR-C10.</b>" in text]
        assert "<b>41 of 41</b> such nets in the paper" in shown

    def test_masks_are_read_by_nets_of_their_own(self, smoke):
        rows = of(smoke[1]["rows"], "BR-E12", sees="mask")
        assert {r["net"] for r in rows} == {"standard", "l2", "linf"}
        assert {r["quantity"] for r in rows} == {"accuracy", "decision", "decision_on_errors"}

    def test_the_attacked_nets_have_their_checks_and_none_failed(self, smoke):
        assert len(smoke[1]["checks"]) == 5
        assert all(row["status"] != "failed" for rows in smoke[1]["checks"].values() for row in rows)

    def test_the_estimate_stands_before_the_training(self, smoke):
        # 18 attributed nets, 2 metrics, 3 orders of which the random one once, 2 shares
        assert "For 18 attributed nets the paper's code retrains 216, 148 with" in smoke[2]
        assert "nets to train, about" in smoke[2]

    def test_the_explorer_has_a_picture_for_every_position(self, smoke):
        (shown,) = [text for text in html(smoke[0]) if "cmp-explorer" in text]
        data = json.loads(BeautifulSoup(shown, "html.parser").find("script", type="application/json").string)
        assert data["values"] == [["l2", "linf"], ["0", "0.5", "1"], ["0.3", "0.7"]]
        assert len(data["frames"]) == 12
        originals = {frame[0][0] for frame in data["frames"]}
        assert len(originals) == 1 and len({tuple(frame[0]) for frame in data["frames"]}) > 6

    @needs_browser
    def test_in_a_browser_the_radius_moves_the_masked_picture_and_the_curves(self, smoke, tmp_path):
        (shown,) = [text for text in html(smoke[0]) if "cmp-explorer" in text]
        moves = """
        const root = document.querySelector('.cmp-explorer');
        const [radius, share] = root.querySelectorAll('[type=range]');
        const read = () => [[...root.querySelectorAll('.slot > img')].map(img => img.src),
                            root.querySelector('.slot svg').getAttribute('aria-label'),
                            [...root.querySelectorAll('dd')].map(dd => dd.textContent)];
        const move = (slider, value) => {
          slider.value = value;
          slider.dispatchEvent(new Event('input', { bubbles: true }));
          result.push(read());
        };
        result = [read()];
        move(radius, 2);
        move(share, 0);
        """
        (first, stronger, fewer), console = evaluated(shown, moves, tmp_path)
        assert not console
        assert "strength 0." in first[1] and "strength 1." in stronger[1] and stronger[1] == fewer[1]
        assert first[2][0] == "0" and stronger[2][0] == "1"  # the printed radius
        whole = {state[0][0] for state in (first, stronger, fewer)}
        assert len(whole) == 1  # the image itself stays
        assert first[0][1] != stronger[0][1] and stronger[0][1] != fewer[0][1]

    def test_every_claim_has_a_verdict(self, smoke):
        (table,) = [text for text in html(smoke[0]) if "BR-C4" in text and "BR-C8" in text]
        for claim in ledger.of_notebook(NAME)[0].claims:
            assert claim.id in table, claim.id


def test_what_claims_point_to_is_in_the_notebook():
    text = (ROOT / "notebooks" / f"{NAME}.ipynb").read_text("utf-8")
    register = yaml.safe_load((ROOT / f"book/claims/deviations/{NAME}.yaml").read_text("utf-8"))
    anchors = {claim.anchor for claim in ledger.of_notebook(NAME)[0].claims}
    anchors |= {item.get("anchor", "") for item in register["settings"]}
    for anchor in anchors - {""}:
        assert f"({anchor})=" in text, anchor
