"""PGD-40 beside torchattacks and foolbox: the same net, images and settings, no random start.

Prints images/s in CPU time on one thread, each as a ratio to the faster of the two libraries, and fails when
a verdict differs from theirs. `python benchmarks/attacks.py --help` lists the options.
"""

import argparse
import sys

import foolbox
import torchattacks
from common import environment, measure, table
from torch import Tensor, nn

from companion import attacks, data, store
from companion.recipes import Recipe, part

STEPS = 40
BALLS = {"linf": (0.1, 0.01), "l2": (1.0, 0.1)}  # norm -> radius, step size, pixels in [0, 1]
GOALS = {"robust": 1.3, "standard": 2.0}  # active set, relative to the faster library


def recipes() -> dict[str, Recipe]:
    """The 28x28 CNN trained briefly, on MNIST if it is there, else on digits enlarged to 28x28."""
    try:
        data.require("mnist")
        images, epochs = part("mnist", n_train=10_000), 2
    except data.DataMissing:
        images, epochs = part("digits", size=28), 14
    standard = Recipe(images, part("simple_cnn"), epochs=epochs)
    adversarial = part("adversarial", norm="l2", eps=1.5, steps=7, step_size=0.5)
    return {
        "standard": standard,
        "robust": Recipe(images, part("simple_cnn"), inputs=adversarial, epochs=epochs),
    }


def contenders(model: nn.Module, x: Tensor, y: Tensor, norm: str) -> dict:
    """Functions without arguments that return adversarial images."""
    eps, step_size = BALLS[norm]
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
        "companion, active set": lambda: attacks.pgd(model, x, y, **ours, stop_early=True),
        "companion": lambda: attacks.pgd(model, x, y, **ours),
        "torchattacks": lambda: harry(x, y),
        "foolbox": lambda: bethge.run(wrapped, x, misclassified, epsilon=eps),
    }


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--images", type=int, default=200, help="images attacked in one batch (default 200)")
    options.add_argument("--repeats", type=int, default=3, help="runs of each, taking turns (default 3)")
    chosen = options.parse_args()
    print(environment("torchattacks", "foolbox"))
    rows, failures = [], []
    for net, recipe in recipes().items():
        # frozen parameters are the fast way to use either library; here all of them get them
        model = store.get(recipe, report=lambda text: print(text, file=sys.stderr)).requires_grad_(False)
        images = data.load(n_test=chosen.images, name=recipe.data.name, **recipe.data.kwargs)
        x, y = images.x_test, images.y_test
        for norm in BALLS:
            jobs = contenders(model, x, y, norm)
            withstood = {name: attacks.correct(model, job(), y) for name, job in jobs.items()}  # and warms up
            times = measure(jobs, chosen.repeats)
            best = min(times["torchattacks"][0], times["foolbox"][0])
            for name, (cpu, wall) in times.items():
                accuracy = withstood[name].float().mean().item()
                other = int((withstood[name] != withstood["torchattacks"]).sum())
                rate = chosen.images / cpu
                cells = [f"{rate:.1f}", f"{chosen.images / wall:.1f}", f"{best / cpu:.2f}", f"{accuracy:.3f}"]
                rows.append([f"{images.label}, {net}", norm, name, *cells, str(other)])
                if other:
                    failures.append(f"{net} {norm}: {name} judges {other} images unlike torchattacks")
            ratio = best / times["companion, active set"][0]
            if ratio < GOALS[net]:
                failures.append(f"{net} {norm}: active set {ratio:.2f}x the best library, goal {GOALS[net]}x")
    head = ["net", "norm", "attack", "images/CPU s", "images/s", "ratio", "robust accuracy", "other verdicts"]
    print(table(head, rows), *failures, sep="\n")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
