"""PGD and FGSM are those of foolbox and torchattacks, from the same start, step for step."""

import pytest
import torch

from companion import attacks
from companion.attacks import Protocol

eagerpy = pytest.importorskip("eagerpy")
foolbox = pytest.importorskip("foolbox")
torchattacks = pytest.importorskip("torchattacks")

EPS = {"linf": 0.1, "l2": 0.7}
STEP = {"linf": 0.013, "l2": 0.11}
STEPS = [1, 2, 7, 40]
FOOLBOX = {"linf": foolbox.attacks.LinfPGD, "l2": foolbox.attacks.L2PGD}


def ours(net, x, y, norm, steps, **settings):
    return attacks.pgd(
        net,
        x,
        y,
        norm=norm,
        eps=EPS[norm],
        steps=steps,
        step_size=STEP[norm],
        **{"start": "none", **settings},
    )


def foolbox_pgd(net, x, y, norm, steps, start=None, kind=None):
    """foolbox's loop, started from a given image."""
    attack = (kind or FOOLBOX[norm])(abs_stepsize=STEP[norm], steps=steps, random_start=start is not None)
    attack.get_random_start = lambda x0, eps: eagerpy.astensor(start)
    model = foolbox.PyTorchModel(net.requires_grad_(False), bounds=(0, 1))
    return attack.run(model, x, foolbox.criteria.Misclassification(y), epsilon=EPS[norm])


def close(a, b):
    torch.testing.assert_close(a, b, atol=1e-6, rtol=0)


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_pgd_from_the_image(smooth_net, batch, norm, steps):
    x, y = batch
    adversarial = ours(smooth_net, x, y, norm, steps)
    kind = {"linf": torchattacks.PGD, "l2": torchattacks.PGDL2}[norm]
    harry = kind(smooth_net, eps=EPS[norm], alpha=STEP[norm], steps=steps, random_start=False)
    close(adversarial, harry(x, y))
    close(adversarial, foolbox_pgd(smooth_net, x, y, norm, steps))
    assert (adversarial - x).abs().max() > STEP[norm] / 20  # it moved at all


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_pgd_from_a_given_start(smooth_net, batch, norm, steps):
    x, y = batch
    generator = torch.Generator().manual_seed(2)
    noise = torch.rand(x.shape, generator=generator, dtype=x.dtype) - 0.5
    noise = 2 * EPS[norm] * noise if norm == "linf" else EPS[norm] * noise / noise.flatten(1).norm()
    start = (x + noise).clamp(0, 1)
    adversarial = ours(smooth_net, x, y, norm, steps, start=start)
    close(adversarial, foolbox_pgd(smooth_net, x, y, norm, steps, start))
    if steps < 10:  # before the attack has forgotten where it started
        assert not torch.allclose(adversarial, ours(smooth_net, x, y, norm, steps), atol=1e-3)


def test_pgd_from_the_random_start_of_torchattacks(smooth_net, batch):
    """Both draw the same uniform numbers when torch's global generator is in the same state."""
    x, y = batch
    harry = torchattacks.PGD(smooth_net, eps=EPS["linf"], alpha=STEP["linf"], steps=10, random_start=True)
    torch.manual_seed(3)
    expected = harry(x, y)
    torch.manual_seed(3)
    start = (x + torch.empty_like(x).uniform_(-EPS["linf"], EPS["linf"])).clamp(0, 1)
    close(ours(smooth_net, x, y, "linf", 10, start=start), expected)


class BoxThenBall(foolbox.attacks.L2PGD):
    """advertorch's conventions in foolbox's loop: pixels clipped before the ball, a floor under the norm."""

    divisor, floor = 1.0, 1e-12

    def normalize(self, gradients, *, x, bounds):
        gradients = gradients / self.divisor
        norms = eagerpy.maximum(gradients.flatten(1).norms.l2(axis=-1), self.floor)
        return gradients / norms.reshape((-1, 1, 1, 1))

    def project(self, x, x0, epsilon):
        return super().project(x.clip(0, 1), x0, epsilon)


@pytest.mark.parametrize("steps", STEPS)
def test_order_of_the_projections(smooth_net, batch, steps):
    x, y = batch
    adversarial = ours(smooth_net, x, y, "l2", steps, protocol=Protocol("last", project_last=True))
    close(adversarial, foolbox_pgd(smooth_net, x, y, "l2", steps, kind=BoxThenBall))
    if steps == 40:  # the two orders differ once the box matters
        assert (adversarial - ours(smooth_net, x, y, "l2", steps)).abs().max() > 1e-4


@pytest.mark.parametrize("steps", STEPS)
def test_floor_under_the_gradient_norm(smooth_net, batch, steps):
    """With a floor in the middle of the gradient norms some steps are shortened and some are not."""
    x, y = batch

    point = x.clone().requires_grad_()
    cross_entropy = torch.nn.functional.cross_entropy(smooth_net(point), y, reduction="sum")
    norms = torch.autograd.grad(cross_entropy, point)[0].flatten(1).norm(dim=1) / 50

    class Floored(BoxThenBall):
        divisor, floor = 50.0, norms.median().item()

    floored = Protocol("floored", project_last=True, loss_divisor=50, grad_floor=Floored.floor)
    adversarial = ours(smooth_net, x, y, "l2", steps, protocol=floored)
    close(adversarial, foolbox_pgd(smooth_net, x, y, "l2", steps, kind=Floored))
    if steps == 1:
        without_floor = ours(smooth_net, x, y, "l2", steps, protocol=Protocol("last", project_last=True))
        same = (adversarial - without_floor).flatten(1).norm(dim=1) < 1e-6
        assert same.any() and not same.all()


def test_fgsm(smooth_net, batch):
    x, y = batch
    expected = torchattacks.FGSM(smooth_net, eps=0.03)(x, y)
    assert torch.equal(attacks.fgsm(smooth_net, x, y, eps=0.03), expected)
    model = foolbox.PyTorchModel(smooth_net.requires_grad_(False), bounds=(0, 1))
    for norm, kind in (
        ("linf", foolbox.attacks.LinfFastGradientAttack),
        ("l2", foolbox.attacks.L2FastGradientAttack),
    ):
        expected = kind(random_start=False).run(model, x, foolbox.criteria.Misclassification(y), epsilon=0.03)
        close(attacks.fgsm(smooth_net, x, y, norm=norm, eps=0.03), expected)


def test_margin_is_the_negated_carlini_wagner_gap(batch):
    """Against a loop over classes, with logits that are all negative: masking with zero fails there."""
    logits = -5 - 3 * torch.rand(8, 10, dtype=torch.float64)
    y = batch[1]
    expected = [
        max(z for k, z in enumerate(row) if k != label) - row[label]
        for row, label in zip(logits.tolist(), y.tolist(), strict=True)
    ]
    close(attacks.margin(logits, y), torch.tensor(expected, dtype=torch.float64))
