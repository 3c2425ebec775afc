"""PGD-40 and Carlini-Wagner beside torchattacks and foolbox: the same nets, images and settings."""

from collections.abc import Callable

import foolbox
import torch
import torchattacks
from common import Table, counted, fastest, medians, ratio, rounds, trained
from torch import Tensor, nn

from companion import attacks

STEPS = 40
#: norm, radius, step size, in pixels of [0, 1]; the last group is IR's Table 1 with the steps of its code.
GROUPS = {
    28: {
        "linf 0.1": [("linf", 0.1, 0.01)],
        "l2 1.0": [("l2", 1.0, 0.1)],
        "Table 1": [("l2", 1.5, 0.5), *(("linf", eps, 2.5 * eps / STEPS) for eps in (0.1, 0.2, 0.25, 0.3))],
    },
    8: {
        "linf 0.1": [("linf", 0.1, 0.01)],
        "l2 0.5": [("l2", 0.5, 0.05)],
        "five radii": [("l2", eps, 2.5 * eps / STEPS) for eps in (0.1, 0.25, 0.5, 0.75, 1.0)],
    },
}
GOALS = {
    "robust": 1.5,
    "standard": 3.0,
}  # the curve on Table 1, full precision, relative to the faster library
ROUNDED, AGAIN = torch.bfloat16, 1.5  # and what searching in bfloat16 adds
LIBRARIES = ("torchattacks", "foolbox")


def run(repeats: int) -> list[Table]:
    return [pgd(repeats), carlini_wagner(max(1, repeats - 1))]


def pgd(repeats: int, count: int = 100) -> Table:
    """Images attacked in a CPU second, and every verdict compared."""
    table = Table(
        "PGD-40, robust accuracy",
        "`ratio`: images a CPU second, relative to the faster library. `forward`, `backward`: passes a "
        "sample and radius, those of the verdict included. `other`: verdicts unlike torchattacks'; `weaker`: "
        "images that are robust here and misclassified there. No random start; parameters frozen for all. "
        "*all*: every image to the last step, as the libraries do; *active set*: an image stops at its first "
        "misclassified iterate; *curve*: a larger radius is tried on what is robust at the smaller ones; "
        "*bf16*: gradients in bfloat16, verdicts in float32.",
    )
    for size, groups in GROUPS.items():
        for kind in ("standard", "robust"):
            model, x, y, label = trained(size, kind, count)
            for title, balls in groups.items():
                compare(table, model, x, y, balls, repeats, {"net": label, "attack": title}, kind)
    return table


def contenders(model: nn.Module, x: Tensor, y: Tensor, balls: list) -> dict[str, Callable[[], Tensor]]:
    """Functions that return which images are robust in which ball, bool (balls, B)."""

    def each(attack: Callable) -> Callable[[], Tensor]:
        return lambda: torch.stack([attacks.correct(model, attack(*ball), y) for ball in balls])

    def ours(**more) -> Callable:
        return lambda norm, eps, step: attacks.pgd(
            model, x, y, norm=norm, eps=eps, step_size=step, steps=STEPS, start="none", **more
        )

    def harry(norm: str, eps: float, step: float) -> Tensor:
        kind = torchattacks.PGD if norm == "linf" else torchattacks.PGDL2
        return kind(model, eps=eps, alpha=step, steps=STEPS, random_start=False)(x, y)

    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1))
    misclassified = foolbox.criteria.Misclassification(y)

    def bethge(norm: str, eps: float, step: float) -> Tensor:
        kind = foolbox.attacks.LinfPGD if norm == "linf" else foolbox.attacks.L2PGD
        return kind(abs_stepsize=step, steps=STEPS, random_start=False).run(
            wrapped, x, misclassified, epsilon=eps
        )

    jobs = {
        "torchattacks": each(harry),
        "foolbox": each(bethge),
        "companion, all": each(ours()),
        "companion, all, bf16": each(ours(dtype=ROUNDED)),
        "companion, active set": each(ours(stop_early=True)),
        "companion, active set, bf16": each(ours(stop_early=True, dtype=ROUNDED)),
    }
    if len(balls) > 1:
        del jobs["companion, all"], jobs["companion, all, bf16"], jobs["companion, active set, bf16"]
        jobs["companion, curve"] = lambda: survivors(model, x, y, balls, search=None)
        jobs["companion, curve, bf16"] = lambda: survivors(model, x, y, balls, search=ROUNDED)
    return jobs


def survivors(model: nn.Module, x: Tensor, y: Tensor, balls: list, search: torch.dtype | None) -> Tensor:
    """What attacks.curve does, with one attack a radius: each on what is robust at the smaller ones."""
    robust = torch.empty(len(balls), len(x), dtype=torch.bool)
    left_in: dict[str, Tensor] = {}
    for row, (norm, eps, step) in enumerate(balls):  # the radii of a norm ascend
        left = left_in.setdefault(norm, torch.ones_like(y, dtype=torch.bool))
        index = left.nonzero().squeeze(1)
        settings = {"norm": norm, "eps": eps, "step_size": step, "steps": STEPS, "start": "none"}
        found = attacks.pgd(model, x[index], y[index], **settings, stop_early=True, dtype=search)
        left[index] = attacks.correct(model, found, y[index])
        robust[row] = left
    return robust


