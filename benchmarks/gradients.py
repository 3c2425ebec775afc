"""SmoothGrad and the gradients of all classes, beside captum, torch.func and the papers' own ways."""

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from captum import attr
from common import Table, fastest, medians, ratio, recipe, rounds, trained
from torch import Tensor, nn
from torch.func import jacrev
from torch.utils.flop_counter import FlopCounterMode

from companion import models, saliency, store
from companion.saliency.class_gradients import BATCHED_UP_TO

SIGMA = 0.15


def run(repeats: int) -> list[Table]:
    return [smoothgrad(repeats), memory(), class_gradients(repeats)]


def smoothgrad(repeats: int, count: int = 1000, samples: int = 50) -> Table:
    """CPU time an image. The two ways that take one image at a time are timed on fewer images."""
    table = Table(
        f"SmoothGrad, {samples} samples, {count} digits",
        "`ratio`: relative to one image at a time with its copies in one pass, as IR's released code makes "
        "its targets; `per copy`: relative to a batch of one, one noisy copy at a time.",
    )
    model, x, y = digits(count)
    maps = attr.NoiseTunnel(attr.Saliency(model))

    def captum(part: slice, together: int) -> Tensor:
        return maps.attribute(
            x[part],
            nt_type="smoothgrad",
            nt_samples=samples,
            nt_samples_batch_size=together,
            stdevs=SIGMA,
            target=y[part],
            abs=False,
        )

    def one_by_one(images: int, chunk: int) -> Callable[[], None]:
        def job() -> None:
            for i in range(images):
                part = slice(i, i + 1)
                noisy = x[part] + SIGMA * torch.randn(samples, *x.shape[1:])
                for copies in noisy.split(chunk):
                    point = copies.requires_grad_()
                    torch.autograd.grad(model(point)[:, y[i]].sum(), point)

        return job

    few, fewest = count // 10, count // 200
    jobs = {
        "one image at a time (IR's code)": (one_by_one(few, samples), few),
        "one copy at a time (batch of one)": (one_by_one(fewest, 1), fewest),
        "captum, one image at a time": (lambda: [captum(slice(i, i + 1), samples) for i in range(few)], few),
        "captum, all images, one sample at a time": (lambda: captum(slice(None), 1), count),
        "companion": (lambda: saliency.smoothgrad(model, x, y, sigma=SIGMA, samples=samples), count),
    }
    times = rounds({name: job for name, (job, _) in jobs.items()}, repeats)
    each = {name: [(c / jobs[name][1], w / jobs[name][1]) for c, w in times[name]] for name in jobs}
    paper, single = each["one image at a time (IR's code)"], each["one copy at a time (batch of one)"]
    for name in jobs:
        table.rows.append(
            {
                "by": name,
                "ms CPU/image": 1000 * medians(each[name])[0],
                "ratio": round(ratio(each[name], paper), 2),
                "per copy": round(ratio(each[name], single), 1),
            }
        )
    table.note += " " + arithmetic(model, x[:1], samples, medians(paper)[0])
    for name, reference in (("one copy", single), ("one image", paper)):
        gain = ratio(each["companion"], reference)
        table.judge(f"10 times {name} at a time", gain, gain >= 10)
    return table


def arithmetic(model: nn.Module, x: Tensor, samples: int, seconds: float) -> str:
    """What a tenth of these seconds a map asks of this thread, and what it can do at best."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(x)
    work = samples * 2 * counter.get_total_flops()  # back to the input it is as much again
    a = torch.rand(1024, 1024)
    reached = 2 * len(a) ** 3 / medians(rounds({"matmul": lambda: a @ a}, 9)["matmul"])[0]
    return (
        f"A map is {work / 1e6:.0f} million floating-point operations; in a tenth of the time of one image "
        f"at a time they would run at {work / (seconds / 10) / 1e9:.0f} billion a second, where this thread "
        f"multiplies matrices of 1,024 x 1,024 at {reached / 1e9:.0f}."
    )


def digits(count: int) -> tuple[nn.Module, Tensor, Tensor]:
    """The 8x8 net and images of any split: what is timed does not depend on which."""
    model, *_ = trained(8, "standard", 1)
    images = store.images(recipe(8, "standard").data, "cpu")
    return model, images.x_train[:count], images.y_train[:count]


def memory(count: int = 1000) -> Table:
    """Peak memory of fresh processes that compute SmoothGrad of random 8x8 images with the digits net."""
    table = Table(
        "Peak memory of SmoothGrad",
        f"{count} images of 8x8; what a process holds beyond one that has only built the net. captum takes "
        "all copies of all images at once by default.",
    )
    idle = peak("idle", 0, count)
    found = {}
    for way, samples in (("companion", 10), ("companion", 100), ("captum", 10), ("captum", 50)):
        found[way, samples] = peak(way, samples, count) - idle
        table.rows.append({"by": way, "samples": samples, "MB": round(found[way, samples])})
    growth = found["companion", 100] / found["companion", 10]
    goal = "flat: 100 samples need at most 1.25 times the memory of 10 (allocators vary by a tenth)"
    table.judge(goal, growth, growth <= 1.25)
    return table


def peak(way: str, samples: int, count: int) -> float:
    command = [sys.executable, str(Path(__file__).resolve()), way, str(samples), str(count)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def alone(way: str, samples: int, count: int) -> None:
    """What `peak` starts: prints this process's peak memory in MB."""
    torch.set_num_threads(1)
    model = models.digits_cnn().eval().requires_grad_(False)
    x, y = torch.rand(count, 1, 8, 8), torch.zeros(count, dtype=torch.int64)
    if way == "companion":
        saliency.smoothgrad(model, x, y, sigma=SIGMA, samples=samples)
    elif way == "captum":
        maps = attr.NoiseTunnel(attr.Saliency(model))
        maps.attribute(x, nt_samples=samples, stdevs=SIGMA, target=y, abs=False)
    print(highest())


