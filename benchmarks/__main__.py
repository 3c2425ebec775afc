"""Every benchmark: `python benchmarks` prints the tables and keeps them in results.json and results.md.

`python benchmarks attacks training` runs those suites only and replaces their tables. One torch thread;
contenders take turns; ratios are medians over rounds of CPU time against CPU time within a round.
"""

import argparse
import json
import os
import sys
import time
from importlib import import_module
from pathlib import Path

import common  # first: it sets the number of threads

from companion.publishing.running.runner import KEEP_MEMORY

HERE = Path(__file__).resolve().parent
SUITES = ("attacks", "gradients", "training", "many")
EXTRA = ("reference", "book", "growth")  # run when named


def main() -> int:
    options = argparse.ArgumentParser(
        prog="python benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("suites", nargs="*", metavar="suite", help=f"one of {', '.join(SUITES + EXTRA)}")
    options.add_argument("--rounds", type=int, default=3, help="rounds of each comparison (default 3)")
    options.add_argument(
        "--out", type=Path, default=HERE / "results.json", help="default: benchmarks/results.json"
    )
    chosen = options.parse_args()
    unknown = set(chosen.suites) - {*SUITES, *EXTRA}
    if unknown:
        options.error(f"no suite {', '.join(sorted(unknown))}; there are {', '.join(SUITES + EXTRA)}")
    results = json.loads(chosen.out.read_text("utf-8")) if chosen.out.exists() else {}
    missed = 0
    for name in chosen.suites or SUITES:
        provenance = common.environment()
        began = time.perf_counter(), time.process_time()
        tables = import_module(name).run(chosen.rounds)
        provenance["wall s"] = round(time.perf_counter() - began[0])
        provenance["CPU s"] = round(time.process_time() - began[1])
        results[name] = {"provenance": provenance, "tables": [table.as_dict() for table in tables]}
        print(common.suite(name, results[name]), flush=True)
        missed += sum(not goal["met"] for table in tables for goal in table.goals)
        common.write(results, chosen.out)
    print(f"{missed} goals missed" if missed else "every goal met")
    return bool(missed)


if __name__ == "__main__":
    if not KEEP_MEMORY.keys() <= os.environ.keys():  # once more, as the chapters' kernels are started
        os.execve(sys.executable, [sys.executable, *sys.argv], KEEP_MEMORY | os.environ)
    sys.exit(main())
