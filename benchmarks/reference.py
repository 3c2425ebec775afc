"""The reference protocol beside torchattacks: the same nets, 1,000 unseen images, the same budget."""

import sys
import time
from collections.abc import Callable
from functools import partial

import torch
import torchattacks
from common import Table
from torch import Tensor, nn

from companion import attacks, data, store
from companion.training.recipe import Recipe, part

#: Share of the training images: with the 360 test images, 1,000 that no net here was trained on.
HELD_OUT = 640 / 1437
BALLS = [("l2", 0.5), ("linf", 0.1)]  # pixels in [0, 1]
STEPS, QUERIES = 100, 1000
NAMES = {"l2": "L2", "linf": "Linf"}
TOGETHER = "worst case of APGD, targeted APGD, Square"
GOAL = 0.5  # points between the worst cases


def recipes() -> dict[str, Recipe]:
    """The 8x8 CNN with the settings of the chapter on IR, on what is left of the training images."""
    optimiser = part("SGD", lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-5)
    common = {"optimiser": optimiser, "epochs": 20, "batch_size": 50}
    images, net = part("digits", hold_out=HELD_OUT), part("digits_cnn")
    inputs = part("adversarial", norm="l2", eps=0.5, steps=7, step_size=0.5 / 3)
    return {
        "standard": Recipe(images, net, **common),
        "robust": Recipe(images, net, inputs=inputs, **common),
    }


def unseen() -> tuple[Tensor, Tensor]:
    """1,000 images and their labels."""
    held_out, test = data.load("digits", hold_out=HELD_OUT), data.load("digits")
    return torch.cat([test.x_test, held_out.x_test]), torch.cat([test.y_test, held_out.y_test])


def run(rounds: int) -> list[Table]:
    """Verdicts side by side. They do not change from round to round, so everything is run once."""
    table = Table(
        "The reference protocol",
        "Per cent of 1,000 images that are robust, `here` and for torchattacks; `differ`: verdicts not "
        f"the same; CPU seconds, measured once. Single attacks: every image, one start, {STEPS} steps. Worst "
        f"case: {STEPS} steps towards each of 9 classes, each attack on what is still robust; here PGD on "
        "margin, too. Last row: both protocols as they come, here with 5 starts and 5,000 queries, "
        "AutoAttack with the 10 steps, FAB and 5,000 queries that torchattacks gives it.",
    )
    x, y = unseen()
    for kind, recipe in recipes().items():
        model = store.get(recipe, report=lambda text: print(text, file=sys.stderr)).requires_grad_(False)
        for norm, eps in BALLS:
            for attack, (ours, theirs) in pairs(model, x, y, norm, eps).items():
                (here, seconds), (there, their_seconds) = timed(ours), timed(theirs)
                row = {
                    "net": f"digits, {kind}",
                    "ball": f"{norm} {eps}",
                    "attack": attack,
                    "here": 100 * here.float().mean().item(),
                    "torchattacks": 100 * there.float().mean().item(),
                    "differ": int((here != there).sum()),
                    "CPU s here": seconds,
                    "CPU s torchattacks": their_seconds,
                }
                table.rows.append(row)
                if attack == TOGETHER:
                    apart = abs(row["here"] - row["torchattacks"])
                    goal = f"{kind}, {norm}: worst cases at most {GOAL} points apart"
                    table.judge(goal, apart, apart <= GOAL + 1e-6)
    return [table]


Job = Callable[[], Tensor]


def pairs(model: nn.Module, x: Tensor, y: Tensor, norm: str, eps: float) -> dict[str, tuple[Job, Job]]:
    """For each attack ours and theirs: functions that return which images are robust to it."""
    ball, theirs = {"norm": norm, "eps": eps}, {"norm": NAMES[norm], "eps": eps}

    def generator() -> torch.Generator:
        return torch.Generator().manual_seed(0)

    def verdicts(attack: Callable) -> Job:
        return lambda: attacks.correct(model, attack(x, y), y)

    def reference(**budget: int) -> Tensor:
        settings = {**ball, **budget, "generator": generator()}
        return attacks.evaluate(model, x, y, protocol="reference", **settings).robust[-1]

    apgd = partial(attacks.apgd, model, **ball, steps=STEPS, stop_early=True, generator=generator())
    square = partial(attacks.square, model, **ball, queries=QUERIES, generator=generator())
    members = {
        "ce": torchattacks.APGD(model, steps=STEPS, loss="ce", **theirs),
        "targeted": torchattacks.APGDT(model, steps=STEPS, n_classes=10, **theirs),
        "square": torchattacks.Square(model, n_queries=QUERIES, **theirs),
    }
    dlr = torchattacks.APGD(model, steps=STEPS, loss="dlr", **theirs)
    shipped = torchattacks.AutoAttack(model, seed=0, **theirs)
    return {
        "APGD on cross-entropy": (verdicts(apgd), verdicts(members["ce"])),
        "APGD on dlr": (verdicts(partial(apgd, loss="dlr")), verdicts(dlr)),
        f"Square, {QUERIES} queries": (verdicts(square), verdicts(members["square"])),
        TOGETHER: (
            lambda: reference(steps=STEPS, restarts=1, targets=9, queries=QUERIES),
            lambda: one_after_the_other(model, x, y, list(members.values())),
        ),
        "reference; AutoAttack": (reference, verdicts(shipped)),
    }


def one_after_the_other(model: nn.Module, x: Tensor, y: Tensor, members: list[Callable]) -> Tensor:
    """Each attack on what the ones before left robust."""
    robust = attacks.correct(model, x, y)
    for attack in members:
        left = robust.nonzero().squeeze(1)
        robust[left] = attacks.correct(model, attack(x[left], y[left]), y[left])
    return robust


def timed(job: Job) -> tuple[Tensor, float]:
    began = time.process_time()
    return job(), time.process_time() - began
