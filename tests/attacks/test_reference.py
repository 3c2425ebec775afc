"""The reference protocol: its objectives, Auto-PGD and Square, and what they find where gradients mislead."""

import pytest
import torch
from torch import nn

from companion import attacks

DIMENSIONS = 12
NORMS = ["linf", "l2"]
RADII = {"linf": 0.05, "l2": 0.15}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images(n, *shape, seed=1, low=0.0, high=1.0):
    return low + (high - low) * torch.rand(n, *shape, generator=generator(seed), dtype=torch.float64)


def linear(classes, inputs=DIMENSIONS, seed=4):
    torch.manual_seed(seed)
    return nn.Linear(inputs, classes).double()


def predicted(net, x):
    with torch.no_grad():
        return net(x).argmax(1)


def reachable(net, x, y, norm, eps):
    """z_k - z_y at its largest in the ball, for every class k, (B, K): closed form for a linear net."""
    with torch.no_grad():
        logits = net(x)
        slopes = net.weight[None] - net.weight[y][:, None]
        dual = slopes.abs().sum(2) if norm == "linf" else slopes.norm(dim=2)
        gaps = logits - logits.gather(1, y[:, None]) + eps * dual
    return gaps.scatter(1, y[:, None], -torch.inf)


def curved_net(classes=10, seed=0):
    """A small convolutional net in float64 without kinks, its classes balanced over random images."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1),
        nn.Softplus(beta=10),
        nn.Conv2d(6, 6, 3, stride=2, padding=1),
        nn.Softplus(beta=10),
        nn.Flatten(),
        nn.Linear(6 * 16, classes),
    ).double()
    with torch.no_grad():
        net[-1].bias -= net(images(200, 1, 8, 8, seed=0)).mean(0)
        net[-1].weight *= 10
        net[-1].bias *= 10
    return net


# Objectives


def test_dlr_by_hand():
    logits = torch.tensor([[5.0, 1.0, 3.0, 2.0], [5.0, 1.0, 3.0, 2.0], [-5.0, -1.0, -3.0, -2.0]])
    y = torch.tensor([0, 2, 1])
    # -(5 - 3) / (5 - 2);  -(3 - 5) / (5 - 2);  -(-1 + 2) / (-1 + 3)
    torch.testing.assert_close(attacks.dlr(logits, y), torch.tensor([-2 / 3, 2 / 3, -1 / 2]))
    target = torch.tensor([1, 0, 0])
    # (1 - 5) / (5 - (2 + 1) / 2);  (5 - 3) / (5 - 1.5);  (-5 + 1) / (-1 + (3 + 5) / 2)
    expected = torch.tensor([-4 / 3.5, 2 / 3.5, -4 / 3])
    torch.testing.assert_close(attacks.targeted_dlr(logits, y, target), expected)


def test_dlr_is_blind_to_scale_and_shift_and_knows_right_from_wrong():
    logits = 5 * torch.randn(200, 10, generator=generator(), dtype=torch.float64)
    y = torch.arange(200) % 10
    target = (y + 1 + torch.arange(200) % 9) % 10
    for objective in (attacks.dlr, lambda z, y: attacks.targeted_dlr(z, y, target)):
        value = objective(logits, y)
        for scale, shift in ((100, 0), (1e-6, 0), (3, -1000)):
            torch.testing.assert_close(objective(scale * logits + shift, y), value, rtol=1e-8, atol=1e-8)
    right = logits.argmax(1) == y
    assert right.any()
    assert torch.equal(attacks.dlr(logits, y) <= 0, right)
    assert (attacks.dlr(logits, y)[right] >= -1).all()
    towards = attacks.targeted_dlr(logits, y, target) > 0
    assert torch.equal(towards, logits.gather(1, target[:, None])[:, 0] > logits.gather(1, y[:, None])[:, 0])


@pytest.mark.parametrize("top", [[1.0, 1.0, 0.0, -1.0, -2.0], [1.0, 1.0, 1.0, 1.0, 0.0], [0.0] * 5])
def test_ties_leave_values_and_gradients_finite(top):
    logits = torch.tensor([top] * 3, requires_grad=True)
    y, target = torch.tensor([0, 1, 4]), torch.tensor([1, 0, 0])
    dlr, targeted = attacks.dlr(logits, y), attacks.targeted_dlr(logits, y, target)
    assert dlr[0] == 0 and dlr[1] == 0 and targeted[0] == 0
    assert (dlr[2] > 0) == (top[0] > top[4])
    for value in (dlr, targeted):
        assert value.isfinite().all()
        assert torch.autograd.grad(value.sum(), logits, retain_graph=True)[0].isfinite().all()


@pytest.mark.parametrize(("loss", "classes", "target"), [("dlr", 2, None), ("dlr", 3, torch.tensor([1, 1]))])
def test_too_few_classes_for_dlr(loss, classes, target):
    x, y = images(2, DIMENSIONS), torch.tensor([0, 0])
    with pytest.raises(
        ValueError, match=f'needs at least {classes + 1} classes.*has {classes}.*loss="margin"'
    ):
        attacks.apgd(linear(classes), x, y, norm="l2", eps=0.1, loss=loss, target=target)
    if target is None:
        with pytest.raises(ValueError, match="needs at least 3 classes"):
            attacks.pgd(linear(classes), x, y, norm="l2", eps=0.1, loss=loss)


# Auto-PGD


@pytest.mark.parametrize("start", ["none", "ball", "image"])
@pytest.mark.parametrize("loss", ["cross_entropy", "margin"])
@pytest.mark.parametrize("norm", NORMS)
def test_apgd_reaches_the_optimum_of_two_classes(norm, loss, start):
    net, x = linear(2), images(8, DIMENSIONS, low=0.3, high=0.7)
    y, eps = torch.arange(8) % 2, 0.2
    found = attacks.apgd(net, x, y, norm=norm, eps=eps, loss=loss, start=start, generator=generator())
    direction = (net.weight[1 - y] - net.weight[y]).detach()
    unit = direction.sign() if norm == "linf" else direction / direction.norm(dim=1, keepdim=True)
    torch.testing.assert_close(found, x + eps * unit, atol=1e-6, rtol=0)


@pytest.mark.parametrize("norm", NORMS)
def test_apgd_reaches_the_optimum_towards_each_class(norm):
    """The targeted margin of a linear net: every sample, every class, the exact maximum."""
    net, x = linear(10), images(20, DIMENSIONS, low=0.3, high=0.7)
    y = predicted(net, x)
    best = reachable(net, x, y, norm, 0.2)
    for k in range(10):
        others = (y != k).nonzero().squeeze(1)
        if not len(others):  # the net predicts k everywhere
            continue
        target = torch.full_like(others, k)
        found = attacks.apgd(
            net, x[others], y[others], norm=norm, eps=0.2, loss="margin", target=target, generator=generator()
        )
        with torch.no_grad():
            reached = attacks.TARGETED["margin"](net(found), y[others], target)
        torch.testing.assert_close(reached, best[others, k], atol=1e-6, rtol=0)


@pytest.mark.parametrize("norm", NORMS)
def test_apgd_against_the_bounds(norm):
    """Where pixels are clipped: the corner of box and ball for linf, within 3 % of the optimum for l2."""
    net = linear(2, seed=0)
    x = (3 * images(8, DIMENSIONS, seed=2) - 1).clamp(0, 1)
    y, eps = torch.arange(8) % 2, {"linf": 0.35, "l2": 0.8}[norm]
    found = attacks.apgd(net, x, y, norm=norm, eps=eps, loss="margin", generator=generator())
    direction = (net.weight[1 - y] - net.weight[y]).detach()
    if norm == "linf":
        expected = (x + eps * direction.sign()).clamp(0, 1)
        torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)
        return
    low, high = torch.zeros(8, 1, dtype=x.dtype), torch.full((8, 1), 1e6, dtype=x.dtype)
    for _ in range(200):  # the optimum is clip(t * direction) for the largest t that fits the ball
        middle = (low + high) / 2
        fits = ((x + middle * direction).clamp(0, 1) - x).norm(dim=1, keepdim=True) <= eps
        low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
    best = (direction * ((x + low * direction).clamp(0, 1) - x)).sum(1)
    gained = (direction * (found - x)).sum(1)
    assert (best < eps * direction.norm(dim=1) * 0.999).any()  # the box does bind
    assert (gained <= best + 1e-9).all() and (gained >= 0.97 * best).all()


def algorithm_1(net, x, y, norm, eps, steps, loss, start):
    """Croce & Hein's algorithm 1 for one image, as printed: the best point after `steps` steps."""

    def project(z):
        if norm == "linf":
            return (x + (z - x).clamp(-eps, eps)).clamp(0, 1)
        return (x + (z - x) * min(1, eps / max((z - x).norm().item(), 1e-300))).clamp(0, 1)

    def f(z):
        z = z.clone().requires_grad_()
        value = attacks.OBJECTIVES[loss](net(z), y)[0]
        gradient = torch.autograd.grad(value, z)[0]
        return value.item(), gradient.sign() if norm == "linf" else gradient / gradient.norm()

    shares, checkpoints = [0.0, 0.22], []
    while shares[-1] <= 1:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 0.03, 0.06))
    for share in shares:
        checkpoints.append(int(-(-round(share * steps, 9) // 1)))
    eta, iterates = 2 * eps, [project(start)]
    values, gradient = [], None
    first, gradient = f(iterates[0])
    values.append(first)
    iterates.append(project(iterates[0] + eta * gradient))
    best, best_value = iterates[0], first
    etas, bests = {0: eta}, {0: first}
    for k in range(1, steps + 1):
        value, gradient = f(iterates[k])
        values.append(value)
        if value > best_value:
            best, best_value = iterates[k], value
        if k in checkpoints:
            j = checkpoints.index(k)
            last = checkpoints[j - 1]
            rises = sum(values[i + 1] > values[i] for i in range(last, k))
            etas[k], bests[k] = eta, best_value
            if rises < 0.75 * (k - last) or (etas[last] == eta and bests[last] == best_value):
                eta /= 2
                iterates[k] = best
                values[k], gradient = f(best)
        z = project(iterates[k] + eta * gradient)
        iterates.append(
            project(iterates[k] + 0.75 * (z - iterates[k]) + 0.25 * (iterates[k] - iterates[k - 1]))
        )
    return best


@pytest.mark.parametrize("steps", [1, 7, 100])
@pytest.mark.parametrize("loss", ["cross_entropy", "margin", "dlr"])
@pytest.mark.parametrize("norm", NORMS)
def test_apgd_is_algorithm_1(norm, loss, steps):
    """The batch takes the steps that the algorithm, image by image and as printed, takes."""
    net, x = curved_net(), images(4, 1, 8, 8)
    y = predicted(net, x)
    eps = {"linf": 0.02, "l2": 0.1}[norm]
    start = (x + eps * (images(4, 1, 8, 8, seed=3) - 0.5)).clamp(0, 1)
    found = attacks.apgd(net, x, y, norm=norm, eps=eps, steps=steps, loss=loss, start=start)
    for i in range(4):
        expected = algorithm_1(net, x[i : i + 1], y[i : i + 1], norm, eps, steps, loss, start[i : i + 1])
        torch.testing.assert_close(found[i : i + 1], expected, atol=1e-7, rtol=0)


def test_checkpoints_are_the_papers():
    """Of 100 steps: 22, then 19, 16, ... fewer, never fewer than 6 apart."""
    from companion.attacks.apgd import _intervals

    assert _intervals(100) == {0: 0, 22: 22, 41: 19, 57: 16, 70: 13, 80: 10, 87: 7, 93: 6, 99: 6}
    assert _intervals(1) == {0: 0, 1: 1}


# What every attack of the reference keeps

ATTACKS = {
    "apgd cross_entropy": lambda net, x, y, **s: attacks.apgd(net, x, y, steps=12, **s),
    "apgd dlr": lambda net, x, y, **s: attacks.apgd(net, x, y, steps=12, loss="dlr", **s),
    "apgd targeted dlr": lambda net, x, y, **s: attacks.apgd(
        net, x, y, steps=12, loss="dlr", target=(y + 1) % 10, **s
    ),
    "apgd stop_early": lambda net, x, y, **s: attacks.apgd(net, x, y, steps=12, stop_early=True, **s),
    "square": lambda net, x, y, **s: attacks.square(net, x, y, queries=40, **s),
}


def bordering(n, dtype=torch.float64):
    """Images with about a third of their pixels on the bounds."""
    return (1.5 * images(n, 1, 8, 8, seed=6) - 0.25).clamp(0, 1).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ATTACKS)
def test_results_lie_in_box_and_ball(name, norm, dtype):
    """The box exactly; the linf ball exactly as rounding has it; the l2 ball to the last few bits."""
    net, x = curved_net().to(dtype), bordering(30, dtype)
    y = predicted(net, x)
    for eps in (1e-3, 0.3):
        found = ATTACKS[name](net, x, y, norm=norm, eps=eps, generator=generator())
        assert found.dtype == dtype and found.shape == x.shape
        assert (found >= 0).all() and (found <= 1).all()
        assert not torch.equal(found, x)
        if norm == "linf":
            assert (found <= x + eps).all() and (found >= x - eps).all()
        else:
            size = (found - x).flatten(1).double().norm(dim=1)
            assert (size <= eps + 64 * torch.finfo(dtype).eps).all()


def test_a_start_outside_the_ball_is_pulled_into_it():
    net, x = curved_net(), images(4, 1, 8, 8)
    y = predicted(net, x)
    for norm in NORMS:
        found = attacks.apgd(net, x, y, norm=norm, eps=0.05, start=1 - x, stop_early=True, steps=1)
        size = (found - x).flatten(1).norm(dim=1) if norm == "l2" else (found - x).abs().amax((1, 2, 3))
        assert (size <= 0.05 + 1e-12).all()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ATTACKS)
def test_radius_zero_is_the_identity(name, norm):
    net, x = curved_net(), bordering(5)
    assert torch.equal(ATTACKS[name](net, x, predicted(net, x), norm=norm, eps=0, generator=generator()), x)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ATTACKS)
