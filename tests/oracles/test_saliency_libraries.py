"""Input gradients and SmoothGrad are captum's, up to the order in which sums are taken."""

import pytest
import torch
from torch import nn

from companion import saliency

attr = pytest.importorskip("captum.attr")


@pytest.fixture
def net():
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 16, 10)]
    return nn.Sequential(*layers).eval()


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(1)
    return torch.rand(6, 1, 8, 8, generator=generator), torch.tensor([3, 1, 4, 1, 5, 9])


def close(a, b):
    torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def captum_gradient(forward, x, y):
    return attr.Saliency(forward).attribute(x.clone().requires_grad_(), target=y, abs=False)


@pytest.mark.parametrize("of", ["logit", "probability", "cross_entropy"])
def test_input_gradient(net, images, of):
    x, y = images
    outputs = {
        "logit": net,
        "probability": lambda x: net(x).softmax(1),
        "cross_entropy": lambda x: -net(x).log_softmax(1),
    }
    expected = captum_gradient(outputs[of], x, y)
    gradient = saliency.input_gradient(net, x, y, of=of)
    close(gradient, expected)
    assert gradient.abs().max() > 1e-3


def test_gradient_of_the_predicted_class(net, images):
    x, _ = images
    predicted = net(x).argmax(1)
    close(saliency.input_gradient(net, x, predicted), captum_gradient(net, x, predicted))


@pytest.mark.parametrize("samples", [1, 2, 25])
def test_smoothgrad(net, images, samples):
    """captum draws one batch of noise a sample from torch's global generator when nt_samples_batch_size=1."""
    x, y = images
    torch.manual_seed(2)
    expected = attr.NoiseTunnel(attr.Saliency(net)).attribute(
        x, nt_type="smoothgrad", nt_samples=samples, nt_samples_batch_size=1, stdevs=0.15, target=y, abs=False
    )
    torch.manual_seed(2)
    close(saliency.smoothgrad(net, x, y, sigma=0.15, samples=samples), expected)
    # the same numbers from a generator of one's own
    generator = torch.Generator().manual_seed(2)
    close(saliency.smoothgrad(net, x, y, sigma=0.15, samples=samples, generator=generator), expected)


def test_smoothgrad_of_the_official_code(net, images):
    """Noisy images are clipped to [0, 1] and the clean map is averaged in."""
    x, y = images
    torch.manual_seed(3)
    maps = [captum_gradient(net, (x + 0.15 * torch.randn_like(x)).clamp(0, 1), y) for _ in range(10)]
    expected = torch.stack([*maps, captum_gradient(net, x, y)]).mean(0)
    torch.manual_seed(3)
    result = saliency.smoothgrad(net, x, y, samples=10, clamp=True, include_clean=True)
    close(result, expected)
