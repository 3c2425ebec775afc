import urllib.error

import pytest
import torch
import torchvision
from torch import nn

from companion import metrics
from companion.models import resnet50


def test_parameters_are_torchvisions_and_another_number_of_classes_gets_a_new_head():
    with torch.device("meta"):
        assert sum(p.numel() for p in resnet50(weights=None).parameters()) == 25_557_032
        assert resnet50(classes=7, weights=None)[1].fc.out_features == 7


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    net = resnet50(classes=3, size=32, weights=None).double().eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
    return net


@pytest.fixture(scope="module")
def x():
    return torch.rand(2, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_pixels_are_normalised_inside(net, x):
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = net[1]((x - mean[:, None, None]) / std[:, None, None])
    torch.testing.assert_close(net(x), expected)


def test_its_layers_are_in_the_class_of_theorem_1(net, x):
    linear, bias = metrics.homogeneous_decomposition(net, x)
    torch.testing.assert_close(linear + bias, net(x))
    assert bias.abs().min() > 0


def test_without_the_weights_the_mend_is_named(monkeypatch):
    def fetch(weights):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(torchvision.models, "resnet50", fetch)
    with pytest.raises(ValueError, match="IMAGENET1K_V1.*TORCH_HOME"):
        resnet50()


@pytest.mark.parametrize(
    ("settings", "words"), [({"in_channels": 1}, "3 channels"), ({"size": 16}, "32 pixels")]
)
def test_images_it_cannot_take_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        resnet50(weights=None, **settings)