def test_the_generator_decides_everything(name, norm):
    net, x = curved_net(), images(6, 1, 8, 8)
    y, before = predicted(net, x), torch.get_rng_state()

    def run(seed):
        return ATTACKS[name](net, x, y, norm=norm, eps=0.05, generator=generator(seed))

    assert torch.equal(run(0), run(0))
    assert not torch.equal(run(0), run(1))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ATTACKS)
def test_no_sample_feels_its_batch(name, norm):
    """One by one, in another order, or beside others misclassified earlier: the same result for each."""
    net, x = curved_net(), images(24, 1, 8, 8)
    y = predicted(net, x)
    y[0] = (y[0] + 1) % 10  # misclassified from the start
    eps = {"linf": 0.015, "l2": 0.1}[norm]
    own = (
        {"seeds": torch.arange(24) * 977}
        if name == "square"
        else {"start": x + eps * (images(24, 1, 8, 8, seed=3) - 0.5) / 4}
    )

    def run(part):
        settings = {key: value[part] for key, value in own.items()}
        return ATTACKS[name](net, x[part], y[part], norm=norm, eps=eps, **settings)

    whole, order = run(slice(None)), torch.randperm(24, generator=generator())
    misled = predicted(net, whole) != y
    assert misled.any() and not misled.all()
    alone = torch.cat([run(slice(i, i + 1)) for i in range(0, 24, 3)])
    torch.testing.assert_close(alone, whole[::3], atol=1e-9, rtol=0)
    torch.testing.assert_close(run(order), whole[order], atol=1e-9, rtol=0)


