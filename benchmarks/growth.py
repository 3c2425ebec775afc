"""How time, memory and disk grow with runs and nets."""

import json
import os
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from common import Table

from companion import store
from companion.publishing.running import sweeps
from companion.store.files import keep
from companion.store.nets import _weights_of
from companion.training.recipe import Recipe, part

ROOT = Path(__file__).resolve().parents[1]
SIZES = (10, 100, 1000)
CHAPTER = "feature_leakage"


def run(rounds: int) -> list[Table]:
    """Once: what grows is far larger than the noise."""
    return [_runs(), _nets()]


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


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
