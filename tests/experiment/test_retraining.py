"""ROAR, KAR, DiffROAR: masks exact to the pixel, areas by hand, planted maps, trainings kept one by one."""

import dataclasses
import math
import pickle

import pandas as pd
import pytest
import torch
from torch import nn

from companion import data, experiment, metrics, models, saliency, store
from companion.store import inputs, nets
from companion.training.recipe import Mask, Recipe, part

SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
PLAIN = Recipe(part("digits", n_train=150, n_test=60), part("digits_cnn"), epochs=2)
RETRAINED = dataclasses.replace(PLAIN, optimiser=part("Adam", lr=1e-3), schedule="constant")
GRADIENT = Mask(0.5, source=PLAIN, map=part("loss_gradient"))


@pytest.fixture(autouse=True)
def fresh_store(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_STORE", str(tmp_path / "store"))
    store.images.cache_clear()
    inputs._ranks.cache_clear()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


class TestRanks:
    def test_by_hand(self):
        maps = torch.tensor([[[[0.1, -0.9], [0.5, 0.0]]]])
        assert saliency.ranks(maps).tolist() == [[[[2, 0], [1, 3]]]]

    def test_a_pixel_counts_the_absolute_values_of_its_channels_and_an_entry_its_own(self):
        maps = torch.tensor([[[[3.0, 2.0]], [[-3.0, 2.5]]]])  # signed sums would say 0 and 4.5
        assert saliency.ranks(maps).tolist() == [[[[0, 1]]]]
        assert saliency.ranks(maps, unit="entry", generator=generator(1)).sort(-1).values.shape == maps.shape
        places = saliency.ranks(maps, unit="entry", generator=generator())
        assert set(places[0, :, 0, 0].tolist()) == {0, 1} and places[0, :, 0, 1].tolist() == [3, 2]

    def test_ties_are_broken_by_the_generator_and_only_ties(self):
        maps = torch.zeros(200, 1, 4, 4)
        maps[:, 0, 0, 0], maps[:, 0, 0, 1] = 1e-30, 1e-31
        first, same, other = (saliency.ranks(maps, generator=generator(s)) for s in (0, 0, 1))
        assert torch.equal(first, same) and not torch.equal(first, other)
        assert (first[:, 0, 0, 0] == 0).all() and (first[:, 0, 0, 1] == 1).all()
        mean = first[:, 0].flatten(1)[:, 2:].float().mean(0)  # tied places 2 to 15, each pixel 8.5 on average
        assert (mean - 8.5).abs().max() < 4 * 4.04 / math.sqrt(200)

    @pytest.mark.parametrize("change", [{"unit": "image"}, {"maps": torch.tensor([[[[math.nan]]]])}])
    def test_errors(self, change):
        with pytest.raises(ValueError):
            saliency.ranks(**({"maps": torch.ones(1, 1, 2, 2)} | change))


class TestMasked:
    @pytest.mark.parametrize("unit", ["pixel", "entry"])
    @pytest.mark.parametrize("remove", ["largest", "smallest"])
    @pytest.mark.parametrize("share", [0, 0.05, *SHARES, 0.95, 1])
    def test_exactly_k_are_replaced_the_largest_or_the_smallest(self, share, remove, unit):
        maps = torch.randn(5, 3, 7, 9, generator=generator()).round(decimals=1)  # with ties
        x = torch.rand(5, 3, 7, 9, generator=generator(1)) * 0.9
        ranks = saliency.ranks(maps, unit=unit, generator=generator(2))
        gone = saliency.masked(x, ranks, share, remove=remove, fill=1.0) != x
        values = maps.abs()
        if unit == "pixel":
            assert torch.equal(gone.all(1), gone.any(1))
            gone, values = gone.any(1), values.sum(1)
        count = round(share * values[0].numel())
        assert gone.flatten(1).sum(1).tolist() == [count] * 5
        for g, v in zip(gone, values, strict=True):
            if 0 < count < v.numel():
                low, high = (v[~g], v[g]) if remove == "largest" else (v[g], v[~g])
                assert low.max() <= high.min()

    def test_a_larger_share_contains_a_smaller_one_and_roar_complements_kar(self):
        ranks = saliency.ranks(torch.rand(3, 1, 8, 8), generator=generator())
        ones = torch.ones(3, 1, 8, 8)
        masks = [saliency.masked(ones, ranks, s) for s in SHARES]
        assert all((b <= a).all() for a, b in zip(masks, masks[1:], strict=False))
        smallest = saliency.masked(ones, ranks, 1 - SHARES[1], remove="smallest")
        assert torch.equal(masks[1] + smallest, ones)

    def test_what_takes_a_pixel_s_place(self):
        x = torch.stack([torch.full((4, 2, 2), 0.2), torch.full((4, 2, 2), 0.6)], 1)
        assert saliency.fill_value(x, "channel_mean").flatten().tolist() == pytest.approx([0.2, 0.6])
        assert saliency.fill_value(x, "mean").flatten().tolist() == pytest.approx([0.4, 0.4])
        assert saliency.fill_value(x, 0.0).flatten().tolist() == [0, 0]
        fill = saliency.fill_value(x, "channel_mean")
        replaced = saliency.masked(torch.zeros_like(x), saliency.ranks(x), 1.0, fill=fill)
        assert replaced.amax((0, 2, 3)).tolist() == pytest.approx([0.2, 0.6])

    def test_the_mask_alone_holds_nothing_of_the_image(self):
        ranks = saliency.ranks(torch.rand(2, 1, 3, 3), generator=generator())
        shown = saliency.masked(torch.rand(2, 2, 3, 3), ranks, 4 / 9, shows="mask")
        assert torch.equal(shown, (ranks >= 4).float().expand(2, 2, 3, 3))

    @pytest.mark.parametrize(
        "change",
        [{"fraction": 1.1}, {"remove": "all"}, {"shows": "both"}, {"ranks": torch.zeros(1, 1, 2, 2)}],
    )
    def test_errors(self, change):
        x = torch.rand(1, 1, 3, 3)
        with pytest.raises(ValueError):
            saliency.masked(**({"x": x, "ranks": saliency.ranks(x), "fraction": 0.5} | change))

    @pytest.mark.parametrize("fill", ["median", 2.0])
    def test_unknown_fill(self, fill):
        with pytest.raises(ValueError, match="channel_mean"):
            saliency.fill_value(torch.rand(2, 1, 3, 3), fill)

    @pytest.mark.parametrize(
        "settings",
        [{"fraction": 0.0}, {"source": PLAIN}, {"remove": "all"}, {"unit": "image"}, {"shows": "both"}],
    )
    def test_a_mask_that_cannot_be_is_refused(self, settings):
        with pytest.raises(ValueError):
            Mask(**({"fraction": 0.5} | settings))
        with pytest.raises(ValueError, match="target"):
            dataclasses.replace(PLAIN, mask=Mask(0.5), target=object())


class TestAttributions:
    def setup_method(self):
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).double()
        self.x = torch.rand(6, 1, 2, 2, generator=generator(), dtype=torch.float64)
        self.y = torch.tensor([0, 1, 2, 0, 1, 2])

    def test_loss_gradient_of_a_linear_net_is_its_closed_form_for_predicted_and_true_label(self):
        logits = self.net(self.x)
        for label, y in (("predicted", logits.argmax(1)), ("true", self.y)):
            residual = logits.softmax(1) - nn.functional.one_hot(y, 3)
            expected = (residual @ self.net[1].weight).view_as(self.x)
            found = saliency.loss_gradient(self.net, self.x, self.y, label=label)
            torch.testing.assert_close(found, expected.detach())

    def test_gradient_x_input_multiplies_by_the_distance_from_the_origin(self):
        gradient = saliency.loss_gradient(self.net, self.x, self.y, of="logit")
        for origin in (0.0, 0.5):
            found = saliency.gradient_x_input(self.net, self.x, self.y, of="logit", origin=origin)
            torch.testing.assert_close(found, (self.x - origin) * gradient)

    def test_unknown_label(self):
        with pytest.raises(ValueError, match="predicted"):
            saliency.loss_gradient(self.net, self.x, self.y, label="best")