@pytest.mark.parametrize("norm", NORMS)
def test_fallen_samples_cost_no_more(norm):
    """The active set: misclassified images are not passed through the net again."""
    net, x = curved_net(), images(60, 1, 8, 8)
    y, eps = predicted(net, x), {"linf": 0.02, "l2": 0.1}[norm]
    seen = []
    net.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    start = x + eps * (images(60, 1, 8, 8, seed=3) - 0.5) / 4
    early = attacks.apgd(net, x, y, norm=norm, eps=eps, steps=20, stop_early=True, start=start)
    assert seen[0] == 60 and seen[-1] < 45 and sorted(seen, reverse=True) == seen
    robust = predicted(net, early) == y
    assert robust.any() and not robust.all()
    full = attacks.apgd(net, x, y, norm=norm, eps=eps, steps=20, start=start)
    torch.testing.assert_close(early[robust], full[robust], atol=1e-9, rtol=0)
    seen.clear()
    attacks.square(net, x, y, norm=norm, eps=eps, queries=50, generator=generator())
    assert seen[0] == 60 and seen[-1] < 55 and sorted(seen, reverse=True) == seen and len(seen) == 50


# Square's parts


def test_random_numbers_are_splitmix64s():
    from companion.attacks.square import _uniform

    def splitmix(state):  # Steele, Lea & Flood 2014, in Python's integers
        z = state % 2**64
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        return ((z ^ z >> 31) >> 11) / 2**53

    seeds, golden = [3, 2**62 - 1, 12345], 0x9E3779B97F4A7C15
    expected = [[splitmix(seed + (k + (7 << 32)) * golden) for k in (1, 2, 3)] for seed in seeds]
    assert _uniform(torch.tensor(seeds), 7, 3).tolist() == expected
    many = torch.cat([_uniform(torch.arange(500), query, 20) for query in range(5)])
    assert many.min() >= 0 and many.max() < 1
    counts = torch.histc(many, 10, 0, 1) / many.numel()
    assert (counts - 0.1).abs().max() < 0.006
    assert many.flatten().unique().numel() == many.numel()


