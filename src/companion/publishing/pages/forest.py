"""A forest plot of claims: the part that binds each verdict, its interval, the margin, the paper's value."""

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

from companion.publishing.claims import verdicts
from companion.publishing.claims.judging import BADGES, Verdict
from companion.publishing.claims.verdicts import ClaimVerdicts

_WIDTH, _HEIGHT, _MIDDLE = 240.0, 22.0, 120.0
_HALF = _MIDDLE - 6


def plot(found: Sequence[ClaimVerdicts], source: str, link: Callable[[str], str]) -> str:
    """The claims of one paper that a source decides on an interval, a line each, as HTML.

    Every line has a scale of its own, with zero in the middle; what it says in numbers stands beside it. Of a
    claim under several protocols or on several image sets the last is drawn: the strong protocol.
    link: the address of a claim, by its id.
    """
    lines = []
    for s in found:
        drawn = _drawn(s.verdicts.get(source, {}))
        if drawn:
            name, v = drawn
            printed = [
                of.values[v.binding] for of in s.verdicts[verdicts.PRINT].values() if v.binding in of.values
            ]
            lines.append(_line(s, name, v, printed[-1:], link(s.claim.id)))
    if not lines:
        return ""
    return f'<div class="cmp-forest" role="list">{"".join(lines)}</div>'


def _drawn(of: Mapping[str, Verdict]) -> tuple[str, Verdict] | None:
    known = [(name, v) for name, v in of.items() if v.effect and all(map(math.isfinite, v.effect))]
    return known[-1] if known else None


def _line(s: ClaimVerdicts, name: str, v: Verdict, printed: Sequence[float], place: str) -> str:
    low, value, high = v.effect or (0.0, 0.0, 0.0)
    reach = max(abs(low), abs(high), 1.2 * v.margin, *map(abs, printed), 1e-12)
    x = [_MIDDLE + _HALF * of / reach for of in (low, value, high)]
    band = _HALF * v.margin / reach
    paper = "".join(
        f'<path class="paper" d="M{_MIDDLE + _HALF * of / reach:.1f} 5l4 6l-4 6l-4 -6z"/>' for of in printed
    )
    drawing = (
        f'<rect class="margin" x="{_MIDDLE - band:.1f}" y="0" width="{2 * band:.1f}" height="{_HEIGHT:g}"/>'
        f'<line class="zero" x1="{_MIDDLE:g}" x2="{_MIDDLE:g}" y1="0" y2="{_HEIGHT:g}"/>{paper}'
        f'<line class="interval" x1="{x[0]:.1f}" x2="{x[2]:.1f}" y1="11" y2="11"/>'
        f'<circle cx="{x[1]:.1f}" cy="11" r="4"/>'
    )
    told = f"{v.word}: {v.binding} {value:+.3g}, {low:+.3g} to {high:+.3g}"
    told += "".join(f"; in print {of:+.3g}" for of in printed)
    under = f" <small>{escape(name)}</small>" if name else ""
    whose = " <small>ours</small>" if s.claim.ours else ""
    numbers = f"<b>{value:+.3g}</b> ({low:+.3g} to {high:+.3g})"
    return (
        f'<div class="cmp-effect {BADGES[v.word]}" role="listitem"><span><a href="{escape(place)}">'
        f"{escape(s.claim.id)}</a>{whose} {v.badge}{under}<br>"
        f"<small>{escape(s.claim.statement, quote=False)}</small></span>"
        f'<svg viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" aria-label="{escape(told)}">{drawing}</svg>'
        f"<small>{escape(v.binding, quote=False)} {numbers}</small></div>"
    )