class TestAreas:
    def test_by_hand(self):
        curve = torch.tensor([[0.6, 1.0], [0.2, 1.0]])
        # (0.8 + 0.6)/2 * 0.25 + (0.6 + 0.2)/2 * 0.5 + (0.2 + 0.1)/2 * 0.25
        found = experiment.area_under([0.25, 0.75], curve, ends=(0.8, 0.1))
        assert found.tolist() == pytest.approx([0.4125, 0.8625])
        measured = torch.tensor([[0.8], [0.6], [0.2], [0.1]])
        assert experiment.area_under([0, 0.25, 0.75, 1], measured).tolist() == pytest.approx([0.4125])

    def test_scores_by_hand_and_the_ends_change_nothing(self):
        random, roar, kar = (torch.tensor([[a], [b]]) for a, b in ((0.8, 0.4), (0.6, 0.2), (0.9, 0.7)))
        for ends in ((0.9, 0.1), (0.5, 0.5)):
            assert experiment.mu_roar([0.25, 0.75], roar, random, ends=ends).item() == pytest.approx(0.15)
            assert experiment.mu_kar([0.25, 0.75], kar, random, ends=ends).item() == pytest.approx(0.15)

    def test_diff_roar_compares_all_pairs_and_its_area_is_the_sum_of_both_scores(self):
        top, bottom = torch.tensor([[0.9, 0.7]]), torch.tensor([[0.5, 0.6]])
        assert experiment.diff_roar(top, bottom).tolist()[0] == pytest.approx([0.4, 0.3, 0.2, 0.1])
        roar, kar, random = torch.rand(3, 5, 1, generator=generator(), dtype=torch.float64)
        total = experiment.mu_roar(SHARES, roar, random, ends=(1, 0)) + experiment.mu_kar(
            SHARES, kar, random, ends=(1, 0)
        )
        area = experiment.area_under(SHARES, experiment.diff_roar(kar, roar), ends=(0, 0))
        torch.testing.assert_close(area, total)

    @pytest.mark.parametrize("shares", [[0.25, 0.75], [0.5, 0.2], [0, 0, 1], [0, 0.5, 0.9]])
    def test_shares_that_leave_out_an_end_or_do_not_ascend(self, shares):
        with pytest.raises(ValueError, match="ascend"):
            experiment.area_under(shares, torch.rand(len(shares), 1))
        with pytest.raises(ValueError, match="one row"):
            experiment.area_under([0, 1], torch.rand(3, 1))


