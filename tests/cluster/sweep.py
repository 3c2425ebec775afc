"""A small checkout to sweep over, whose run of seed 2 and eps 0.2 works for ever the first time."""

import csv
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.chapter import ROOT
from tests.publishing.conftest import Checkout

needs_snakemake = pytest.mark.skipif(
    find_spec("snakemake") is None or find_spec("snakemake_executor_plugin_slurm") is None,
    reason="needs Snakemake: pip install 'companion[cluster]'",
)
# Without a data set among them, which would cost each run the import of torch.
PARAMETERS = """\
eps: float = 0.1  # in (0, inf): radius
seeds: list[int] = [0]  # in [0, inf): seeds
"""
WORK = """\
import os, pathlib, time
mark = pathlib.Path(os.environ["COMPANION_ROOT"], "kernel")
if eps == 0.2 and seeds == [2] and not mark.exists():
    mark.write_text(str(os.getpid()))
    time.sleep(600)
run.record("T1", "accuracy", eps + seeds[0], model="net")
"""
#: Six runs, and eight.
THREE = ("-p", "seeds=0..2", "-p", "eps=0.1,0.2")
FOUR = ("-p", "seeds=0..3", "-p", "eps=0.1,0.2")
FOLDER = "runs/sweeps/quick/small-seeds-eps"


def prepare(checkout: Checkout) -> None:
    """Write the notebook, and the files of the repository that a sweep uses."""
    checkout.notebook("small", WORK, parameters=PARAMETERS)
    shutil.copytree(ROOT / "workflow", checkout.root / "workflow")
    budgets = "other: {minutes: 10, memory_mb: 500, threads: 1, gpus: 0}\n"
    (checkout.root / "workflow" / "budgets.yaml").write_text(budgets)


@contextmanager
def begun(*arguments: str) -> Iterator[subprocess.Popen]:
    """`companion sweep small` under way; it hears Ctrl-C, even where these tests run under nohup."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    command = [sys.executable, "-m", "companion.publishing", "sweep", "small", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    try:
        yield process
    finally:
        process.terminate()  # where a test failed before its end


def whole(*arguments: str, status: int = 0) -> str:
    """Run `companion sweep small` to its end and return what it printed."""
    with begun(*arguments) as process:
        return end(process, status)


def end(process: subprocess.Popen, status: int) -> str:
    """Wait for a sweep and return what it printed."""
    out, err = process.communicate(timeout=300)
    assert process.returncode == status, out + err
    return out + err


def ran(said: str) -> int:
    """How many runs a sweep ran, by its own last word."""
    return int(re.search(r"^(\d+) ran; the table is ", said, re.M)[1])


def table(checkout: Checkout) -> list[tuple[float, float, float]]:
    """Seed, eps and recorded value of every line of the sweep's table, sorted."""
    with (checkout.root / FOLDER / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    return sorted((float(r["set seeds"]), float(r["set eps"]), float(r["value"])) for r in rows)


def expected(seeds: int) -> list[tuple[float, float, float]]:
    return sorted((s, eps, eps + s) for s in range(seeds) for eps in (0.1, 0.2))


def kernel(checkout: Checkout) -> int | None:
    """The process of the kernel that works for ever, once it does."""
    mark: Path = checkout.root / "kernel"
    return int(mark.read_text() or 0) if mark.is_file() else None
