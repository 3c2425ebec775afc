"""MLP, FCNN, compact CNN, LeNet, VGG and ResNet: sizes, layers, normalisation inside, images too small."""

import pytest
import torch
from torch import nn

from companion import attacks, data, training
from companion.models import Normalize, compact_cnn, fcnn, lenet, mlp, resnet, vgg
from companion.training.recipe import Recipe, part

SMALL = {  # for 8x8 digits
    "mlp": (mlp, {"hidden": (32, 16)}),
    "fcnn": (fcnn, {"channels": (4, 4, 8, 8, 8)}),
    "compact_cnn": (compact_cnn, {"channels": (4, 8)}),
    "lenet": (lenet, {"kernel": 3, "padding": (1, 1)}),
    "vgg": (vgg, {"stages": (1, 1), "width": 4}),
    "resnet": (resnet, {"blocks": (1, 1), "width": 4}),
}


def parameters(net):
    return sum(p.numel() for p in net.parameters())


def layers(net, kind):
    return [m for m in net.modules() if isinstance(m, kind)]


@pytest.mark.parametrize(
    ("build", "settings", "expected"),
    [
        (mlp, {}, 784 * 512 + 512 + 512 * 512 + 512 + 512 * 10 + 10),
        (mlp, {"in_channels": 3, "size": 32, "hidden": (20, 30)}, 3072 * 20 + 20 + 20 * 30 + 30 + 300 + 10),
        (fcnn, {}, 150_378),
        (compact_cnn, {}, 166_406),
        (compact_cnn, {"in_channels": 3, "size": 32}, 214_918),
        (lenet, {}, 61_706),
        (vgg, {}, 14_728_266),
        (vgg, {"batch_norm": False}, 14_719_818),
        (vgg, {"stages": (1, 1, 2, 2, 2), "batch_norm": False}, 9_225_610),
        (resnet, {}, 11_173_962),
    ],
)
def test_number_of_parameters(build, settings, expected):
    with torch.device("meta"):
        assert parameters(build(**settings)) == expected


def test_layers_are_those_of_the_papers():
    assert len(layers(mlp(), nn.Linear)) == 3
    assert len(layers(fcnn(), nn.Conv2d)) == 6
    assert not layers(fcnn(), nn.Linear)
    assert len(layers(lenet(), nn.Conv2d)) == 2
    assert len(layers(lenet(), nn.Linear)) == 3
    with torch.device("meta"):
        sixteen, eighteen = vgg(), resnet()
    assert len(layers(sixteen, nn.Conv2d)) + 3 == 16  # one dense layer in place of three
    assert len(layers(sixteen, nn.BatchNorm2d)) == 13
    assert (
        len(layers(eighteen, nn.Conv2d)) == 1 + 16 + 3
    )  # stem, blocks, shortcuts where a stage changes shape
    assert [c.stride for c in layers(eighteen, nn.Conv2d)].count((2, 2)) == 6


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize(("channels", "size", "classes"), [(1, 8, 10), (3, 8, 4), (1, 9, 2)])
def test_small_versions_of_all(name, channels, size, classes):
    build, settings = SMALL[name]
    net = build(channels, size, classes, **settings).eval()
    x = torch.rand(2, channels, size, size)
    assert net(x).shape == (2, classes)
    torch.testing.assert_close(net(x)[1:], net(x[1:]))  # no sample depends on another


@pytest.mark.parametrize("name", SMALL)
def test_normalisation_inside_is_normalisation_before(name):
    build, settings = SMALL[name]
    mean, std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    torch.manual_seed(0)
    inside = build(3, 8, 10, **settings, mean=mean, std=std).eval()
    torch.manual_seed(0)
    plain = build(3, 8, 10, **settings).eval()
    x = torch.rand(2, 3, 8, 8)
    assert torch.equal(inside(x), plain(Normalize(mean, std)(x)))
    assert not torch.allclose(inside(x), plain(x))
    with pytest.raises(ValueError, match="give both or neither"):
        build(3, 8, 10, **settings, mean=mean)


@pytest.mark.parametrize(("build", "channels"), [(fcnn, 1), (resnet, 3)])
def test_weights_without_a_size_serve_images_of_any(build, channels):
    torch.manual_seed(0)
    small = build(size=8).eval()
    torch.manual_seed(0)
    large = build(size=32).eval()
    x = torch.rand(1, channels, 12, 12)
    assert torch.equal(small(x), large(x))


def test_final_map_of_resnet_18_is_4x4_on_32_pixels():
    net = resnet(width=4).eval()
    sizes = []
    net[-3].register_forward_hook(lambda module, inputs, output: sizes.append(inputs[0].shape))
    net(torch.rand(1, 3, 32, 32))
    assert sizes == [(1, 32, 4, 4)]


def test_a_residual_block_adds_its_input():
    """With its last BatchNorm at zero a block of unchanged shape is the identity on positive values."""
    net = resnet(blocks=(1,), width=4)
    block = net[3]
    nn.init.zeros_(block.inner[-1].weight)
    x = torch.rand(2, 4, 5, 5)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize(
    ("build", "settings", "message"),
    [
        (fcnn, {"size": 3}, "size=3"),
        (compact_cnn, {"size": 3}, "at least 4 pixels"),
        (lenet, {"size": 8}, "size=8 with kernel=5"),
        (vgg, {"size": 28}, "at least 32 pixels"),
        (resnet, {"size": 7}, "at least 8 pixels"),
    ],
)
def test_images_too_small(build, settings, message):
    with pytest.raises(ValueError, match=message):
        build(**settings)


def test_compact_cnn_learns_small_mnist():
    """It separates held-out training images after two short epochs; guessing gives 0.1."""
    images = data.load("mnist_small", n_train=1200, hold_out=1 / 6)
    recipe = Recipe(part("mnist_small"), part("compact_cnn"), optimiser=part("Adam", lr=3e-3), epochs=2)
    net, history = training.train(recipe, images)
    assert history[1]["loss"] < history[0]["loss"]
    assert attacks.correct(net, images.x_test, images.y_test).float().mean() > 0.75