class TestCorrelation:
    def test_by_hand(self):
        # deviations (-1, 0, 1) and (-1, 2, -1): 0; ranks 1 2 3 and 1 3 2: 1 - 6 * 2 / 24
        assert metrics.correlation([1, 2, 3], [0, 3, 0]).value == pytest.approx(0)
        assert metrics.correlation([1, 2, 3], [0, 30, 1], kind="spearman").value == pytest.approx(0.5)
        assert metrics.correlation([1, 2, 9], [1, 4, 5], kind="spearman").value == pytest.approx(1)

    def test_a_line_has_no_spread_and_noise_an_interval_around_its_value(self):
        x, y = [0.1, 0.2, 0.7], [0.2, 0.1, -0.4]  # of the resamples of 3 pairs a ninth is constant
        for kind in ("pearson", "spearman"):
            line = metrics.correlation(x, y, kind=kind)
            assert (line.value, line.low, line.high) == pytest.approx((-1, -1, -1))
        x = torch.arange(40.0)
        y = x + 20 * torch.randn(40, generator=generator())
        found = metrics.correlation(x, y)
        assert found.low < found.value < found.high
        fisher = math.atanh(found.value)  # its standard error is 1 / sqrt(n - 3)
        assert found.low == pytest.approx(math.tanh(fisher - 1.96 / math.sqrt(37)), abs=0.12)
        assert found.high == pytest.approx(math.tanh(fisher + 1.96 / math.sqrt(37)), abs=0.12)
        assert found == metrics.correlation(x, y)

    @pytest.mark.parametrize("x", [[1, 1, 1], [1, 2], [[1, 2, 3]]])
    def test_errors(self, x):
        with pytest.raises(ValueError):
            metrics.correlation(x, [1, 2, 3])
        with pytest.raises(ValueError, match="kendall"):
            metrics.correlation([1, 2, 3], [1, 2, 3], kind="kendall")


def label_in_the_first_pixels(n, seed):
    """8x8 noise in which the first ten pixels spell the label, and nothing else does."""
    x, y = torch.rand(n, 1, 8, 8, generator=generator(seed)), torch.arange(n) % 10
    x.flatten(1)[:, :10] = nn.functional.one_hot(y, 10).float()
    return x, y


def planted(model, x, y):
    maps = torch.zeros_like(x)
    maps.flatten(1)[:, :10] = 1 + torch.arange(10.0)
    return maps


