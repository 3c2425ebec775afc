"""Two Gaussians: the distribution, the scale, the printed covariance, the way through load."""

import pytest
import torch

from companion import data
from companion.data import toys


def test_moments_are_those_of_the_paper_s_code_under_one_affine_map():
    points = toys.gaussians(n=40_000)
    x, y = points.x_train.flatten(1).double(), points.y_train
    means = torch.stack([x[y == k].mean(0) for k in (0, 1)])
    scale = (means[0] - means[1])[0].item() / 2.4  # per axis, from the means' first coordinates
    assert (means[0] - means[1])[1].item() == pytest.approx(0.2 * scale, rel=0.02)
    for k in (0, 1):
        covariance = x[y == k].T.cov() / scale**2
        torch.testing.assert_close(
            covariance, torch.tensor(toys.COVARIANCE, dtype=torch.float64), rtol=0.04, atol=0
        )


def test_training_points_fill_the_unit_square_by_one_scale_and_test_points_stay_inside():
    points = toys.gaussians(split_seed=3)
    assert points.x_train.aminmax() == (0, 1)
    assert points.x_test.min() >= 0 and points.x_test.max() <= 1
    assert points.x_train.shape == points.x_test.shape == (6000, 2, 1, 1)
    assert points.y_train.bincount().tolist() == points.y_test.bincount().tolist() == [3000, 3000]
    assert not torch.equal(points.x_train, points.x_test)
    height = points.x_train[:, 1].max() - points.x_train[:, 1].min()
    assert height < 0.25  # one scale for both axes: the flat classes stay flat


def test_the_printed_covariance_is_none():
    with pytest.raises(ValueError, match=r"eigenvalue -0\.00079.*BR-E1"):
        toys.gaussians(covariance=toys.PRINTED_COVARIANCE)
    with pytest.raises(ValueError, match="symmetric"):
        toys.gaussians(covariance=[[1.0, 0.5], [0.0, 1.0]])


def test_a_recipe_draws_by_split_seed_and_takes_subsets():
    gaussians = data.maker("gaussians")
    first, same, other = (gaussians(split_seed=s) for s in (0, 0, 1))
    assert torch.equal(first.x_train, same.x_train) and not torch.equal(first.x_train, other.x_train)
    few = gaussians(n_train=10, n_test=4, hold_out=0.5)
    assert (len(few.y_train), len(few.y_test), few.channels, few.size, few.n_classes) == (5, 4, 2, 1, 2)
    with pytest.raises(ValueError, match=r"use companion\.data\.maker\('gaussians'\)\(\)"):
        data.load("gaussians")


@pytest.mark.parametrize("name", data.sources.DRAWN)
def test_drawn_points_need_no_files(name):
    data.require(name)
    assert data.identity(name) == name and data.checksums(name) == {}
    assert data.fetch(name) is None
    assert data.maker(name) is getattr(toys, name)
