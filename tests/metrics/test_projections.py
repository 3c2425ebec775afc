"""Projections by hand: planes, nearest images, steps of a given length."""

import pytest
import torch

from companion import data, metrics


def images(count, seed=0):
    return torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(seed))


def test_points_of_a_plane_are_their_own_projection_and_others_are_moved_at_right_angles():
    axes = torch.linalg.qr(torch.randn(16, 2, generator=torch.Generator().manual_seed(1)))[0].T
    weights = torch.rand(50, 2, generator=torch.Generator().manual_seed(2)) * torch.tensor([0.2, 0.1])
    on = (0.5 + weights @ axes).view(-1, 1, 4, 4)
    torch.testing.assert_close(metrics.principal_projection(on, on, dimensions=2), on)
    off = images(5)
    moved = off - metrics.principal_projection(off, on, dimensions=2)
    torch.testing.assert_close(moved.flatten(1) @ axes.T, torch.zeros(5, 2), atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="dimensions=17"):
        metrics.principal_projection(off, on, dimensions=17)


def test_more_components_are_nearer():
    x, train = images(20, 3), images(40, 4)
    planes = metrics.principal_projections(x, train, dimensions=[1, 4, 8, 16])
    errors = [(x - of).norm().item() for of in planes]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 1e-4
    torch.testing.assert_close(planes[1], metrics.principal_projection(x, train, dimensions=4))


def test_fewer_images_than_entries_have_the_same_plane():
    x, few = images(6, 8), images(10, 9)  # 10 images of 16 entries: the other way to the axes
    flat = few.flatten(1).double()
    axes = torch.linalg.eigh(torch.cov(flat.T, correction=0)).eigenvectors[:, -3:]
    expected = flat.mean(0) + (x.flatten(1).double() - flat.mean(0)) @ axes @ axes.T
    found = metrics.principal_projection(x, few, dimensions=3)
    torch.testing.assert_close(found.flatten(1).double(), expected, atol=1e-5, rtol=0)


def test_the_nearest_image_is_found_in_every_chunk():
    train = images(30, 5)
    x = train[[7, 3, 29, 0, 12]] + 0.001
    assert torch.equal(metrics.nearest_image(x, train, chunk=2), train[[7, 3, 29, 0, 12]])


def test_a_random_step_has_the_length_asked_for_inside_the_box():
    x = images(8, 6).round()  # black and white: half of every direction leads out
    length = torch.linspace(0.1, 1.5, 8)
    moved = metrics.random_step(x, length, generator=torch.Generator().manual_seed(0))
    assert moved.min() >= 0 and moved.max() <= 1
    torch.testing.assert_close((moved - x).flatten(1).norm(dim=1), length, atol=1e-4, rtol=0)
    again = metrics.random_step(x, length, generator=torch.Generator().manual_seed(0))
    assert torch.equal(moved, again)


def test_a_scaled_step_leaves_pixels_that_never_vary_alone():
    x, length = images(8, 6), torch.full((8,), 0.3)
    scale = torch.zeros(1, 4, 4)
    scale[0, 1, 2], scale[0, 3, 0] = 1.0, 3.0
    directions = [torch.Generator().manual_seed(s) for s in range(200)]
    steps = torch.stack([metrics.random_step(x, length, scale=scale, generator=g) - x for g in directions])
    assert torch.equal(steps.abs().amax((0, 1)) > 0, scale > 0)
    torch.testing.assert_close(steps.flatten(2).norm(dim=2), length.expand(200, 8), atol=1e-4, rtol=0)
    sizes = steps.abs().mean((0, 1))
    assert sizes[0, 3, 0] > 1.5 * sizes[0, 1, 2]


def test_a_step_to_a_class_leads_to_a_training_image_of_another_class():
    found = data.load("digits", n_train=40, n_test=6)
    x, y, far = found.x_test, found.y_test, torch.full((6,), 100.0)
    for seed in range(5):
        draw = [torch.Generator().manual_seed(seed) for _ in range(2)]
        ends = metrics.step_towards(x, y, found, far, generator=draw[0])
        same = (ends[:, None] - found.x_train).flatten(2).norm(dim=2) < 1e-5
        assert same.any(1).all() and not (same & (found.y_train == y[:, None])).any()
        step = metrics.step_towards(x, y, found, far / 200, generator=draw[1]) - x
        torch.testing.assert_close(step.flatten(1).norm(dim=1), far / 200)
        cosines = torch.cosine_similarity(step.flatten(1), (ends - x).flatten(1))
        torch.testing.assert_close(cosines, torch.ones(6))