class TestPlantedMaps:
    @pytest.fixture(autouse=True)
    def label_written_into_pixels(self, monkeypatch):
        images = data.Images("planted", "planted", *label_in_the_first_pixels(600, 0),
                             *label_in_the_first_pixels(200, 1), tuple("0123456789"))  # fmt: skip
        for module in (inputs, nets):
            monkeypatch.setattr(module, "images", lambda recipe_data, device: images)
        planted.__module__ = "companion.saliency.maps"
        monkeypatch.setattr(saliency, "planted", planted, raising=False)

    def test_removing_a_planted_label_leaves_chance_keeping_it_leaves_everything_random_neither(self):
        recipe = dataclasses.replace(RETRAINED, model=part("mlp", hidden=(64, 64)), epochs=15)
        settings = {"fractions": (0.2, 0.6), "seeds": (0,)}
        mask = Mask(0.5, source=recipe, map=part("planted"))
        roar = experiment.retrained_accuracies(recipe, mask, **settings)
        keep = dataclasses.replace(mask, remove="smallest")
        kar = experiment.retrained_accuracies(recipe, keep, **settings)
        random = experiment.retrained_accuracies(recipe, Mask(0.5), **settings)
        assert roar.max() < 0.2 and kar.min() > 0.95 and (random > 0.25).all() and (random < 0.95).all()
        other = experiment.retrained_accuracies(recipe, Mask(0.5, seed=1), **settings)
        ends = {"ends": (1.0, 0.1)}
        planted_score = experiment.mu_roar(settings["fractions"], roar, random, **ends).item()
        best = experiment.mu_roar(settings["fractions"], torch.full_like(roar, 0.1), random, **ends).item()
        assert planted_score > 0.85 * best
        assert abs(experiment.mu_roar(settings["fractions"], other, random, **ends).item()) < 0.2 * best


class TestEngine:
    def test_random_and_end_points_are_trained_once_for_all_curves(self):
        settings = {"fractions": (0, 0.5, 1), "seeds": (0, 1)}
        gradients = [
            experiment.retrainings(RETRAINED, dataclasses.replace(GRADIENT, remove=r), **settings)
            for r in ("largest", "smallest")
        ]
        randoms = [
            experiment.retrainings(RETRAINED, Mask(0.3, remove=r), **settings)
            for r in ("largest", "smallest")
        ]
        assert randoms[0] == randoms[1]
        assert [r.seed for r in gradients[0]] == [0, 1] * 3
        different = {store.key(r) for curve in (*gradients, *randoms) for r in curve}
        assert len(different) == 2 * (2 + 3)  # both ends, and ROAR, KAR and random at one half

    def test_training_and_test_images_are_masked_by_the_source_net_s_own_maps(self):
        images = store.images_of(dataclasses.replace(PLAIN, mask=dataclasses.replace(GRADIENT, fill=1.0)))
        whole, net = data.load("digits", n_train=150, n_test=60), store.get(PLAIN)
        for masked, x, y in (
            (images.x_train, whole.x_train, whole.y_train),
            (images.x_test, whole.x_test, whole.y_test),
        ):
            score = saliency.loss_gradient(net, x, y).abs().flatten(1)
            kept = (masked == x).flatten(1) & (x < 1).flatten(1)
            median = score.median(1, keepdim=True).values
            assert not (kept & (score > median)).any()
            assert ((masked != x).flatten(1) | (x == 1).flatten(1) | (score <= median)).all()

    def test_the_seed_of_a_mask_draws_its_random_order(self):
        first, same, other = (
            store.images_of(dataclasses.replace(PLAIN, mask=Mask(0.5, seed=s, fill=1.0))) for s in (0, 0, 1)
        )
        assert torch.equal(first.x_test, same.x_test) and not torch.equal(first.x_test, other.x_test)

    def test_the_estimate_times_each_kind_of_training_once(self, monkeypatch):
        timed = []
        monkeypatch.setattr(nets, "time_step", lambda recipe, images: timed.append(recipe) or 36.0)
        sources = [
            dataclasses.replace(PLAIN, inputs=part("adversarial", norm="l2", eps=eps, steps=2))
            for eps in (0.1, 0.2, 0.3)
        ]
        masks = [Mask(0.5, source=source, map=part("loss_gradient")) for source in sources]
        jobs = [r for m in masks for r in experiment.retrainings(RETRAINED, m, fractions=SHARES, seeds=(0,))]
        # 3 sources and 15 retrainings, 2 epochs of 3 steps each, 36 s a step
        assert store.estimate(jobs, jobs=1) == "18 nets to train, about 65 min in one process."
        assert len(timed) == 2

    def test_every_retraining_is_kept_on_its_own(self, monkeypatch):
        jobs = experiment.retrainings(RETRAINED, GRADIENT, fractions=(0.3, 0.6), seeds=(0,))
        assert store.missing(jobs) == [PLAIN, *jobs] and pickle.loads(pickle.dumps(jobs)) == jobs
        assert store.estimate(jobs).startswith("3 nets to train")
        store.train_all(jobs[:1])
        assert store.missing(jobs) == jobs[1:]
        found = experiment.retrained_accuracies(RETRAINED, GRADIENT, fractions=(0.3, 0.6), seeds=(0,))
        monkeypatch.setattr(nets, "train", None)  # another training would fail
        again = experiment.retrained_accuracies(RETRAINED, GRADIENT, fractions=(0.3, 0.6), seeds=(0,))
        assert torch.equal(found, again) and found.shape == (2, 1)


