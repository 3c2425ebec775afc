"""Faster attacks are the plain attack: what they record, what they skip, what they round."""

import pytest
import torch

from companion import attacks, models


@pytest.fixture
def net():
    torch.manual_seed(0)
    return models.digits_cnn().eval()


@pytest.fixture
def batch(net):
    """Forty images with the net's own predictions as labels; some fall, some withstand."""
    x = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return x, net(x).argmax(1)


SETTINGS = {"norm": "l2", "eps": 0.15, "steps": 6, "step_size": 0.05, "start": "none"}


@pytest.mark.parametrize("loss", ["cross_entropy", "margin"])
def test_trace_is_the_objective_at_each_iterate(net, batch, loss):
    x, y = batch
    trace = []
    attacks.pgd(net, x, y, **SETTINGS, loss=loss, trace=trace)
    assert len(trace) == 6 and all(step.shape == (40,) for step in trace)
    for steps in (1, 3):  # the iterate that step 1 and step 3 start from
        reached = attacks.pgd(net, x, y, **SETTINGS | {"steps": steps}, loss=loss)
        with torch.no_grad():
            torch.testing.assert_close(trace[steps], attacks.OBJECTIVES[loss](net(reached), y))
    assert (trace[-1] > trace[0]).all()


def test_trace_of_a_sample_ends_with_the_iterate_it_falls_at(net, batch):
    x, y = batch
    trace = []
    adversarial = attacks.pgd(net, x, y, **SETTINGS, loss="margin", stop_early=True, trace=trace)
    trace = torch.stack(trace)
    fell = ~attacks.correct(net, adversarial, y)
    assert fell.any() and not fell.all()
    for i in range(40):
        seen = trace[:, i][~trace[:, i].isnan()]
        assert trace[len(seen) :, i].isnan().all()
        assert (seen[:-1] < 0).all()
        assert not (len(seen) < len(trace)) or seen[-1] > 0
    assert not trace[:, ~fell].isnan().any()
