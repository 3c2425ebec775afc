"""Many nets trained and measured into a frame, and two kinds of them compared."""

import math

import pandas as pd
import pytest
import torch
from torch import nn

from companion import attacks, data, experiment, metrics, store
from companion.metrics.robustness import Scaled
from companion.training import Recipe, part


def recipes(seed):
    common = {"data": part("digits", n_train=120), "epochs": 2, "seed": seed}
    return {
        "small": Recipe(model=part("digits_cnn"), **common),
        "perceptron": Recipe(model=part("mlp", hidden=(16, 16)), **common),
    }


@pytest.fixture(scope="module")
def images():
    return data.load("digits", n_train=120, n_test=40)


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMPANION_STORE", str(tmp_path_factory.mktemp("store")))
        said = []
        yield experiment.train(recipes, [0, 1], announce=said.append)
        assert len(said) == 1 and said[0].startswith("4 nets to train")


def test_nets_come_by_name_and_seed(nets):
    assert list(nets) == [("small", 0), ("perceptron", 0), ("small", 1), ("perceptron", 1)]
    assert nets["small", 1].seed == 1 and all(map(store.present, nets.values()))


def test_a_frame_has_a_row_for_each_net_and_quantity_and_the_verdicts_on_images(nets, images):
    frame = experiment.measure(metrics.clean_accuracy, nets, images)
    assert list(frame["model"]) == ["small", "perceptron"] * 2 and list(frame["seed"]) == [0, 0, 1, 1]
    assert set(frame["quantity"]) == {"clean_accuracy"}
    for row in frame.itertuples():
        right = attacks.correct(store.get(nets[row.model, row.seed]), images.x_test, images.y_test)
        assert row.images == right.tolist() and row.value == pytest.approx(100 * right.float().mean().item())


def test_rows_with_labels_become_columns(nets, images):
    ball = {"norm": "linf", "eps": 0.1, "steps": 3, "step_size": None, "restarts": 2, "strong_restarts": 1}
    frame = experiment.measure(metrics.robust_accuracy, nets, images, **ball, seed=lambda recipe: recipe.seed)
    assert set(frame["attack"]) == {"linf 0.1"} and len(frame) == 3 * len(nets)
    value = frame.set_index(["model", "seed", "protocol", "statistic"])["value"]
    clean = experiment.measure(metrics.clean_accuracy, nets, images).set_index(["model", "seed"])["value"]
    for net in nets:
        mean, worst = value[(*net, "ir_paper", "mean")], value[(*net, "ir_paper", "worst")]
        assert value[(*net, "strong", "worst")] <= worst <= mean <= clean[net] + 1e-9
    verdicts = experiment.verdicts_of(frame[frame["protocol"] == "strong"], nets)
    after = {"steps": 2, "restarts": 0, "targets": 1, "queries": 0, "norm": "linf", "eps": 0.1, "seed": 0}
    reference = experiment.measure(metrics.reference_accuracy, nets, images, robust=verdicts, **after)
    for row in reference.itertuples():
        before = verdicts(nets[row.model, row.seed])
        assert all(b or not a for a, b in zip(row.images, before, strict=True))


def test_what_was_measured_is_not_measured_again(nets, images, monkeypatch):
    first = experiment.measure(metrics.gradient_norms, nets, images, count=10)
    monkeypatch.setattr(store.measurements, "get", None)
    pd.testing.assert_frame_equal(first, experiment.measure(metrics.gradient_norms, nets, images, count=10))


