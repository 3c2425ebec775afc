"""The table of error rates: how often each claim's rule gives which answer where the truth is known."""

from collections.abc import Mapping
from html import escape

from companion.publishing.claims import calibration
from companion.publishing.pages import tables

#: Beyond these a cell is marked: a run made to decide should see the paper's world, and no false one.
SEEN, WRONG = 0.8, 0.05


def page() -> str:
    """A row for each claim, image set and design; HTML. A sentence where nothing was calibrated."""
    kept = calibration.kept()
    if not kept:
        return "<p>Nothing is calibrated yet: <code>companion calibrate</code>.</p>"
    heads = ["claim", "run", "paper's world: reproduced", "not reproduced"]
    heads += [f"{name}: reproduced" for world, name in calibration.WORLDS.items() if world != "paper"]
    body = [
        [
            _named(name, said),
            escape(profile),
            *_cells(by_world, marks=profile == "recorded" and said == "holds"),
        ]
        for name, of in kept["claims"].items()
        for said in (kept["in print"][name],)
        for profile, by_world in of.items()
    ]
    caption = (
        f"Of {kept['draws']} imagined runs each, in per cent. Marked: a true world seen in fewer than "
        f"{SEEN:.0%}, or a false answer in more than {WRONG:.0%}, of the runs in profile recorded."
    )
    return tables.table(heads, body, caption=escape(caption), kind="cmp-fold cmp-calibrated").html


def _named(name: str, in_print: str) -> str:
    """The claim; also what its paper's own numbers say of it, where they do not bear it out."""
    return escape(name) + ("" if in_print == "holds" else f"<br><small>in print {escape(in_print)}</small>")


def _cells(by_world: Mapping[str, Mapping[str, float]], *, marks: bool) -> list[str]:
    truth = by_world["paper"]
    if not truth:
        return ['<td class="num na">its rows are not in this run</td>', *['<td class="num na">–</td>'] * 5]
    seen, against = truth.get("reproduced", 0.0), truth.get("not reproduced", 0.0)
    false = [of.get("reproduced", 0.0) if of else None for world, of in by_world.items() if world != "paper"]
    wrong = [_cell(rate, marks and rate is not None and rate > WRONG) for rate in (against, *false)]
    return [_cell(seen, marks and seen < SEEN), *wrong]


def _cell(rate: float | None, marked: bool) -> str:
    if rate is None:
        return '<td class="num na">–</td>'
    return f'<td class="num{" off" * marked}">{100 * rate:.0f}</td>'
