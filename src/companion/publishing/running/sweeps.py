"""Sweeps: a run for each combination of values, started by Snakemake here or on Slurm, and one table of all.

`workflow/Snakefile` holds the rules. A job of a sweep is the command line of its run, so that each run is
skipped, recorded and taken up again as `companion run` does. `python -m`, this module, and a sweep's folder
gathers what its runs recorded.
"""

import itertools
import json
import math
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import Timeout

from companion.files import write_atomic
from companion.locks import lock
from companion.publishing import paths
from companion.publishing.pages import side_by_side
from companion.publishing.paths import UserError
from companion.publishing.running import notebooks, parameters, provenance, runner
from companion.publishing.running.runner import Job

MOST = 10_000
_NEEDS = {"local": "snakemake", "slurm": "snakemake_executor_plugin_slurm"}
_LISTS = ("values", "correct")  # one entry a repetition or image: they stay in results.json
_PATIENCE_S = 60


@dataclass(frozen=True)
class Sweep:
    """The runs of a sweep, each with the values that tell it from the others."""

    name: str
    profile: str
    jobs: tuple[Job, ...]
    settings: tuple[Mapping[str, str], ...]

    @property
    def folder(self) -> str:
        """Its folder inside `runs`: one for each chapter, profile and set of swept parameters."""
        return f"sweeps/{self.profile}/{self.name}"


def plan(chapter: str, profile: str, assignments: Sequence[str]) -> Sweep:
    """Settle every parameter of every run before anything starts.

    assignments: `NAME=0.1,0.2`, `NAME=0..9` or `NAME=[1,2]`, a list in brackets being one value.
    Raises UserError for whatever the user must fix, and for more than MOST runs.
    """
    name = notebooks.named(chapter)
    given = [parameters.assignment(text) for text in assignments]
    axes = {axis: values(text, axis) for axis, text in given}
    if len(axes) < len(given):
        raise UserError("a parameter is given twice; write its values in one -p, such as -p seeds=0..9")
    if (count := math.prod(map(len, axes.values()))) > MOST:
        raise UserError(f"these are {count} runs; give at most {MOST}")
    (first,) = runner.plan([name], profile)
    declared, layer = notebooks.declared(name), notebooks.profile_values(name, profile)
    found: dict[str, tuple[Job, dict[str, str]]] = {}
    for combination in itertools.product(*axes.values()):
        setting = dict(zip(axes, combination, strict=True))
        chosen = parameters.resolve(declared, [layer, ("-p", setting)], name)
        job = replace(first, values=chosen, data=runner.data_of(chosen))
        found.setdefault(job.label, (job, setting))
    jobs, settings = zip(*found.values(), strict=True)
    return Sweep("-".join([name, *axes]), profile, jobs, settings)


def values(text: str, name: str = "") -> list[str]:
    """The single values of `0.1,0.2`, `0..9` or both; text in brackets is one list and stays whole."""
    if text.strip().startswith("["):
        return [text.strip()]
    found: list[str] = []
    for part in text.split(","):
        ends = re.fullmatch(r"\s*(-?\d+)\.\.(-?\d+)\s*", part)
        if ends is None:
            found.append(part.strip())
            continue
        low, high = int(ends[1]), int(ends[2])
        if not low <= high < low + MOST:
            raise UserError(
                f"{name} = {part.strip()}: write the smaller end first, and at most {MOST} values"
            )
        found += map(str, range(low, high + 1))
    return found


def budget(job: Job) -> dict[str, int]:
    """What the job may take: minutes, MB, threads, GPUs.

    Twice the longest complete run of this chapter and profile here, and half more than its memory, with 1 GB
    for each further thread, since that may be a process; workflow/budgets.yaml where none has run.
    """
    path = paths.root() / "workflow" / "budgets.yaml"
    table = parameters.load_yaml(path, paths.shown(path))
    found = {key: int(value) for key, value in table.get(job.profile, table["other"]).items()}
    records = [runner.read_record(folder) for folder in (paths.runs_dir() / job.profile).glob("*")]
    ran = [r for r in records if r.get("notebook") == job.notebook and r.get("complete") is True]
    if walls := [r["wall_s"] for r in ran if r.get("wall_s")]:
        found["minutes"] = 5 + math.ceil(2 * max(walls) / 60)
    if peaks := [r["peak_memory_mb"] for r in ran if r.get("peak_memory_mb")]:
        found["memory_mb"] = math.ceil(1.5 * max(peaks)) + 1000 * found["threads"]
    return found


