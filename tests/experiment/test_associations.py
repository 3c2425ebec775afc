"""Rank correlations over methods, on tables whose answer is known."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from companion import experiment
from companion.training import Recipe, Target, part


def table(seed=0, methods=16, seeds=3, measures="abcd", noise=0.3):
    """Nets of drawn methods: a measure is the method's own value and, from net to net, some noise."""
    rng = np.random.default_rng(seed)
    index = pd.MultiIndex.from_product(
        [[f"m{k:02}" for k in range(methods)], range(seeds)], names=["model", "seed"]
    )
    of_method = np.repeat(rng.standard_normal((methods, len(measures))), seeds, axis=0)
    values = of_method + noise * rng.standard_normal(of_method.shape)
    return pd.DataFrame(values, index=index, columns=list(measures))


def pair(found, x, y):
    (row,) = found[(found["x"] == x) & (found["y"] == y)].to_dict("records")
    return row


def test_a_planted_pair_of_copies_has_correlation_1_also_with_a_third_held_fixed():
    copies = table().assign(copy=lambda t: 2 * t["a"] + 1)
    for given in ("", "b"):
        found = pair(experiment.rank_correlations(copies, given=given), "a", "copy")
        assert found["value"] == pytest.approx(1) and found["low"] > 0.99


def test_it_is_spearmans_over_the_methods_means_and_its_interval_fishers():
    found = pair(experiment.rank_correlations(table()), "a", "b")
    means = table().groupby("model").mean()
    rho = stats.spearmanr(means["a"], means["b"]).statistic
    half = 1.959964 * np.sqrt((1 + rho**2 / 2) / 13)
    limits = np.tanh(np.arctanh(rho) + np.array([-half, half]))
    assert [found["value"], found["low"], found["high"]] == pytest.approx([rho, *limits])


def test_the_partial_correlation_has_its_closed_form():
    means = table(3).groupby("model").mean()
    r = {(x, y): stats.spearmanr(means[x], means[y]).statistic for x in "abc" for y in "abc"}
    expected = (r["a", "b"] - r["a", "c"] * r["b", "c"]) / np.sqrt(
        (1 - r["a", "c"] ** 2) * (1 - r["b", "c"] ** 2)
    )
    assert pair(experiment.rank_correlations(table(3), given="c"), "a", "b")["value"] == pytest.approx(
        expected
    )


@pytest.mark.parametrize("whole_methods", [True, False])
def test_an_unrelated_measures_interval_covers_0_in_95_of_100_permutations(whole_methods):
    """Dealt anew over methods, whose nets stay together, or over all nets."""
    fixed, rng, covered = table(1, measures="ab"), np.random.default_rng(5), 0
    for _ in range(400):
        dealt = fixed.copy()
        values = fixed["b"].to_numpy().reshape(16, 3)
        dealt["b"] = (rng.permutation(values) if whole_methods else rng.permutation(values.ravel())).ravel()
        found = experiment.rank_correlations(dealt).iloc[0]
        covered += found["low"] <= 0 <= found["high"]
    assert 0.92 <= covered / 400 <= 0.98


def test_of_all_pairs_of_unrelated_measures_one_is_above_the_limit_in_a_twentieth_of_the_cases():
    givens = ["", "a"]
    limit = experiment.family_limit(table(), givens, permutations=2000)
    crossed = 0
    for seed in range(300):
        found = [experiment.rank_correlations(table(seed + 1), given=given)["value"] for given in givens]
        crossed += pd.concat(found).abs().max() > limit
    assert 0.02 <= crossed / 300 <= 0.09


def test_the_limit_grows_with_the_family_and_falls_with_the_methods():
    few, many = (experiment.family_limit(table(measures=m), [""], permutations=500) for m in ("ab", "abcdef"))
    assert few < many
    assert experiment.family_limit(table(methods=40), [""], permutations=500) < many