def linear(in_channels, size, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * size**2, classes))


def test_the_mask_of_a_linear_net_s_logit_gradient_is_its_decision(monkeypatch):
    """BR-E12 at its purest: the gradient is the predicted class's weights, one mask for each decision."""
    linear.__module__ = "companion.models.cnn"
    monkeypatch.setattr(models, "linear", linear, raising=False)
    source = dataclasses.replace(PLAIN, data=part("digits"), model=part("linear"), epochs=3)
    mask = Mask(0.9, source=source, map=part("loss_gradient", of="logit"))
    reader = dataclasses.replace(source, optimiser=part("Adam", lr=1e-2), schedule="constant", epochs=5)
    own = dataclasses.replace(source, mask=None)
    accuracy = experiment.retrained_accuracies(own, mask, fractions=(0,), seeds=(0,)).item()
    read = dataclasses.replace(reader, mask=dataclasses.replace(mask, shows="mask"))
    about = {"source": source, "whole": data.load("digits")}
    (leak,) = store.measure_all(metrics.read_off_masks, [read], **about)
    assert leak["decision"] > 99 and leak["decision_on_errors"] > 95
    assert leak["accuracy"] == pytest.approx(100 * accuracy, abs=2)
    of_label = dataclasses.replace(mask, map=part("loss_gradient", of="logit", label="true"), shows="mask")
    (leak,) = store.measure_all(metrics.read_off_masks, [dataclasses.replace(reader, mask=of_label)], **about)
    assert leak["accuracy"] > 99 and leak["decision_on_errors"] < 5  # such a mask is the label itself
    assert leak["decision"] == pytest.approx(100 * accuracy, abs=2)
    # so a map that names the decision's own pixels scores worse than chance: nothing it removes is missed
    roar = experiment.retrained_accuracies(reader, mask, fractions=(0.9,), seeds=(0,))
    random = experiment.retrained_accuracies(reader, Mask(0.9), fractions=(0.9,), seeds=(0,))
    assert roar > random + 0.2


def test_readers_see_the_own_mask_and_that_of_another_image():
    reader = dataclasses.replace(RETRAINED, epochs=1)
    found = experiment.readings(reader, {("net", 3): PLAIN}, fractions=[0.3, 0.5])
    assert set(found["order"]) == {"own", "another's", "chance"} and set(found["model"]) == {"net"}
    assert set(found["share"]) == {0.3, 0.5} and found["value"].between(0, 100).all()
    assert len(found) == 2 * 2 * 3 + 2
    assert set(found.loc[found["order"] == "chance", "value"]) == {10.0}
    assert [store.present(PLAIN), len(list(store.folder().glob("*.safetensors")))] == [True, 1]


