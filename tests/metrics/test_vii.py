"""VII against closed forms, its chance level and its baseline."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from companion.metrics import constant_sign_vii, sign_cosine, vii, vii_chance
from companion.saliency import input_gradient


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def images(n=6, size=4, channels=1):
    return torch.rand(n, channels, size, size, generator=seeded(1), dtype=torch.float64)


def linear(weight):
    """Logits weight @ x for a flattened image."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(weight.shape[1], len(weight), bias=False)).to(weight.dtype)
    net[1].weight.data = weight
    return net


def small_net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(16, 5)
    ).double()


class TestVii:
    def test_two_linear_classes_in_closed_form(self):
        """The gradient of the cross-entropy is p_other (w_other - w_y)."""
        x, y = images(), torch.tensor([0, 1] * 3)
        weight = torch.randn(2, 16, generator=seeded(), dtype=torch.float64)
        d = (x - 0.4).sign().flatten(1)
        expected = (d * (weight[0] - weight[1]).sign()).sum(1).abs() / 16
        torch.testing.assert_close(vii(linear(weight), x, y, mean=0.4), expected)

    def test_an_aligned_and_an_opposed_gradient_both_score_one(self):
        """NM-E3: the absolute value counts anti-alignment as interpretable."""
        x = images(1)
        d = (x - x.mean()).sign().flatten()
        for w in (d, -d):
            net = linear(torch.stack([w, -w]))
            assert vii(net, x, torch.tensor([0]), mean=x.mean()).tolist() == [pytest.approx(1)]

    def test_it_is_the_sign_of_the_cross_entropy_gradient(self):
        net, x, y = small_net().eval(), images(40), torch.arange(40) % 5
        gradient = input_gradient(net, x, y, of="cross_entropy")
        assert torch.equal(vii(net, x, y, mean=x.mean(0)), sign_cosine(gradient, x, mean=x.mean(0)))

    def test_a_certain_net_scores_as_the_same_net_in_doubt(self):
        """The cross-entropy's gradient in float32 loses the true class, or everything, once p_y is 1."""
        x, y = images(30).float(), torch.zeros(30, dtype=torch.int64)
        weight = torch.randn(3, 16, generator=seeded())
        weight[0] = weight[1] + weight[2].abs() + 0.5  # class 0 always wins
        mean = x.mean(0)
        doubtful = vii(linear(weight / 100), x, y, mean=mean)
        for scale in (5, 1000):
            certain = linear(weight * scale)
            assert (certain(x).softmax(1)[:, 0] == 1).all()
            direct = sign_cosine(input_gradient(certain, x, y, of="cross_entropy"), x, mean=mean)
            assert not torch.allclose(direct, doubtful)
        assert (direct == 0).all()  # e^-1000: the gradient is zero, 0/0
        two = linear(weight[:2] * 1000)
        exact = sign_cosine((weight[1] - weight[0]).view_as(x[0]), x, mean=mean)
        torch.testing.assert_close(vii(two, x, y, mean=mean), exact)

    def test_signs_of_zero_shorten_the_vectors(self):
        x = torch.tensor([[1.0, 0.5, 0.5, 0.0], [0.5, 0.5, 0.5, 0.5], [1.0, 1.0, 1.0, 0.9]]).view(3, 1, 2, 2)
        maps = torch.tensor([[2.0, 3.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]]).view(
            3, 1, 2, 2
        )
        assert sign_cosine(maps, x, mean=0.5).tolist() == [pytest.approx(0.5), 0.0, 0.0]

    def test_a_dead_gradient_scores_zero(self):
        net = nn.Sequential(nn.Flatten(), nn.Linear(16, 3), nn.ReLU(), nn.Linear(3, 2)).double()
        net[1].bias.data.fill_(-100.0)
        assert vii(net, images(), torch.zeros(6, dtype=torch.int64), mean=0.5).tolist() == [0.0] * 6

    def test_mean_is_an_image_or_a_number(self):
        x, y, net = images(), torch.zeros(6, dtype=torch.int64), small_net()
        image = torch.full_like(x[0], 0.3)
        assert torch.equal(vii(net, x, y, mean=image), vii(net, x, y, mean=0.3))
        assert torch.equal(vii(net, x, y, mean=torch.tensor(0.3)), vii(net, x, y, mean=0.3))
        assert not torch.equal(vii(net, x, y, mean=x.mean(0)), vii(net, x, y, mean=0.3))
        with pytest.raises(ValueError, match=r"mean has shape \(6, 1, 4, 4\).*\(1, 4, 4\)"):
            vii(net, x, y, mean=x)

    def test_chunks_and_modes(self):
        net, x, y = small_net().train(), images(11), torch.arange(11) % 5
        net[1].eval()
        whole = vii(net, x, y, mean=0.5)
        assert torch.equal(whole, vii(net, x, y, mean=0.5, chunk=3))
        assert [m.training for m in net] == [True, False, True, True, True, True]
        assert all(p.grad is None and p.requires_grad for p in net.parameters())
        with torch.no_grad():
            assert torch.equal(whole, vii(net, x, y, mean=0.5))

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            ({"x": images() * 255}, "expected \\[0, 1\\]"),
            ({"y": torch.full((6,), 7)}, "5 classes"),
            ({"chunk": 0}, "chunk=0"),
        ],
    )
    def test_bad_input(self, changed, message):
        good = {"x": images(), "y": torch.zeros(6, dtype=torch.int64), "mean": 0.5}
        with pytest.raises(ValueError, match=message):
            vii(small_net(), **(good | changed))


