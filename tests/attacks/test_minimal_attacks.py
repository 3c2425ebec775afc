"""Minimal-distance attacks against distances known in closed form on affine nets."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from companion import attacks, data

DIMENSIONS = 20
EVERY = {
    "line": (attacks.gradient_line_search, {}),
    "bim": (attacks.l2_bim, {}),
    "carlini_wagner": (attacks.carlini_wagner, {}),
    "ddn": (attacks.ddn, {}),
}
QUICK = {
    "line": (attacks.gradient_line_search, {"steps": 100}),
    "bim": (attacks.l2_bim, {"search": 8}),
    "carlini_wagner": (attacks.carlini_wagner, {"steps": 100, "lr": 0.05, "const": 1.0}),
    "ddn": (attacks.ddn, {"steps": 40}),
}


def run(table, name, net, x, y):
    attack, settings = table[name]
    return attack(net, x, y, **settings)


def affine(classes, seed=0, scale=1.0):
    """A net, images in the middle of the box, the net's predictions, and the exact distances, 0.05 to 0.4."""
    torch.manual_seed(seed)
    net = nn.Linear(DIMENSIONS, classes).double().requires_grad_(False)
    x = 0.4 + 0.2 * torch.rand(200, DIMENSIONS, dtype=torch.float64)
    net.weight.normal_().mul_(scale)
    net.bias -= net(x).mean(0)
    net.bias[: classes // 2] += 0.7 * scale
    logits = net(x)
    y = logits.argmax(1)
    gaps = logits.gather(1, y[:, None]) - logits
    distance = (gaps / (net.weight[y][:, None] - net.weight[None]).norm(dim=2)).nan_to_num(math.inf)
    distance = distance.scatter(1, y[:, None], math.inf).amin(1)
    inner = (distance > 0.05) & (distance < 0.4)
    assert inner.sum() > 30
    return net, x[inner], y[inner], distance[inner]


@pytest.fixture(scope="module")
def digits():
    """A small net trained on digits, and 40 test images with its predictions as reference."""
    images = data.load("digits")
    torch.manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(128, 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 10)),
    )
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(6):
        for index in torch.randperm(len(images.x_train)).split(50):
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(net(images.x_train[index]), images.y_train[index])
            loss.backward()
            optimiser.step()
    optimiser.zero_grad()
    net.eval()
    x = images.x_test[:40]
    with torch.no_grad():
        y = net(x).argmax(1)
    assert (y == images.y_test[:40]).float().mean() > 0.9
    return net, x, y


class TestExact:
    @pytest.mark.parametrize("name", EVERY)
    def test_two_classes(self, name):
        net, x, y, exact = affine(2)
        found = run(EVERY, name, net, x, y)
        assert (found.distance >= exact * (1 - 1e-9)).all()
        assert (found.distance <= exact * 1.01).all()

    @pytest.mark.parametrize(("name", "share"), [("carlini_wagner", 0.6), ("ddn", 0.9)])
    @pytest.mark.parametrize("scale", [0.1, 10.0])
    def test_six_classes(self, name, share, scale):
        """Sure and unsure nets. Carlini and Wagner's goes for the runner-up, not always the nearest class."""
        net, x, y, exact = affine(6, scale=scale)
        found = run(EVERY, name, net, x, y)
        assert (found.distance >= exact * (1 - 1e-9)).all()
        assert ((found.distance <= exact * 1.01).double().mean() > share).item()
        assert found.distance.median() <= exact.median() * (1.01 if name == "ddn" else 1.03)

    @pytest.mark.parametrize(("name", "excess"), [("carlini_wagner", 0.05), ("ddn", 0.01)])
    def test_the_box_is_in_the_way(self, name, excess):
        """Against the exact solution x' = clip(x + t * w), t by bisection (the problem's KKT conditions).

        tanh reaches 0 and 1 only in the limit, so Carlini and Wagner's stays a few per cent away.
        """
        torch.manual_seed(1)
        w = torch.randn(DIMENSIONS, dtype=torch.float64)
        x = torch.rand(60, DIMENSIONS, dtype=torch.float64).round(decimals=1)  # some pixels at 0 and 1
        net = nn.Linear(DIMENSIONS, 2).double().requires_grad_(False)
        net.weight.copy_(torch.stack([-w, w]))
        b = -w.clamp_min(0).sum() * 0.8  # w.x' reaches 80 % of its maximum over the box
        net.bias.copy_(torch.stack([-b, b]))
        low, high = torch.zeros(60, 1, dtype=torch.float64), torch.full((60, 1), 1e3, dtype=torch.float64)
        for _ in range(100):
            middle = (low + high) / 2
            over = (x + middle * w).clamp(0, 1) @ w + b > 0
            low, high = torch.where(over[:, None], low, middle), torch.where(over[:, None], middle, high)
        nearest = (x + high * w).clamp(0, 1)
        exact = (nearest - x).norm(dim=1)
        assert ((nearest == 0) | (nearest == 1)).double().mean() > 0.3
        found = run(EVERY, name, net, x, torch.zeros(60, dtype=torch.int64))
        assert (found.distance >= exact * (1 - 1e-6)).all()
        assert (found.distance <= exact * (1 + excess)).all()

    @settings(max_examples=15, deadline=None)
    @given(seed=st.integers(0, 2**31), name=st.sampled_from(sorted(QUICK)))
    def test_no_attack_beats_the_exact_distance(self, seed, name):
        net, x, y, exact = affine(3, seed=seed % 50)
        found = run(QUICK, name, net, x[:8], y[:8])
        assert (found.distance >= exact[:8] * (1 - 1e-9)).all()
        torch.testing.assert_close(found.distance, (found.adversarial - x[:8]).norm(dim=1))