def test_another_image_s_mask_tells_the_decision_and_nothing_of_this_image(monkeypatch):
    """A linear net's logit gradient is its decision: readers of another's mask repeat every error."""
    linear.__module__ = "companion.models.cnn"
    monkeypatch.setattr(models, "linear", linear, raising=False)
    source = dataclasses.replace(PLAIN, data=part("digits"), model=part("linear"), epochs=3)
    made = {"optimiser": part("Adam", lr=1e-2), "schedule": "constant", "epochs": 5}
    mean = Mask(0.9, source=source, map=experiment.one_order(torch.rand(1, 8, 8)), shows="mask")
    about = {"source": source, "whole": data.load("digits")}
    blind = dataclasses.replace(source, mask=mean, **made)  # one order for all: nothing to read
    (nothing,) = store.measure_all(metrics.read_off_masks, [blind], **about)
    found = experiment.readings(dataclasses.replace(source, **made), {("net", 0): source}, fractions=[0.9])
    errors = found[found["quantity"] == "decision_on_errors"].set_index("order")["value"]
    assert errors["another's"] > errors["chance"] + 40 and nothing["decision_on_errors"] < 40


class TestRetrained:
    def asked(self):
        both = [{"seed": 0, "metric": m, "order": "G", "seeds": [5, 6]} for m in ("ROAR", "KAR")]
        for row, remove in zip(both, ("largest", "smallest"), strict=True):
            row["mask"] = dataclasses.replace(GRADIENT, remove=remove)
        random = {"seed": 0, "metric": "ROAR", "order": "random", "seeds": [7], "mask": Mask(0.5)}
        return pd.DataFrame([*both, random])

    def test_curves_are_those_of_the_nets_and_only_these_are_forgotten(self, monkeypatch):
        said = []
        found = experiment.retrained(RETRAINED, self.asked(), fractions=[0.3, 0.6], announce=said.append)
        assert len(found) == 6 and list(found["share"]) == [0.3, 0.6] * 3
        assert said[0].startswith("11 nets to train") and "are not kept; they would take" in said[0]
        assert [p.stem for p in store.folder().glob("*.safetensors")] == [store.key(PLAIN)]
        monkeypatch.setattr(nets, "train", None)  # another training would fail
        again = experiment.retrained(RETRAINED, self.asked(), fractions=[0.3, 0.6], announce=said.append)
        assert again.equals(found) and len(said) == 1

    def test_kept_nets_give_the_same_curve(self):
        row = self.asked()[:1]
        found = experiment.retrained(RETRAINED, row, fractions=[0.5], keep_nets=True, announce=lambda _: None)
        kept = experiment.retrained_accuracies(RETRAINED, GRADIENT, fractions=(0.5,), seeds=(5, 6))
        assert found["value"].item() == pytest.approx(100 * kept.mean().item())
        assert len(list(store.folder().glob("*.safetensors"))) == 3

    def test_scores_are_areas_against_the_random_order_of_the_same_seed(self):
        rows = [
            {"metric": metric, "seed": seed, "order": "G", "share": share, "value": value}
            for seed, shift in ((0, 0.0), (1, 10.0))
            for metric, values in (("ROAR", (50, 30)), ("KAR", (90, 80)))
            for share, value in zip((0.25, 0.75), values, strict=True)
            for value in [value + shift]
        ]
        random = [
            {"seed": s, "share": q, "value": v} for s in (0, 1) for q, v in ((0.75, 40.0), (0.25, 80.0))
        ]
        found = experiment.scores(pd.DataFrame(rows), pd.DataFrame(random))
        # gaps 30 and 10 at 0.25 and 0.75: triangles at the ends, a trapezoid between
        values = found.set_index(["metric", "seed"])["value"]
        assert values["ROAR", 0] == pytest.approx(0.125 * 30 + 0.25 * 40 + 0.125 * 10)
        assert values["KAR", 0] == pytest.approx(0.125 * 10 + 0.25 * 50 + 0.125 * 40)
        assert values["ROAR", 1] == pytest.approx(0.125 * 20 + 0.25 * 20)


def test_map_scores_are_roar_kar_and_what_another_image_s_map_does_not_earn():
    many, at = {("net", seed): dataclasses.replace(PLAIN, seed=seed) for seed in (0, 1)}, [0.3, 0.6]
    found = experiment.map_scores(RETRAINED, many, fractions=at, announce=lambda _: None)
    value = found[found["seed"] == 0].set_index("quantity")["value"]
    assert len(found) == 6 and len(value) == 3
    other = dataclasses.replace(GRADIENT, map=part("gradient_elsewhere"))
    masks = GRADIENT, dataclasses.replace(GRADIENT, remove="smallest"), other, Mask(0.5)
    settings = {"fractions": at, "seeds": [1000]}
    roar, kar, other, random = (experiment.retrained_accuracies(RETRAINED, m, **settings) for m in masks)
    mu, mu_other = (100 * experiment.mu_roar(at, a, random, ends=(0, 0)).item() for a in (roar, other))
    assert value["ROAR"] == pytest.approx(mu)
    assert value["ROAR, own − another"] == pytest.approx(mu - mu_other)
    area = experiment.area_under(at, experiment.diff_roar(kar, roar), ends=(0, 0))
    assert value["ROAR"] + value["KAR"] == pytest.approx(100 * area.item())


