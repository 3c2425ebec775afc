"""The errata page: what each paper prints, what is right, how one knows, and what the companion does."""

import re
from html import escape
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from companion.publishing import paths
from companion.publishing.pages import tables
from companion.publishing.paths import UserError
from companion.publishing.running import notebooks

#: What kinds of errata there are, as the page names them.
KINDS = {
    "mathematics": "a theorem",
    "formula": "a formula",
    "protocol": "a protocol",
    "code": "text and code differ",
    "slip": "a slip",
    "ambiguity": "left open",
    "remark": "a remark",
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Erratum(_Strict):
    """One erratum, code in it between backticks.

    anchor: the label of the executed cell that shows it, in its `notebook` or its paper's.
    """

    id: str
    kind: Literal["mathematics", "formula", "protocol", "code", "slip", "ambiguity", "remark"]
    printed: str
    right: str
    evidence: str
    here: str
    notebook: str = ""
    anchor: str = ""


class Errata(_Strict):
    """One paper's errata: book/errata/PAPER.yaml."""

    paper: str
    notebook: str
    items: list[Erratum]


def load() -> list[Errata]:
    """All papers' errata. Raises UserError naming the file and what is wrong with it."""
    found = []
    for path in sorted((paths.root() / "book" / "errata").glob("*.yaml")):
        try:
            found.append(Errata.model_validate(yaml.safe_load(path.read_text("utf-8"))))
        except (yaml.YAMLError, ValidationError) as error:
            raise UserError(f"{paths.shown(path)}: {' '.join(str(error).split())}") from None
    return sorted(found, key=lambda of: paths.paper_rank(of.paper))


def page() -> str:
    """All errata as HTML, a table for each paper; a paper whose chapter is to come says so."""
    return f'<div class="cmp-errata">{"".join(_table(of) for of in load())}</div>'


def _table(of: Errata) -> str:
    written = of.notebook in notebooks.names()
    title = f"{escape(of.paper)}: {len(of.items)} entries"
    title += "" if written else " (its chapter is to come: the last column says what it is to do)"
    rows = [_row(item, (item.notebook or of.notebook) if written else "") for item in of.items]
    header = ("", "printed", "right", "how one knows", "in this book")
    return tables.cards(header, rows, caption=f"<b>{title}</b>").html


def _row(item: Erratum, notebook: str) -> list[str]:
    printed, right, evidence, here = map(html, (item.printed, item.right, item.evidence, item.here))
    if item.anchor and notebook:
        evidence += f' <a href="../notebooks/{notebook}.html#{item.anchor}">See the cell.</a>'
    first = f'<th scope="row" id="{item.id.lower()}">{item.id}<br><small>{KINDS[item.kind]}</small></th>'
    return [first, printed, right, evidence, here]


def html(text: str) -> str:
    """Escaped; what is between backticks is code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
