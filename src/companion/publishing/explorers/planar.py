"""An explorer of alignment in the plane: a net of two inputs, evaluated by the page itself without a kernel.

The mathematics and the drawing are in planar.js, beside this file.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path

from companion.shown import Shown

_SCRIPT = Path(__file__).with_name("planar.js")

#: What is shown, in the order planar.js fills it in, and the class of its line in the picture.
NUMBERS = (
    ("class of x, F(x)", ""),
    ("distance to the boundary, ρ(x)", "rho"),
    ("linearised robustness, ρ̃(x)", "rho-tilde"),
    ("the net is affine up to l(x)", ""),
    ("alignment, α(x)", "alpha"),
    ("binarised alignment, α†(x)", ""),
    ("Theorem 2, first bound", ""),
    ("Theorem 2, second bound", ""),
    ("Theorem 3 as printed", ""),
    ("Theorem 3 with γ", ""),
)

# Back to front. Lengths are in the colour of what they measure; the rest is in the page's own ink.
_PICTURE = """
<g data-layer="areas"></g>
<path data-layer="cell" fill="currentColor" fill-opacity="0.1"/>
<path data-layer="hinges" fill="none" stroke="currentColor" stroke-opacity="0.3" stroke-dasharray="1 3"/>
<path data-layer="unit" fill="none" stroke="currentColor" stroke-opacity="0.35"/>
<path data-layer="boundary" fill="none" stroke="currentColor" stroke-width="2.5"/>
<path data-layer="linear" fill="none" class="rho-tilde" stroke-width="1.5" stroke-dasharray="6 4"/>
<circle data-layer="ball" fill="none" stroke="currentColor" stroke-opacity="0.6" r="0"/>
<path data-layer="rho" fill="none" stroke="currentColor" stroke-width="2"/>
<path data-layer="rho-tilde" fill="none" class="rho-tilde" stroke-width="3" stroke-dasharray="2 2"/>
<path data-layer="image" fill="none" stroke="currentColor" stroke-opacity="0.5"/>
<path data-layer="right-angle" fill="none" stroke="currentColor" stroke-opacity="0.5" stroke-dasharray="2 3"/>
<path data-layer="alpha" fill="none" class="alpha" stroke-width="4"/>
<path data-layer="g" fill="none" class="alpha" stroke-width="2" marker-end="url(#planar-tip)"/>
<path data-layer="shift" fill="none" class="xi" stroke-dasharray="2 3"/>
<path data-layer="gamma" fill="none" class="xi" stroke-width="2" marker-end="url(#planar-tip-xi)"/>
<g data-layer="xi" class="xi"><path d="M0-6L6 0L0 6L-6 0Z" class="solid"/><text x="9" y="14">ξ</text></g>
<g data-layer="origin"><circle r="3" fill="currentColor"/><text x="5" y="-6" fill="currentColor">0</text></g>
<g data-layer="x" class="handle"><circle r="22" fill-opacity="0"/><circle r="6" class="point"/>
<text x="9" y="-9" fill="currentColor">x</text></g>
"""

_STYLE = """
.cmp-planar svg { width: 100%; max-width: 30rem; font: italic 16px serif; }
.cmp-planar .alpha { stroke: #d55e00; } .cmp-planar .xi { stroke: #009e73; }
.cmp-planar .rho-tilde { stroke: var(--cmp-accent, #0072b2); }
.cmp-planar .xi text { fill: #009e73; stroke: none; } .cmp-planar .xi .solid { fill: #009e73; }
.cmp-planar .point { fill: currentColor; } .cmp-planar .handle { cursor: grab; touch-action: none; }
.cmp-planar [data-class] { fill-opacity: 0.22; } .cmp-planar [data-class="0"] { fill: #56b4e9; }
.cmp-planar [data-class="1"] { fill: #e69f00; } .cmp-planar [data-class="2"] { fill: #cc79a7; }
.cmp-planar dt i { display: inline-block; width: 1.4em; margin-right: 0.4em; vertical-align: middle; }
.cmp-planar dt .rho { border-top: 2px solid var(--pst-color-text-base, currentColor); }
.cmp-planar dt .rho-tilde { border-top: 3px dashed var(--cmp-accent, #0072b2); }
.cmp-planar dt .alpha { border-top: 4px solid #d55e00; }
.cmp-planar dd.violated { color: var(--cmp-no, #a33b00); font-weight: 700; }
"""


@dataclass(frozen=True)
class Net:
    """z(p) = V relu(W p + b) + c for p in the plane, and where its picture starts.

    hidden: one row (w1, w2, b) for each unit; out: for each of 2 or 3 classes, the weights of the units and
    then the constant. note: what to try. start: x, in the unit square. low, high: the square that is drawn.
    Raises ValueError for rows of other lengths, another number of classes, a unit that ignores its input, a
    number that is not finite, or a start outside the unit square.
    """

    name: str
    note: str
    hidden: Sequence[Sequence[float]]
    out: Sequence[Sequence[float]]
    start: tuple[float, float]
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if any(len(row) != 3 or row[0] == row[1] == 0 for row in self.hidden):
            raise ValueError(f"{self.name}: each hidden unit is (w1, w2, b) with w1 or w2 not 0")
        if not 2 <= len(self.out) <= 3 or any(len(row) != len(self.hidden) + 1 for row in self.out):
            raise ValueError(f"{self.name}: expected 2 or 3 classes, a weight for each unit and a constant")
        if not all(math.isfinite(v) for row in (*self.hidden, *self.out) for v in row):
            raise ValueError(f"{self.name}: a weight is not finite")
        if not all(0 <= v <= 1 for v in self.start):
            raise ValueError(f"{self.name}: start={self.start}; expected a point of the unit square")


_HIDDEN = ((1.0, 0.2, -0.35), (-0.6, 1.0, -0.1), (0.8, -1.0, 0.2), (-0.8, -0.7, 0.9))
_OUT = ((2.0, -1.0, 0.5, -0.5, -0.2), (-1.5, 2.0, -0.5, 0.3, 0.1), (-0.3, -0.6, 0.2, 2.0, -0.3))

#: The counter-example to ET's theorem 3 as printed, and a net without and with biases.
NETS = (
    Net(
        "counter-example",
        "The net of ET-E1. Follow the printed bound while x₁ grows.",
        ((1.0, 0.0, 0.75), (1.0, -3.0, 0.875)),
        ((1.0, 1.0, -0.5), (0.0, 0.0, 0.0)),
        *((0.5, 0.5), -0.8, 1.2),
    ),
    Net(
        "without biases",
        "All decision boundaries are rays from the origin, and so is the linearised one: ρ̃ = α†.",
        [(*row[:2], 0.0) for row in _HIDDEN],
        [(*row[:-1], 0.0) for row in _OUT],
        *((0.7, 0.4), -0.15, 1.1),
    ),
    Net(
        "with biases",
        "The same weights with biases. Can you find a violation of the printed Theorem 3 here too?",
        *(_HIDDEN, _OUT, (0.8, 0.6), -0.15, 1.1),
    ),
)


def explorer(nets: Sequence[Net], *, caption: str) -> Shown:
    """The plane of a net with x in it, to drag or to slide: decision boundary, distances, alignments, bounds.

    nets: shown one at a time, the first one first. caption: HTML, what is seen here.
    """
    choices = "".join(
        f'<label><input type="radio" name="net" value="{i}"{" checked" * (i == 0)}>'
        f"<span>{escape(net.name)}</span></label>"
        for i, net in enumerate(nets)
    )
    sliders = "".join(
        f'<label>{name} <input type="range" min="0" max="1" step="0.01" value="{value}">'
        f'<output aria-live="off">{value:.2f}</output></label>'
        for name, value in zip(("x₁", "x₂"), nets[0].start, strict=True)
    )
    terms = "".join(
        f"<div><dt>{f'<i class={line}></i>' if line else ''}{what}</dt><dd>–</dd></div>"
        for what, line in NUMBERS
    )
    tips = "".join(
        f'<marker id="planar-tip{name}" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="5" markerHeight="5" '
        f'orient="auto"><path d="M0 0L8 4L0 8Z" fill="{colour}"/></marker>'
        for name, colour in (("", "#d55e00"), ("-xi", "#009e73"))
    )
    data = json.dumps([asdict(net) for net in nets]).replace("</", r"<\/")
    return Shown(
        f'<figure class="cmp-explorer cmp-planar" role="group" data-live=""><style>{_STYLE}</style>'
        f"<figcaption>{caption}</figcaption>"
        '<p class="still">The explorer needs JavaScript, and no network.</p>'
        f'<form autocomplete="off" hidden><fieldset class="tabs"><legend>net</legend>{choices}</fieldset>'
        f'{sliders}<label><input type="checkbox" name="xi"> show ξ and γ of Theorem 3</label></form>'
        '<p class="note"></p>'
        '<svg hidden viewBox="0 0 400 400" role="img" aria-label="The plane: areas of the classes, the '
        'decision boundary, the point x with its distances, and the origin. The numbers below say the same.">'
        f"<defs>{tips}</defs>"
        f'{_PICTURE}</svg><div hidden role="status"><dl>{terms}</dl></div>'
        f'<script type="application/json">{data}</script>'
        f"<script>(() => {{\n{_SCRIPT.read_text('utf-8')}}})();</script></figure>"
    )
