"""The block form of a first convolution's input gradient is torch's, up to rounding."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from companion import attacks, models, quick, saliency
from companion.quick import _FirstConvolution, _FirstConvolutions, _input_gradient


@pytest.fixture(autouse=True)
def small_batches_too(monkeypatch):
    monkeypatch.setattr(quick, "LARGE", 0)


def gradient(net, x, direction):
    point = x.detach().requires_grad_()
    return torch.autograd.grad(net(point), point, direction)[0]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(("kernel", "padding"), [((5, 5), (2, 2)), ((3, 3), (0, 0)), ((2, 4), (1, 3))])
@pytest.mark.parametrize("size", [(8, 8), (7, 10), (5, 5)])
def test_blocks_give_the_gradient_of_every_pixel(channels, kernel, padding, size):
    torch.manual_seed(0)
    net = nn.Conv2d(channels, 6, kernel, padding=padding).double().requires_grad_(False)
    x = torch.rand(3, channels, *size, dtype=torch.float64, requires_grad=True)
    logits = net(x)
    direction = torch.randn_like(logits)
    expected = torch.autograd.grad(logits, x, direction)[0]
    found = _input_gradient(direction, net.weight, padding, x.shape[2:])
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)
    with _FirstConvolutions():
        again = net(x)
        torch.testing.assert_close(again, logits, atol=1e-12, rtol=0)
        assert type(again.grad_fn).__name__ == "_FirstConvolutionBackward"
        torch.testing.assert_close(torch.autograd.grad(again, x, direction)[0], expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ("settings", "trainable"),
    [
        ({"in_channels": 5, "kernel_size": 3}, False),
        ({"in_channels": 2, "kernel_size": 3, "stride": 2}, False),
        ({"in_channels": 2, "kernel_size": 3, "dilation": 2}, False),
        ({"in_channels": 2, "kernel_size": 3, "groups": 2}, False),
        ({"in_channels": 2, "kernel_size": 3, "padding": "same"}, False),
        ({"in_channels": 2, "kernel_size": 1, "padding": 1}, False),
        ({"in_channels": 2, "kernel_size": 3}, True),  # its weights want a gradient
    ],
)
def test_other_convolutions_stay_torchs(settings, trainable):
    layer = nn.Conv2d(out_channels=6, **settings).requires_grad_(trainable)
    x = torch.rand(2, layer.in_channels, 8, 8, requires_grad=True)
    expected = layer(x)
    with _FirstConvolutions():
        found = layer(x)
        assert torch.equal(found, expected) and "FirstConvolution" not in type(found.grad_fn).__name__
        found.sum().backward()
    assert (layer.weight.grad is not None) == trainable


def test_a_call_with_keywords_and_a_circular_border():
    weight = torch.randn(4, 1, 3, 3)
    x = torch.rand(2, 1, 8, 8, requires_grad=True)
    layer = nn.Conv2d(1, 4, 3, padding=1, padding_mode="circular").requires_grad_(False)
    with _FirstConvolutions():
        by_name = F.conv2d(input=x, weight=weight, padding="valid")
        round_the_border = gradient(layer, x, torch.ones(2, 4, 8, 8))
    torch.testing.assert_close(by_name, F.conv2d(x, weight))
    torch.testing.assert_close(round_the_border, gradient(layer, x, torch.ones(2, 4, 8, 8)))


@pytest.mark.parametrize("build", [models.simple_cnn, lambda: models.wide_resnet(size=28, depth=10, width=1)])
def test_a_nets_input_gradient(build):
    torch.manual_seed(0)
    net = build().double().eval().requires_grad_(False)
    channels = next(net.parameters()).shape[1]
    x, direction = torch.rand(4, channels, 28, 28, dtype=torch.float64), torch.randn(4, 10).double()
    expected = gradient(net, x, direction)
    with _FirstConvolutions():
        found = gradient(net, x, direction)
    assert expected.abs().max() > 1e-4
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("filters", [1, 4, 8, 12, 15, 16, 24, 32])
def test_under_autocast_it_is_rounded_as_torchs(filters, channels, kernel):
    """8 filters of 5x5 were wrong, not rounded, on a CPU with AMX."""
    torch.manual_seed(0)
    net = nn.Conv2d(channels, filters, kernel, padding=kernel // 2).requires_grad_(False)
    x, direction = torch.rand(4, channels, 12, 12), torch.randn(4, filters, 12, 12)
    exact = gradient(net, x, direction)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        plain = gradient(net, x, direction.bfloat16())
        with _FirstConvolutions():
            found = gradient(net, x, direction.bfloat16())
    assert found.dtype == torch.float32
    assert (found - exact).norm() < 1.5 * (plain - exact).norm() < 0.01 * exact.norm()


def test_a_second_derivative_is_refused_not_wrong():
    net = nn.Conv2d(1, 4, 3).requires_grad_(False)
    x = torch.rand(2, 1, 6, 6, requires_grad=True)
    with _FirstConvolutions():
        first = torch.autograd.grad(net(x).square().sum(), x, create_graph=True)[0]
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def test_small_batches_are_left_alone(monkeypatch):
    net = models.digits_cnn().requires_grad_(False)
    monkeypatch.setattr(quick, "LARGE", 5 * 64)
    first = net[:1]
    for count in (4, 5):
        x = torch.rand(count, 1, 8, 8, requires_grad=True)
        name = type(quick.logits(first, x).grad_fn).__name__
        assert ("FirstConvolution" in name) == (count == 5)


def test_attacks_and_maps_use_it_and_leave_it(monkeypatch):
    torch.manual_seed(0)
    net = models.digits_cnn().eval()
    x, y = torch.rand(5, 1, 8, 8), torch.arange(5)
    calls = []

    def spy(x, weight, bias, padding):
        calls.append(len(x))
        return F.conv2d(x, weight, bias, padding=padding)

    monkeypatch.setattr(_FirstConvolution, "apply", spy)
    attacks.pgd(net, x, y, norm="linf", eps=0.1, steps=3)
    assert calls == [5, 5, 5]
    saliency.input_gradient(net, x, y, chunk=3)
    assert calls[3:] == [3, 2]
    net(x.requires_grad_()).sum().backward()
    assert len(calls) == 5 and net[0].weight.grad is not None


class Viewing(nn.Module):
    """Flattens with .view, which needs the layout that torch's own convolution returns."""

    def __init__(self):
        super().__init__()
        self.convolution, self.linear = nn.Conv2d(1, 4, 5, padding=2), nn.Linear(64, 10)

    def forward(self, x):
        h = torch.max_pool2d(self.convolution(x).relu(), 2)
        return self.linear(h.view(h.size(0), -1))


def test_a_net_that_flattens_with_view_is_attacked_and_mapped():
    torch.manual_seed(0)
    net, x = Viewing().eval(), torch.rand(20, 1, 8, 8)
    y = net(x).argmax(1)
    attacks.pgd(net, x, y, norm="linf", eps=0.1, steps=2)
    saliency.input_gradient(net, x, y)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_what_it_returns_lies_in_memory_as_torchs_own(channels, kernel, layout):
    layer = nn.Conv2d(channels, 6, kernel, padding=kernel // 2).requires_grad_(False)
    layer.to(memory_format=layout)
    x = torch.rand(2, channels, 8, 8, requires_grad=True)
    own = layer(x)
    with _FirstConvolutions():
        assert layer(x).stride() == own.stride()