def test_windows_reach_every_position_alike():
    from companion.attacks.square import _uniform, _window

    clean = torch.zeros(6000, 1, 5, 7)
    inside, rows, columns = _window(clean, 3, _uniform(torch.arange(6000), 1, 2))
    assert (inside.sum((1, 2, 3)) == 9).all()
    corners = inside.flatten(1).int().argmax(1)
    counts = torch.bincount(corners, minlength=35).view(5, 7)
    assert (counts[:3, :5] / 6000 - 1 / 15).abs().max() < 0.015 and counts[3:].sum() + counts[
        :, 5:
    ].sum() == 0
    place = rows[:, :, None] * 3 + columns[:, None, :]
    assert (place[inside[:, 0]].view(-1, 9) == torch.arange(9)).all()


def test_sides_shrink_on_schedule():
    from companion.attacks.square import _side

    image = torch.zeros(1, 1, 28, 28)
    shares = [0, 0.0009, 0.0011, 0.006, 0.021, 0.051, 0.11, 0.21, 0.41, 0.61, 0.81]
    assert [_side(0.8, share, image, "linf") for share in shares] == [25, 25, 18, 13, 9, 6, 4, 3, 2, 2, 1]
    assert [_side(0.8, share, image, "l2") for share in shares] == [25, 25, 19, 13, 9, 7, 5, 3, 3, 3, 3]
    assert _side(0.8, 0, torch.zeros(1, 1, 8, 8), "linf") == 7


