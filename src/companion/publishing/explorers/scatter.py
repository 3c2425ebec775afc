"""An explorer of nets under two measures: points, and the gallery of the one that is pointed at.

The drawing is in scatter.js, beside this file.
"""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import isfinite
from pathlib import Path

from companion.shown import Shown

_SCRIPT = Path(__file__).with_name("scatter.js")

_STYLE = """
.cmp-scatter form { grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); }
.cmp-scatter select { flex: 1; min-width: 0; max-width: 100%; font: inherit; color: inherit;
  background: var(--pst-color-background); border: 1px solid var(--cmp-line); border-radius: 0.3rem; }
.cmp-scatter .both { display: flex; flex-wrap: wrap; gap: 0.8rem 1.2rem; align-items: flex-start; }
.cmp-scatter svg { flex: 3 1 18rem; min-width: 0; max-width: 34rem; font-size: 13px; }
.cmp-scatter svg text { fill: currentColor; } .cmp-scatter svg .axis { font-weight: 600; }
.cmp-scatter .grid { stroke: currentColor; stroke-opacity: 0.15; }
.cmp-scatter circle { cursor: pointer; fill-opacity: 0.75; }
.cmp-scatter circle.on { stroke: currentColor; stroke-width: 3; fill-opacity: 1; }
.cmp-scatter .chosen { flex: 1 1 12rem; font-size: 0.9rem; } .cmp-scatter .chosen > * { display: block; }
.cmp-scatter .chosen img { width: 100%; max-width: 22rem; image-rendering: pixelated; margin: 0 0 0.4rem; }
.cmp-scatter .says { font-size: 0.9rem; margin: 0.6rem 0 0; }
"""


@dataclass(frozen=True)
class Net:
    """A point: its name, its colour, a value of each measure, and a PNG shown when it is pointed at."""

    name: str
    colour: str
    values: Sequence[float]
    gallery: bytes


def explorer(
    nets: Sequence[Net],
    measures: Sequence[str],
    says: Mapping[tuple[str, str], str],
    *,
    start: tuple[str, str],
    caption: str,
) -> Shown:
    """Nets as points under two of several measures, chosen by the reader, with no kernel.

    says: a sentence on every two measures, by their names in either order. start: the two shown first.
    caption: HTML, what is seen here. A net is left out where a value of it is not finite. Raises ValueError
    for a net that has not one value of every measure, and a start that is no measure.
    """
    for net in nets:
        if len(net.values) != len(measures):
            raise ValueError(f"{net.name} has {len(net.values)} values; expected {len(measures)}")
    for name in start:
        if name not in measures:
            raise ValueError(f"start={start}: {name!r} is none of the measures {', '.join(measures)}")
    told = [[says.get((x, y), says.get((y, x), "")) for y in measures] for x in measures]
    plain = [
        {
            "name": n.name,
            "colour": n.colour,
            "values": [v if isfinite(v) else None for v in n.values],
            "gallery": b64encode(n.gallery).decode(),
        }
        for n in nets
    ]
    data = json.dumps({"nets": plain, "measures": list(measures), "says": told}, separators=(",", ":"))
    data = data.replace("</", r"<\/").replace("<!--", r"\u003c!--")
    chosen = [_select(axis, axis, measures, measures.index(of)) for axis, of in zip("xy", start, strict=True)]
    return Shown(
        f'<figure class="cmp-explorer cmp-scatter" role="group" data-live=""><style>{_STYLE}</style>'
        f"<figcaption>{caption}</figcaption>"
        '<p class="still">The explorer needs JavaScript, and no network.</p>'
        f'<form autocomplete="off" hidden>{"".join(chosen)}'
        f"{_select('net', 'net', [net.name for net in nets], 0)}</form>"
        '<div class="both"><svg hidden viewBox="0 0 480 344" role="img" aria-label="Nets as points under the '
        'two measures chosen above; the net chosen is named below."></svg>'
        '<div class="chosen" role="status" hidden><img alt=""><b></b><span></span></div></div>'
        f'<p class="says" role="status"></p><script type="application/json">{data}</script>'
        f"<script>(() => {{\n{_SCRIPT.read_text('utf-8')}}})();</script></figure>"
    )


def _select(name: str, label: str, options: Sequence[str], at: int) -> str:
    choices = "".join(
        f'<option value="{i}"{" selected" * (i == at)}>{escape(option)}</option>'
        for i, option in enumerate(options)
    )
    return f'<label>{label} <select name="{name}">{choices}</select></label>'
