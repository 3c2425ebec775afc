"""What the released code does, what the paper says, and what a chapter does: setting by setting.

book/claims/deviations/NOTEBOOK.yaml is a chapter's register: its chapter shows it, the page Fidelity all.
Where a setting is a parameter of the chapter, its value in each profile is read from the profile, not typed.
"""

import re
from collections.abc import Mapping
from html import escape
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from companion.publishing import paths
from companion.publishing.claims import ledger
from companion.publishing.pages import tables
from companion.publishing.paths import UserError
from companion.publishing.running import notebooks, parameters


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Setting(_Strict):
    """One setting. Text in `backticks` is code. anchor: the label of the chapter's cell that shows it."""

    id: str
    setting: str
    code: str = ""
    paper: str = "not said"
    here: str
    parameters: list[str] = []
    why: str = ""
    anchor: str = ""


class Register(_Strict):
    """One chapter's settings. code: which released code was read, or that there is none."""

    paper: str
    notebook: str
    code: str
    settings: list[Setting]


def load() -> list[Register]:
    """All registers, in the order of the papers. Raises UserError naming the file and what is wrong there."""
    found = [_read(path.stem) for path in sorted((ledger.folder() / "deviations").glob("*.yaml"))]
    ids = [item.id for register in found for item in register.settings]
    if twice := {i for i in ids if ids.count(i) > 1}:
        raise UserError(f"the registers of deviations: {sorted(twice)[0]} is there twice")
    return sorted(found, key=lambda register: paths.paper_rank(register.paper))


def _read(notebook: str) -> Register:
    path = ledger.folder() / "deviations" / f"{notebook}.yaml"
    try:
        # everything is text here, also `on` and 40
        return Register.model_validate(yaml.load(path.read_text("utf-8"), Loader=yaml.BaseLoader))
    except FileNotFoundError:
        raise UserError(f"{notebook} has no register of deviations: {paths.shown(path)} is missing") from None
    except (yaml.YAMLError, ValidationError) as error:
        raise UserError(f"{paths.shown(path)}: {' '.join(str(error).split())}") from None


def table(notebook: str) -> tables.Table:
    """A chapter's register, folded, as the chapter shows it.

    Raises UserError for a chapter without register, and for one that names an unknown parameter.
    """
    register = _read(notebook)
    summary = f"<summary>{register.paper}: {len(register.settings)} settings, paper and book</summary>"
    return tables.Table(f"<details>{summary}{_table(register, '').html}</details>")


def page() -> str:
    """All registers as HTML, a heading and a table for each chapter."""
    shown = ""
    for register in load():
        written = register.notebook in notebooks.names()
        title = register.notebook.replace("_", " ").capitalize()
        place = f"../notebooks/{register.notebook}.html"
        name = f'<a href="{place}">{title}</a>' if written else f"{title} (its chapter is to come)"
        shown += f"<h2>{register.paper}: {name}</h2>{_table(register, place if written else None).html}"
    return f'<div class="cmp-fidelity">{shown}</div>'


def _table(register: Register, place: str | None) -> tables.Table:
    """place: the address of the chapter, empty on its own page, None where it is not written yet."""
    released = any(item.code for item in register.settings)
    heads = ["setting", *(["released code"] if released else []), "paper's text", "here"]
    values = _values(register.notebook)
    rows = []
    for item in register.settings:
        name = f"{_html(item.setting)}<br><small>{item.id}</small>"
        said = [_html(item.code or "–")] if released else []
        here = _here(item, register, values, place)
        rows.append([f'<th scope="row" id="{item.id.lower()}">{name}</th>', *said, _html(item.paper), here])
    return tables.cards(heads, rows, caption=_html(register.code))


def _here(
    item: Setting, register: Register, values: Mapping[str, Mapping[str, Any]], place: str | None
) -> str:
    lines = [_html(item.here)]
    for name in item.parameters if values else []:
        if name not in next(iter(values.values())):
            raise UserError(f"{item.id} names the parameter {name}, which {register.notebook} has not")
        by_profile = {profile: of[name] for profile, of in values.items()}
        lines.append(f"<small><code>{name}</code> {_by_profile(by_profile)}</small>")
    if item.why:
        lines.append(f"<small>Why: {_html(item.why)}</small>")
    if item.anchor and place is not None:
        lines.append(f'<small><a href="{place}#{item.anchor}">See the cell.</a></small>')
    return "<br>".join(lines)


def _values(notebook: str) -> dict[str, dict[str, Any]]:
    """A chapter's parameters in each profile; none where the chapter or the checkout is not there."""
    try:
        declared = notebooks.declared(notebook)
        having = [profile for profile in notebooks.profiles(notebook) if profile in notebooks.SHOWN_PROFILES]
        layers = {profile: notebooks.profile_values(notebook, profile) for profile in having}
    except (UserError, FileNotFoundError):
        return {}
    return {profile: parameters.resolve(declared, [layer], notebook) for profile, layer in layers.items()}


def _by_profile(values: Mapping[str, Any]) -> str:
    """A parameter's value, once where all profiles agree, otherwise with their names."""
    groups: dict[str, list[str]] = {}
    for profile, value in values.items():
        groups.setdefault(_text(value), []).append(profile)
    if len(groups) == 1:
        return escape(next(iter(groups)))
    return "; ".join(f"{', '.join(names)}: {escape(text)}" for text, names in groups.items())


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return f"{value:.4g}" if isinstance(value, float) else notebooks.as_text(value)


def _html(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