def compare(
    table: Table, model: nn.Module, x: Tensor, y: Tensor, balls: list, repeats: int, labels: dict, kind: str
) -> None:
    jobs = contenders(model, x, y, balls)
    verdicts, passes = {}, {}
    for name, job in jobs.items():
        with counted(model) as passes[name]:
            verdicts[name] = job()
    times = rounds(jobs, repeats)
    best = fastest(*(times[name] for name in LIBRARIES))
    work = len(x) * len(balls)
    gains = {name: ratio(times[name], best) for name in jobs}
    for name in jobs:
        weaker = int((verdicts[name] & ~verdicts["torchattacks"]).sum())
        table.rows.append(
            labels
            | {
                "by": name,
                "images/CPU s": work / medians(times[name])[0],
                "ratio": round(gains[name], 2),
                "forward": round(passes[name]["forward"] / work, 1),
                "backward": round(passes[name]["backward"] / work, 1),
                "robust": round(verdicts[name].float().mean().item(), 3),
                "other": int((verdicts[name] != verdicts["torchattacks"]).sum()),
                "weaker": weaker,
            }
        )
        if weaker and name not in LIBRARIES:
            what = f"{labels['net']}, {labels['attack']}: no image is robust to {name} alone"
            table.judge(what, weaker, False)
    if x.shape[-1] == 28 and labels["attack"] == "Table 1":
        gain, more = (
            gains["companion, curve"],
            ratio(times["companion, curve, bf16"], times["companion, curve"]),
        )
        table.judge(
            f"{labels['net']}, Table 1: {GOALS[kind]} times the faster library", gain, gain >= GOALS[kind]
        )
        table.judge(f"{labels['net']}, Table 1: {AGAIN} times more in bfloat16", more, more >= AGAIN)


def carlini_wagner(repeats: int, count: int = 360) -> Table:
    table = Table(
        "Carlini-Wagner l2",
        "Five constants, 200 steps of rate 0.02 each, from the image: companion and foolbox search the "
        "constant from 0.01, torchattacks cannot and gets 0.01 to 100 in powers of ten, the best of each "
        "image kept. *half the steps*: 100 of rate 0.04, by which the goals are judged, since it finds no "
        "longer distances than the libraries' 200. `distance`: mean over the images on which everybody "
        "succeeds; `nearer`: images on which companion's 200 steps get nearer by 1 % or more than the row's.",
    )
    for kind in ("standard", "robust"):
        model, x, y, label = trained(8, kind, count)
        right = attacks.correct(model, x, y)
        minimal(table, model, x[right], y[right], repeats, label)
    return table


def minimal(table: Table, model: nn.Module, x: Tensor, y: Tensor, repeats: int, label: str) -> None:
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1))
    misclassified = foolbox.criteria.Misclassification(y)
    bethge = foolbox.attacks.L2CarliniWagnerAttack(
        binary_search_steps=5, steps=200, stepsize=0.02, initial_const=0.01
    )

    def harry() -> Tensor:
        best, nearest = x.clone(), torch.full((len(x),), torch.inf)
        for c in (0.01, 0.1, 1, 10, 100):
            found = torchattacks.CW(model, c=c, steps=200, lr=0.02)(x, y)
            size = distances(model, x, y, found)
            best[size < nearest] = found[size < nearest]
            nearest = size.minimum(nearest)
        return best

    def ours(steps: int, lr: float) -> Tensor:
        return attacks.carlini_wagner(model, x, y, search=5, const=0.01, steps=steps, lr=lr).adversarial

    jobs = {
        "foolbox": lambda: bethge.run(wrapped, x, misclassified),
        "torchattacks": harry,
        "companion": lambda: ours(200, 0.02),
        "companion, half the steps": lambda: ours(100, 0.04),
    }
    size, passes = {}, {}
    for name, job in jobs.items():
        with counted(model) as passes[name]:
            size[name] = distances(model, x, y, job())
    times = rounds(jobs, repeats)
    best = fastest(*(times[name] for name in LIBRARIES))
    everybody = torch.stack(list(size.values())).isfinite().all(0)
    mean = {name: size[name][everybody].mean().item() for name in jobs}
    for name in jobs:
        table.rows.append(
            {
                "net": label,
                "by": name,
                "images/CPU s": len(x) / medians(times[name])[0],
                "ratio": round(ratio(times[name], best), 2),
                "forward": round(passes[name]["forward"] / len(x)),
                "backward": round(passes[name]["backward"] / len(x)),
                "failed": int(size[name].isinf().sum()),
                "distance": round(mean[name], 4),
                "nearer": int((size["companion"] < 0.99 * size[name]).sum()),
            }
        )
    half = "companion, half the steps"
    gain, share = ratio(times[half], best), mean[half] / min(mean[name] for name in LIBRARIES)
    table.judge(f"{label}: half the steps, 1.5 times the faster library", gain, gain >= 1.5)
    table.judge(f"{label}: half the steps, mean distance as a share of theirs", share, share <= 1)


def distances(model: nn.Module, x: Tensor, y: Tensor, found: Tensor) -> Tensor:
    """l2 distances, infinite where the net still classifies rightly."""
    misled = ~attacks.correct(model, found, y)
    return torch.where(misled, (found - x).flatten(1).norm(dim=1), torch.inf)
