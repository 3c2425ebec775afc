"""What a result must not depend on, and what an attack or a map must leave as it was."""

import copy

import pytest
import torch
from torch import nn

from companion import attacks, saliency
from companion.attacks import minimal

RUNS = {
    "pgd linf": lambda net, x, y: attacks.pgd(net, x, y, norm="linf", eps=0.1, steps=5, start="none"),
    "pgd l2": lambda net, x, y: attacks.pgd(net, x, y, norm="l2", eps=0.5, steps=5, start="none"),
    "pgd margin": lambda net, x, y: attacks.pgd(
        net, x, y, norm="l2", eps=0.5, steps=5, loss="margin", start="none"
    ),
    "pgd early": lambda net, x, y: attacks.pgd(
        net, x, y, norm="l2", eps=0.5, steps=5, start="none", stop_early=True
    ),
    "pgd ir_paper": lambda net, x, y: attacks.pgd(
        net, x, y, norm="l2", eps=0.5, steps=5, protocol=attacks.IR_PAPER, start="none"
    ),
    "fgsm": lambda net, x, y: attacks.fgsm(net, x, y, eps=0.1),
    "apgd": lambda net, x, y: attacks.apgd(net, x, y, norm="l2", eps=0.5, steps=5, start="none"),
    "square": lambda net, x, y: attacks.square(
        net, x, y, norm="l2", eps=0.5, queries=5, seeds=(1e6 * x.detach()).long().sum((1, 2, 3))
    ),
    "line search": lambda net, x, y: minimal.gradient_line_search(net, x, y, steps=50).distance,
    "l2_bim": lambda net, x, y: minimal.l2_bim(net, x, y, steps=3, search=4).distance,
    "carlini_wagner": lambda net, x, y: (
        minimal.carlini_wagner(net, x, y, steps=20, search=2, lr=0.1).distance
    ),
    "ddn": lambda net, x, y: minimal.ddn(net, x, y, steps=10).distance,
    "input_gradient": lambda net, x, y: saliency.input_gradient(net, x, y),
    "input_gradient ce": lambda net, x, y: saliency.input_gradient(net, x, y, of="cross_entropy"),
    "correct": lambda net, x, y: attacks.correct(net, x, y).double(),
}
OTHERS = {
    "smoothgrad": lambda net, x, y: saliency.smoothgrad(net, x, y, samples=2, chunk=5),
    "evaluate strong": lambda net, x, y: attacks.evaluate(net, x, y, norm="linf", eps=0.1, steps=2).robust,
    "evaluate paper": lambda net, x, y: (
        attacks.evaluate(net, x, y, norm="l2", eps=0.5, steps=2, protocol="ir_paper").robust
    ),
    "evaluate reference": lambda net, x, y: (
        attacks.evaluate(
            net, x, y, norm="l2", eps=0.5, steps=2, restarts=1, queries=3, protocol="reference"
        ).robust
    ),
}


@pytest.mark.parametrize("name", RUNS)
def test_result_of_a_sample_does_not_depend_on_its_batch(name, smooth_net, batch):
    x, y = batch
    whole = RUNS[name](smooth_net, x, y)
    alone = torch.cat([RUNS[name](smooth_net, x[i : i + 1], y[i : i + 1]) for i in range(8)])
    order = torch.tensor([5, 2, 7, 0, 3, 1, 6, 4])
    shuffled = RUNS[name](smooth_net, x[order], y[order])
    torch.testing.assert_close(alone, whole, atol=1e-9, rtol=0)
    torch.testing.assert_close(shuffled, whole[order], atol=1e-9, rtol=0)


@pytest.mark.parametrize("chunk", [1, 3, 8, 100])
def test_maps_do_not_depend_on_the_chunk(chunk, smooth_net, batch):
    x, y = batch
    torch.testing.assert_close(
        saliency.input_gradient(smooth_net, x, y, chunk=chunk),
        saliency.input_gradient(smooth_net, x, y),
        atol=1e-12,
        rtol=0,
    )
    maps = [
        saliency.smoothgrad(smooth_net, x, y, samples=3, chunk=c, generator=torch.Generator().manual_seed(0))
        for c in (chunk, 2500)
    ]
    torch.testing.assert_close(*maps, atol=1e-12, rtol=0)


