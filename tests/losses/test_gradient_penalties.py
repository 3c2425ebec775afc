"""Double backpropagation and the alignment penalty against closed forms on a linear net; SmallNet."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from companion import losses, metrics, models


@pytest.fixture
def linear():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 5)).double()
    x, y = torch.rand(7, 1, 3, 4, dtype=torch.float64), torch.randint(0, 5, (7,))
    return net, x, y, net[1].weight


def finite_difference(value, parameter, index, step=1e-6):
    with torch.no_grad():
        parameter[index] += step
        up = value().item()
        parameter[index] -= 2 * step
        down = value().item()
        parameter[index] += step
    return (up - down) / (2 * step)


class TestDoubleBackprop:
    def test_eq_17_on_a_linear_net(self, linear):
        """The gradient of the cross-entropy is W^T (p - e_y)."""
        net, x, y, weight = linear
        slopes = (net(x).softmax(1) - F.one_hot(y, 5)) @ weight
        expected = F.cross_entropy(net(x), y) + 0.3 * slopes.square().sum(1).mean()
        torch.testing.assert_close(losses.double_backprop(net, x, y, lambda_g=0.3), expected)

    @pytest.mark.parametrize("batch", [1, 3, 7])
    def test_the_released_code_divides_by_the_batch_size_squared(self, linear, batch):
        """It penalises the gradient of the batch mean, whose rows are 1 / B of the samples' gradients."""
        net, x, y, _ = linear
        x, y = x[:batch], y[:batch]
        point = x.clone().requires_grad_()
        rows = torch.autograd.grad(F.cross_entropy(net(point), y), point)[0].flatten(1)
        released = losses.double_backprop(net, x, y, lambda_g=10.0, scaling="released")
        expected = F.cross_entropy(net(x), y) + 10.0 * rows.square().sum(1).mean()
        torch.testing.assert_close(released, expected)
        same = losses.double_backprop(net, x, y, lambda_g=10.0 / batch**2)
        torch.testing.assert_close(released, same)

    def test_it_trains_with_dropout_active(self):
        """One mask for the loss and its gradient, as in the released code; lambda 0 is cross-entropy."""
        net = models.small_net(size=8).train()
        x, y = torch.rand(6, 1, 8, 8), torch.arange(6)
        torch.manual_seed(0)
        plain = F.cross_entropy(net(x), y)
        torch.manual_seed(0)
        torch.testing.assert_close(losses.double_backprop(net, x, y, lambda_g=0.0), plain)
        losses.double_backprop(net, x, y, lambda_g=1.0).backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())

    def test_other_scalings_are_refused(self, linear):
        with pytest.raises(ValueError, match='scaling=.*"sample".*"released"'):
            losses.double_backprop(*linear[:3], lambda_g=1.0, scaling="mean")


class TestAlignmentPenalty:
    @pytest.mark.parametrize("term", ["outlook", "norm", "angle"])
    def test_value_on_a_linear_net(self, linear, term):
        net, x, y, weight = linear
        g, v = weight[net(x).argmax(1)], x.flatten(1)
        norms, inner = v.square().sum(1) * g.square().sum(1), (v * g).sum(1)
        terms = {"outlook": norms - inner**2, "norm": norms, "angle": 1 - inner**2 / norms}
        expected = F.cross_entropy(net(x), y) + 0.2 * terms[term].mean()
        torch.testing.assert_close(losses.alignment_penalty(net, x, y, lambda_a=0.2, term=term), expected)

    def test_it_is_the_part_of_the_gradient_across_x_and_never_negative(self, linear):
        """ET-C13, and how it goes with alpha: ||x||^2 ||g||^2 - <x, g>^2 = ||g||^2 (||x||^2 - alpha^2)."""
        net, x, y, weight = linear
        g = weight[net(x).argmax(1)]
        across = g.square().sum(1) * (x.flatten(1).square().sum(1) - metrics.alignment(net, x).square())
        value = losses.alignment_penalty(net, x, y, lambda_a=1.0) - losses.cross_entropy(net, x, y)
        torch.testing.assert_close(value, across.mean())
        assert value > 0

    def test_zero_where_the_gradient_lies_along_x(self):
        net, x = nn.Linear(6, 2, bias=False).double(), torch.rand(1, 6, dtype=torch.float64)
        net.weight.data = torch.cat([2 * x, -3 * x])
        y = torch.tensor([0])
        for term in ("outlook", "angle"):
            value = losses.alignment_penalty(net, x, y, lambda_a=1.0, term=term)
            torch.testing.assert_close(value, losses.cross_entropy(net, x, y), atol=1e-9, rtol=0)

    def test_the_angle_does_not_fall_when_the_gradient_shrinks(self, linear):
        """What separates alignment from a Lipschitz penalty: scaling the net changes the first two terms."""
        net, x, y, weight = linear

        def value(term):
            found = losses.alignment_penalty(net, x, y, lambda_a=1.0, term=term)
            return (found - losses.cross_entropy(net, x, y)).item()

        before = {term: value(term) for term in ("outlook", "norm", "angle")}
        weight.data *= 0.5
        net[1].bias.data *= 0.5
        assert value("outlook") == pytest.approx(before["outlook"] / 4)
        assert value("norm") == pytest.approx(before["norm"] / 4)
        assert value("angle") == pytest.approx(before["angle"])

    def test_other_terms_are_refused(self, linear):
        with pytest.raises(ValueError, match='term=.*"outlook"'):
            losses.alignment_penalty(*linear[:3], lambda_a=1.0, term="alpha")


