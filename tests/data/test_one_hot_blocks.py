"""x = y e_j and the blocks with noise: where the signal is, what the rest holds, points and their weights."""

import pytest
import torch

from companion import store
from companion.data import toys
from companion.training.recipe import Recipe, part


def test_y_e_j_has_one_coordinate_at_the_label_and_the_others_at_the_centre():
    points = toys.one_hot_blocks(relevant=6, n_train=3000, n_test=60)
    v = 2 * points.x_train.flatten(1) - 1
    assert points.x_train.shape == (3000, 6, 1, 1) and points.x_test.shape == (60, 6, 1, 1)
    assert torch.equal(v.abs().sum(1), torch.ones(3000))
    assert torch.equal(v.sum(1), 2.0 * points.y_train - 1)
    places = v.abs().argmax(1).bincount(minlength=6) / 3000
    assert places.tolist() == pytest.approx([1 / 6] * 6, abs=0.03)
    assert points.y_train.float().mean().item() == pytest.approx(0.5, abs=0.04)


def test_noise_fills_the_ball_and_the_last_blocks_never_hold_the_signal():
    points = toys.one_hot_blocks(relevant=2, noise_blocks=3, block=4, eta=0.3, n_train=4000, n_test=2)
    v = (2 * points.x_train - 1).view(4000, 5, 4)
    signal = toys.signal_of(points.x_train, points.y_train, block=4).view(4000, 5, 4)
    assert torch.equal(signal.all(2), signal.any(2)) and not signal[:, 2:].any()
    assert torch.equal(signal.all(2).sum(1), torch.ones(4000, dtype=torch.int64))
    radii = v[~signal.all(2)].norm(dim=1)
    assert radii.max() <= 0.3 + 1e-6
    assert (radii / 0.3).pow(4).mean().item() == pytest.approx(0.5, abs=0.02)  # uniform in the ball of R^4
    at = v[signal.all(2)]
    torch.testing.assert_close(at.norm(dim=1), torch.ones(4000))
    assert torch.equal(at[:, 0] > 0, points.y_train == 1)


def test_distinct_points_are_at_most_two_a_block_and_their_weights_are_counts():
    points = toys.one_hot_blocks(relevant=10, n_train=500, split_seed=3)
    x, y, weights = toys.distinct(points.x_train, points.y_train)
    assert x.shape == (20, 10, 1, 1) and y.dtype == torch.int64
    assert weights.sum().item() == pytest.approx(1)
    for of, label, weight in zip(x, y, weights, strict=True):
        same = (points.x_train == of).flatten(1).all(1) & (points.y_train == label)
        assert weight.item() == pytest.approx(same.float().mean().item())
    assert len(weights.unique()) > 5  # counts of a drawn set, not 1 / 20


def test_points_that_differ_only_in_their_label_are_two():
    x, y, weights = toys.distinct(torch.zeros(4, 2), torch.tensor([0, 1, 1, 1]))
    assert x.shape == (2, 2) and y.tolist() == [0, 1] and weights.tolist() == [0.25, 0.75]


def test_a_recipe_finds_the_set_by_its_settings():
    of = part("one_hot_blocks", relevant=3, n_train=40, n_test=4, split_seed=1)
    images = store.images(of, "cpu")
    assert torch.equal(images.x_train, toys.one_hot_blocks(**of.kwargs).x_train)
    assert store.key(Recipe(data=of, model=part("one_hidden"))) != store.key(
        Recipe(data=part("one_hot_blocks", **of.kwargs | {"relevant": 4}), model=part("one_hidden"))
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"relevant": 0}, "relevant=0"),
        ({"noise_blocks": -1}, "noise_blocks=-1"),
        ({"block": 0}, "block=0"),
        ({"eta": 1.0}, r"eta=1\.0"),
        ({"n_train": 1}, "n_train=1"),
    ],
)
def test_sizes_that_make_no_set_are_named(settings, words):
    with pytest.raises(ValueError, match=words):
        toys.one_hot_blocks(**settings)


def test_there_is_never_a_single_class():
    for seed in range(20):
        points = toys.one_hot_blocks(relevant=2, n_train=2, n_test=2, split_seed=seed)
        assert set(points.y_train.tolist()) == set(points.y_test.tolist()) == {0, 1}


def test_a_block_that_does_not_fit_and_points_without_signal_are_refused():
    points = toys.one_hot_blocks(relevant=4, n_train=10, n_test=2)
    with pytest.raises(ValueError, match="block=3 does not divide the 4"):
        toys.signal_of(points.x_train, points.y_train, block=3)
    with pytest.raises(ValueError, match="10 of 10 points do not hold the signal"):
        toys.signal_of(points.x_train, 1 - points.y_train)
