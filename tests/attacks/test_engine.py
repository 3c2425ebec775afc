"""Faster attacks are the plain attack: what they record, what they skip, what they round."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from companion import attacks, guards, models, saliency, tensors, transforms
from companion.attacks.precision import predict, still_correct
from companion.training.loop import _step
from companion.training.recipe import Recipe, Target, part


@pytest.fixture
def net():
    """Every class is predicted somewhere, with margins that small attacks overcome."""
    torch.manual_seed(0)
    net = models.digits_cnn().eval()
    with torch.no_grad():
        net[-1].bias -= net(torch.rand(200, 1, 8, 8)).mean(0)
    return net


@pytest.fixture
def batch(net):
    """Forty images with the net's own predictions as labels; not all are robust, and not none."""
    x = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return x, net(x).argmax(1)


SETTINGS = {"norm": "l2", "eps": 0.06, "steps": 6, "step_size": 0.02, "start": "none"}


@pytest.mark.parametrize("loss", ["cross_entropy", "margin"])
def test_trace_is_the_objective_at_each_iterate(net, batch, loss):
    x, y = batch
    trace = []
    attacks.pgd(net, x, y, **SETTINGS, loss=loss, trace=trace)
    assert len(trace) == 6 and all(step.shape == (40,) for step in trace)
    for steps in (1, 3):  # the iterate that step 1 and step 3 start from
        reached = attacks.pgd(net, x, y, **SETTINGS | {"steps": steps}, loss=loss)
        with torch.no_grad():
            torch.testing.assert_close(trace[steps], attacks.OBJECTIVES[loss](net(reached), y))
    assert (trace[-1] > trace[0]).all()


def test_trace_of_a_sample_ends_with_the_iterate_it_falls_at(net, batch):
    x, y = batch
    trace = []
    adversarial = attacks.pgd(net, x, y, **SETTINGS, loss="margin", stop_early=True, trace=trace)
    trace = torch.stack(trace)
    misled = ~attacks.correct(net, adversarial, y)
    assert misled.any() and not misled.all()
    for i in range(40):
        seen = trace[:, i][~trace[:, i].isnan()]
        assert trace[len(seen) :, i].isnan().all()
        assert (seen[:-1] < 0).all()
        assert not (len(seen) < len(trace)) or seen[-1] > 0
    assert not trace[:, ~misled].isnan().any()


BF16 = torch.bfloat16


def test_images_that_share_memory_and_fall_at_once(net, batch):
    x, y = batch
    x = x[:1].expand(len(x), -1, -1, -1)
    wrong = (net(x).argmax(1) + 1) % 10
    assert torch.equal(attacks.pgd(net, x, wrong, **SETTINGS | {"start": "none"}, stop_early=True), x)


@pytest.mark.parametrize("stop_early", [False, True])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_searching_in_bfloat16_finds_the_same_verdicts(net, batch, norm, stop_early):
    x, y = batch
    settings = SETTINGS | {"norm": norm, "eps": {"linf": 0.01, "l2": 0.06}[norm], "stop_early": stop_early}
    plain = attacks.pgd(net, x, y, **settings)
    found = attacks.pgd(net, x, y, **settings, dtype=BF16)
    assert found.dtype == torch.float32 and not torch.equal(found, plain)
    order = {"linf": torch.inf, "l2": 2}[norm]
    assert (found - x).flatten(1).norm(order, dim=1).max() <= settings["eps"] * (1 + 1e-5)
    assert found.min() >= 0 and found.max() <= 1
    verdicts = [attacks.correct(net, images, y) for images in (plain, found)]
    assert verdicts[0].any() and not verdicts[0].all()
    assert (verdicts[0] != verdicts[1]).sum() <= 1


