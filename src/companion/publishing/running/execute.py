"""Run one notebook to its end in a process of its own: `python -m`, this module, and a folder.

The runner starts this process, with the kernel's environment, in a folder that holds `job.json` and
`source.ipynb`. It writes `executed.ipynb`, `progress` (code cells done) and, last, `outcome.json`; what it
and the kernel print goes to the runner's log.
"""

import json
import os
import re
import sys
import threading
import time
from pathlib import Path
from typing import Any

import papermill
import psutil
from papermill.exceptions import PapermillExecutionError

from companion.files import write_atomic
from companion.publishing.running import provenance

STARTS = 3
_START_TIMEOUT_S = 180
_OUTPUT_TIMEOUT_S = 60  # 4 s, the default, is too short for a large figure on a busy machine
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def main(folder: Path) -> int:
    """Execute the job in `folder` and return the exit status: 0 if every cell ran, else 1."""
    _die_with_runner()
    job = json.loads((folder / "job.json").read_text("utf-8"))
    started, clock = provenance.now(), time.monotonic()
    failure = _execute(folder, job["parameters"])
    outcome = {
        "complete": failure is None,
        "started": started,
        "wall_s": round(time.monotonic() - clock, 2),
        "cpu_s": provenance.cpu_seconds(children=True),
        "peak_memory_mb": provenance.peak_memory_mb(children=True),
        **(failure or {}),
    }
    write_atomic(folder / "outcome.json", json.dumps(outcome))
    return 0 if failure is None else 1


def _execute(folder: Path, values: dict[str, Any]) -> dict[str, Any] | None:
    """Run the notebook; return what went wrong as `{"cell", "error"}`, or None."""
    cells = {"started": 0, "done": 0}

    def on_start(cell: Any, cell_index: int) -> None:
        if cell.cell_type == "code" and cell.source.strip():
            cells["started"] += 1
            print(f"[code cell {cells['started']}]", flush=True)

    def on_done(cell: Any, cell_index: int, execute_reply: Any) -> None:
        cells["done"] += 1
        write_atomic(folder / "progress", str(cells["done"]))

    for attempt in range(1, STARTS + 1):
        try:
            papermill.execute_notebook(
                _literal(folder / "source.ipynb"),
                _literal(folder / "executed.ipynb"),
                parameters=values,
                kernel_name="python3",  # whatever name the author's machine had for it
                language="python",
                progress_bar=False,
                stdout_file=sys.stdout,
                stderr_file=sys.stderr,
                start_timeout=_START_TIMEOUT_S,
                iopub_timeout=_OUTPUT_TIMEOUT_S,
                on_cell_start=on_start,
                on_cell_executed=on_done,
            )
            return None
        except PapermillExecutionError as error:
            print(_COLOURS.sub("", str(error)), file=sys.stderr)
            return {"cell": error.exec_count, "error": _one_line(f"{error.ename}: {error.evalue}")}
        except Exception as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            # Kernels that start together can take each other's ports and die before the first cell.
            at_start = cells["started"] == 0 and isinstance(error, RuntimeError | TimeoutError)
            if not at_start or attempt == STARTS:
                return {
                    "cell": cells["started"] or None,
                    "error": _one_line(f"{type(error).__name__}: {error}"),
                }
            print(
                f"the kernel died at its start; start {attempt + 1} of {STARTS}", file=sys.stderr, flush=True
            )
    return None


def _literal(path: Path) -> str:
    """Return a path that papermill, which puts parameters in place of {NAME} in paths, takes as it is."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _one_line(text: str) -> str:
    return _COLOURS.sub("", text).strip().split("\n")[0]


def _die_with_runner() -> None:
    """End this process and its kernel when the runner is gone, however it went."""

    def watch() -> None:
        while os.read(0, 1):  # the other end of the pipe is the runner's: it closes when the runner dies
            pass
        for child in psutil.Process().children(recursive=True):
            child.kill()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