def highest() -> float:
    """This process's peak memory in MB. Linux hands getrusage's figure down from whoever started it."""
    try:
        with open("/proc/self/status", encoding="utf-8") as lines:
            return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def class_gradients(repeats: int) -> Table:
    """The gradients of ten logits, by whoever computes them."""
    table = Table(
        "Gradients of all 10 classes",
        "`ratio`: relative to repeating each image ten times. `passes`: forward and backward a sample. "
        f"companion's `auto` takes the batched way up to {BATCHED_UP_TO} images and the loop beyond.",
    )
    nets = {"simple_cnn 28x28": (models.simple_cnn, 28), "digits_cnn 8x8": (models.digits_cnn, 8)}
    for net, (build, size) in nets.items():
        torch.manual_seed(0)
        model = build().eval().requires_grad_(False)
        for count in (10, 100) if size == 28 else (10, 500):
            x = torch.rand(count, 1, size, size)
            jobs = {
                "ten-fold repeated batch (IR's code)": lambda: repeated(model, x),  # noqa: B023  called below
                "torch.func.jacrev": lambda: functional(model, x),  # noqa: B023
                "companion, loop": lambda: saliency.class_gradients(model, x, way="loop"),  # noqa: B023
                "companion, batched": lambda: saliency.class_gradients(model, x, way="batched"),  # noqa: B023
                "companion, auto": lambda: saliency.class_gradients(model, x),  # noqa: B023
            }
            values = [job()[1] for job in jobs.values()]
            apart = max((v - values[0]).abs().max().item() for v in values) / values[0].abs().max().item()
            many = max(1, 200 // count) if size == 28 else 1 + 2000 // count
            jobs = {name: lambda job=job, n=many: [job() for _ in range(n)] for name, job in jobs.items()}
            times = rounds(jobs, 2 * repeats)
            paper = times["ten-fold repeated batch (IR's code)"]
            for name in jobs:
                table.rows.append(
                    {
                        "net": net,
                        "images": count,
                        "by": name,
                        "images/CPU s": many * count / medians(times[name])[0],
                        "ratio": round(ratio(times[name], paper), 2),
                        "passes": "10 + 10" if "repeated" in name else "1 + 10",
                    }
                )
            table.judge(
                f"{net}, {count} images: equal values (largest relative difference)", apart, apart < 1e-4
            )
            chosen = fastest(*(times[name] for name in jobs if name != "companion, auto"))
            share = ratio(times["companion, auto"], chosen)
            table.judge(f"{net}, {count} images: auto within 20 % of the fastest way", share, share >= 0.8)
    return table


def repeated(model: nn.Module, x: Tensor, classes: int = 10) -> tuple[Tensor, Tensor]:
    point = x.repeat_interleave(classes, 0).requires_grad_()
    logits = model(point)
    gradient = torch.autograd.grad(logits, point, torch.eye(classes).repeat(len(x), 1))[0]
    return logits.detach()[::classes], gradient.view(len(x), classes, *x.shape[1:])


def functional(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    def summed(x: Tensor) -> tuple[Tensor, Tensor]:
        logits = model(x)
        return logits.sum(0), logits

    jacobian, logits = jacrev(summed, has_aux=True)(x)
    return logits.detach(), jacobian.detach().movedim(0, 1)


if __name__ == "__main__":
    alone(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