class Close(nn.Module):
    """Two logits, of which the second is larger by 0.001 where the pixel is 1, smaller where it is 0."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 2)
        with torch.no_grad():
            self.layer.weight.copy_(torch.tensor([[0.0], [0.002]]))
            self.layer.bias.copy_(torch.tensor([1.0, 0.999]))

    def forward(self, x):
        return torch.cat([self.layer(x), -8 + 0 * x], 1)


def test_full_precision_decides_who_leaves():
    """Rounded, 0.999 to 1.001 is 1, and the first class wins every time: two of the four are misjudged."""
    net, x = Close(), torch.tensor([[0.0], [0.0], [1.0], [1.0]])
    y = torch.tensor([0, 1, 0, 1])
    rounded = predict(net, x, BF16)
    assert rounded.dtype == torch.float32 and (rounded[:, 0] == rounded[:, 1]).all()
    truly = torch.tensor([True, False, False, True])
    assert torch.equal(still_correct(net, x, y, rounded, BF16), truly)
    assert not torch.equal(still_correct(net, x, y, rounded, None), truly)
    assert attacks.flips(net, x, y).tolist() == [False, False, True, True]
    assert not attacks.flips(net, x, y, dtype=None).any()
    found = attacks.pgd(net, x, y, norm="linf", eps=0.4, steps=3, start="none", stop_early=True, dtype=BF16)
    assert torch.equal((found != x).squeeze(1), truly)  # robust ones were moved, misclassified ones stayed


def test_full_precision_is_asked_only_about_doubtful_samples(net, batch):
    x, y = batch
    asked = []
    net.register_forward_pre_hook(lambda _, inputs: asked.append(len(inputs[0])))
    logits = torch.zeros(40, 10).scatter(1, y[:, None], 5.0)
    logits[:3] = logits[:3].roll(1, dims=1)  # misclassified
    logits[3, (y[3] + 1) % 10] = 4.95  # nearly so
    still_correct(net, x, y, logits, BF16)
    assert asked == [4]


def test_other_precisions_are_named(net, batch):
    with pytest.raises(ValueError, match="torch.float16.*bfloat16"):
        attacks.pgd(net, *batch, **SETTINGS, dtype=torch.float16)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_curve_is_each_radius_on_what_the_smaller_ones_left(net, batch, norm):
    x, y = batch
    y = y.clone()
    y[0] = (y[0] + 1) % 10  # misclassified from the start
    small, large = {"linf": (0.005, 0.012), "l2": (0.03, 0.08)}[norm]
    settings = {"norm": norm, "steps": 4, "restarts": 1}
    found = attacks.curve(net, x, y, eps=[large, 0.0, small], **settings, generator=generator())
    assert list(found) == [0.0, small, large]
    fixed = generator()
    robust = None
    for radius in (0.0, small, large):
        alone = attacks.evaluate(net, x, y, eps=radius, robust=robust, **settings, generator=fixed)
        robust = alone.robust.all(0)
        assert torch.equal(found[radius].robust, alone.robust)
    fractions = [verdicts.worst for verdicts in found.values()]
    assert fractions[0] == pytest.approx(39 / 40) and fractions[0] > fractions[1] > fractions[2] > 0
    first = attacks.curve(net, x, y, eps=[small], **settings, robust=torch.arange(40) < 20)
    assert not first[small].robust[:, 20:].any()


def generator():
    return torch.Generator().manual_seed(2)


def test_smoothgrad_of_few_images_takes_many_copies_at_once(net):
    """Fifty copies of two images in three passes of at most 40; the noise is that of one copy at a time."""
    x, y = torch.rand(2, 1, 8, 8), torch.tensor([3, 5])
    passes, reported = [], []
    net.register_forward_pre_hook(lambda _, inputs: passes.append(len(inputs[0])))
    settings = {"samples": 50, "sigma": 0.1}
    found = saliency.smoothgrad(
        net, x, y, **settings, chunk=40, generator=generator(), progress=reported.append
    )
    assert passes == [40, 40, 20] and reported == [0.4, 0.8, 1.0]
    passes.clear()
    alone = saliency.smoothgrad(net, x, y, **settings, chunk=1, generator=generator())
    assert passes == [1] * 100
    torch.testing.assert_close(found, alone, atol=1e-6, rtol=1e-5)


def test_smoothgrad_needs_no_more_memory_for_more_samples(net):
    x, y = torch.rand(30, 1, 8, 8), torch.zeros(30, dtype=torch.int64)
    largest = []
    for samples in (5, 80):
        passes = []
        hook = net.register_forward_pre_hook(lambda _, inputs, seen=passes: seen.append(len(inputs[0])))
        saliency.smoothgrad(net, x, y, samples=samples, chunk=64)
        hook.remove()
        largest.append(max(passes))
    assert largest == [60, 60]


def test_batch_size_follows_the_images():
    assert tensors.batch_size(torch.rand(5, 1, 28, 28)) == 204
    assert tensors.batch_size(torch.rand(5, 1, 8, 8)) == 2500
    assert tensors.batch_size(torch.rand(5, 3, 512, 512)) == 16
    assert tensors.batch_size(torch.rand(0, 1, 8, 8)) >= 16


class Waits(TorchDispatchMode):
    """Counts where the host would wait for a GPU: values read, and results whose size depends on values."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func.overloadpacket.__name__ in ("_local_scalar_dense", "nonzero", "masked_select")
        return func(*args, **(kwargs or {}))


TRAININGS = {
    "cross_entropy": Recipe(part("digits"), part("digits_cnn")),
    "interpretation": Recipe(
        part("digits"),
        part("digits_cnn"),
        loss=part("interpretation", lambda_d=1.0, lambda_m=0.1),
        target=Target(Recipe(part("digits"), part("digits_cnn")), part("input_gradient")),
    ),
    "jacobian": Recipe(part("digits"), part("digits_cnn"), loss=part("jacobian", lambda_j=0.1)),
    "double_backprop": Recipe(part("digits"), part("digits_cnn"), loss=part("double_backprop", lambda_g=0.1)),
    "noise_modulation": Recipe(part("digits"), part("digits_cnn"), inputs=part("noise_modulation")),
}


