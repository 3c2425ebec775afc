"""What the tests of every chapter need: the command, a checkout of its own, rows by label."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def companion(*arguments, env=None):
    command = [sys.executable, "-m", "companion.publishing.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env)


def checkout_at(root):
    """Copy the checkout's sources to `root`; the environment that leads there, with an empty store."""
    shutil.copy(ROOT / "pyproject.toml", root)
    shutil.copytree(ROOT / "notebooks", root / "notebooks")
    shutil.copytree(ROOT / "book/claims", root / "book/claims")
    return {**os.environ, "COMPANION_ROOT": str(root), "COMPANION_STORE": str(root / "store")}


def of(rows, experiment, /, **labels):
    """The rows of an experiment that carry all of these labels."""
    chosen = [r for r in rows if r["experiment"] == experiment]
    return [r for r in chosen if all(r.get(k) == v for k, v in labels.items())]
