"""The CNN for two blocks, one above the other."""

import pytest
import torch

from companion import models


def test_it_takes_images_twice_as_high_as_wide():
    net = models.block_cnn(1, 56, 2)
    assert net(torch.rand(3, 1, 56, 28)).shape == (3, 2)
    assert models.block_cnn(1, 16, 3)(torch.rand(2, 1, 16, 8)).shape == (2, 3)
    with pytest.raises(ValueError, match="size=20"):
        models.block_cnn(1, 20, 2)


def test_the_leaking_net_has_a_logit_for_each_class_and_opposite_signs():
    logits = models.leaking_net(3, 2)(torch.rand(4, 5, 1, 1).double())
    assert torch.allclose(logits.sum(1), torch.zeros(4).double()) and logits.shape == (4, 2)