def test_apart_takes_pairs_of_the_same_net_metric_and_seed():
    rows = [("a", "ROAR", 0, "own", 3.0), ("a", "ROAR", 0, "other", 1.0), ("a", "ROAR", 1, "own", 9.0)]
    frame = pd.DataFrame(rows, columns=["model", "metric", "seed", "order", "value"])
    found = experiment.apart(frame, "own", "other")
    assert found.to_dict("records") == [{"model": "a", "metric": "ROAR", "seed": 0, "value": 2.0}]
    assert experiment.by_model(found)["a"].mean == 2.0


def test_scores_at_equal_accuracy_are_read_off_the_lines():
    def line(norm, offset, accuracies):
        about = {"metric": "ROAR", "map": "GX", "objective": "CE", "seed": 0, "norm": norm}
        return [
            {**about, "strength": s, "accuracy": a, "value": offset - a}
            for s, a in zip((0.0, 0.5, 1.0), accuracies, strict=True)
        ]

    frame = pd.DataFrame([*line("l2", 100, (90, 80, 70)), *line("linf", 95, (90, 70, 60))])
    found = experiment.at_equal_accuracy(frame).set_index("norm")["value"]
    assert found["l2"] == pytest.approx(100 - 70) and found["linf"] == pytest.approx(95 - 70)


class TestOrders:
    x, y = torch.rand(6, 1, 4, 4, generator=generator()), torch.zeros(6, dtype=torch.int64)

    def test_one_order_ranks_all_images_alike_by_the_values(self):
        values = torch.rand(1, 4, 4, generator=generator(1)) - 0.5
        maps = saliency.given_order(None, self.x, self.y, **experiment.one_order(values).kwargs)
        expected = saliency.ranks(values[None]).expand(6, -1, -1, -1)
        assert torch.equal(saliency.ranks(maps), expected)
        with pytest.raises(ValueError, match="16 entries"):
            saliency.given_order(None, self.x, self.y, values=(1.0,))

    def test_maps_of_other_images_are_the_own_ones_in_other_places_of_the_same_predicted_class(self):
        net, images = store.get(PLAIN), data.load("digits", n_train=150, n_test=60)
        x, y = images.x_test, images.y_test
        own = saliency.loss_gradient(net, x, y)
        other = saliency.gradient_elsewhere(net, x, y, generator=generator())
        predicted = net(x).argmax(1)
        whose = [(own == m).flatten(1).all(1).nonzero().flatten().tolist() for m in other]
        moved = sum(i not in w for i, w in enumerate(whose))
        assert moved >= 60 - 2 * len(predicted.unique())  # all but those alone in their class
        assert all(predicted[i] == predicted[w[0]] for i, w in enumerate(whose))


PLANTED = {"model": part("mlp", hidden=(32, 32)), "epochs": 12, "batch_size": 20}
PLANTED["optimiser"] = part("Adam", lr=3e-3)


def planted_values(**changed):
    recipe = dataclasses.replace(RETRAINED, **PLANTED | changed)
    rows = experiment.planted_scores(data.load("digits"), recipe, count=600)
    return {(row["metric"], row["quantity"]): row["value"] for row in rows}


def test_a_label_stands_in_one_of_four_places_and_its_map_marks_it_without_telling_it():
    images = data.load("digits")
    of, (train, test) = experiment.planted.planted_images(images, count=400, seed=0)
    assert train.shape == (400, 1, 8, 8) and test.shape == (200, 1, 8, 8)
    for x, y, marks in ((of.x_train, of.y_train, train), (of.x_test, of.y_test, test)):
        assert (marks.flatten(1).sum(1) == 10).all()
        hidden = x[marks == 0]
        assert hidden.min() >= 0.48 and hidden.max() <= 0.52
        assert (x[marks == 1].view(-1, 10).argmax(1) == y).all()
        places = marks.flatten(1).argmax(1)
        assert sorted(set(places.tolist())) == [0, 16, 32, 48]
        told = [set(places[y == label].tolist()) for label in range(10)]
        assert all(len(of_class) > 1 for of_class in told)  # a place does not name a class


