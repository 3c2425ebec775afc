import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from companion.models.wide_resnet import wide_resnet


def small(**settings):
    torch.manual_seed(0)
    return wide_resnet(**{"size": 8, "depth": 10, "width": 1, **settings})


def test_28_10_has_the_official_number_of_parameters():
    with torch.device("meta"):
        net = wide_resnet()
    assert sum(p.numel() for p in net.parameters()) == 36_489_290


def test_layers_are_those_of_the_official_code():
    with torch.device("meta"):
        net = wide_resnet(depth=16, width=2, dropout=0.25)
    convolutions = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert all(conv.bias is not None for conv in convolutions)
    # one stem, three stages of two blocks with two convolutions, one shortcut where a stage changes shape
    assert len(convolutions) == 1 + 3 * 2 * 2 + 3
    assert [m.p for m in net.modules() if isinstance(m, nn.Dropout)] == [0.25] * 6
    assert net.norm.momentum == 0.9
    assert {m.momentum for m in net.blocks.modules() if isinstance(m, nn.BatchNorm2d)} == {0.1}
    assert [block.conv2.stride for block in net.blocks] == [(1, 1), (1, 1), (2, 2), (1, 1), (2, 2), (1, 1)]
    assert all(block.conv1.stride == (1, 1) for block in net.blocks)


def test_final_map_of_a_32_pixel_image_is_8x8():
    net = small(size=32).eval()
    sizes = []
    net.norm.register_forward_hook(lambda module, inputs, output: sizes.append(output.shape[2:]))
    assert net(torch.rand(2, 3, 32, 32)).shape == (2, 10)
    assert sizes == [(8, 8)]


@pytest.mark.parametrize(("channels", "size", "classes"), [(1, 8, 10), (3, 4, 2), (1, 28, 7)])
def test_other_images(channels, size, classes):
    net = small(in_channels=channels, size=size, classes=classes).eval()
    assert net(torch.rand(2, channels, size, size)).shape == (2, classes)


def test_probability_output_is_the_softmax_of_the_logits():
    net = small(output="probability").eval()
    x = torch.rand(4, 3, 8, 8)
    torch.testing.assert_close(net(x), net.logits(x).softmax(1))
    plain = small().eval()
    torch.testing.assert_close(plain(x), net.logits(x))


def test_double_softmax_bounds_cross_entropy():
    """Erratum IR-E3: for ten classes the loss cannot leave [1.4612, 2.4612]."""
    certain = torch.eye(10, dtype=torch.float64)
    right, wrong = (
        cross_entropy(certain, torch.arange(10)),
        cross_entropy(certain, (torch.arange(10) + 1) % 10),
    )
    assert right.item() == pytest.approx(1.4612, abs=5e-5)
    assert wrong.item() == pytest.approx(2.4612, abs=5e-5)


def test_dropout_acts_in_train_mode_only():
    net = small(dropout=0.5)
    x = torch.rand(2, 3, 8, 8)
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": 27}, "depth=27.*nearest is 28"),
        ({"depth": 4}, "depth=4.*nearest is 10"),
        ({"output": "prob"}, "output='prob'.*logit, probability"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"size": 3}, "size=3"),
        ({"width": 0}, "width=0"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        wide_resnet(**settings)
