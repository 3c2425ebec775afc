"""Evaluation checks on a page: a line that says how many a net passed, and behind it what each of them says.

Rows are plain data, as results.json keeps them: mappings with `id`, `name`, `status`, `value`, `sentence`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from companion.publishing.pages import tables
from companion.publishing.paths import UserError

#: Status -> the colour of its words. In this order rows are listed: what a reader must see comes first.
COLOURS = {"failed": "no", "flagged": "maybe", "passed": "ok", "not run": "none"}

Row = Mapping[str, Any]


class CheckFailed(UserError):
    """A check without which a number is not credible."""

    def _render_traceback_(self) -> list[str]:
        """Show the message alone in IPython: the stack says nothing about the net."""
        return [f"CheckFailed: {self}"]


@dataclass(frozen=True)
class Checked:
    """The checks of one net; shows itself as its badge, which opens to the sentences.

    expected: ids of rows that may fail, because failing is what the chapter shows.
    """

    name: str
    rows: Sequence[Row]
    expected: frozenset[str] = frozenset()

    def of(self, status: str) -> list[Row]:
        """The rows with this status."""
        return [row for row in self.rows if row["status"] == status]

    def refuse(self) -> None:
        """Raise CheckFailed, naming the row and the net, on a failed row that was not expected."""
        for row in self.of("failed"):
            if row["id"] not in self.expected:
                raise CheckFailed(f"{row['id']} ({row['name']}) failed for {self.name}: {row['sentence']}")

    @property
    def summary(self) -> str:
        """Such as "17 checks passed, 2 flagged (R8, R14), 8 not run"."""
        passed = len(self.of("passed"))
        words = [f"{passed} check{'s' * (passed != 1)} passed"]
        for status in ("flagged", "failed"):
            if rows := self.of(status):
                words.append(f"{len(rows)} {status} ({', '.join(map(self.id, rows))})")
        return ", ".join([*words, f"{len(self.of('not run'))} not run"])

    def id(self, row: Row) -> str:
        """The row's id, and whether its failing is the point."""
        intended = row["status"] == "failed" and row["id"] in self.expected
        return f"{row['id']}, as intended" if intended else row["id"]

    @property
    def badge(self) -> str:
        """The summary, coloured by the worst status, as HTML."""
        worst = next((status for status in COLOURS if self.of(status)), "not run")
        return f'<span class="cmp-verdict cmp-badge {COLOURS[worst]}">{escape(self.summary)}</span>'

    def _repr_html_(self) -> str:
        return (
            f'<details class="cmp-checks"><summary>{self.badge} <span>{escape(self.name)}</span></summary>'
            f"{_listed(row for status in COLOURS for row in self.of(status))}</details>"
        )


def table(nets: Iterable[Checked], *, caption: str) -> tables.Table:
    """One row for each net: how many rows passed, which failed or were flagged, and what each says.

    caption: HTML.
    """
    rows = [[escape(net.name), *(_cell(net, status) for status in COLOURS)] for net in nets]
    return tables.table(["net", *COLOURS], rows, caption=caption, kind="cmp-cards cmp-checks-table")


def _cell(net: Checked, status: str) -> str:
    """How many or which, the sentences on demand."""
    rows = net.of(status)
    which = ", ".join(map(net.id, rows)) if status in ("failed", "flagged") else str(len(rows))
    shown = f"<details><summary>{which}</summary>{_listed(rows)}</details>" if rows else "none"
    return f'<td class="text">{shown}</td>'


def _listed(rows: Iterable[Row]) -> str:
    items = "".join(
        f'<li><b>{row["id"]}</b> {escape(row["name"])} <span class="cmp-verdict {COLOURS[row["status"]]}">'
        f"{row['status']}</span><br>{escape(row['sentence'])}</li>"
        for row in rows
    )
    return f"<ul>{items}</ul>"