def start(sweep: Sweep, executor: str = "local", at_once: int = 1) -> int:
    """Run what is not up to date, `at_once` jobs at a time, gather the table; return the exit status.

    The status is 0 if every run is complete, 1 if one failed: the same call again runs what is missing.
    Raises UserError where Snakemake is missing, and where this sweep is being run already.
    """
    if find_spec("snakemake") is None or find_spec(_NEEDS[executor]) is None:
        raise UserError("a sweep needs Snakemake and its Slurm plugin; pip install 'companion[cluster]'")
    folder = paths.runs_dir() / sweep.folder
    folder.mkdir(parents=True, exist_ok=True)
    stale = [job for job in sweep.jobs if not runner.is_up_to_date(job)]
    print(
        f"{len(sweep.jobs)} runs: {len(sweep.jobs) - len(stale)} up to date, {len(stale)} to run", flush=True
    )
    held = lock(folder / ".lock")
    try:
        held.acquire(timeout=0)
    except Timeout:
        raise UserError(f"this sweep is already being run ({paths.shown(folder)}); wait for it") from None
    with held:
        config = config_of(sweep, executor, at_once)
        write_atomic(folder / "sweep.json", json.dumps(config, indent=1) + "\n")
        status = _snakemake(_command(sweep, stale, config, executor, at_once))
    missing = [job for job in sweep.jobs if not runner.is_up_to_date(job)]
    for job in missing:
        print(f"{job.label}: not complete; {_where(job)}", file=sys.stderr)
    if status or missing:
        print(f"{len(missing)} runs are missing; the same command again runs them", file=sys.stderr)
        return 1
    print(f"{len(stale)} ran; the table is {paths.shown(folder / 'table.csv')}, the page "
          f"{paths.shown(folder / 'index.html')}")  # fmt: skip
    return 0


def gather(folder: Path) -> None:
    """Write a sweep's table.csv, a line for each row that a run recorded, and index.html, runs side by side.

    Raises UserError for a run whose rows cannot be read.
    """
    config = json.loads((folder / "sweep.json").read_text("utf-8"))
    runs = [_recorded(run) for run in config["runs"]]
    lines = [
        {"run": run["label"]}
        | {f"set {name}": value for name, value in run["setting"].items()}
        | {name: value for name, value in row.items() if name not in _LISTS}
        for run in runs
        for row in run["rows"]
    ]
    write_atomic(folder / "table.csv", pd.DataFrame(lines).to_csv(index=False))
    write_atomic(folder / "index.html", side_by_side.page(config["title"], runs))


def _recorded(run: dict[str, Any]) -> dict[str, Any]:
    folder = paths.runs_dir() / run["folder"]
    try:
        rows = json.loads((folder / "results.json").read_text("utf-8"))["rows"]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{paths.shown(folder / 'results.json')}: cannot be read ({error})") from None
    return run | {"rows": rows, "record": runner.read_record(folder)}


def config_of(sweep: Sweep, executor: str, at_once: int) -> dict[str, Any]:
    """What the Snakefile reads."""
    found = budget(sweep.jobs[0])
    if executor == "local":
        found["threads"] = max(1, provenance.cores() // at_once)
    python = f"{shlex.quote(sys.executable)} -m"
    runs = [
        {
            "label": job.label,
            "folder": f"{job.profile}/{job.label}",
            "setting": dict(setting),
            "command": job.command.replace("companion", f"{python} companion.publishing", 1),
            **found,
        }
        for job, setting in zip(sweep.jobs, sweep.settings, strict=True)
    ]
    folder = shlex.quote(str(paths.runs_dir() / sweep.folder))
    return {
        "title": f"{sweep.jobs[0].notebook}, profile {sweep.profile}",
        "folder": sweep.folder,
        "gather": f"{python} companion.publishing.running.sweeps {folder}",
        "runs": runs,
    }


def _command(
    sweep: Sweep, stale: Sequence[Job], config: Mapping[str, Any], executor: str, at_once: int
) -> list[str]:
    """Snakemake's command line: it runs what this package calls stale, whatever it remembers itself."""
    runs = paths.runs_dir()
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(paths.root() / "workflow" / "Snakefile")]
    command += ["--directory", str(runs), "--configfile", str(runs / sweep.folder / "sweep.json")]
    command += ["--executor", executor, "--nolock", "--keep-going", "--rerun-incomplete"]
    command += ["--rerun-triggers", "mtime", "--quiet", "host", "progress", "rules", "reason"]
    if executor == "local":
        command += ["--cores", str(at_once * config["runs"][0]["threads"])]
    else:
        command += ["--jobs", str(at_once)]
    return [*command, "--forcerun", "table", *(f"{sweep.folder}/done/{job.label}" for job in stale)]


def _snakemake(command: Sequence[str]) -> int:
    """Run Snakemake to its end. Ctrl-C or a signal to end goes on to it and to its jobs, here or on Slurm."""
    with ExitStack() as stack:
        stack.enter_context(runner.signals())
        environment = {**os.environ, "COMPANION_ROOT": str(paths.root())}
        process = subprocess.Popen(command, env=environment, start_new_session=True)
        try:
            return process.wait()
        finally:
            if process.poll() is None:
                _end(process)


def _end(process: subprocess.Popen) -> None:
    """Interrupt a process and its group, which is what cancels jobs on Slurm; kill it if that takes long."""
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _where(job: Job) -> str:
    log = job.failed_folder / "log.txt"
    return f"log: {paths.shown(log)}" if log.is_file() else "it was cancelled or never started"


if __name__ == "__main__":
    gather(Path(sys.argv[1]))