@pytest.mark.parametrize(
    ("loss", "settings"),
    [
        (losses.double_backprop, {"lambda_g": 2.0}),
        (losses.double_backprop, {"lambda_g": 50.0, "scaling": "released"}),
        (losses.alignment_penalty, {"lambda_a": 0.5}),
        (losses.alignment_penalty, {"lambda_a": 0.5, "term": "norm"}),
        (losses.alignment_penalty, {"lambda_a": 2.0, "term": "angle"}),
    ],
)
def test_second_derivatives_reach_the_parameters(loss, settings):
    """On a net with a curved layer, against finite differences; under no_grad the value is the same."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.Softplus(), nn.Linear(6, 3)).double()
    x, y = torch.rand(5, 4).double(), torch.randint(0, 3, (5,))
    value = loss(net, x, y, **settings)
    value.backward()
    for index in ((2, 1), (5, 3)):
        slope = finite_difference(lambda: loss(net, x, y, **settings), net[0].weight, index)
        assert net[0].weight.grad[index].item() == pytest.approx(slope, rel=1e-5, abs=1e-8)
    with torch.no_grad():
        torch.testing.assert_close(loss(net, x, y, **settings), value.detach())


def test_a_dead_net_gives_finite_gradients():
    net = nn.Linear(4, 3)
    nn.init.zeros_(net.weight)
    x, y = torch.rand(2, 4), torch.tensor([0, 1])
    losses.double_backprop(net, x, y, lambda_g=1.0).backward()
    for term in ("outlook", "norm", "angle"):
        losses.alignment_penalty(net, x, y, lambda_a=1.0, term=term).backward()
    assert net.weight.grad.isfinite().all()


class TestSmallNet:
    def test_parameters_and_shape(self):
        net = models.small_net()
        assert sum(p.numel() for p in net.parameters()) == 241_546
        assert net(torch.rand(2, 1, 28, 28)).shape == (2, 10)
        flat = next(layer for layer in net if isinstance(layer, nn.Linear))
        assert flat.in_features == 1152  # 28-14-7-3

    def test_it_is_built_for_other_images_too(self):
        net = models.small_net(3, 8, 4, channels=(8, 16, 32), hidden=20)
        assert net(torch.rand(2, 3, 8, 8)).shape == (2, 4)

    def test_weights_are_glorot_uniform_and_biases_zero(self):
        torch.manual_seed(0)
        for layer in models.small_net():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                fan_out, fan_in = layer.weight.shape[:2]
                bound = math.sqrt(6 / ((fan_in + fan_out) * layer.weight[0, 0].numel()))
                largest = layer.weight.abs().max().item()
                assert 0.98 * bound < largest <= bound
                assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)
                assert (layer.bias == 0).all()

    def test_at_the_start_it_is_homogeneous(self):
        """No constants yet: lemma 2 holds until the first step moves a bias."""
        net, x = models.small_net(size=8).double(), torch.rand(5, 1, 8, 8, dtype=torch.float64)
        rho, alpha = metrics.linearised_robustness(net, x), metrics.binarised_alignment(net, x)
        torch.testing.assert_close(rho, alpha, atol=1e-9, rtol=0)

    @pytest.mark.parametrize(
        ("settings", "words"), [({"size": 7}, "size=7"), ({"dropout": 1.0}, "dropout=1.0")]
    )
    def test_bad_settings(self, settings, words):
        with pytest.raises(ValueError, match=words):
            models.small_net(**settings)
