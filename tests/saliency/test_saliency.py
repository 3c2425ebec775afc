import pytest
import torch
from torch import nn

from companion import guards, losses, metrics, models, saliency


@pytest.fixture
def net():
    torch.manual_seed(0)
    return models.digits_cnn().eval()


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(9, 1, 8, 8, generator=generator), torch.randint(0, 10, (9,), generator=generator)


def test_gradient_of_a_linear_net_is_its_weight():
    net = nn.Sequential(nn.Flatten(), nn.Linear(6, 4))
    x, y = torch.rand(3, 1, 2, 3), torch.tensor([3, 0, 2])
    assert torch.equal(saliency.input_gradient(net, x, y).flatten(1), net[1].weight[y])
    p = net(x).softmax(1)
    by_hand = torch.stack([(p[i] - torch.eye(4)[y[i]]) @ net[1].weight for i in range(3)])
    found = saliency.input_gradient(net, x, y, of="cross_entropy").flatten(1)
    assert torch.allclose(found, by_hand, atol=1e-6)


def test_smoothgrad_of_a_quadratic_net_is_the_gradient_at_the_mean_noise():
    """z_c = (w.x)^2 has the linear gradient 2 (w.x) w, so the mean over noise is the gradient at the mean."""

    class Quadratic(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.arange(1.0, 5.0))

        def forward(self, x):
            z = (x.flatten(1) @ self.w) ** 2
            return torch.stack([z, -z], 1)

    net, x, y = Quadratic(), 0.2 + 0.6 * torch.rand(2, 1, 2, 2), torch.tensor([0, 0])
    generator = torch.Generator().manual_seed(3)
    noise = torch.stack([torch.randn(x.shape, generator=generator) for _ in range(20)]).mean(0)
    expected = saliency.input_gradient(net, (x + 0.1 * noise).clamp(0, 1), y)
    found = saliency.smoothgrad(net, x, y, sigma=0.1, samples=20, generator=torch.Generator().manual_seed(3))
    inside = ((x + 0.1 * noise) >= 0).all() and ((x + 0.1 * noise) <= 1).all()
    assert inside and torch.allclose(found, expected, atol=1e-4)


def test_smoothgrad_does_not_depend_on_chunk_and_sigma_0_is_the_gradient(net, batch):
    maps = [
        saliency.smoothgrad(net, *batch, samples=4, chunk=c, generator=torch.Generator().manual_seed(1))
        for c in (1, 4, 100)
    ]
    assert torch.allclose(maps[0], maps[1], atol=1e-6) and torch.allclose(maps[0], maps[2], atol=1e-6)
    plain = saliency.input_gradient(net, *batch)
    assert torch.allclose(saliency.smoothgrad(net, *batch, sigma=0, samples=3), plain, atol=1e-6)


def test_including_the_clean_image_averages_one_map_more(net, batch):
    def maps(samples, **more):
        return saliency.smoothgrad(
            net, *batch, samples=samples, generator=torch.Generator().manual_seed(2), **more
        )

    expected = (5 * maps(5) + saliency.input_gradient(net, *batch)) / 6
    assert torch.allclose(maps(5, include_clean=True), expected, atol=1e-6)


def test_threshold_keeps_the_bounds_and_only_the_tails():
    maps = torch.tensor([[0.0, 0.0, 0.0, 0.0, 10.0, -10.0]]).view(1, 1, 2, 3)
    assert torch.equal(saliency.threshold(maps, 1.0), maps)
    wide = saliency.threshold(torch.arange(11.0).view(1, 1, 1, 11), 1.0).flatten()
    sd = torch.arange(11.0).std()  # unbiased: 3.317, so 2..8 lie inside 5 +- 3.317
    assert wide.tolist() == [v if abs(v - 5) >= sd else 0.0 for v in range(11)]
    constant = torch.full((1, 1, 2, 2), 3.0)
    assert torch.equal(saliency.threshold(constant), constant)


