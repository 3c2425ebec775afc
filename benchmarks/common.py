"""What the benchmarks share: one thread, interleaved rounds, medians, counted passes, tables, provenance."""

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import date
from importlib import metadata
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor, nn

from companion import data, store
from companion.training.recipe import Part, Recipe, part

PACKAGES = ("torch", "torchattacks", "foolbox", "captum")
Times = list[tuple[float, float]]  # CPU and wall seconds, one entry a round
Job = Callable[[], object]


@dataclass
class Table:
    """One table of results. goals: sentences, each with the value it is judged by and whether it is met."""

    title: str
    note: str
    rows: list[dict[str, object]] = field(default_factory=list)
    goals: list[dict[str, object]] = field(default_factory=list)

    def judge(self, goal: str, value: float, met: bool) -> None:
        self.goals.append({"goal": goal, "value": round(value, 3), "met": bool(met)})

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def environment() -> dict[str, object]:
    """Machine, versions and commit; one thread from here on."""
    torch.set_num_threads(1)
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return {
        "date": date.today().isoformat(),
        "commit": commit or "unknown",
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in PACKAGES},
        "processor": _processor(),
        "bfloat16 in hardware": _flag("avx512_bf16") or _flag("amx_bf16"),
        "cores": os.cpu_count(),
        "torch threads": torch.get_num_threads(),
        "load at start": round(os.getloadavg()[0], 1),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _flag(name: str) -> bool:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return any(name in line.split() for line in lines if line.startswith("flags"))
    except OSError:
        return False


def rounds(jobs: dict[str, Job], repeats: int) -> dict[str, Times]:
    """CPU and wall seconds of each job in each round.

    The jobs take turns, so that a disturbance of the machine hits all of them alike. CPU time is what the
    ratios use: waiting for a core that somebody else holds does not count in it.
    """
    times: dict[str, Times] = {name: [] for name in jobs}
    for _ in range(repeats):
        for name, job in jobs.items():
            cpu, wall = time.process_time(), time.perf_counter()
            job()
            times[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    return times


def ratio(times: Times, reference: Times) -> float:
    """How many times as fast as the reference: median over the rounds of CPU time against CPU time."""
    return statistics.median(b / a for (a, _), (b, _) in zip(times, reference, strict=True))


def fastest(*contenders: Times) -> Times:
    """In each round the contender that needed the least CPU time."""
    return [min(each) for each in zip(*contenders, strict=True)]


def medians(times: Times) -> tuple[float, float]:
    """Median CPU and wall seconds."""
    cpu, wall = zip(*times, strict=True)
    return statistics.median(cpu), statistics.median(wall)


@contextmanager
def counted(model: nn.Module) -> Iterator[dict[str, int]]:
    """Counts samples that go forward and gradients that come back through the net inside the context."""
    passes = {"forward": 0, "backward": 0}

    def coming_back(gradient: Tensor) -> None:
        passes["backward"] += len(gradient)

    def gone_forward(_: nn.Module, __: tuple, logits: Tensor) -> None:
        passes["forward"] += len(logits)
        if logits.requires_grad:
            logits.register_hook(coming_back)

    handle = model.register_forward_hook(gone_forward)
    try:
        yield passes
    finally:
        handle.remove()


def brief_images(size: int) -> Part:
    """MNIST if it is there and 28x28 is asked for, else digits of this size."""
    if size == 28:
        try:
            data.require("mnist")
            return part("mnist", n_train=6000)
        except data.DataMissing:
            return part("digits", size=28)
    return part("digits")


def recipe(size: int, kind: str) -> Recipe:
    """A briefly trained net, "standard" or adversarially trained and "robust", kept in the store."""
    images = brief_images(size)
    net = part("simple_cnn" if size == 28 else "digits_cnn")
    epochs = 20 if size == 8 else 12 if images.name == "digits" else 3
    if kind == "standard":
        return Recipe(images, net, epochs=epochs)
    eps = {28: 1.5, 8: 0.5}[size]
    adversarial = part("adversarial", norm="l2", eps=eps, steps=5, step_size=0.4 * eps)
    return Recipe(images, net, inputs=adversarial, epochs=epochs)


def trained(size: int, kind: str, count: int) -> tuple[nn.Module, Tensor, Tensor, str]:
    """The net with frozen parameters, `count` test images, their labels, and what to call them."""
    chosen = recipe(size, kind)
    model = store.get(chosen).requires_grad_(False)
    images = store.images(chosen.data, "cpu")
    return model, images.x_test[:count], images.y_test[:count], f"{chosen.data.name} {size}x{size}, {kind}"


def markdown(rows: list[dict[str, object]]) -> str:
    """A Markdown table with aligned columns, one for each key that occurs."""
    head = list(dict.fromkeys(key for row in rows for key in row))
    body = [[_text(row.get(key)) for key in head] for row in rows]
    widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(head))]
    lines = [head, ["-" * width for width in widths], *body]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in lines
    )


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return str(value)


def suite(name: str, found: dict) -> str:
    """A suite's tables as Markdown."""
    facts = dict(found["provenance"])
    versions = ", ".join(f"{package} {version}" for package, version in facts.pop("versions").items())
    lines = [
        f"## {name}",
        "",
        ", ".join(f"{key} {value}" for key, value in facts.items()) + f"; {versions}.",
        "",
    ]
    for table in found["tables"]:
        lines += [f"### {table['title']}", "", table["note"], "", markdown(table["rows"]), ""]
        lines += [
            f"* {goal['goal']}: {goal['value']:g}, {'met' if goal['met'] else '**missed**'}"
            for goal in table["goals"]
        ]
        lines += [""] * bool(table["goals"])
    return "\n".join(lines)


def write(results: dict, path: Path) -> None:
    """Keep every suite's figures in `path` and, to be read, in the Markdown file beside it."""
    path.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    page = "# Benchmark results\n\nMade by `python benchmarks`; README.md says what the columns mean.\n\n"
    page += "\n".join(suite(name, found) for name, found in results.items())
    path.with_suffix(".md").write_text(page, "utf-8")
