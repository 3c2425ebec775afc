"""Ids of errata, claims and experiments that a page mentions, as links to where they are explained."""

import re
from collections.abc import Callable, Mapping
from html import escape
from typing import NamedTuple

from companion.publishing.claims import ledger
from companion.publishing.pages import errata, scorecard

ID = re.compile(r"(?<![\w/#.-])[A-Z]{2}-[A-Z]+\d*[a-z]?(?![\w-])")

#: What is passed over as it is: comments, elements in which a link would be wrong, and single tags.
_KEPT = re.compile(
    r"<!--.*?-->"
    r"|\\\(.*?\\\)|\\\[.*?\\\]"  # formulas
    r"|<(script|style|svg|pre|code|a|h[1-6]|button|select|summary|nav)\b.*?</\1\s*>"
    r"""|</?[a-zA-Z](?:[^>"']|"[^"]*"|'[^']*')*>""",
    re.DOTALL,
)


class Place(NamedTuple):
    """The page (a Sphinx document name) and the anchor where an id is explained, and the gist of it."""

    page: str
    anchor: str
    gist: str


def of_errata() -> dict[str, Place]:
    """Where the ids of errata are explained."""
    return {
        item.id: Place("book/errata", item.id.lower(), f"printed: {item.printed} Right: {item.right}")
        for of in errata.load()
        for item in of.items
    }


def of_claims() -> dict[str, Place]:
    """Where the ids of claims are decided; an erratum that is decided like a claim has a place there, too."""
    found: dict[str, Place] = {}
    for of in ledger.load():
        for claim in of.claims:
            name = claim.id.split(",")[0]  # "BR-C3, normal" is listed below BR-C3
            found.setdefault(name, Place("book/scorecard", scorecard.anchor(claim.id), claim.statement))
    return found


def link(body: str, known: Mapping[str, Place], address: Callable[[Place], str]) -> str:
    """The page's HTML with each known id in running text made a link, its gist shown on hovering.

    Left as they are: ids in links, headings, code, pictures and folds, and one beside its own anchor.
    """
    parts, at, opened = [], 0, ""
    for kept in [*_KEPT.finditer(body), None]:
        text = body[at : kept.start() if kept else len(body)]
        parts.append(ID.sub(lambda found, opened=opened: _linked(found[0], known, address, opened), text))
        if kept:
            opened = kept[0]
            parts.append(kept[0])
            at = kept.end()
    return "".join(parts)


def _linked(name: str, known: Mapping[str, Place], address: Callable[[Place], str], opened: str) -> str:
    place = known.get(name)
    if place is None or f'id="{place.anchor}"' in opened:
        return name
    gist = escape(place.gist.replace("`", ""))
    return f'<a class="cmp-id" href="{escape(address(place))}" title="{gist}">{name}</a>'