def test_bumps_by_hand():
    from companion.attacks.square import _bump, _peak

    assert _peak(3, 3).tolist() == [[0.25] * 3, [0.25, 1.25, 0.25], [0.25] * 3]
    eta = torch.tensor([[0.25, 1.25, 0.25], [-0.25, -0.25, -0.25], [-0.25, -1.25, -0.25]])
    torch.testing.assert_close(_bump(3, 3), eta / eta.norm())
    assert _bump(1, 1).abs() == 1 and _bump(7, 7).norm().item() == pytest.approx(1)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("shape", [(2,), (64,), (8, 8), (1, 1, 1), (3, 5, 9), (2, 4, 4)])
def test_square_on_any_shape_of_image(shape, norm):
    net = nn.Sequential(nn.Flatten(), linear(3, inputs=torch.Size(shape).numel()))
    x = images(6, *shape, low=0.4, high=0.6)
    found = attacks.square(net, x, predicted(net, x), norm=norm, eps=0.01, queries=60, generator=generator())
    delta = (found - x).flatten(1)
    size = delta.abs() if norm == "linf" else delta.norm(dim=1)  # inside the box nothing is left unused
    torch.testing.assert_close(size, torch.full_like(size, 0.01), atol=1e-9, rtol=0)


@pytest.mark.parametrize("norm", NORMS)
def test_square_approaches_the_optimum_of_a_linear_net(norm):
    """Without a gradient: the corner exactly for linf, most of the way for l2."""
    net = nn.Sequential(nn.Flatten(), linear(2, inputs=64))
    x, eps = images(4, 1, 8, 8, low=0.3, high=0.7), 0.01
    y = predicted(net, x)
    slope = (net[1].weight[1] - net[1].weight[0]).detach()
    best = eps * (slope.abs().sum() if norm == "linf" else slope.norm())
    net[1].bias.data[0] += 10 * (1 - 2 * y[0].item())  # no attack succeeds, so that all queries are made
    y[:] = y[0]
    with torch.no_grad():
        before = attacks.margin(net(x), y)
        found = attacks.square(net, x, y, norm=norm, eps=eps, queries=1000, generator=generator())
        gained = attacks.margin(net(found), y) - before
    assert (gained <= best + 1e-9).all()
    assert (gained >= {"linf": 1 - 1e-9, "l2": 0.65}[norm] * best).all()


def test_square_finds_the_last_pixel():
    """A net that looks at one corner pixel only; AutoAttack's windows never cover it."""

    class Corner(nn.Module):
        def forward(self, x):
            return torch.stack([x[:, 0, -1, -1], torch.full_like(x[:, 0, 0, 0], 0.5)], 1)

    x, y = torch.full((40, 1, 8, 8), 0.55), torch.zeros(40, dtype=torch.int64)
    found = attacks.square(Corner(), x, y, norm="linf", eps=0.1, queries=500, generator=generator())
    assert not attacks.correct(Corner(), found, y).any()