def test_norm_over_lead_does_not_change_with_the_scale_of_the_logits(nets, images):
    """Of a linear net it is the inverse of the distance to the boundary, in closed form."""
    net = store.get(nets["small", 0])
    one, ten = (metrics.gradient_norms(n, images, count=60) for n in (net, Scaled(net, 10.0).eval()))
    assert ten["norm_true"] == pytest.approx(10 * one["norm_true"], rel=1e-4)
    assert ten["norm_per_margin"] == pytest.approx(one["norm_per_margin"], rel=1e-4)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    found = metrics.gradient_norms(linear, images, count=60)
    x, y = images.x_train[:60], images.y_train[:60]
    z, w = linear(x), linear[1].weight
    rival = z.scatter(1, y[:, None], -torch.inf).argmax(1)
    lead = (z.gather(1, y[:, None]) - z.gather(1, rival[:, None])).squeeze(1)
    slope = (w[y] - w[rival]).norm(dim=1)
    right = lead > 0
    assert found["norm_per_margin"] == pytest.approx((slope / lead)[right].median().item(), rel=1e-4)
    assert found["norm_true"] == pytest.approx(w[y].norm(dim=1).mean().item(), rel=1e-4)


def test_scaled_logits_change_what_the_official_recipe_measures_and_not_the_margin_loss(nets, images):
    run = {"eps": 1.0, "steps": 10, "step_size": 0.25}
    one, many = (
        metrics.scaled_accuracy(store.get(nets["small", 0]), images, factor=f, **run) for f in (1.0, 1e4)
    )
    value = [{row["protocol"]: sum(row["value"]) for row in rows} for rows in (one, many)]
    assert value[0]["no floor, margin loss"] == value[1]["no floor, margin loss"]
    assert value[1]["official recipe"] > value[0]["official recipe"]


def test_the_identities_hold(nets, images):
    for row in metrics.jacobian_identities(store.get(nets["perceptron", 0]), images, count=12):
        tolerance = 0.05 * row["expected"] if "eq. 14" in row["identity"] else 1e-8
        assert row["value"] == pytest.approx(row["expected"], abs=tolerance), row["identity"]


def frame(**values):
    rows = [{"model": m, "seed": s, "value": v} for m, of in values.items() for s, v in enumerate(of)]
    return pd.DataFrame(rows)


def test_differences_are_paired_by_seed():
    found = experiment.difference(frame(a=[10, 20, 30], b=[9, 19, 29.1]), "a", "b")
    assert found.mean == pytest.approx(0.9667, abs=1e-3) and found.half < 0.2 and found.sign == 1
    assert experiment.difference(frame(a=[9, 19, 29.1], b=[10, 20, 30]), "a", "b").sign == -1
    apart = experiment.difference(frame(a=[10, 30, 20], b=[9, 19, 29.1]), "a", "b")
    assert apart.sign == 0 and str(apart).startswith("+1.0 ± ")
    words = experiment.compared(frame(a=[10, 20, 30], b=[9, 19, 29.1]), "a", "b")
    assert words == "is more robust than b (+1.0 ± 0.1 points)"
    assert "not told apart" in experiment.compared(frame(a=[10, 30, 20], b=[9, 19, 29.1]), "a", "b")


def test_rows_are_chosen_by_their_columns():
    rows = frame(a=[1, 2], b=[3, 4])
    assert experiment.where(rows, model="b", seed=1)["value"].tolist() == [4]


def test_one_seed_has_no_sign_and_none_in_common_is_an_error():
    one = experiment.difference(frame(a=[10], b=[1]), "a", "b")
    assert (one.sign, str(one)) == (0, "+9.0 (one seed)")
    apart = pd.concat([frame(a=[1]), frame(b=[1]).assign(seed=5)])
    with pytest.raises(ValueError, match="no seed in common"):
        experiment.difference(apart, "a", "b")


def test_rank_correlation_of_a_constant_is_nan():
    rising = pd.DataFrame({"x": [0, 1, 2], "value": [1.0, 2.0, 4.0]})
    assert experiment.rank_correlation(rising, "x") == pytest.approx(1)
    assert math.isnan(experiment.rank_correlation(rising.assign(value=1.0), "x"))