def test_the_threshold_uses_the_unbiased_sd():
    """-1, 0, 1 has sd 1, not 0.816: a band of 1.1 sd takes in all three."""
    maps = torch.tensor([-1.0, 0.0, 1.0]).view(1, 1, 1, 3)
    assert torch.equal(saliency.threshold(maps, 1.1), torch.zeros_like(maps))


def test_threshold_judges_each_map_alone(batch):
    x, _ = batch
    together = saliency.threshold(x - 0.5)
    assert torch.equal(together[4], saliency.threshold(x[4:5] - 0.5)[0])


@pytest.mark.parametrize("fraction", [0.0, 0.3, 1.0])
def test_permuting_keeps_the_values_and_moves_the_right_number(fraction):
    maps = torch.arange(400.0).repeat(5, 1).view(5, 1, 20, 20)
    moved = saliency.permute(maps, fraction, generator=torch.Generator().manual_seed(0))
    assert torch.equal(moved.flatten(1).sort(1).values, maps.flatten(1))
    changed = (moved != maps).flatten(1).sum(1)
    assert (changed <= int(fraction * 400)).all()
    assert (changed >= fraction * 400 * 0.9).all()
    if fraction:
        assert not torch.equal(moved[0], moved[1])


def test_metrics_on_a_linear_net():
    net = nn.Sequential(nn.Flatten(), nn.Linear(6, 4))
    x, y = torch.rand(5, 1, 2, 3), torch.tensor([3, 0, 2, 1, 1])
    norms = metrics.jacobian_norms(net, x, chunk=2)
    assert torch.allclose(norms, net[1].weight.norm(dim=1).expand(5, 4))
    own = net[1].weight[y].view_as(x).detach()
    assert torch.allclose(metrics.cosine_to_target(net, x, y, own), torch.ones(5))
    assert torch.allclose(metrics.cosine_to_target(net, x, y, -own), -torch.ones(5))
    assert torch.equal(metrics.cosine_to_target(net, x, y, torch.zeros_like(x)), torch.zeros(5))


def test_jacobian_norms_agree_with_the_loss(net, batch):
    x, _ = batch
    point = x.clone().requires_grad_()
    squared = losses.squared_jacobian_norm(net(point), point)
    assert torch.allclose(metrics.jacobian_norms(net, x).square().sum(1), squared, rtol=1e-4)


class TestGuards:
    def test_flags_of_every_submodule_survive_an_exception(self):
        net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout()).train()
        net[1].eval()
        net[0].weight.requires_grad_(False)
        with pytest.raises(RuntimeError, match="boom"), guards.frozen(net):
            assert not any(m.training for m in net.modules())
            assert not any(p.requires_grad for p in net.parameters())
            raise RuntimeError("boom")
        assert [m.training for m in net.modules()] == [True, True, False, True]
        assert not net[0].weight.requires_grad and net[0].bias.requires_grad

    @pytest.mark.parametrize(
        ("x", "y", "words"),
        [
            (torch.full((2, 3), -2.1), None, r"\[-2.1, -2.1\]; expected \[0, 1\].*Normalize"),
            (torch.tensor([[0.0, float("nan")]]), None, "expected"),
            (torch.ones(2, 3, dtype=torch.uint8), None, "uint8.*float"),
            (torch.ones(3), None, r"shape \(3,\)"),
            (torch.ones(2, 3), torch.ones(2), "long"),
            (torch.ones(2, 3), torch.ones(3, dtype=torch.int64), r"\(2,\)"),
        ],
    )
    def test_bad_input_is_named_with_its_mend(self, x, y, words):
        with pytest.raises(ValueError, match=words):
            guards.check_images(x, y)

    def test_round_off_is_let_through(self):
        guards.check_images(torch.tensor([[-2.98e-8, 1 + 1e-7]]))

    def test_labels_beyond_the_classes(self, net, batch):
        x, y = batch
        with pytest.raises(ValueError, match="0 to 9"):
            saliency.input_gradient(net, x, y + 10)