SIZES = {"standard": 2, "AT": 5, "JR": 1, "double": 2, "IR": 3, "noise": 2, "penalty": 1}
LABELS = [family for family, size in SIZES.items() for _ in range(size)]
FAMILIES = {f"m{k:02}": family for k, family in enumerate(LABELS)}


def in_families(seed, share, measures="abcdefghijklm"):
    """Unrelated measures of sixteen methods, of which those of one family lie together."""
    rng, places = np.random.default_rng(seed), pd.factorize(pd.Series(LABELS))[0]
    effects = rng.standard_normal((len(SIZES), len(measures)))[places]
    values = np.sqrt(share) * effects + np.sqrt(1 - share) * rng.standard_normal(effects.shape)
    index = pd.MultiIndex.from_product([list(FAMILIES), [0]], names=["model", "seed"])
    return pd.DataFrame(values, index=index, columns=list(measures))


def test_with_planted_families_the_limit_of_families_errs_in_a_twentieth_and_the_other_far_more():
    crossed = np.zeros(2)
    for seed in range(150):
        whole = in_families(seed, 0.75)
        largest = experiment.rank_correlations(whole)["value"].abs().max()
        limits = [
            experiment.family_limit(whole, [""], families=families, permutations=300)
            for families in (FAMILIES, None)
        ]
        crossed += [largest > limit for limit in limits]
    assert 0.01 <= crossed[0] / 150 <= 0.11
    assert crossed[1] / 150 > 0.3


def test_the_share_between_families_is_the_planted_one_and_0_without_families():
    def mean_share(planted):
        return np.mean([experiment.family_share(in_families(s, planted), FAMILIES) for s in range(40)])

    assert mean_share(0.75) == pytest.approx(0.75, abs=0.06)
    assert mean_share(0.0) < 0.1
    assert experiment.family_share(in_families(0, 0.5), {name: name for name in FAMILIES}) == 0


def test_without_families_the_two_limits_are_the_same_and_the_interval_covers_95_of_100():
    alone = {name: name for name in FAMILIES}
    whole = in_families(0, 0.0)
    limits = [experiment.family_limit(whole, [""], families=of, permutations=2000) for of in (alone, None)]
    assert limits[0] == pytest.approx(limits[1], abs=0.02)
    assert experiment.interval_coverage(LABELS, 0.0) == pytest.approx(0.95, abs=0.02)
    assert experiment.interval_coverage(LABELS, 0.75) < 0.92


def test_half_of_the_partial_correlations_of_that_size_pass():
    true, passed = experiment.half_power(16, 0.78), 0
    rng = np.random.default_rng(9)
    index = pd.MultiIndex.from_product([list(FAMILIES), [0]], names=["model", "seed"])
    for _ in range(300):
        a, b, c = rng.standard_normal((3, 16))
        own = np.stack([a + c, true * a + np.sqrt(1 - true**2) * b + c, c], 1)
        found = experiment.rank_correlations(pd.DataFrame(own, index, list("abc")), given="c")
        passed += found["value"].iloc[0] > 0.78
    assert 0.4 <= passed / 300 <= 0.6


def test_pairs_are_found_in_either_order_and_counted_by_their_verbs():
    whole = table(measures="ab", noise=0).assign(copy=lambda t: t["a"], mirror=lambda t: -t["a"])
    found = experiment.rank_correlations(whole)
    assert experiment.pair(found, "copy", "a").equals(experiment.pair(found, "a", "copy"))
    told = experiment.counted_verbs(found, [("a", "copy"), ("copy", "a"), ("a", "mirror")])
    assert told == "2 of 3 pairs agree, 1 of 3 pairs go in reverse"


