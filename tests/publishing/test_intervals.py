"""Values and intervals of what claims compare: closed forms, planted variances, coverage by simulation."""

import math

import numpy as np
import pytest
from scipy.stats import t

from companion.publishing.claims import intervals
from companion.publishing.claims.intervals import Estimate, Part, Prior, estimate, fit_prior

NONE = Prior()


def row(values, correct=None, **labels):
    values = [float(v) for v in values]
    mean = sum(values) / len(values)
    found = {"experiment": "T", "quantity": "acc", "value": mean, "values": values, **labels}
    return found if correct is None else {**found, "correct": correct}


def of(values, constant=0.0):
    return estimate(Part("a", ((1.0, row(values)),), constant), NONE)


def test_without_a_prior_it_is_students_interval():
    found = of([1.0, 2.0, 3.0])
    half = t.ppf(0.95, 2) / math.sqrt(3)
    assert found.value == 2 and found.df == 2
    assert (found.lower(), found.upper()) == pytest.approx((2 - half, 2 + half))


def test_seeds_are_paired():
    """A wide spread on each side, a narrow one of the differences."""
    part = Part("a − b", ((1.0, row([1, 50, 99])), (-1.0, row([0.5, 49.4, 98.6]))))
    found = estimate(part, NONE)
    assert found.value == pytest.approx(0.5) and found.se == pytest.approx(0.1 / math.sqrt(3), rel=1e-6)


def test_different_numbers_of_nets_are_not_paired_and_a_single_value_is_exact():
    unpaired = estimate(Part("a − b", ((1.0, row([1, 2, 3])), (-1.0, row([0, 1])))), NONE)
    assert unpaired.value == 1.5 and unpaired.se == pytest.approx(math.sqrt(1 / 3 + 0.5 / 2))
    exact = estimate(Part("a − b", ((1.0, row([1, 2, 3])), (-1.0, row([1])))), NONE)
    assert exact.value == 1 and exact.se == pytest.approx(1 / math.sqrt(3))


def test_one_net_without_images_has_no_interval_and_what_is_not_a_number_neither():
    for values in ([5.0], [5.0, math.nan]):
        found = of(values)
        assert math.isinf(found.se) and found.lower() == -math.inf and found.upper() == math.inf


def test_sides_that_are_equal_up_to_rounding_differ_by_nothing():
    part = Part("a", ((1.0, row([0.10000000149] * 3)),), -0.1)
    assert estimate(part, NONE).value == 0


class TestImages:
    CORRECT = ("1" * 80 + "0" * 20, "1" * 70 + "0" * 30)

    def test_one_net_is_compared_image_by_image(self):
        """McNemar's standard error: ten discordant images of a hundred, all one way."""
        a, b = (row([c.count("1")], [c]) for c in self.CORRECT)
        found = estimate(Part("a − b", ((1.0, a), (-1.0, b))), NONE)
        assert found.value == 10 and (found.nets, found.images) == (1, 100)
        assert found.se == pytest.approx(100 * math.sqrt(0.1 * 0.9 / 99), rel=1e-9)

    def test_it_is_never_surer_than_one_image(self):
        a, b = (row([100], ["1" * 50]) for _ in range(2))
        assert estimate(Part("a − b", ((1.0, a), (-1.0, b))), NONE).se == pytest.approx(2.0)

    def test_rows_on_other_images_are_compared_by_nets_alone(self):
        a, b = row([80, 81, 82], ["1" * 10] * 3), row([70, 71, 72], ["1" * 20] * 3)
        found = estimate(Part("a − b", ((1.0, a), (-1.0, b))), NONE)
        assert found.images == 0 and found.between_images == 0

    def test_both_variances_are_recovered(self):
        """Nets of a spread of 2 points, 400 images: their standard errors, on average over draws."""
        rng = np.random.default_rng(0)
        nets, images, spread = 5, 400, 0.02
        between_nets, between_images, values = [], [], []
        for _ in range(300):
            difficulty = rng.random(images)
            accuracy = 0.7 + spread * rng.standard_normal((nets, 1))
            correct = (difficulty < accuracy).astype(float)
            found = estimate(Part("a", ((1.0, row(100 * correct.mean(1), correct)),)), NONE)
            between_nets.append(found.between_nets)
            between_images.append(found.between_images)
            values.append(found.value)
        assert np.mean(between_nets) == pytest.approx(100**2 * spread**2 / nets, rel=0.15)
        assert np.mean(between_images) == pytest.approx(100**2 * 0.7 * 0.3 / images, rel=0.1)
        assert np.var(values) == pytest.approx(np.mean(between_nets) + np.mean(between_images), rel=0.15)


