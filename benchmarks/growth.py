"""How time, memory and disk grow with runs and nets."""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from common import Table

from companion import store
from companion.publishing.running import runner, sweeps
from companion.store.files import keep
from companion.store.nets import _weights_of
from companion.training.recipe import Recipe, part

ROOT = Path(__file__).resolve().parents[1]
SIZES = (10, 100, 1000)
#: What one chapter is given more and more of; the smallest is profile smoke's, but for one thing.
GROWN = {
    "seeds": ("0", "0,1", "0,1,2,3"),
    "n_train": ("200", "400", "800"),
    "n_test": ("60", "120", "240"),
    "eps_linf": ("0.1", "0.1,0.2", "0.1,0.15,0.2,0.3"),
}
CHAPTER = "feature_leakage"


def run(rounds: int) -> list[Table]:
    """Once: what grows is far larger than the noise."""
    return [_runs(), _nets(), _chapter()]


def _runs() -> Table:
    table = Table(
        "A sweep's own work",
        f"Planning, and gathering the recorded rows of {CHAPTER} as often as there are runs; the runs "
        "themselves are not made. `peak`: of the whole process, torch in it.",
    )
    recorded = json.loads((ROOT / "results" / f"{CHAPTER}.json").read_text("utf-8"))
    content = json.dumps({"rows": recorded["rows"]}, indent=1)
    before = os.environ.get("COMPANION_ROOT")
    for count in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            for name in ("notebooks", "workflow", "src", "book", "results", "pyproject.toml"):
                (root / name).symlink_to(ROOT / name)
            os.environ["COMPANION_ROOT"] = folder
            began = time.process_time()
            sweep = sweeps.plan(CHAPTER, "smoke", [f"block_seeds=0..{count - 1}"])
            planned = time.process_time() - began
            for job in sweep.jobs:
                job.folder.mkdir(parents=True)
                (job.folder / "results.json").write_text(content, "utf-8")
            place = root / "runs" / sweep.folder
            place.mkdir(parents=True)
            (place / "sweep.json").write_text(json.dumps(sweeps.config_of(sweep, "slurm", 10)), "utf-8")
            began = time.process_time()
            sweeps.gather(place)
            gathered = time.process_time() - began
            megabytes = [(place / name).stat().st_size / 1e6 for name in ("table.csv", "index.html")]
        table.rows.append(
            {
                "runs": count,
                "rows": count * len(recorded["rows"]),
                "plan, CPU s": planned,
                "gather, CPU s": gathered,
                "results, MB": count * len(content) / 1e6,
                "table, MB": megabytes[0],
                "page, MB": megabytes[1],
                "peak, MB": _peak(),
            }
        )
    os.environ.pop("COMPANION_ROOT")
    if before is not None:
        os.environ["COMPANION_ROOT"] = before
    return table


def _nets() -> Table:
    table = Table(
        "The store",
        "Perceptrons of 16 and 16 units on digits; the same weights under every name. `look up`: which of "
        "them are there, each file read and its checksum computed.",
    )
    before = os.environ.get("COMPANION_STORE")
    first = Recipe(part("digits", n_train=200), part("mlp", hidden=(16, 16)), epochs=1)
    for count in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["COMPANION_STORE"] = folder
            store.get(first)
            weights = _weights_of(first).read_bytes()
            recipes = [replace(first, seed=seed) for seed in range(count)]
            for recipe in recipes:
                keep(_weights_of(recipe), weights, {"recipe": recipe.as_dict(), "history": []})
            began = time.process_time()
            left = store.missing(recipes)
            seconds = time.process_time() - began
            assert not left
            disk = sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e6
        table.rows.append({"nets": count, "look up, CPU s": seconds, "disk, MB": disk, "peak, MB": _peak()})
    os.environ.pop("COMPANION_STORE")
    if before is not None:
        os.environ["COMPANION_STORE"] = before
    return table


def _chapter() -> Table:
    table = Table(
        "A chapter",
        "interpretation_regularization in profile smoke (digits, seeds 0 and 1), each run with a store of "
        "its own, one thread. What does not grow, about 18 CPU seconds, is in every line.",
    )
    for name, values in GROWN.items():
        for value in values:
            with tempfile.TemporaryDirectory() as folder:
                root = Path(folder)
                for link in ("notebooks", "src", "book", "results", "pyproject.toml"):
                    (root / link).symlink_to(ROOT / link)
                here = {"COMPANION_ROOT": folder, "COMPANION_STORE": str(root / "store")}
                command = ["-m", "companion.publishing", "run", "interpretation_regularization"]
                command += ["--profile", "smoke", "-p", f"{name}={value}"]
                subprocess.run(
                    [sys.executable, *command], check=True, env={**os.environ, **here}, capture_output=True
                )
                (run,) = (path for path in (root / "runs" / "smoke").iterdir() if path.is_dir())
                record = runner.read_record(run)
                store_mb, run_mb = (_megabytes(of) for of in (root / "store", run))
            table.rows.append(
                {
                    "parameter": f"{name}={value}",
                    "CPU s": record["cpu_s"],
                    "peak, MB": record["peak_memory_mb"],
                    "store, MB": store_mb,
                    "run, MB": run_mb,
                }
            )
    return table


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
