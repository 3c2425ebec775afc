"""Training steps: every loss and transform against a standard step, the Jacobian and adversarial training
against the usual ways."""

from collections.abc import Callable
from functools import partial

import foolbox
import torch
import torchattacks
from common import Table, fastest, medians, ratio, rounds
from torch import Tensor, nn
from torch.nn import functional as F

from companion import losses, models, saliency, transforms
from companion.training.loop import channels_last

BATCH = 50  # the papers'
GOALS = {"interpretation": 2.6, "noise modulation": 1.1}  # at most so many standard steps
SGD = partial(torch.optim.SGD, lr=1e-3, momentum=0.9)
ADAM = partial(torch.optim.Adam, lr=1e-3)
NETS = {
    "simple_cnn 28x28": (models.simple_cnn, 28, SGD),
    "digits_cnn 8x8": (models.digits_cnn, 8, SGD),
    "mlp 8x8, Adam": (partial(models.mlp, hidden=(256, 128)), 8, ADAM),  # the noise modulation chapter's
}
OWN = NETS | {"br_mnist_cnn 28x28": (models.br_mnist_cnn, 28, ADAM)}
Objective = Callable[[nn.Module, Tensor, Tensor], Tensor]


def run(repeats: int) -> list[Table]:
    return [steps(3 * repeats), own_step(2 * repeats), exact_jacobian(2 * repeats), adversarial(repeats)]