class TestPrior:
    def test_equal_variances_are_worth_all_that_may_be_borrowed(self):
        rng = np.random.default_rng(0)
        variances = rng.standard_normal((400, 3)).var(axis=1, ddof=1) * 4
        prior = fit_prior(variances, 2)
        assert prior.df == pytest.approx(20, abs=8) and prior.variance == pytest.approx(4, rel=0.2)

    def test_a_planted_prior_is_recovered(self):
        """Variances drawn from a scaled inverse chi-square with 6 degrees of freedom and scale 3."""
        rng = np.random.default_rng(1)
        own = 3 * 6 / rng.chisquare(6, 3000)
        seen = own * rng.chisquare(2, 3000) / 2
        prior = fit_prior(seen, 2)
        assert prior.df == pytest.approx(6, rel=0.25) and prior.variance == pytest.approx(3, rel=0.1)

    def test_variances_that_differ_widely_are_worth_little_and_few_nothing(self):
        assert fit_prior([1e-6, 1.0, 1e6, 1e-3], 2).df < 1
        assert fit_prior([1.0, 2.0], 2) == fit_prior([0.0] * 9, 2) == NONE

    def test_what_all_nets_of_a_seed_share_cancels_in_contrasts(self):
        rng = np.random.default_rng(2)
        groups = []
        for _ in range(40):
            shared = 10 * rng.standard_normal(3)
            groups.append([row(shared + rng.standard_normal(3)) for _ in range(4)])
        assert intervals.spreads(groups, contrasts=True).variance == pytest.approx(1, rel=0.25)
        assert intervals.spreads(groups, contrasts=False).variance == pytest.approx(101, rel=0.35)

    def test_borrowing_covers_and_is_shorter_than_students_interval(self):
        """Three nets a side, twelve kinds: limits hold in 95 of 100 draws, at half the length."""
        rng = np.random.default_rng(3)
        below, above, lengths, students = 0, 0, [], []
        for _ in range(800):
            rows = [row(rng.standard_normal(3)) for _ in range(12)]
            prior = intervals.spreads([rows], contrasts=True)
            part = Part("a − b", ((1.0, rows[0]), (-1.0, rows[1])))
            found, alone = estimate(part, prior), estimate(part, NONE)
            below, above = below + (found.upper() < 0), above + (found.lower() > 0)
            lengths.append(found.upper() - found.lower())
            students.append(alone.upper() - alone.lower())
        assert below / 800 == pytest.approx(0.05, abs=0.025) and above / 800 == pytest.approx(0.05, abs=0.025)
        assert np.mean(lengths) < 0.75 * np.mean(students)


def test_the_best_of_several_is_corrected_below_and_not_above():
    parts = tuple(Part(str(v), ((1.0, row([v, v + 1, v + 2])),)) for v in (0.0, 5.0))
    best = estimate(Part("best", best=parts), NONE)
    alone = estimate(parts[1], NONE)
    assert best.value == alone.value
    assert best.lower(0.05) == alone.lower(0.025) < alone.lower(0.05)
    assert best.upper(0.05) == alone.upper(0.05)


def test_parts_together_are_no_surer_than_their_mean():
    parts = [Estimate("a", 1.0, "acc", se=1.0, df=9), Estimate("b", 3.0, "acc", se=3.0, df=4)]
    whole = intervals.together(parts)
    assert (whole.value, whole.se, whole.df) == (2.0, 2.0, 4)
    mixed = intervals.together([parts[0], Estimate("c", 6.0, "norm", se=2.0, df=4)])
    assert (mixed.value, mixed.se) == (2.0, 1.0) and "standard errors" in mixed.name


class TestRankCorrelation:
    def test_the_interval_is_fishers_with_bonett_and_wrights_error(self):
        x = [[float(i)] for i in range(12)]
        y = [[float(i + (3 if i % 2 else -3))] for i in range(12)]
        found = intervals.rank_correlation("r", x, y, 1, 0.0)
        z, se = math.atanh(found.value), math.sqrt((1 + found.value**2 / 2) / 9)
        assert found.lower() == pytest.approx(math.tanh(z - t.ppf(0.95, math.inf) * se))
        assert -1 <= found.lower() < found.value < found.upper() <= 1

    def test_direction_ties_and_few_settings(self):
        x = [[float(i)] for i in range(5)]
        assert intervals.rank_correlation("r", x, x[::-1], -1, 0.0).value == pytest.approx(1)
        assert intervals.rank_correlation("r", x, [[1.0]] * 5, 1, 0.0).value == 0
        assert math.isinf(intervals.rank_correlation("r", x[:3], x[:3], 1, 0.0).se)


class TestResolution:
    def test_nets_that_are_equal_on_a_coarse_scale_differ_by_a_step(self):
        found = estimate(Part("a", ((1.0, row([0.55, 0.55])),), -0.5, resolution=0.05), NONE)
        assert found.se == pytest.approx(0.05 / math.sqrt(2)) and math.isinf(found.df)
        assert found.lower() < 0 < found.upper()

    def test_a_spread_beyond_a_step_is_left_as_it_is(self):
        wide = Part("a", ((1.0, row([0.2, 0.5, 0.9])),), resolution=0.05)
        assert estimate(wide, NONE) == estimate(Part("a", wide.terms), NONE)


def test_a_missing_value_leaves_a_rank_correlation_without_interval():
    x = [[float(k)] for k in range(6)]
    found = intervals.rank_correlation("r", x, [*x[:5], [math.nan]], 1, 0.1)
    assert math.isnan(found.value) and found.lower() == -math.inf and found.upper() == math.inf
