"""The Jacobian of the logits: against a linear net's weights, and each way against the others."""

import pytest
import torch
from torch import nn

from companion import losses, metrics, models, saliency
from companion.saliency.class_gradients import BATCHED_UP_TO, WAYS, rows, unit_rows


@pytest.fixture
def net():
    torch.manual_seed(0)
    return models.digits_cnn().double().eval()


@pytest.fixture
def x():
    return torch.rand(9, 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("way", WAYS)
def test_a_linear_net_has_its_weights(way):
    net = nn.Sequential(nn.Flatten(), nn.Linear(6, 4))
    x = torch.rand(3, 1, 2, 3)
    logits, gradients = saliency.class_gradients(net, x, way=way, chunk=2)
    torch.testing.assert_close(logits, net(x).detach())
    torch.testing.assert_close(
        gradients, net[1].weight.detach().view(1, 4, 1, 2, 3).expand(3, -1, -1, -1, -1)
    )
    assert not logits.requires_grad and not gradients.requires_grad


@pytest.mark.parametrize(
    ("build", "channels", "size"),
    [(models.digits_cnn, 1, 8), (lambda: models.wide_resnet(size=16, depth=10, width=1), 3, 16)],
)
def test_every_way_and_every_chunk_gives_the_same_rows(build, channels, size):
    torch.manual_seed(0)
    net, x = build().double(), torch.rand(5, channels, size, size, dtype=torch.float64)
    expected = saliency.class_gradients(net, x, way="loop")
    by_hand = torch.stack([saliency.input_gradient(net, x, torch.full((5,), k)) for k in range(10)], 1)
    torch.testing.assert_close(expected[1], by_hand, atol=1e-12, rtol=0)
    assert expected[1].abs().max() > 1e-4
    for way in ("batched", "auto"):
        for chunk in (1, 2, None):
            found = saliency.class_gradients(net, x, way=way, chunk=chunk)
            torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


def test_train_mode_differentiates_through_batch_statistics():
    """One pixel, one feature: with batch statistics, shifting all images alike changes no logit."""
    net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(1), nn.Linear(1, 3)).double()
    x = torch.rand(6, 1, 1, 1, dtype=torch.float64)
    for way in ("loop", "batched"):
        _, gradients = saliency.class_gradients(net, x, mode="train", way=way)
        assert gradients.sum(0).abs().max() < 1e-12
        assert saliency.class_gradients(net, x, mode="eval", way=way)[1].sum(0).abs().min() > 1e-3


def test_second_derivatives_agree(net, x):
    """What the exact Jacobian penalty needs: the parameters' gradients of a function of the rows."""
    found = []
    for way in ("loop", "batched"):
        point = x.clone().requires_grad_()
        logits = net(point)
        both = rows(logits, point, unit_rows(logits), way=way, create_graph=True)
        sum(row.square().sum() for row in both).backward()
        found.append([parameter.grad.clone() for parameter in net.parameters() if parameter.grad is not None])
        net.zero_grad()
    assert len(found[0]) >= 4
    torch.testing.assert_close(*found, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("batch", [BATCHED_UP_TO, BATCHED_UP_TO + 1])
def test_norms_and_loss_on_both_sides_of_the_threshold(net, batch):
    x = torch.rand(batch, 1, 8, 8, dtype=torch.float64)
    norms = saliency.class_gradients(net, x, way="loop")[1].flatten(2).norm(dim=2)
    torch.testing.assert_close(metrics.jacobian_norms(net, x), norms)
    point = x.clone().requires_grad_()
    squared = losses.squared_jacobian_norm(net(point), point)
    torch.testing.assert_close(squared, norms.square().sum(1))


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"way": "repeat"}, "way='repeat'"), ({"chunk": 0}, "chunk=0"), ({"mode": "test"}, "mode='test'")],
)
def test_wrong_settings_are_named(net, x, settings, words):
    with pytest.raises(ValueError, match=words):
        saliency.class_gradients(net, x, **settings)


@pytest.mark.parametrize(
    ("build", "channels", "size"),
    [
        (models.digits_cnn, 1, 8),
        (models.br_mnist_cnn, 1, 28),
        (models.small_net, 1, 28),
        (models.resnet, 3, 32),
        (models.vgg, 3, 32),
        (lambda **shape: models.wide_resnet(depth=10, width=1, **shape), 3, 32),
    ],
)
@pytest.mark.parametrize("create_graph", [False, True])
def test_no_layer_of_our_nets_is_batched_one_by_one(build, channels, size, create_graph):
    """torch.func.vmap warns of a layer it has no rule for, and warnings are errors here."""
    net = build(in_channels=channels, size=size).eval()
    x = torch.rand(2, channels, size, size).requires_grad_()
    logits = net(x)
    found = rows(logits, x, unit_rows(logits), way="batched", create_graph=create_graph)
    assert found.shape == (10, *x.shape)


def calls(run):
    """How many operations torch carries out."""
    with torch.profiler.profile(acc_events=True) as profile:  # torch 2.11 warns without it
        run()
    return sum(event.name.startswith("aten::") for event in profile.events())


def test_a_batched_penalty_takes_few_calls(net, x):
    """Ten passes in turn, and their derivatives, are ten times the calls; batched, they are one."""

    def penalty(way):
        point = x.clone().requires_grad_()
        logits = net(point)
        both = rows(logits, point, unit_rows(logits), way=way, create_graph=True)
        sum(row.square().sum() for row in both).backward()

    assert calls(lambda: penalty("batched")) < 0.6 * calls(lambda: penalty("loop"))