@pytest.mark.parametrize("protocol", ["strong", "ir_paper"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_verdicts_do_not_depend_on_the_chunk(norm, protocol, smooth_net, many):
    """Random starts are drawn for the whole set, so a machine with less memory reaches the same verdicts."""
    eps = {"linf": 0.012, "l2": 0.1}[norm]
    settings = {"norm": norm, "eps": eps, "steps": 1, "step_size": eps / 2, "restarts": 2}
    verdicts = [
        attacks.evaluate(
            smooth_net,
            *many,
            **settings,
            protocol=protocol,
            batch_size=size,
            generator=torch.Generator().manual_seed(6),
        ).robust
        for size in (1, 7, 1000)
    ]
    assert verdicts[0].any() and not verdicts[0].all()
    assert torch.equal(verdicts[0], verdicts[1]) and torch.equal(verdicts[1], verdicts[2])


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_active_set_starts_where_the_full_attack_starts(norm, smooth_net, many):
    """Until a sample is misclassified, it takes the same steps, from the same random start."""
    settings = {"norm": norm, "eps": {"linf": 0.012, "l2": 0.1}[norm], "steps": 10}
    early, last = (
        attacks.pgd(
            smooth_net, *many, **settings, stop_early=flag, generator=torch.Generator().manual_seed(7)
        )
        for flag in (True, False)
    )
    robust = attacks.correct(smooth_net, early, many[1])
    assert robust.any() and not robust.all()
    torch.testing.assert_close(early[robust], last[robust], atol=1e-9, rtol=0)


class Interrupted(nn.Module):
    """Raises in its `after`-th forward pass."""

    def __init__(self, after):
        super().__init__()
        self.after = after

    def forward(self, x):
        self.after -= 1
        if self.after < 0:
            raise RuntimeError("interrupted")
        return x


def training_net(*more):
    """A net in the middle of training, with one BatchNorm and one dropout frozen, and one frozen weight."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Sequential(nn.BatchNorm2d(4), nn.Dropout(0.5)),
        nn.Flatten(),
        nn.Linear(4 * 64, 10),
        *more,
    ).double()
    net.train()
    net[1].eval()
    net[3][1].eval()
    net[0].weight.requires_grad_(False)
    return net


def state(net):
    flags = [(name, module.training) for name, module in net.named_modules()]
    needs_grad = [(name, parameter.requires_grad) for name, parameter in net.named_parameters()]
    return flags, needs_grad


def images():
    x = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return x, torch.arange(5)


@pytest.mark.parametrize("name", [*RUNS, *OTHERS])
def test_model_is_left_as_it_was(name):
    net = training_net()
    tensors, before = copy.deepcopy(net.state_dict()), state(net)
    (RUNS | OTHERS)[name](net, *images())
    assert state(net) == before
    assert all(parameter.grad is None for parameter in net.parameters())
    for key, value in net.state_dict().items():  # running statistics included
        assert torch.equal(value, tensors[key]), key


RAISING = [(name, 0) for name in [*RUNS, *OTHERS]]
RAISING += [("pgd l2", 3), ("smoothgrad", 1), ("evaluate paper", 2)]  # halfway through


@pytest.mark.parametrize(("name", "after"), RAISING)
def test_model_is_left_as_it_was_when_it_raises(name, after):
    net = training_net(Interrupted(after))
    before = state(net)
    with pytest.raises(RuntimeError, match="interrupted"):
        (RUNS | OTHERS)[name](net, *images())
    assert state(net) == before
    assert all(parameter.grad is None for parameter in net.parameters())


@pytest.mark.parametrize("name", [*RUNS, *OTHERS])
def test_inputs_and_existing_gradients_are_left_alone(name):
    net = training_net()
    x, y = images()
    x_before, y_before = x.clone(), y.clone()
    x.requires_grad_()
    bias = net[5].bias
    bias.grad = torch.full_like(bias, 7.0)
    result = (RUNS | OTHERS)[name](net, x, y)
    assert torch.equal(x, x_before) and torch.equal(y, y_before)
    assert x.grad is None and x.requires_grad
    assert torch.equal(bias.grad, torch.full_like(bias, 7.0))
    assert not result.requires_grad


def test_attack_works_where_gradients_are_switched_off(smooth_net, batch):
    expected = RUNS["pgd l2"](smooth_net, *batch)
    with torch.no_grad():
        assert torch.equal(RUNS["pgd l2"](smooth_net, *batch), expected)
        saliency.input_gradient(smooth_net, *batch)


def test_global_random_numbers_are_not_touched_with_a_generator(smooth_net, batch):
    generator = torch.Generator().manual_seed(0)
    before = torch.get_rng_state()
    attacks.pgd(smooth_net, *batch, norm="l2", eps=0.5, steps=2, generator=generator)
    attacks.evaluate(smooth_net, *batch, norm="linf", eps=0.1, steps=2, generator=generator)
    saliency.smoothgrad(smooth_net, *batch, samples=2, generator=generator)
    assert torch.equal(torch.get_rng_state(), before)


def test_active_set_is_never_weaker_and_costs_less(smooth_net, many):
    """A sample misclassified at some iterate stays so, and is not attacked any further."""
    x, y = many
    settings = {"norm": "linf", "eps": 0.012, "steps": 20, "start": "none"}
    seen = []
    hook = smooth_net.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    early = attacks.pgd(smooth_net, x, y, **settings, stop_early=True)
    hook.remove()
    last = attacks.pgd(smooth_net, x, y, **settings)
    robust_early, robust_last = (attacks.correct(smooth_net, a, y) for a in (early, last))
    assert not (robust_early & ~robust_last).any()
    assert robust_early.any() and not robust_early.all()
    assert sum(seen) < 0.8 * 20 * len(x)  # images that went through the net
    assert (early - x).abs().max() <= 0.012 + 1e-12