def test_a_spread_pooled_over_models_says_what_a_difference_has_to_exceed():
    values = {"a": (1.0, 3.0), "b": (5.0, 5.0), "c": (2.0, 4.0)}
    frame = pd.DataFrame(
        [{"model": m, "seed": s, "value": v} for m, of in values.items() for s, v in enumerate(of)]
    )
    # variances 2, 0, 2 with one degree of freedom each: pooled 4 / 3 with three, t = 3.1824
    assert experiment.resolution(frame) == pytest.approx(3.182446 * math.sqrt(4 / 3))
    assert math.isnan(experiment.resolution(frame[frame["seed"] == 0]))


def test_how_far_a_curve_changes_above_a_place_and_ranges_below_it():
    curve = {0.0: 5.0, 0.2: 7.0, 0.5: 6.0, 1.0: 1.0}
    frame = pd.DataFrame([{"x": x, "seed": 0, "value": v} for x, v in curve.items()])
    expected = {"change from 0.5 to 1": [5.0], "range from 0 to 0.5": [2.0]}
    assert experiment.flattening(frame, "x", 0.5) == expected


def test_a_difference_is_written_with_as_many_digits_as_asked_for():
    of = experiment.Difference(0.1234, 0.0567, 3)
    assert f"{of:.3f}" == "+0.123 ± 0.057" and f"{of}" == str(of) == "+0.1 ± 0.1"
    assert f"{experiment.Difference(1, 0, 1):.2f}" == "+1.00 (one seed)"


def test_changes_are_told_net_by_net():
    rows = [("mlp", "a", 0, 1.0), ("mlp", "b", 0, 3.0), ("lenet", "a", 0, 5.0), ("lenet", "b", 0, 1.0)]
    frame = pd.DataFrame(rows, columns=["model", "training", "seed", "value"])
    told = "mlp +2.00 (one seed), lenet -4.00 (one seed)"
    assert experiment.changes(frame, "b", "a", 2) == told


def test_noise_controls_have_as_much_noise_as_modulation(images):
    like = {"carrier": "gaussian", "beta": 0.5, "centre": 0.3}
    found = experiment.noise_controls(images.x_train, **like)
    x, sigma = images.x_train, found["additive noise"].kwargs["sigma"]
    sd = found["Gaussian multiplier"].kwargs["sd"]
    by_pixel = torch.tensor(found["noise by pixel"].kwargs["sigma"])
    assert sd * (x - 0.3).square().mean().sqrt().item() == pytest.approx(sigma, rel=1e-3)
    assert by_pixel.square().mean().sqrt().item() == pytest.approx(sigma, rel=1e-3)
    assert by_pixel.std() > 0.1 * by_pixel.mean()
    assert hash(found["noise by pixel"]) == hash(experiment.noise_controls(x, **like)["noise by pixel"])


def test_costs_are_relative_to_the_net_of_the_same_seed(nets, images):
    found = experiment.relative_cost(nets, images, base="small", turns=2)
    assert list(found["value"][found["model"] == "small"]) == [1.0, 1.0] and (found["value"] > 0).all()
    assert list(found["seed"][found["model"] == "small, again"]) == [0, 1]


def test_the_median_turn_counts_and_the_first_does_not(nets, images, monkeypatch):
    # small and perceptron of both seeds, then small of both seeds again; one turn is disturbed
    turns = [[100.0] * 6, [1, 2, 1, 4, 1, 1], [9, 9, 9, 9, 9, 9], [1, 2, 1, 4, 1, 1]]
    seconds = iter(sum(turns, []))
    monkeypatch.setattr(experiment.nets.training, "time_step", lambda *_: next(seconds))
    found = experiment.relative_cost(nets, images, base="small", turns=4).set_index(["model", "seed"])
    assert list(found["value"]) == [1, 2, 1, 4, 1, 1] and found.index[4] == ("small, again", 0)


def test_weights_of_the_same_training_are_the_same(images):
    first, second = recipes(0), recipes(1)
    assert experiment.weight_gap(first["small"], first["small"], images) == 0
    assert experiment.weight_gap(first["small"], second["small"], images) > 0
