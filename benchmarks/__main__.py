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
EXTRA = ("reference", "book")  # longer; run when named


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
        print(markdown(name, results[name]), flush=True)
        missed += sum(not goal["met"] for table in tables for goal in table.goals)
        chosen.out.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    page = "# Benchmark results\n\nMade by `python benchmarks`; README.md says what the columns mean.\n\n"
    page += "\n".join(markdown(name, suite) for name, suite in results.items())
    chosen.out.with_suffix(".md").write_text(page, "utf-8")
    print(f"{missed} goals missed" if missed else "every goal met")
    return bool(missed)


def markdown(name: str, suite: dict) -> str:
    facts = dict(suite["provenance"])
    versions = ", ".join(f"{package} {version}" for package, version in facts.pop("versions").items())
    lines = [
        f"## {name}",
        "",
        ", ".join(f"{key} {value}" for key, value in facts.items()) + f"; {versions}.",
        "",
    ]
    for table in suite["tables"]:
        lines += [f"### {table['title']}", "", table["note"], "", common.markdown(table["rows"]), ""]
        lines += [
            f"* {goal['goal']}: {goal['value']:g}, {'met' if goal['met'] else '**missed**'}"
            for goal in table["goals"]
        ]
        lines += [""] * bool(table["goals"])
    return "\n".join(lines)


if __name__ == "__main__":
    if not KEEP_MEMORY.keys() <= os.environ.keys():  # once more, as the chapters' kernels are started
        os.execve(sys.executable, [sys.executable, *sys.argv], KEEP_MEMORY | os.environ)
    sys.exit(main())