def test_the_planted_maps_reach_the_largest_score_and_beat_those_of_other_images():
    found = planted_values()
    for metric in ("ROAR", "KAR"):
        assert found[metric, "fraction of the largest"] > 0.85
        assert found[metric, "own − another's"] > 5


def test_where_all_images_have_one_place_the_own_map_is_credited_nothing(monkeypatch):
    """The control itself: one order for all is right, and yet no image's own."""
    monkeypatch.setattr(experiment.planted, "PLACES", 1)
    found = planted_values()
    assert found["ROAR", "fraction of the largest"] > 0.85 and abs(found["ROAR", "own − another's"]) < 3
    assert abs(found["KAR", "own − another's"]) < 5


def test_planted_labels_of_nets_that_learn_nothing_are_not_credited():
    found = planted_values(epochs=1, optimiser=part("SGD", lr=1e-6))
    assert abs(found["KAR", "fraction of the largest"]) < 0.3 and abs(found["KAR", "own − another's"]) < 10


def test_a_grid_has_every_net_optimiser_and_training_once():
    kinds = {"mlp": (part("mlp", hidden=(8, 8)), 3), "cnn": (part("digits_cnn"), 2)}
    optimisers = {"Adam": part("Adam", lr=0.1), "SGD": part("SGD", lr=0.2)}
    noisy = part("noise_modulation")
    found = experiment.grid(RETRAINED, kinds, optimisers, {"plain": None, "noisy": noisy})
    assert len(found) == 8 and found["model"].is_unique
    of = found.set_index("model")["recipe"]["cnn, SGD, noisy"]
    assert (of.model, of.epochs, of.optimiser, of.inputs) == (part("digits_cnn"), 2, optimisers["SGD"], noisy)
    assert of.batch_size == RETRAINED.batch_size


def test_before_and_after_are_means_in_the_order_of_the_frame():
    rows = [("b", "SGD", "before", 1.0), ("b", "SGD", "before", 2.0), ("b", "SGD", "after", 3.0)]
    rows += [("a", "SGD", "before", 0.0), ("a", "SGD", "after", -1.0)]
    frame = pd.DataFrame(rows, columns=["net", "optimiser", "training", "value"]).assign(quantity="q")
    other = frame.assign(quantity="other", value=99.0)
    said = experiment.from_to(pd.concat([frame, other]), "q", "training", 1)
    assert said == "b, SGD 1.5 → 3.0; a, SGD 0.0 → -1.0"


def test_what_one_column_of_a_grid_adds_is_paired_by_seed():
    rows = [
        (net, o, "standard", seed, base + seed + (0.5 + 0.1 * seed if o == "SGD" else 0))
        for net, base in (("mlp", 1), ("cnn", 7))
        for o in ("SGD", "Adam")
        for seed in (0, 1)
    ]
    frame = pd.DataFrame(rows, columns=["net", "optimiser", "training", "seed", "value"])
    said = experiment.added(frame.assign(quantity="q"), "q", "optimiser", "SGD", "Adam")
    assert said.startswith("mlp +0.55 ± ") and "; cnn +0.55 ± " in said


def test_gradients_of_a_linear_net_lie_where_its_weights_do():
    images = data.load("digits", n_train=150, n_test=60)
    spread = images.x_train.std(0).flatten()
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10, bias=False))
    nn.init.zeros_(net[1].weight)
    with torch.no_grad():
        net[1].weight[0] = spread  # the gradient is a multiple of this row for every image
    found = metrics.gradient_spread(net.eval(), images)
    assert found["spread, all pixels"] == pytest.approx(1) == found["spread, pixels that vary"]
    with torch.no_grad():
        net[1].weight[0] = spread.max() - spread
    found = metrics.gradient_spread(net, images)
    assert found["spread, pixels that vary"] == pytest.approx(-1)


def test_pairs_that_are_no_numbers_have_no_correlation():
    with pytest.raises(ValueError, match="NaN"):
        metrics.correlation([1, 2, 3], [1, 2, math.nan])
