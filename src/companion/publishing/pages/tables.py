"""Tables a chapter prints: this run's number, with the paper's and the recorded run's below it."""

import re
from collections.abc import Mapping, Sequence
from html import escape, unescape
from types import MappingProxyType

from companion.shown import Shown as Table


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str, kind: str = "") -> Table:
    """A table of cells made by `number`, `text` or plain strings; caption, header and strings are HTML.

    The first cell of a row names it. kind: CSS classes; `cmp-fold` shows each row as a block on a narrow
    screen. Raises ValueError when a row has not as many cells as the header.
    """
    for row in rows:
        if len(row) != len(header):
            raise ValueError(f"row {row[0]!r} has {len(row)} cells, the header {len(header)}")
    head = "".join(f'<th scope="col">{cell}</th>' for cell in header)
    cells = [[cell if cell.startswith("<td") else text(cell) for cell in row[1:]] for row in rows]
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(map(_labelled, of, header[1:]))}</tr>'
        for row, of in zip(rows, cells, strict=True)
    )
    return Table(
        f'<div class="cmp-scroll"><table class="cmp-table {kind}"><caption>{caption}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def cards(header: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str) -> Table:
    """A table of sentences, which a narrow screen shows as a card for each row; everything given is HTML.

    The first cell of a row names it and may be a whole <th>, with an id.
    """
    head = "".join(f'<th scope="col">{cell}</th>' for cell in header)
    body = ""
    for first, *texts in rows:
        name = first if first.startswith("<th") else f'<th scope="row">{first}</th>'
        cells = "".join(_labelled(text(cell), of) for of, cell in zip(header[1:], texts, strict=True))
        body += f"<tr>{name}{cells}</tr>"
    return Table(
        f'<div class="cmp-scroll"><table class="cmp-table cmp-cards"><caption>{caption}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _labelled(cell: str, head: str) -> str:
    """The cell with its column's heading, which a narrow screen shows beside it."""
    words = escape(unescape(re.sub("<[^>]*>", "", head)))
    return f'<td data-label="{words}"{cell.removeprefix("<td")}'


def number(
    value: float | None,
    *,
    sd: float | None = None,
    below: Mapping[str, float | None] = MappingProxyType({}),
    best: bool = False,
    digits: int = 1,
) -> str:
    """A numeric cell: value and spread; in small below it what it is compared with (None: left out)."""
    lines = "".join(
        f'<span class="paper">{escape(name)} {other:.{digits}f}</span>'
        for name, other in below.items()
        if other is not None
    )
    if value is None:
        return f'<td class="num na">not run{lines}</td>'
    spread = "" if sd is None else f' <span class="sd">± {sd:.{digits}f}</span>'
    return f'<td class="num{" best" if best else ""}">{value:.{digits}f}{spread}{lines}</td>'


def short(value: float) -> str:
    """A number in two digits, or as many as it has before the point."""
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.2g}"


def shortened(values: Sequence[float]) -> list[str]:
    """The numbers of a column as `short` writes them; three digits where two would hide their order."""
    near = max(values) - min(values) < 0.2 * max(map(abs, values))
    return [f"{value:.3g}" if near else short(value) for value in values]


def text(html: str) -> str:
    """A cell of text (HTML)."""
    return f'<td class="text">{html}</td>'


def plain(words: str) -> str:
    """A cell of text with its special characters escaped."""
    return text(escape(words))
