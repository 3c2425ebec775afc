"""Where a result comes from: the hash that decides whether to run again, commit, versions, machine."""

import hashlib
import json
import math
import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from companion import __version__
from companion.code import code_hash

_RECORDED = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "matplotlib", "papermill", "ipykernel")


def digest(value: Any) -> str:
    """Return the SHA-256 of a JSON value, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def source_hash(folder: Path) -> str:
    """Return a hash of all Python files under `folder` that comments and docstrings do not change."""
    return code_hash(
        {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in folder.rglob("*.py")}
    )


def run_hash(code: list[Any], values: Mapping[str, Any], package: str, data: str, recorded: str = "") -> str:
    """Return the hash of all that decides a run: code, parameters, package source, data, recorded results."""
    return digest([code, dict(values), package, data, recorded])


@cache
def commit(checkout: Path) -> tuple[str | None, bool | None]:
    """Return the commit of a checkout and whether it holds uncommitted changes; (None, None) outside git."""
    try:
        top = _git(checkout, "rev-parse", "--show-toplevel").removesuffix("\n")
        if Path(top).resolve() != checkout.resolve():
            return None, None  # a copy inside some other repository: its commit says nothing about this code
        return _git(checkout, "rev-parse", "HEAD").strip(), bool(
            _git(checkout, "status", "--porcelain").strip()
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None, None


def _git(checkout: Path, *arguments: str) -> str:
    # git refuses folders of other users, such as mounted ones; here it is only asked, so that is no danger
    call = ["git", "-c", "safe.directory=*", "-C", str(checkout), *arguments]
    return os.fsdecode(subprocess.run(call, capture_output=True, check=True, timeout=10).stdout)


def versions() -> dict[str, str | None]:
    """Return the versions of Python, of this package and of what its numbers depend on."""
    found: dict[str, str | None] = {"python": platform.python_version(), "companion": __version__}
    for name in _RECORDED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def machine() -> str:
    """Return the operating system and processor architecture."""
    return f"{platform.system()} {platform.release()} {platform.machine()}"


def cores() -> int:
    """Return the number of processor cores this process may use; a container's quota is rounded up."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota()
    return here if quota is None else max(1, min(here, math.ceil(quota)))


def _quota(root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """Return how many cores' time a Linux container may use; None where nothing limits it."""
    try:
        if (root / "cpu.max").is_file():
            most, period = (root / "cpu.max").read_text("ascii").split()
        else:
            most, period = (
                (root / "cpu" / f"cpu.cfs_{name}_us").read_text("ascii") for name in ("quota", "period")
            )
        return int(most) / int(period) if int(most) > 0 else None
    except (OSError, ValueError):  # no such files, or "max"
        return None


def now() -> str:
    """Return the time in UTC as ISO 8601 text, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def peak_memory_mb(children: bool = False) -> float | None:
    """Return the peak resident memory in MB of this process, or of the largest child that has ended."""
    usage = _usage(children)
    if usage is None:
        return None
    unit = 1 if platform.system() == "Darwin" else 1024  # bytes on macOS, KiB elsewhere
    return round(usage.ru_maxrss * unit / 1e6, 1)


def cpu_seconds(children: bool = False) -> float | None:
    """Return the processor seconds used by this process, or by all children that have ended."""
    usage = _usage(children)
    return None if usage is None else round(usage.ru_utime + usage.ru_stime, 2)


def _usage(children: bool) -> Any:
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF)