# Nets that mislead gradients


class Around(nn.Module):
    """scale * net(before(x))"""

    def __init__(self, net, before=None, scale=1):
        super().__init__()
        self.net, self.before, self.scale = net, before or nn.Identity(), scale

    def forward(self, x):
        return self.scale * self.net(self.before(x))


def still_robust(net, x, y, found):
    return attacks.correct(net, found, y).float().mean().item()


@pytest.mark.parametrize("norm", NORMS)
def test_scaled_logits_stop_cross_entropy_alone(norm):
    """Logits times 2^14 change no decision. Softmax saturates, and PGD on cross-entropy finds no gradient;
    dlr and the margin take the same steps as before, to the last bit."""
    net, x = curved_net().float(), images(60, 1, 8, 8).float()
    y, eps = predicted(net, x), {"linf": 0.03, "l2": 0.2}[norm]
    masked = Around(net, scale=2**14)
    start = (x + eps * (images(60, 1, 8, 8, seed=3).float() - 0.5) / 4).clamp(0, 1)
    ball = {"norm": norm, "eps": eps, "start": start, "steps": 20, "stop_early": True}
    for settings in ({"loss": "dlr"}, {"loss": "margin"}, {"loss": "dlr", "target": (y + 1) % 10}):
        plain, scaled = (attacks.apgd(model, x, y, **settings, **ball) for model in (net, masked))
        assert torch.equal(plain, scaled)
    assert still_robust(net, x, y, attacks.pgd(net, x, y, **ball)) < 0.5
    assert still_robust(masked, x, y, attacks.pgd(masked, x, y, **ball)) > 0.8
    assert still_robust(masked, x, y, attacks.apgd(masked, x, y, **ball)) > 0.8
    assert still_robust(masked, x, y, attacks.apgd(masked, x, y, loss="dlr", **ball)) < 0.3
    budget = {"steps": 20, "restarts": 1, "queries": 0}
    verdicts = attacks.evaluate(
        masked, x, y, norm=norm, eps=eps, protocol="reference", generator=generator(), **budget
    )
    assert verdicts.robust[0].float().mean() > 0.8 and verdicts.worst < 0.3


class Levels(nn.Module):
    """Grey levels in steps of 1/4: the gradient is zero wherever there is one."""

    def forward(self, x):
        return (4 * x).round() / 4


@pytest.mark.parametrize("norm", NORMS)
def test_square_attacks_where_there_is_no_gradient(norm):
    net, x = curved_net(), images(40, 1, 8, 8)
    masked, eps = Around(net, Levels()), {"linf": 0.1, "l2": 0.5}[norm]
    y = predicted(masked, x)
    ball = {"norm": norm, "eps": eps}
    for loss in ("cross_entropy", "dlr", "margin"):
        assert torch.equal(attacks.apgd(masked, x, y, loss=loss, start="none", steps=10, **ball), x)
    found = attacks.square(masked, x, y, queries=300, generator=generator(), **ball)
    assert still_robust(masked, x, y, found) < 0.3
    strong = attacks.evaluate(masked, x, y, generator=generator(), **ball)
    reference = attacks.evaluate(
        masked,
        x,
        y,
        protocol="reference",
        steps=5,
        restarts=1,
        queries=300,
        robust=strong.robust.all(0),
        generator=generator(),
        **ball,
    )
    assert reference.worst < strong.worst - 0.2
    assert reference.attacks[-1] == "square"
    assert not (reference.robust[-1] & ~reference.robust[-2]).any()


def test_a_black_box_without_a_graph():
    """Square asks for logits only; Auto-PGD says why it cannot help."""

    class Box(nn.Module):
        def forward(self, x):
            return net(x.detach())

    net, x = curved_net(), images(10, 1, 8, 8)
    y, box = predicted(net, x), Box()
    found = attacks.square(box, x, y, norm="linf", eps=0.05, queries=100, seeds=torch.arange(10))
    assert torch.equal(
        found, attacks.square(net, x, y, norm="linf", eps=0.05, queries=100, seeds=torch.arange(10))
    )
    assert still_robust(box, x, y, found) < 0.5
    with pytest.raises(ValueError, match="no gradient in x; attacks.square needs none"):
        attacks.apgd(box, x, y, norm="linf", eps=0.05)


# The protocol