@pytest.mark.parametrize("name", QUICK)
class TestOnDigits:
    def test_successes_survive_another_batch_size(self, name, digits):
        net, x, y = digits
        found = run(QUICK, name, net, x, y)
        assert found.distance.isfinite().all() and (found.distance > 0).all()
        assert found.adversarial.min() >= 0 and found.adversarial.max() <= 1
        torch.testing.assert_close(found.distance, (found.adversarial - x).flatten(1).norm(dim=1))
        with torch.no_grad():
            for size in (1, 7, 40):
                for image, label in zip(found.adversarial.split(size), y.split(size), strict=True):
                    assert (net(image).argmax(1) != label).all()

    def test_a_sample_does_not_depend_on_its_batch(self, name, digits):
        net, x, y = digits
        net, x = nn.Sequential(*net).double(), x.double()
        try:
            whole = run(QUICK, name, net, x[:9], y[:9])
            order = torch.tensor([4, 0, 7])
            part = run(QUICK, name, net, x[order], y[order])
            attack, chosen = QUICK[name]
            split = attack(net, x[:9], y[:9], **chosen, batch_size=4)
        finally:
            net.float()
        torch.testing.assert_close(part.distance, whole.distance[order], atol=1e-7, rtol=0)
        torch.testing.assert_close(split.adversarial, whole.adversarial, atol=1e-6, rtol=0)

    def test_the_net_is_left_as_it_was(self, name, digits):
        net, x, y = digits
        net.train()
        net[0].weight.requires_grad_(False)
        run(QUICK, name, net, x[:4], y[:4])
        assert all(layer.training for layer in net)
        assert not net[0].weight.requires_grad and net[4].weight.requires_grad
        assert all(p.grad is None for p in net.parameters())
        net[0].weight.requires_grad_(True)
        net.eval()

    def test_what_the_net_gets_wrong_is_at_distance_zero(self, name, digits):
        net, x, y = digits
        wrong = torch.where(torch.arange(8) % 2 == 0, (y[:8] + 1) % 10, y[:8])
        found = run(QUICK, name, net, x[:8], wrong)
        assert (found.distance[::2] == 0).all() and (found.distance[1::2] > 0).all()
        assert torch.equal(found.adversarial[::2], x[:8:2])