def batch(size: int) -> tuple[Tensor, Tensor, torch.Generator]:
    """Random images: what a step costs does not depend on them."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(BATCH, 1, size, size, generator=generator)
    return x, torch.randint(10, (BATCH,), generator=generator), generator


def stepper(
    build: Callable,
    optimiser: Callable,
    objective: Objective,
    x: Tensor,
    y: Tensor,
    count: int,
    *,
    fast=False,
    everything=False,
) -> Callable[[], None]:
    """A function that takes `count` training steps on a net of its own.

    fast: channels-last, as training.train has it on cross-entropy and before attacks. everything: as
    `loss.backward()` alone does and training.train does not, differentiates the loss with respect to images
    that a gradient was taken of, too.
    """
    torch.manual_seed(0)
    model = build(size=x.shape[-1]).train()
    model = channels_last(model) if fast else model
    weights = list(model.parameters())
    update = optimiser(weights)

    def job() -> None:
        for _ in range(count):
            update.zero_grad(set_to_none=True)
            objective(model, x, y).backward(inputs=None if everything else weights)
            update.step()

    return job


def objectives(x: Tensor, generator: torch.Generator) -> dict[str, Objective]:
    """The weights do not matter for the time."""
    target = torch.randn(x.shape, generator=generator)

    def interpretation(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        maps = saliency.threshold(target)
        return losses.interpretation(model, x, y, maps, lambda_d=3.0, lambda_m=0.15)

    def modulated(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return losses.cross_entropy(model, transforms.noise_modulation(model, x, y, generator=generator), y)

    return {
        "standard": losses.cross_entropy,
        "noise modulation": modulated,
        "interpretation": interpretation,
        "double backpropagation": partial(losses.double_backprop, lambda_g=0.1),
        "alignment penalty": partial(losses.alignment_penalty, lambda_a=0.1),
        "jacobian, 1 projection": partial(losses.jacobian, lambda_j=0.1, projections=1),
        "jacobian, 3 projections": partial(losses.jacobian, lambda_j=0.1, projections=3),
        "jacobian, exact": partial(losses.jacobian, lambda_j=0.1, projections=None),
    }


def steps(repeats: int) -> Table:
    table = Table(
        "Training steps",
        f"Forward, backward and update on a batch of {BATCH}. `steps`: how many standard steps of the same "
        "net it costs. `interpretation` includes the thresholding of its maps.",
    )
    for net, (build, size, optimiser) in NETS.items():
        x, y, generator = batch(size)
        count = 3 if size > 8 else 30
        jobs = {
            name: stepper(build, optimiser, loss, x, y, count)
            for name, loss in objectives(x, generator).items()
        }
        for job in jobs.values():
            job()  # the first steps of a process are slower
        times = rounds(jobs, repeats)
        for name in jobs:
            cpu, wall = (1000 * seconds / count for seconds in medians(times[name]))
            cost = 1 / ratio(times[name], times["standard"])
            table.rows.append(
                {"net": net, "loss": name, "ms CPU": cpu, "ms wall": wall, "steps": round(cost, 2)}
            )
            if name in GOALS:
                goal = f"{net}: {name} at most {GOALS[name]} standard steps"
                table.judge(goal, cost, cost <= GOALS[name])
    return table


def own_step(repeats: int) -> Table:
    table = Table(
        "A standard step as `training.train` takes it",
        f"Cross-entropy on a batch of {BATCH}, fused optimiser and channels-last weights; `ratio`: relative "
        "to torch's defaults for both.",
    )
    for net, (build, size, _) in OWN.items():
        x, y, _ = batch(size)
        count = 30 if size == 8 else 3
        for name, optimiser in {"SGD": SGD, "Adam": ADAM}.items():
            ways = {
                "torch's defaults": stepper(build, optimiser, losses.cross_entropy, x, y, count),
                "companion": stepper(
                    build, partial(optimiser, fused=True), losses.cross_entropy, x, y, count, fast=True
                ),
            }
            for job in ways.values():
                job()
            times = rounds(ways, repeats)
            for by in ways:
                milliseconds = 1000 * medians(times[by])[0] / count
                gain = ratio(times[by], times["torch's defaults"])
                table.rows.append(
                    {"net": net, "optimiser": name, "by": by, "ms CPU": milliseconds, "ratio": round(gain, 2)}
                )
    return table


def exact_jacobian(repeats: int) -> Table:
    table = Table(
        "Exact Jacobian regularisation",
        "A training step; `share`: of the CPU time of IR's code, which repeats each image ten times.",
    )
    for net, (build, size, optimiser) in list(NETS.items())[:2]:
        x, y, _ = batch(size)
        count = 1 if size > 8 else 10
        ways = {
            "ten-fold repeated batch (IR's code)": (repeated, True),
            "companion": (partial(losses.jacobian, lambda_j=0.1, projections=None), False),
        }
        jobs = {
            name: stepper(build, optimiser, way, x, y, count, everything=everything)
            for name, (way, everything) in ways.items()
        }
        for job in jobs.values():
            job()
        times = rounds(jobs, repeats)
        for name in jobs:
            share = 1 / ratio(times[name], times["ten-fold repeated batch (IR's code)"])
            milliseconds = 1000 * medians(times[name])[0] / count
            table.rows.append({"net": net, "by": name, "ms CPU": milliseconds, "share": round(share, 2)})
        table.judge(f"{net}: at most 60 % of the repeated batch", share, share <= 0.6)
    return table


def repeated(model: nn.Module, x: Tensor, y: Tensor, classes: int = 10) -> Tensor:
    """CE + lambda_j * mean ||J||^2 / 2, the Jacobian from one pass over ten copies of each image."""
    copies = x.repeat_interleave(classes, 0).requires_grad_()
    rows = torch.autograd.grad(
        model(copies), copies, torch.eye(classes).repeat(len(x), 1), create_graph=True
    )[0]
    return F.cross_entropy(model(x), y) + 0.1 * rows.square().sum() / (2 * len(x))


def adversarial(repeats: int, inner: int = 7) -> Table:
    table = Table(
        "Adversarial training steps",
        f"A step on a batch of {BATCH} attacked by PGD-{inner}, l2 radius 1.5, in train mode. `ratio`: "
        "relative to the faster library.",
    )
    ball = {"norm": "l2", "eps": 1.5, "steps": inner, "step_size": 0.5}
    for net, (build, size, optimiser) in list(NETS.items())[:2]:
        x, y, _ = batch(size)
        count = 1 if size > 8 else 10
        ways = {
            "torchattacks": (_after(_harry(inner)), False),
            "foolbox": (_after(_bethge(inner)), False),
            "companion": (_after(partial(transforms.adversarial, **ball)), True),
        }
        jobs = {
            name: stepper(build, optimiser, way, x, y, count, fast=fast) for name, (way, fast) in ways.items()
        }
        for job in jobs.values():
            job()
        times = rounds(jobs, repeats)
        best = fastest(times["torchattacks"], times["foolbox"])
        for name in jobs:
            gain = ratio(times[name], best)
            milliseconds = 1000 * medians(times[name])[0] / count
            table.rows.append({"net": net, "by": name, "ms CPU": milliseconds, "ratio": round(gain, 2)})
    return table


def _after(attack: Callable[[nn.Module, Tensor, Tensor], Tensor]) -> Objective:
    return lambda model, x, y: F.cross_entropy(model(attack(model, x, y)), y)


def _harry(inner: int) -> Callable[[nn.Module, Tensor, Tensor], Tensor]:
    def attack(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        method = torchattacks.PGDL2(model, eps=1.5, alpha=0.5, steps=inner)
        method.set_model_training_mode(model_training=True, batchnorm_training=True, dropout_training=True)
        return method(x, y)

    return attack


def _bethge(inner: int) -> Callable[[nn.Module, Tensor, Tensor], Tensor]:
    def attack(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        wrapped = foolbox.PyTorchModel(model.eval(), bounds=(0, 1))  # it warns in train mode
        model.train()
        misclassified = foolbox.criteria.Misclassification(y)
        return foolbox.attacks.L2PGD(abs_stepsize=0.5, steps=inner).run(
            wrapped, x, misclassified, epsilon=1.5
        )

    return attack
