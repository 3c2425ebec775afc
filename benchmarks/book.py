"""What the book costs: every notebook run cold in profile quick, and the same at an earlier commit."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from common import Table

ROOT = Path(__file__).resolve().parents[1]
BEFORE = "23acaa0"  # the last commit before the engine: attacks that stop early, nets kept by their own code


def run(_: int) -> list[Table]:
    """One run of each notebook at each commit, one thread, an empty store, nothing downloaded."""
    table = Table(
        "The book in profile quick",
        f"Cold, one notebook after the other, one thread; `before`: commit {BEFORE}, where only the first "
        "chapter was, without its reference attack and its checks. Measured once.",
    )
    with tempfile.TemporaryDirectory() as folder:
        before, after = (_cold(Path(folder) / commit, commit) for commit in (BEFORE, "HEAD"))
    for name, now in after.items():
        row: dict[str, object] = {"notebook": name}
        for column, key in (("CPU s", "cpu_s"), ("wall s", "wall_s"), ("peak MB", "peak_memory_mb")):
            row |= {f"{column}, before": before.get(name, {}).get(key), column: now[key]}
        table.rows.append(row)
    table.rows.append(
        {"notebook": "together"}
        | {column: sum(row[column] for row in table.rows) for column in ("CPU s", "wall s")}
    )
    return [table]


def _cold(checkout: Path, commit: str) -> dict[str, dict]:
    """What run.json says of every notebook, run in a fresh clone of the commit."""
    subprocess.run(["git", "clone", "-q", ROOT, checkout], check=True)
    subprocess.run(["git", "checkout", "-q", commit], cwd=checkout, check=True)
    environment = os.environ | {
        "PYTHONPATH": str(checkout / "src"),
        "COMPANION_ROOT": str(checkout),
        "COMPANION_STORE": str(checkout / "store"),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "companion.publishing.cli", "run", "--profile", "quick"]
    subprocess.run(command, cwd=checkout, env=environment, check=True)
    runs = sorted((checkout / "runs" / "quick").glob("*/run.json"))
    return {path.parent.name: json.loads(path.read_text("utf-8")) for path in runs}
