"""PGD-40 beside torchattacks and foolbox: the same net, images and settings, no random start.

Prints images/s on one thread, for two single attacks and for the five attacks of IR's Table 1 together, as
ratios to the faster of the two libraries. Fails when a goal is missed, or when an image withstands here that
falls there. `python benchmarks/attacks.py --help` lists the options.
"""

import argparse
import sys
from collections.abc import Callable

import foolbox
import torch
import torchattacks
from common import environment, medians, ratio_in_rounds, rounds, table
from torch import Tensor, nn

from companion import attacks, data, store
from companion.recipes import Recipe, part

STEPS = 40
SINGLE = [("linf", 0.1, 0.01), ("l2", 1.0, 0.1)]  # norm, radius, step size, in pixels of [0, 1]
TABLE_1 = [("l2", 1.5, 0.5), *(("linf", eps, 2.5 * eps / STEPS) for eps in (0.1, 0.2, 0.25, 0.3))]
GOALS = {"robust": 1.3, "standard": 2.0}  # the active set on Table 1, relative to the faster library
OURS, PLAIN = "companion, active set", "companion"
LIBRARIES = ("torchattacks", "foolbox")


def recipes() -> dict[str, Recipe]:
    """The 28x28 CNN trained briefly, on MNIST if it is there, else on digits enlarged to 28x28."""
    try:
        data.require("mnist")
        images, epochs = part("mnist", n_train=6000), 3
    except data.DataMissing:
        images, epochs = part("digits", size=28), 12
    adversarial = part("adversarial", norm="l2", eps=1.5, steps=5, step_size=0.6)
    net = part("simple_cnn")
    return {
        "standard": Recipe(images, net, epochs=epochs),
        "robust": Recipe(images, net, inputs=adversarial, epochs=epochs),
    }


def contenders(model: nn.Module, x: Tensor, y: Tensor, norm: str, eps: float, step_size: float) -> dict:
    """Functions without arguments that return adversarial images."""
    ours = {"norm": norm, "eps": eps, "step_size": step_size, "steps": STEPS, "start": "none"}
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1))
    misclassified = foolbox.criteria.Misclassification(y)
    settings = {"steps": STEPS, "random_start": False}
    if norm == "linf":
        harry = torchattacks.PGD(model, eps=eps, alpha=step_size, **settings)
        bethge = foolbox.attacks.LinfPGD(abs_stepsize=step_size, **settings)
    else:
        harry = torchattacks.PGDL2(model, eps=eps, alpha=step_size, **settings)
        bethge = foolbox.attacks.L2PGD(abs_stepsize=step_size, **settings)
    return {
        OURS: lambda: attacks.pgd(model, x, y, **ours, stop_early=True),
        PLAIN: lambda: attacks.pgd(model, x, y, **ours),
        "torchattacks": lambda: harry(x, y),
        "foolbox": lambda: bethge.run(wrapped, x, misclassified, epsilon=eps),
    }


def compare(model: nn.Module, x: Tensor, y: Tensor, balls: list, repeats: int) -> list[list[str]]:
    """Rows: attack, images/s by CPU and wall time, ratio, withstanding, other verdicts, weaker verdicts."""
    jobs: dict[str, list[Callable]] = {}
    for ball in balls:
        for name, job in contenders(model, x, y, *ball).items():
            if name != PLAIN or len(balls) == 1:  # the plain loop is as fast as the libraries': shown once
                jobs.setdefault(name, []).append(job)
    verdicts: dict[str, Tensor] = {}

    def run(name: str) -> None:
        verdicts[name] = torch.stack([attacks.correct(model, job(), y) for job in jobs[name]])

    times = rounds({name: lambda name=name: run(name) for name in jobs}, repeats)
    fastest = [min(library) for library in zip(*(times[name] for name in LIBRARIES), strict=True)]
    rows = []
    for name in jobs:
        cpu, wall = medians(times[name])
        count = len(x) * len(balls)
        rates = [f"{count / cpu:.1f}", f"{count / wall:.1f}", f"{ratio_in_rounds(fastest, times[name]):.2f}"]
        withstood = f"{verdicts[name].float().mean().item():.3f}"
        other = int((verdicts[name] != verdicts["torchattacks"]).sum())
        weaker = int((verdicts[name] & ~verdicts["torchattacks"]).sum())
        rows.append([name, *rates, withstood, str(other), str(weaker)])
    return rows


def main() -> int:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--images", type=int, default=200, help="images attacked in one batch (default 200)")
    options.add_argument("--repeats", type=int, default=3, help="runs of each, taking turns (default 3)")
    chosen = options.parse_args()
    print(environment("torchattacks", "foolbox"), flush=True)
    rows, failures = [], []
    for net, recipe in recipes().items():
        # frozen parameters are the fast way to use either library; here all of them get them
        model = store.get(recipe, report=lambda text: print(text, file=sys.stderr)).requires_grad_(False)
        images = data.load(recipe.data.name, **recipe.data.kwargs, n_test=chosen.images)
        x, y = images.x_test, images.y_test
        groups = {f"{norm} {eps}": [(norm, eps, step)] for norm, eps, step in SINGLE} | {"Table 1": TABLE_1}
        for title, balls in groups.items():
            for row in compare(model, x, y, balls, chosen.repeats):
                rows.append([f"{images.label}, {net}", title, *row])
                name, ratio, weaker = row[0], float(row[3]), int(row[6])
                if weaker:
                    failures.append(f"{net}, {title}: {weaker} images withstand {name} but not torchattacks")
                if title == "Table 1" and name == OURS and ratio < GOALS[net]:
                    failures.append(f"{net}, {title}: {ratio}x the best library, goal {GOALS[net]}x")
    head = [
        "net",
        "attack",
        "by",
        "images/CPU s",
        "images/s",
        "ratio",
        "withstand",
        "other",
        "weaker",
    ]
    print(table(head, rows), *failures, sep="\n")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
