"""Nets compared over seeds: closed-form answers."""

import math

import numpy as np
import pandas as pd
import pytest

from companion import experiment


def frame(values, quantity="q", **labels):
    """values: by model, one a seed."""
    rows = [
        {"model": model, "seed": seed, "quantity": quantity, "value": v, **labels}
        for model, of in values.items()
        for seed, v in enumerate(of)
    ]
    return pd.DataFrame(rows)


def test_an_excess_pairs_rows_that_agree_in_all_but_one_column():
    rows = pd.concat([frame({"a": [5.0, 7.0], "b": [1.0, 1.0]}, data="blocks"),
                      frame({"b": [4.0, 0.0], "a": [2.0, 3.0]}, data="top")])  # fmt: skip
    found = experiment.excess(rows, "data", "blocks", "top")
    assert "data" not in found
    values = {(r.model, r.seed): r.value for r in found.itertuples()}
    assert values == {("a", 0): 3, ("a", 1): 4, ("b", 0): -3, ("b", 1): 1}
    with pytest.raises(ValueError, match="no row of blocks agrees with one of none"):
        experiment.excess(rows, "data", "blocks", "none")


def test_relative_is_by_seed_in_per_cent_and_empty_where_there_are_no_pairs():
    quantities = {"rho": frame({"a": [2.0, 3.0], "b": [1.0, 2.0]})}
    pair = {"weight": 1, "more": "a", "less": "b"}
    found = experiment.relative(quantities, [pair])
    assert list(found["value"]) == [100.0, 50.0] and set(found["nets"]) == {"a − b"}
    assert experiment.relative(quantities, []).empty
    assert {"weight", "nets", "of", "value"} <= set(experiment.relative(quantities, []).columns)


def test_shares_are_a_ratio_of_medians_and_a_median_of_ratios():
    one, other = [1.0, 2.0, 6.0], [1.0, 6.0, 2.0]
    rows = [{"model": "a", "seed": 0, "quantity": q, "each": v} for q, v in (("x", one), ("y", other))]
    found = experiment.shares(pd.DataFrame(rows), ["x", "y"]).set_index("way")["value"]
    assert found["ratio of medians"] == 2 / 4
    assert found["median of ratios"] == 0.5
    beside = experiment.shares(pd.DataFrame(rows), ["x"], "y").set_index("way")["value"]
    assert beside["ratio of medians"] == 1 and beside["median of ratios"] == 1


def test_pearson_pairs_first_values_and_leaves_out_what_is_not_finite():
    one = pd.DataFrame([{"model": "a", "seed": 0, "each": [1.0, 2.0, 3.0, 9.0]}])
    other = pd.DataFrame([{"model": "a", "seed": 0, "each": [2.0, 4.0, 6.0]}])
    assert experiment.pearson(one, other)["value"].item() == pytest.approx(1)
    holed = pd.DataFrame([{"model": "a", "seed": 0, "each": [2.0, math.inf, 6.0]}])
    assert math.isnan(experiment.pearson(one, holed)["value"].item())


def test_beside_finds_the_same_net_whatever_its_name_is():
    mixed = frame({0.5: [1.0], "norm": [2.0]})
    assert list(experiment.beside(mixed, mixed.assign(value=[3.0, 4.0]), "x")["x"]) == [3.0, 4.0]


def test_trends_and_bends_are_one_a_seed():
    x = np.arange(6.0)
    of = pd.DataFrame({"seed": 0, "x": x, "value": np.minimum(x, 2.0)})
    falling = pd.DataFrame({"seed": 1, "x": x, "value": -x})
    both = pd.concat([of, falling])
    assert experiment.trends(both, "x")[1] == pytest.approx(-1)
    saturating, straight = experiment.bends(both, "x")
    assert saturating == pytest.approx(1) and straight == pytest.approx(0)


@pytest.mark.parametrize(
    ("values", "settings", "words"),
    [
        ([0.8, 1.0, 0.9], 8, "rises (Spearman +0.90, +0.54 to +0.98)"),
        ([-0.8, -1.0, -0.9], 8, "falls (Spearman -0.90, -0.98 to -0.54)"),
        ([0.6, 0.6, 0.6], 8, "no clear trend"),  # seeds repeat settings: that they agree adds no nets
        ([0.6, 0.6, 0.6], 16, "rises"),
        ([1.0], 3, "no clear trend"),
        ([float("nan")], 8, "no clear trend"),
    ],
)
def test_direction_in_words(values, settings, words):
    assert words in experiment.direction(values, settings)


