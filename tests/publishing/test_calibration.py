"""Error rates of the rules on the numbers that the papers print; the worlds they are measured in."""

import functools

import numpy as np
import pytest

from companion.publishing.claims import calibration, ledger, rules
from companion.publishing.claims.calibration import Design
from companion.publishing.claims.rows import select

#: IR's table 1 as three nets a kind would give it on the whole test set.
TABLE = Design(
    nets=3,
    images=10_000,
    between_nets={"*accuracy": 0.5},
    discordant=0.06,
    noise="as the issue of the rules says",
)


def printed(id, images):
    return next(
        (paper, claim, rows)
        for paper, claim, rows in calibration.printed_claims()
        if claim.id == id and rows[0]["dataset"] == images
    )


@pytest.fixture(scope="module")
def ir_c2():
    """IR beats JR on every attack: ten differences of 0.45 to 13.1 points on MNIST."""
    return printed("IR-C2", "MNIST")


class TestWorlds:
    def differences(self, ir_c2, world, draw=0):
        paper, claim, rows = ir_c2
        parts = rules.asked(claim.rule, rows, functools.partial(paper.margin_of, claim)).parts
        true = dict(zip(map(id, rows), calibration.truth(parts, rows, world, draw), strict=True))
        return np.array([sum(w * true[id(row)] for w, row in part.terms) for part in parts])

    def test_each_world_is_what_it_says(self, ir_c2):
        as_printed = self.differences(ir_c2, "paper")
        assert as_printed.min() == pytest.approx(0.45) and len(as_printed) == 10
        assert self.differences(ir_c2, "equal") == pytest.approx(0, abs=1e-9)
        assert self.differences(ir_c2, "reversed") == pytest.approx(-as_printed)
        one = self.differences(ir_c2, "one reversed", draw=3)
        assert one[3] == pytest.approx(-2, abs=1e-3)
        assert np.delete(one, 3) == pytest.approx(np.delete(as_printed, 3), abs=1e-2)
        only = self.differences(ir_c2, "one only")
        assert only[as_printed.argmax()] == pytest.approx(as_printed.max(), abs=1e-3)
        assert np.delete(only, as_printed.argmax()) == pytest.approx(0, abs=1e-2)

    def test_a_draw_has_the_spread_and_the_discordance_asked_of_it(self):
        rows = [{"experiment": "T", "quantity": "acc accuracy", "model": str(i)} for i in range(40)]
        design = TABLE.model_copy(update={"nets": 20, "images": 2000, "discordant": 0.1})
        drawn = calibration.sample(
            rows, np.full(40, 80.0), design, np.random.default_rng(0), set(map(id, rows))
        )
        correct = np.stack([row["correct"] for row in drawn]).reshape(-1, 2000)
        apart = [np.mean(a != b) for a, b in zip(correct[::2], correct[1::2], strict=True)]
        assert np.mean(apart) == pytest.approx(0.1, rel=0.05) and correct.mean() == pytest.approx(
            0.8, abs=0.03
        )
        spread = np.mean([np.std(row["values"], ddof=1) ** 2 for row in drawn])
        assert spread == pytest.approx(
            0.5**2 + 100**2 * 0.1 / 2 / 2000, rel=0.15
        )  # nets, and images in each net


@pytest.mark.slow
class TestErrorRates:
    """A rule must recognise a perfect replication, and no false world more than once in twenty."""

    DRAWS = 30

    def rates(self, ir_c2, world):
        return calibration.rates(*ir_c2, TABLE, world, self.DRAWS)

    def test_the_papers_own_table_is_reproduced(self, ir_c2):
        found = self.rates(ir_c2, "paper")
        assert found["reproduced"] >= 0.8 and "not reproduced" not in found

    def test_its_sides_swapped_is_not_reproduced(self, ir_c2):
        assert self.rates(ir_c2, "reversed") == {"not reproduced": 1.0}

    @pytest.mark.parametrize("world", ["one reversed", "one only", "equal"])
    def test_a_false_world_is_hardly_ever_reproduced(self, ir_c2, world):
        assert self.rates(ir_c2, world).get("reproduced", 0.0) <= 2 / self.DRAWS


def test_every_design_names_a_chapter_and_what_its_claims_measure():
    designs = calibration.load().designs
    for paper, claim, rows in calibration.printed_claims():
        for name, design in designs[paper.notebook].items():
            used = [row for where in claim.rule.conditions() for row in select(rows, where)]
            for row in used:
                assert calibration.spread(design, row["quantity"]) > 0, (claim.id, name)
    assert set(designs) <= {paper.notebook for paper in ledger.load()}


def test_a_claim_whose_rows_a_design_lacks_has_no_rates(ir_c2):
    design = TABLE.model_copy(update={"keep": {"attack": "no attack"}})
    assert calibration.rates(*ir_c2, design, "paper", 1) == {}
