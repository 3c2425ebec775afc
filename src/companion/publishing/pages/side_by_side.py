"""The page of a sweep: what its runs recorded, side by side, in one HTML file that loads nothing."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from companion.publishing.claims import rows as of_rows

_STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
body { max-width: 75rem; margin: 2rem auto; padding: 0 1rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .2rem .6rem; border-bottom: 1px solid #8884; text-align: right; white-space: nowrap }
th:first-child, td:first-child { text-align: left }
circle { fill: currentColor; fill-opacity: .5 }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(title: str, runs: Sequence[Mapping[str, Any]]) -> str:
    """The page as HTML.

    runs: each with its `folder`, the `setting` that tells it from the others, the `rows` it recorded, its
    `record` (run.json) and the `command` that repeats it.
    """
    tables = "".join(_experiment(name, runs) for name in _experiments(runs))
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{_text(title)}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{_STYLE}</style>\n<body><h1>{_text(title)}</h1>\n"
        f"<p>{len(runs)} runs. Each dot is a run, from the lowest value of its line to the highest.</p>\n"
        f"{tables}<h2>Runs</h2>{_commands(runs)}</body></html>\n"
    )


def _experiments(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row["experiment"] for run in runs for row in run["rows"]))


def _experiment(name: str, runs: Sequence[Mapping[str, Any]]) -> str:
    lines: dict[str, dict[int, Any]] = {}
    for number, run in enumerate(runs):
        for row in run["rows"]:
            if row["experiment"] == name:
                lines.setdefault(_line(row), {})[number] = row["value"]
    head = "".join(f"<th>{_text(_setting(run))}</th>" for run in runs)
    body = "".join(
        f"<tr><td>{_text(line)}</td><td>{_dots(found)}</td>"
        + "".join(f"<td>{_number(found.get(number))}</td>" for number in range(len(runs)))
        + "</tr>\n"
        for line, found in lines.items()
    )
    return (
        f'<h2>{_text(name)}</h2>\n<div class="wide"><table><tr><th>quantity</th><th>spread</th>{head}</tr>\n'
        f"{body}</table></div>\n"
    )


def _line(row: Mapping[str, Any]) -> str:
    labels = [f"{k}={v}" for k, v in row.items() if k not in (*of_rows.NUMBERS, "experiment", "quantity")]
    return ", ".join([row["quantity"], *labels])


def _setting(run: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in run["setting"].items()) or "the profile's values"


def _dots(found: Mapping[int, Any]) -> str:
    values = [value for value in found.values() if value is not None]
    if not values:
        return ""
    low, span = min(values), (max(values) - min(values)) or 1
    dots = "".join(f'<circle cx="{5 + 90 * (value - low) / span:.1f}" cy="6" r="3"/>' for value in values)
    said = f"{_number(min(values))} to {_number(max(values))}"
    return f'<svg width="100" height="12" role="img" aria-label="{said}">{dots}</svg>'


def _commands(runs: Sequence[Mapping[str, Any]]) -> str:
    body = "".join(
        f"<tr><td>{_text(_setting(run))}</td><td>{_number(run['record'].get('wall_s'))}</td>"
        f"<td><code>{_text(run['record'].get('command', ''))}</code></td></tr>\n"
        for run in runs
    )
    return (
        '<div class="wide"><table><tr><th>run</th><th>seconds</th><th>repeat it</th></tr>\n'
        f"{body}</table></div>"
    )


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.4g}"


def _text(value: Any) -> str:
    return html.escape(str(value))