@pytest.mark.parametrize("name", TRAININGS)
def test_a_training_step_never_waits_for_the_device(name):
    recipe = TRAININGS[name]
    model = models.digits_cnn().train()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    x, y = torch.rand(6, 1, 8, 8), torch.arange(6)
    target = torch.randn_like(x) if recipe.target else None
    with Waits() as waits:
        _step(recipe, model, optimiser, x, y, target, generator())
    assert waits.count == 0


def test_an_attack_of_all_samples_waits_only_to_check_its_input(net, batch):
    counts = []
    for steps in (1, 7):
        with Waits() as waits:
            attacks.pgd(net, *batch, **SETTINGS | {"steps": steps})
        counts.append(waits.count)
    assert counts[0] == counts[1] > 0


class NotANumber(nn.Module):
    """The net's decisions, and a gradient without end for images brighter than 0.5 at the first pixel."""

    def __init__(self, net):
        super().__init__()
        self.net = net
        self.eval()

    def forward(self, x):
        first = x.flatten(1)[:, :1]
        return self.net(x) + torch.where(first > 0.5, first - first, 1.0).sqrt()


@pytest.mark.parametrize(
    "attack",
    [
        partial(attacks.pgd, norm="linf", eps=0.1, steps=2),
        partial(attacks.pgd, norm="l2", eps=0.1, steps=2, stop_early=True),
        partial(attacks.fgsm, norm="linf", eps=0.1),
        partial(attacks.apgd, norm="l2", eps=0.1, steps=2),
        partial(attacks.evaluate, norm="linf", eps=0.1, steps=2),
        partial(attacks.ddn, steps=3),
        partial(attacks.carlini_wagner, steps=3),
    ],
)
def test_a_gradient_that_is_no_number_is_an_error_and_no_robustness(net, batch, attack):
    x, _ = batch
    x = x.clone()
    x[:, 0, 0, 0] = torch.linspace(0, 1, len(x))
    y = net(x).argmax(1)
    with pytest.raises(guards.NoGradient, match="NaN or infinite.*square root"):
        attack(NotANumber(net), x, y)


def test_a_training_learns_from_its_loss_that_gradients_are_no_numbers(net, batch):
    x, y = batch
    x_adv = transforms.adversarial(NotANumber(net), x, y, norm="linf", eps=0.1, steps=2)
    assert x_adv.shape == x.shape


def test_a_given_start_is_pulled_into_the_ball(net, batch):
    x, y = batch
    far = (x + 0.5).clamp(0, 1)
    for norm, eps in (("linf", 0.05), ("l2", 0.2)):
        for early in (False, True):
            found = attacks.pgd(net, x, y, norm=norm, eps=eps, start=far, steps=1, stop_early=early)
            size = (found - x).flatten(1).norm(torch.inf if norm == "linf" else 2, dim=1)
            assert size.max() <= eps * (1 + 1e-4)


@pytest.mark.parametrize("attack", [attacks.pgd, attacks.apgd])
@pytest.mark.parametrize(
    ("start", "words"), [(lambda x: x[:1], "one start for each"), (lambda x: x * torch.nan, "NaN")]
)
def test_a_start_that_is_none_is_refused(net, batch, attack, start, words):
    x, y = batch
    with pytest.raises(ValueError, match=words):
        attack(net, x, y, norm="linf", eps=0.1, start=start(x))


def test_impossible_labels_are_refused_and_nan_is_never_right(net, batch):
    x, _ = batch
    with pytest.raises(ValueError, match="labels run from 99"):
        attacks.correct(net, x, torch.full((len(x),), 99))

    class Nothing(nn.Module):
        def forward(self, x):
            return net(x) * torch.nan

    assert not attacks.correct(Nothing(), x, torch.zeros(len(x), dtype=torch.long)).any()


def test_brs_margin_ignores_negative_rivals():
    """Masked with 0 the label competes, and where all others are negative it is the only rival."""
    logits = torch.tensor([[2.0, 1.0, -3.0], [2.0, -1.0, -3.0]], requires_grad=True)
    y = torch.tensor([0, 0])
    assert attacks.OBJECTIVES["br_margin"](logits, y).tolist() == [-1.0, -2.0]
    gradient = torch.autograd.grad(attacks.OBJECTIVES["br_margin"](logits, y).sum(), logits)[0]
    assert gradient.tolist() == [[-1.0, 1.0, 0.0], [-1.0, 0.0, 0.0]]