@pytest.mark.parametrize(
    ("limits", "word"),
    [
        ((0.51, 0.9), "agree"),
        ((0.5, 0.9), "are related"),
        ((0.0, 0.9), "are not shown to be related"),
        ((-0.2, 0.0), "are not shown to be related"),
        ((-0.9, -0.1), "go in reverse"),
        ((float("nan"), float("nan")), "are not shown to be related"),
    ],
)
def test_the_verb_is_that_of_the_interval(limits, word):
    assert experiment.verb(*limits) == word


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda t: t.loc[["m00", "m01", "m02", "m03"]], "4 methods"),
        (lambda t: t.assign(b=np.nan), "b is NaN"),
    ],
)
def test_what_has_no_ranks_is_refused(spoil, words):
    with pytest.raises(ValueError, match=words):
        experiment.rank_correlations(spoil(table()))


def test_a_measure_that_tells_no_methods_apart_has_no_correlation():
    whole = table().assign(flat=1.0, copy=lambda t: 2 * t["a"] + 1)
    found = experiment.rank_correlations(whole)
    assert np.isnan(pair(found, "a", "flat")["value"]) and np.isfinite(pair(found, "a", "b")["value"])
    given = experiment.rank_correlations(whole, given="a")
    assert np.isnan(pair(given, "b", "copy")["value"])
    assert 0 < experiment.family_limit(whole, ["", "a"], permutations=50) < 1
    assert experiment.measure_map(found)[0].notna().all(axis=None)


def test_copies_lie_together_on_the_map_and_reversed_ones_too():
    whole = table().assign(copy=lambda t: t["a"], mirror=lambda t: -t["a"])
    places, kept = experiment.measure_map(experiment.rank_correlations(whole))
    assert places.loc["copy"].to_numpy() == pytest.approx(places.loc["a"].to_numpy(), abs=1e-6)
    assert places.loc["mirror"].to_numpy() == pytest.approx(places.loc["a"].to_numpy(), abs=1e-6)
    assert np.hypot(*(places.loc["a"] - places.loc["b"])) > 0.5 and 0 < kept <= 1


def test_a_frame_becomes_a_table_in_its_order():
    rows = [(m, s, q, v) for v, (m, s, q) in enumerate((m, s, q) for m in "zy" for s in (1, 0) for q in "qp")]
    found = experiment.table_of(pd.DataFrame(rows, columns=["model", "seed", "quantity", "value"]))
    assert list(found.columns) == ["q", "p"] and list(found.index) == [("z", 1), ("z", 0), ("y", 1), ("y", 0)]
    assert found.loc[("y", 1), "p"] == 5


def test_the_cheapest_of_those_that_cannot_be_told_from_the_best():
    index = pd.MultiIndex.from_product([["dear", "cheap", "poor"], [0, 1, 2]], names=["model", "seed"])
    good = pd.DataFrame({"q": [10.0, 10.2, 10.4, 10.0, 10.1, 10.3, 1.0, 1.2, 1.1]}, index=index)
    costs = {"dear": 80, "cheap": 8, "poor": 1}
    (more,) = experiment.choices(good, {"q": 1}, costs).to_dict("records")
    assert (more["best"], more["cost"], more["cheapest"], more["its cost"]) == ("dear", 80, "cheap", 8)
    (less,) = experiment.choices(good, {"q": -1}, costs).to_dict("records")
    assert less["best"] == less["cheapest"] == "poor"
    frame = good.reset_index().rename(columns={"q": "value"})
    assert experiment.resolutions(good)["q"] == pytest.approx(experiment.resolution(frame))


def test_gradients_are_counted_with_those_of_the_teacher():
    common = {"data": part("digits"), "model": part("digits_cnn"), "epochs": 2}
    plain = Recipe(**common)
    robust = Recipe(**common, inputs=part("adversarial", norm="l2", eps=1.0, steps=7))
    smooth = Target(robust, part("smoothgrad", sigma=0.1, samples=20))
    taught = Recipe(**common, loss=part("interpretation", lambda_d=1.0, lambda_m=0.1), target=smooth)
    no_net = Recipe(**common, loss=part("interpretation"), target=Target(None, part("image")))
    found = [experiment.gradient_evaluations(recipe) for recipe in (plain, robust, taught, no_net)]
    assert found == [2, 16, 6 + 16 + 20, 6]