class TestChanceAndBaseline:
    @pytest.mark.parametrize(("pixels", "known"), [(3072, 0.0144), (784, 0.0285)])
    def test_chance_level_agrees_with_simulation_to_three_digits(self, pixels, known):
        """NM-C11. A sum of independent signs is a shifted binomial."""
        ups = np.random.default_rng(0).binomial(pixels, 0.5, size=4_000_000)
        simulated = np.abs(2 * ups - pixels).mean() / pixels
        assert vii_chance(pixels) == pytest.approx(simulated, rel=1e-3)
        assert round(vii_chance(pixels), 4) == known

    @pytest.mark.parametrize("pixels", [1, 2, 3, 64, 65, 192])
    def test_exact_expectation(self, pixels):
        exact = math.comb(pixels - 1, (pixels - 1) // 2) / 2 ** (pixels - 1)
        assert vii_chance(pixels) == pytest.approx(exact, rel=1 / (3 * pixels))

    def test_chance_level_holds_where_pixels_lie_on_the_mean(self):
        x = torch.rand(20_000, 1, 16, 16, generator=seeded())
        x[:, :, :, :6] = 0.5
        maps = torch.randn(x.shape, generator=seeded(1))
        assert sign_cosine(maps, x, mean=0.5).mean().item() == pytest.approx(vii_chance(256), rel=0.02)

    def test_constant_sign_by_hand(self):
        x = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.2, 0.2, 0.2, 0.2], [0.5, 0.5, 1.0, 0.0]]).view(3, 1, 2, 2)
        assert constant_sign_vii(x, mean=0.5).tolist() == [0.5, 1.0, 0.0]
        image = torch.tensor([0.0, 0.0, 0.0, 0.1]).view(1, 2, 2)
        assert constant_sign_vii(x[:1], mean=image).tolist() == [0.0]
        assert constant_sign_vii(x[1:2], mean=torch.tensor([0.2, 0.2, 0.1, 0.1]).view(1, 2, 2)).tolist() == [
            pytest.approx(math.sqrt(0.5))  # two of four pixels lie on the mean
        ]

    def test_a_net_that_darkens_everything_scores_the_baseline(self):
        x, y = images(), torch.zeros(6, dtype=torch.int64)
        net = linear(torch.stack([torch.ones(16), torch.zeros(16)]).double())
        torch.testing.assert_close(vii(net, x, y, mean=0.3), constant_sign_vii(x, mean=0.3))

    def test_bad_pixels(self):
        with pytest.raises(ValueError, match="pixels=0"):
            vii_chance(0)


def test_log_odds_and_cross_entropy_have_parallel_gradients():
    """CE = log(1 + e^s): the identity that vii rests on, in float64 against autograd."""
    logits = torch.randn(7, 5, generator=seeded(), dtype=torch.float64, requires_grad=True)
    y = torch.arange(7) % 5
    label = y[:, None]
    s = logits.scatter(1, label, -torch.inf).logsumexp(1) - logits.gather(1, label).squeeze(1)
    torch.testing.assert_close(F.cross_entropy(logits, y, reduction="none"), F.softplus(s))