@pytest.mark.parametrize("norm", NORMS)
def test_verdicts_on_ten_linear_classes_are_exact(norm):
    """A sample is misclassified exactly when some class can overtake its own within the ball; the strong
    protocol, whose margin follows the class that is second now, may miss some."""
    net, x = linear(10), images(150, DIMENSIONS, low=0.3, high=0.7)
    y, eps = predicted(net, x), RADII[norm]
    gap = reachable(net, x, y, norm, eps).amax(1)
    assert (gap.abs() > 1e-4).all() and 0.2 < (gap <= 0).float().mean() < 0.9
    verdicts = attacks.evaluate(
        net, x, y, norm=norm, eps=eps, protocol="reference", steps=30, restarts=1, queries=50,
        generator=generator(),
    )  # fmt: skip
    assert torch.equal(verdicts.robust.all(0), gap <= 0)


@pytest.mark.parametrize("classes", [2, 3, 4, 6])
def test_members_and_what_few_classes_are_attacked_with(classes):
    net, x = linear(classes), images(30, DIMENSIONS)
    y, seen = predicted(net, x), []
    net.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    budget = {"steps": 3, "restarts": 2, "targets": 4, "queries": 5}
    verdicts = attacks.evaluate(net, x, y, norm="l2", eps=1e-6, protocol="reference", **budget)
    targeted = "apgd targeted margin" if classes < 4 else "apgd targeted dlr"
    aims = min(4, classes - 1)
    expected = ["apgd cross_entropy"] * 2 + [targeted] * aims + ["pgd margin"] * 2 + ["square"]
    assert list(verdicts.attacks) == expected and len(verdicts.robust) == len(expected)
    # 3 steps are 4 passes for Auto-PGD, 3 for PGD; 5 queries; one to judge each member, two over clean images
    assert sum(seen) == 30 * ((2 + aims) * 4 + 2 * 3 + 5 + len(expected) + 2)
    for fewer, names in (
        ({"restarts": 1, "targets": 0, "queries": 0}, ("apgd cross_entropy", "pgd margin")),
        ({"restarts": 0, "targets": 1, "queries": 0}, (targeted,)),
        ({"restarts": 0, "targets": 0, "queries": 1}, ("square",)),
    ):
        ball = {"norm": "l2", "eps": 1e-6, "protocol": "reference", "steps": 1}
        assert attacks.evaluate(net, x, y, **ball, **fewer).attacks == names


@pytest.mark.parametrize("norm", NORMS)
def test_reference_only_lowers(norm):
    """What earlier protocols misled is not attacked again: the result is never above theirs."""
    net, x = curved_net(), images(60, 1, 8, 8)
    y, eps = predicted(net, x), {"linf": 0.015, "l2": 0.1}[norm]
    y[:5] = (y[:5] + 1) % 10
    earlier, seen = torch.arange(60) % 3 > 0, []
    net.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    verdicts = attacks.evaluate(
        net, x, y, norm=norm, eps=eps, protocol="reference", steps=20, restarts=1, targets=2, queries=20,
        robust=earlier, generator=generator(),
    )  # fmt: skip
    left = earlier & (torch.arange(60) >= 5)
    assert 0 < verdicts.robust[-1].sum() < left.sum()
    assert not (verdicts.robust & ~left).any()
    assert not (verdicts.robust[1:] & ~verdicts.robust[:-1]).any()
    assert sorted(seen)[-2:] == [60, 60] and sorted(seen)[-3] == left.sum()  # two looks at the clean images


@pytest.mark.parametrize("norm", NORMS)
def test_reference_verdicts_do_not_depend_on_the_chunk(norm):
    net, x = curved_net(), images(20, 1, 8, 8)
    y, eps = predicted(net, x), {"linf": 0.01, "l2": 0.06}[norm]
    first, *others = (
        attacks.evaluate(
            net, x, y, norm=norm, eps=eps, protocol="reference", steps=2, restarts=1, targets=1, queries=10,
            batch_size=size, generator=generator(),
        ).robust
        for size in (1, 7, 1000)
    )  # fmt: skip
    assert first[-1].any() and not first[0].all()
    for other in others:
        assert torch.equal(first, other)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("norm", NORMS)
