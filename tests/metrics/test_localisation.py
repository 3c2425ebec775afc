"""Where a map is large: planted maps with known scores."""

import pytest
import torch

from companion import metrics

SIGNAL = torch.tensor([[True, False, False, False], [False, False, True, False]])


def scores(maps):
    return [f(maps, SIGNAL).tolist() for f in (metrics.top1, metrics.bottom1, metrics.ratio, metrics.mass_on)]


def test_a_map_on_the_signal_alone_and_one_everywhere_else():
    assert scores(-3.0 * SIGNAL) == [[1, 1], [0, 0], [torch.inf] * 2, [1, 1]]
    assert scores(2.0 * ~SIGNAL) == [[0, 0], [1, 1], [0, 0], [0, 0]]


def test_a_constant_map_scores_what_chance_gives():
    assert scores(torch.full((2, 4), -0.5)) == [[0.25, 0.25], [0.25, 0.25], [1, 1], [0.25, 0.25]]


def test_signs_and_scale_do_not_count_and_samples_are_independent():
    maps = torch.tensor([[-4.0, 1, 2, 3], [4, 1, 2, 3]])
    top, bottom, ratio, mass = scores(maps)
    assert (top, bottom) == ([1, 0], [0, 0])
    assert ratio == pytest.approx([2, 0.75]) and mass == pytest.approx([0.4, 0.2])
    assert scores(-8 * maps) == scores(maps)


def test_images_with_a_shared_mask_of_a_block():
    maps = torch.rand(5, 1, 4, 6)
    upper = torch.zeros(4, 6, dtype=torch.bool)
    upper[:2] = True
    found = metrics.mass_on(maps, upper)
    torch.testing.assert_close(found, maps[:, 0, :2].sum((1, 2)) / maps.sum((1, 2, 3)))
    torch.testing.assert_close(metrics.mass_on(maps, ~upper), 1 - found)


def test_a_map_of_zeros_has_no_mass_to_share():
    assert metrics.mass_on(torch.zeros(2, 4), SIGNAL).isnan().all()
    assert metrics.top1(torch.zeros(2, 4), SIGNAL).tolist() == [0.25, 0.25]


def test_masks_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="does not fit"):
        metrics.top1(torch.rand(2, 4), SIGNAL[:, :3])
    with pytest.raises(ValueError, match="all true or all false"):
        metrics.ratio(torch.rand(2, 4), torch.ones(2, 4, dtype=torch.bool))
