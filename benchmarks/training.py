"""One training step under each loss, as a ratio to a standard step of the same net and batch.

Prints CPU and wall milliseconds on one thread and fails when a step of Interpretation Regularization or of
noise modulation costs more than its goal. Random images: neither data nor training is needed. `--help` lists
the options.
"""

import argparse
import math
import sys
from collections.abc import Callable
from functools import partial

import torch
from common import environment, medians, ratio_in_rounds, rounds, table
from torch import Tensor

from companion import losses, models, saliency, transforms

GOALS = {"interpretation": 2.6, "noise modulation": 1.1}  # relative to a standard step
SGD = partial(torch.optim.SGD, lr=1e-3, momentum=0.9)
ADAM = partial(torch.optim.Adam, lr=1e-3)
NETS = {
    "simple_cnn 28x28": (models.simple_cnn, 28, SGD),
    "digits_cnn 8x8": (models.digits_cnn, 8, SGD),
    "mlp 8x8, Adam": (partial(models.mlp, hidden=(256, 128)), 8, ADAM),  # the noise modulation chapter's
}


def objectives(target: Tensor) -> dict[str, Callable]:
    """Losses as functions of (model, x, y); the weights do not matter for the time."""
    weights = {"lambda_d": 3.0, "lambda_m": 0.15}

    def interpretation(model, x, y):
        return losses.interpretation(model, x, y, saliency.threshold(target), **weights)

    def jacobian(**settings):
        return lambda model, x, y: losses.jacobian(model, x, y, lambda_j=0.1, **settings)

    generator = torch.Generator().manual_seed(0)

    def modulated(model, x, y):
        return losses.cross_entropy(model, transforms.noise_modulation(model, x, y, generator=generator), y)

    return {
        "standard": losses.cross_entropy,
        "noise modulation": modulated,
        "interpretation": interpretation,
        "jacobian, 1 projection": jacobian(projections=1),
        "jacobian, 3 projections": jacobian(projections=3),
        "jacobian, exact": jacobian(projections=None),
    }


def stepper(
    build: Callable, optimiser_of: Callable, objective: Callable, x: Tensor, y: Tensor, steps: int
) -> Callable[[], None]:
    """A function that takes `steps` training steps on a net of its own."""
    torch.manual_seed(0)
    model = build(size=x.shape[-1]).train()
    optimiser = optimiser_of(model.parameters())

    def job() -> None:
        for _ in range(steps):
            optimiser.zero_grad(set_to_none=True)
            objective(model, x, y).backward()
            optimiser.step()

    return job


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--batch", type=int, default=50, help="batch size (default 50, the paper's)")
    options.add_argument("--repeats", type=int, default=11, help="runs of each, taking turns (default 11)")
    chosen = options.parse_args()
    print(environment())
    rows, failures = [], []
    for net, (build, size, optimiser) in NETS.items():
        generator = torch.Generator().manual_seed(0)
        x = torch.rand(chosen.batch, 1, size, size, generator=generator)
        y = torch.randint(10, (chosen.batch,), generator=generator)
        target = torch.randn(x.shape, generator=generator)
        steps = 4 if size > 8 else 40
        jobs = {
            name: stepper(build, optimiser, loss, x, y, steps) for name, loss in objectives(target).items()
        }
        for job in jobs.values():
            job()  # the first steps of a process are slower
        times = rounds(jobs, chosen.repeats)
        for name in jobs:
            cpu, wall = (1000 * seconds / steps for seconds in medians(times[name]))
            ratio = ratio_in_rounds(times[name], times["standard"])
            rows.append([net, name, f"{cpu:.2f}", f"{wall:.2f}", f"{ratio:.2f}"])
            if ratio > GOALS.get(name, math.inf):
                failures.append(
                    f"{net}: a step of {name} costs {ratio:.2f} standard steps, goal {GOALS[name]}"
                )
    print(table(["net", "loss", "ms CPU", "ms wall", "ratio"], rows), *failures, sep="\n")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
