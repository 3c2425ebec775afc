"""Penalties against closed forms on a linear net, z = W x + c, whose logit gradients are the rows of W."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from companion import losses

NORMS = {
    ("l1", False): lambda g: g.abs().sum(-1),
    ("l1", True): lambda g: g.abs().sum(-1) ** 2,
    ("l2", False): lambda g: g.norm(dim=-1),
    ("l2", True): lambda g: g.square().sum(-1),
    ("linf", False): lambda g: g.abs().amax(-1),
    ("linf", True): lambda g: g.abs().amax(-1) ** 2,
}


@pytest.fixture
def linear():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 5)).double()
    return net, torch.rand(7, 1, 3, 4, dtype=torch.float64), torch.randint(0, 5, (7,))


@pytest.mark.parametrize(("norm", "squared"), NORMS)
@pytest.mark.parametrize("biases", [True, False])
def test_weights_count_as_one_vector_with_or_without_biases(linear, norm, squared, biases):
    net, x, y = linear
    vector = torch.cat([p.detach().flatten() for p in (net[1].weight, net[1].bias)[: 1 + biases]])
    found = losses.penalised(net, x, y, weight_norm=norm, weight_squared=squared, biases=biases, lambda_w=0.3)
    expected = losses.cross_entropy(net, x, y) + 0.3 * NORMS[norm, squared](vector)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize(("norm", "squared"), NORMS)
@pytest.mark.parametrize("of", ["cross_entropy", "logit"])
def test_gradients_count_sample_by_sample(linear, norm, squared, of):
    net, x, y = linear
    weight = net[1].weight.detach()
    rows = weight[y] if of == "logit" else (net(x).softmax(1) - F.one_hot(y, 5)).detach() @ weight
    found = losses.penalised(net, x, y, gradient_norm=norm, gradient_squared=squared, lambda_g=0.7, of=of)
    expected = losses.cross_entropy(net, x, y) + 0.7 * NORMS[norm, squared](rows).mean()
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


def test_both_penalties_add_up(linear):
    net, x, y = linear
    weight = {"weight_norm": "l1", "lambda_w": 0.2}
    gradient = {"gradient_norm": "linf", "lambda_g": 0.5}
    bare, first, second, both = (
        losses.penalised(net, x, y, **settings).detach()
        for settings in ({}, weight, gradient, weight | gradient)
    )
    torch.testing.assert_close(both - bare, (first - bare) + (second - bare))
    torch.testing.assert_close(bare, losses.cross_entropy(net, x, y).detach())


def test_squared_l2_of_the_loss_gradient_is_double_backpropagation(linear):
    net, x, y = linear
    found = losses.penalised(net, x, y, gradient_norm="l2", gradient_squared=True, lambda_g=0.4)
    torch.testing.assert_close(found, losses.double_backprop(net, x, y, lambda_g=0.4))


@pytest.mark.parametrize("of", ["cross_entropy", "logit"])
def test_its_slope_reaches_the_weights(of):
    """d loss / d W on a net with a curved layer, against finite differences."""
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(4, 6), nn.Softplus(), nn.Linear(6, 3)).double()
    x, y = torch.rand(5, 4).double(), torch.randint(0, 3, (5,))
    settings = {"weight_norm": "l2", "lambda_w": 0.1, "gradient_norm": "l1", "lambda_g": 2.0, "of": of}
    losses.penalised(net, x, y, **settings).backward()
    weight, step, values = net[0].weight, 1e-6, []
    for sign in (1, -1):
        moved = nn.Sequential(nn.Linear(4, 6), nn.Softplus(), nn.Linear(6, 3)).double()
        moved.load_state_dict(net.state_dict())
        with torch.no_grad():
            moved[0].weight[2, 1] += sign * step
        values.append(losses.penalised(moved, x, y, **settings).item())
    assert weight.grad[2, 1].item() == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-5)


def test_shares_weigh_the_samples_of_both_means(linear):
    net, x, y = linear
    again = torch.tensor([0, 0, 0, 1, 2, 2, 3, 4, 5, 6])
    shares = again.bincount() / 10
    settings = {"gradient_norm": "l2", "lambda_g": 0.5, "weight_norm": "l2", "lambda_w": 0.1}
    repeated = losses.penalised(net, x[again], y[again], **settings)
    torch.testing.assert_close(losses.penalised(net, x, y, weights=shares.double(), **settings), repeated)


def test_a_dead_net_gives_finite_gradients():
    net = nn.Linear(4, 3)
    nn.init.zeros_(net.weight)
    nn.init.zeros_(net.bias)
    for norm, squared in NORMS:
        loss = losses.penalised(
            net,
            torch.rand(2, 4),
            torch.tensor([0, 1]),
            weight_norm=norm,
            weight_squared=squared,
            lambda_w=1,
            gradient_norm=norm,
            gradient_squared=squared,
            lambda_g=1,
        )
        loss.backward()
        assert net.weight.grad.isfinite().all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"weight_norm": "l3", "lambda_w": 1}, "weight_norm='l3'"),
        ({"gradient_norm": "L2", "lambda_g": 1}, "gradient_norm='L2'"),
        ({"weight_norm": "l1", "lambda_w": -0.1}, r"lambda_w=-0\.1"),
        ({"gradient_norm": "l1", "lambda_g": float("inf")}, "lambda_g=inf"),
        ({"lambda_w": 0.1}, "without a norm.*weight_norm"),
        ({"lambda_g": 0.1}, "without a norm.*gradient_norm"),
        ({"gradient_norm": "l1", "lambda_g": 1, "of": "margin"}, "of='margin'"),
        ({"weights": torch.ones(3)}, r"weights has shape \(3,\)"),
    ],
)
def test_wrong_settings_are_named(linear, settings, words):
    with pytest.raises(ValueError, match=words):
        losses.penalised(*linear, **settings)