@pytest.mark.parametrize("name", QUICK)
class TestPitfalls:
    def test_logits_that_are_all_negative(self, name):
        """Masking the label with 0 instead of -inf would call every sample a success at once."""
        net, x, y, exact = affine(2)
        expected = run(QUICK, name, net, x, y).distance
        net.bias -= 30
        found = run(QUICK, name, net, x, y)
        assert (net(x) < 0).all()
        assert (found.distance >= exact * (1 - 1e-9)).all()
        torch.testing.assert_close(found.distance, expected, atol=0.05, rtol=0)

    def test_black_and_white_pixels_move(self, name):
        """The decision hangs on two pixels at exactly 0 and one at exactly 1."""
        net = nn.Linear(6, 2).double().requires_grad_(False)
        weight = torch.tensor([1.0, 1.0, -1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
        net.weight.copy_(torch.stack([-weight, weight]))
        net.bias.copy_(torch.tensor([0.1, -0.1], dtype=torch.float64))
        x = torch.tensor([[0.0, 0.0, 1.0, 0.5, 0.5, 0.5]], dtype=torch.float64)
        found = run(QUICK, name, net, x, torch.tensor([0]))
        exact = (1 + 0.1) / math.sqrt(3)
        assert exact <= found.distance.item() <= 1.02 * exact

    def test_a_net_that_never_errs_gives_inf(self, name):
        net = nn.Linear(6, 2).requires_grad_(False)
        net.weight.zero_()
        net.bias.copy_(torch.tensor([1.0, 0.0]))
        x = torch.rand(3, 6)
        found = run(QUICK, name, net, x, torch.zeros(3, dtype=torch.int64))
        assert found.distance.isinf().all() and torch.equal(found.adversarial, x)

    @pytest.mark.parametrize(
        ("net", "x", "y", "words"),
        [
            (nn.Linear(6, 2), torch.rand(2, 6) - 1, torch.tensor([0, 1]), "expected"),
            (nn.Linear(6, 2), torch.rand(2, 6), torch.tensor([0, 2]), "0 to 1"),
            (nn.Linear(6, 1), torch.rand(2, 6), torch.tensor([0, 0]), "single class"),
            (nn.Sequential(nn.Linear(6, 2), nn.Threshold(9, math.nan)), torch.rand(1, 6), None, "NaN"),
        ],
    )
    def test_bad_input(self, name, net, x, y, words):
        y = torch.zeros(len(x), dtype=torch.int64) if y is None else y
        with pytest.raises(ValueError, match=words):
            run(QUICK, name, net, x, y)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_ddn_does_not_depend_on_how_sure_the_net_is(scale, digits):
    net, x, y = digits
    expected = attacks.ddn(net, x, y, steps=40).distance
    scaled = nn.Sequential(net, nn.Linear(10, 10, bias=False))
    scaled[1].weight.data = scale * torch.eye(10)
    found = attacks.ddn(scaled, x, y, steps=40).distance
    assert (found / expected).median().item() == pytest.approx(1, abs=1e-3)
    assert (found / expected).mean().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("name", ["line", "bim"])
def test_a_sure_net_is_attacked_all_the_same(name, digits):
    """At 1,000 times the logits, cross-entropy's own gradient is exactly 0 in float32."""
    net, x, y = digits
    scaled = nn.Sequential(net, nn.Linear(10, 10, bias=False))
    scaled[1].weight.data = 1e3 * torch.eye(10)
    point = x.clone().requires_grad_()
    loss = nn.functional.cross_entropy(scaled(point), y, reduction="sum")
    vanished = (torch.autograd.grad(loss, point)[0] == 0).flatten(1).all(1)
    assert vanished.sum() > 20
    found = run(QUICK, name, scaled, x, y).distance
    plain = run(QUICK, name, net, x, y).distance
    assert found.median() < 1.25 * plain.median()


class TestAccuracyCurve:
    def test_share_beyond_each_radius(self):
        distance = torch.tensor([0.0, 0.5, 1.0, math.inf])
        curve = attacks.accuracy_curve(distance, torch.tensor([0.0, 0.4, 0.5, 2.0]))
        assert curve.tolist() == [0.75, 0.75, 0.5, 0.25]

    def test_it_agrees_with_a_run_at_each_radius(self, digits):
        """What a minimal-distance attack fells at a radius PGD fells there too, up to two samples in 40."""
        net, x, y = digits
        distance = attacks.ddn(net, x, y).distance
        eps = torch.tensor([0.2, 0.4, 0.6])
        curve = attacks.accuracy_curve(distance, eps)
        for radius, share in zip(eps.tolist(), curve.tolist(), strict=True):
            at_radius = attacks.evaluate(
                net, x, y, norm="l2", eps=radius, generator=torch.Generator().manual_seed(0)
            )
            assert share == pytest.approx(at_radius.worst, abs=0.051)

    @pytest.mark.parametrize(
        ("distance", "eps", "words"),
        [
            (torch.tensor([]), torch.tensor([1.0]), "empty"),
            (torch.tensor([math.nan]), torch.tensor([1.0]), "NaN"),
            (torch.tensor([1.0]), torch.tensor([-1.0]), "below 0"),
        ],
    )
    def test_bad_input(self, distance, eps, words):
        with pytest.raises(ValueError, match=words):
            attacks.accuracy_curve(distance, eps)


@pytest.mark.parametrize(
    ("attack", "settings"),
    [
        (attacks.gradient_line_search, {"steps": 0}),
        (attacks.gradient_line_search, {"reach": 0.0}),
        (attacks.l2_bim, {"eps": 0.0}),
        (attacks.l2_bim, {"search": 0}),
        (attacks.carlini_wagner, {"lr": 0.0}),
        (attacks.carlini_wagner, {"const": -1.0}),
        (attacks.ddn, {"gamma": 1.0}),
        (attacks.ddn, {"steps": 0}),
        (attacks.ddn, {"batch_size": 0}),
    ],
)
def test_settings_are_checked(attack, settings):
    name, value = next(iter(settings.items()))
    with pytest.raises(ValueError, match=f"{name}={value}"):
        attack(nn.Linear(6, 2), torch.rand(2, 6), torch.tensor([0, 1]), **settings)


@pytest.mark.parametrize("attack", [attacks.ddn, attacks.carlini_wagner])
def test_a_constant_on_all_logits_lengthens_no_distance(attack):
    """It changes no decision; only in float32 does round-off of large logits ask for a little more."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 5)).double().eval()
    x = 0.3 + 0.4 * torch.rand(30, 1, 4, 4, dtype=torch.float64)
    y = net(x).argmax(1)
    plain = attack(net, x, y, steps=100).distance
    with torch.no_grad():
        net[1].bias += 1000
    torch.testing.assert_close(attack(net, x, y, steps=100).distance, plain, rtol=1e-3, atol=1e-6)
