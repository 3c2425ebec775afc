"""What the benchmarks share: one thread, interleaved repeats, medians, and where they ran."""

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from importlib import metadata

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch


def environment(*packages: str) -> str:
    """One thread from here on; returns a line with machine, versions and commit."""
    torch.set_num_threads(1)
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    ).stdout.strip()
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", *packages))
    return (
        f"Python {platform.python_version()}, {versions}; {_processor()}, {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} torch thread; load {os.getloadavg()[0]:.1f}; commit {commit or 'unknown'}"
    )


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def rounds(jobs: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[tuple[float, float]]]:
    """CPU and wall seconds of each job in each round.

    The jobs take turns, so that a disturbance of the machine hits all of them alike. CPU time is what the
    ratios use: waiting for a core that somebody else holds does not count in it.
    """
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in jobs}
    for _ in range(repeats):
        for name, job in jobs.items():
            cpu, wall = time.process_time(), time.perf_counter()
            job()
            times[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    return times


def ratio_in_rounds(times: list[tuple[float, float]], reference: list[tuple[float, float]]) -> float:
    """Median over the rounds of CPU time relative to the reference's in the same round."""
    return statistics.median(a / b for (a, _), (b, _) in zip(times, reference, strict=True))


def medians(times: list[tuple[float, float]]) -> tuple[float, float]:
    """Median CPU and wall seconds."""
    cpu, wall = zip(*times, strict=True)
    return statistics.median(cpu), statistics.median(wall)


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table with aligned columns."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in lines
    )