def test_a_gpu_finds_the_same(norm):
    """From the same starts and seeds, up to rounding: Square's numbers do not depend on the device."""
    net, x = curved_net(), images(20, 1, 8, 8)
    y, eps = predicted(net, x), {"linf": 0.015, "l2": 0.1}[norm]
    start, seeds = x + eps * (images(20, 1, 8, 8, seed=3) - 0.5) / 4, torch.arange(20)
    found = []
    for device in ("cpu", "cuda"):
        net.to(device)
        ball = {"norm": norm, "eps": eps}
        there = x.to(device), y.to(device)
        found.append(attacks.apgd(net, *there, **ball, steps=10, loss="dlr", start=start.to(device)).cpu())
        found.append(attacks.square(net, *there, **ball, queries=30, seeds=seeds.to(device)).cpu())
        attacks.evaluate(net, *there, **ball, protocol="reference", steps=2, restarts=1, queries=2)
    torch.testing.assert_close(found[0], found[2], atol=1e-8, rtol=0)
    torch.testing.assert_close(found[1], found[3], atol=1e-8, rtol=0)


X, Y = images(3, 1, 8, 8), torch.tensor([0, 1, 2])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda n: attacks.apgd(n, X, Y, norm="l2", eps=0.1, loss="hinge"),
            "'hinge'.*cross_entropy, margin, br_margin, dlr",
        ),
        (
            lambda n: attacks.apgd(n, X, Y, norm="l2", eps=0.1, target=Y + 1),
            "'cross_entropy'; expected one of margin, dlr for a targeted attack",
        ),
        (lambda n: attacks.apgd(n, X, Y, norm="l2", eps=0.1, steps=0), "steps=0"),
        (lambda n: attacks.apgd(n, X, Y, norm="l1", eps=0.1), "norm='l1'"),
        (lambda n: attacks.apgd(n, 2 * X, Y, norm="l2", eps=0.1), r"expected \[0, 1\]"),
        (
            lambda n: attacks.apgd(n, X, Y, norm="l2", eps=0.1, loss="dlr", target=torch.tensor([1, 1, 1])),
            "1 targets are the label itself",
        ),
        (lambda n: attacks.apgd(n, X, Y, norm="l2", eps=0.1, loss="dlr", target=Y.float()), "float32"),
        (lambda n: attacks.apgd(n, X, Y, norm="l2", eps=0.1, loss="dlr", target=Y[:2] + 1), r"\(2,\)"),
        (lambda n: attacks.apgd(n, X, Y, norm="l2", eps=0.1, loss="dlr", target=Y + 8), "10 classes"),
        (lambda n: attacks.square(n, X[:, None], Y, norm="l2", eps=0.1), r"\(3, 1, 1, 8, 8\)"),
        (lambda n: attacks.square(n, X, Y, norm="l2", eps=0.1, queries=0), "queries=0"),
        (lambda n: attacks.square(n, X, Y, norm="l2", eps=0.1, p=0), "p=0"),
        (lambda n: attacks.square(n, X, Y, norm="l2", eps=0.1, seeds=Y[:2]), r"seeds.*\(2,\)"),
        (lambda n: attacks.square(n, X, Y + 8, norm="l2", eps=0.1), "10 classes"),
        (lambda n: attacks.square(n, X, Y, norm="l2", eps=-1), "eps=-1"),
        (
            lambda n: attacks.evaluate(n, X, Y, norm="l2", eps=0.1, protocol="auto"),
            "'auto'.*strong, reference",
        ),
        (lambda n: attacks.evaluate(n, X, Y, norm="l2", eps=0.1, queries=5), "queries=5.*reference"),
        (
            lambda n: attacks.evaluate(n, X, Y, norm="l2", eps=0.1, protocol="ir_paper", targets=5),
            "targets=5.*reference",
        ),
        (
            lambda n: attacks.evaluate(n, X, Y, norm="l2", eps=0.1, protocol="reference", step_size=1),
            "step_size=1",
        ),
        (lambda n: attacks.evaluate(n, X, Y, norm="l2", eps=0.1, restarts=0), "restarts=0"),
        (
            lambda n: attacks.evaluate(
                n, X, Y, norm="l2", eps=0.1, protocol="reference", restarts=0, targets=0, queries=0
            ),
            "all 0; expected at least one attack",
        ),
        (
            lambda n: attacks.evaluate(n, X, Y, norm="l2", eps=0.1, protocol="reference", targets=-1),
            "targets=-1",
        ),
        (lambda n: attacks.evaluate(n, X, Y, norm="l2", eps=0.1, steps=0), "steps=0"),
        (
            lambda n: attacks.evaluate(n, X, Y + 8, norm="l2", eps=0.1, protocol="reference"),
            "10 classes",
        ),
    ],
)
def test_wrong_settings_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(curved_net())