RISES, FALLS, UNCLEAR = [0.9], [-0.9], [0.4]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"black": RISES, "grey": RISES, "white": RISES}, "rises from black, grey and white"),
        ({"black": RISES, "white": FALLS}, "depends on what counts as zero"),
        ({"black": RISES, "white": UNCLEAR}, "rises from black; from white 8 nets cannot tell"),
        ({"black": FALLS, "white": FALLS}, "falls from black and white"),
        ({"black": UNCLEAR, "white": UNCLEAR}, "cannot be told from 8 nets"),
    ],
)
def test_origins_agree_unless_one_rises_and_one_falls(found, words):
    assert experiment.agreement(found, 8) == words


def test_seeds_in_which_a_value_falls_from_model_to_model():
    values = {("a", 0): 3, ("b", 0): 2, ("c", 0): 1, ("a", 1): 3, ("b", 1): 1, ("c", 1): 2}
    values |= {("a", 2): 3, ("b", 2): math.nan, ("c", 2): 1, ("a", 3): 3, ("b", 3): 3, ("c", 3): 1}
    frame = pd.DataFrame([{"model": m, "seed": s, "value": v} for (m, s), v in values.items()])
    assert experiment.falling_seeds(frame, ["a", "b", "c"]) == 1
    assert experiment.falling_seeds(frame, ["b", "c"]) == 2


def test_the_median_seed_is_one_of_the_labelled_rows():
    values = pd.DataFrame({"model": [*"aaaab"], "seed": [4, 7, 9, 2, 5], "value": [3.0, 1.0, 2.0, 9.0, 2.5]})
    assert experiment.median_seed(values[1:], model="a") == 9
    assert experiment.median_seed(values, model="a") == 4  # of 2 and 3 the larger


def test_seeds_in_which_every_model_is_above():
    values = {("a", 0): (2, 1), ("b", 0): (2, 1), ("a", 1): (2, 1), ("b", 1): (1, 1), ("a", 2): (math.nan, 0)}
    rows = [
        {"model": m, "seed": s, "set": kind, "value": v}
        for (m, s), pair in values.items()
        for kind, v in zip(("attack", "image"), pair, strict=True)
    ]
    assert experiment.seeds_above(pd.DataFrame(rows), "attack", "image") == 1


def test_words_follow_the_sign_of_each_interval():
    of = frame({"base": (1, 1, 1), "up": (4, 4.1, 3.9), "down": (0, 0.1, -0.1), "even": (0, 2, 1)})
    words = {1: "farther", 0: "the same", -1: "nearer"}
    said = experiment.told_apart(of, ["up", "down", "even"], "base", words).split("; ")
    assert [part.split(" (")[0] for part in said] == ["up: farther", "down: nearer", "even: the same"]
    assert said[0].startswith("up: farther (+3.00 ± ")


def test_best_has_the_largest_mean_among_the_models_of_its_kind_alone():
    of = frame({"a, 1": (1, 5), "a, 2": (2, 2), "a b, 1": (9, 9), "b, 1": (0, 0)})
    assert experiment.best(of, ("a", "b")) == {"a": "a, 1", "b": "b, 1"}


def test_a_difference_of_values_that_could_not_be_measured_says_so_and_tells_nothing_apart():
    of = frame({"a": (math.nan, math.nan), "b": (1.0, 2.0)})
    found = experiment.difference(of, "a", "b")
    assert (str(found), found.n, found.sign) == ("not measured", 0, 0)
    assert experiment.difference(frame({"a": (math.nan, 3.0), "b": (1.0, 2.0)}), "a", "b").n == 1


def test_at_last_tells_each_kind_s_mean_where_x_is_largest():
    rows = [("a", 1, 9.0), ("a", 10, 50.0), ("a", 10, 52.0), ("b", 10, 8.0), ("b", 1, 7.0)]
    frame = pd.DataFrame(rows, columns=["kind", "epochs", "value"])
    assert experiment.at_last(frame, "epochs", "kind") == "epochs 10: a 51.0; b 8.0"
