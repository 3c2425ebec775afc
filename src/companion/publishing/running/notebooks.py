"""The clean notebooks and their profiles: names, declared parameters, code, text of an executed copy."""

import copy
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat

from companion.publishing import paths
from companion.publishing.paths import UserError, nearest
from companion.publishing.running import parameters, provenance
from companion.publishing.running.parameters import Parameter, ParameterError

#: Profiles whose numbers mean something, in the order of their size; smoke only tests that cells run. A
#: reader's own profile is none of them, so that making one leaves every run up to date.
SHOWN_PROFILES = ("quick", "recorded", "gpu", "paper")


def names() -> list[str]:
    """Return the names of all notebooks, sorted."""
    return sorted(path.stem for path in paths.notebooks_dir().glob("*.ipynb"))


def named(text: str) -> str:
    """Return the notebook that `text` names: `NAME`, `NAME.ipynb` or `notebooks/NAME.ipynb`.

    Raises UserError, with the nearest name, if there is none.
    """
    name = Path(text).name.removesuffix(".ipynb")
    if name not in names():
        raise UserError(
            f"no notebook '{text}' in {paths.shown(paths.notebooks_dir())}; {nearest(name, names())}"
        )
    return name


def source_path(name: str) -> Path:
    """Return the path of a notebook's clean source."""
    return paths.notebooks_dir() / f"{name}.ipynb"


def read(path: Path) -> nbformat.NotebookNode:
    """Read a notebook file.

    Raises UserError if it is no notebook.
    """
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:  # nbformat raises its own, json's and jsonschema's errors, with no common base
        raise UserError(
            f"{paths.shown(path)}: not a notebook ({' '.join(str(error).split())[:120]})"
        ) from None


def is_tagged(cell: Mapping[str, Any], tag: str) -> bool:
    """Say whether a cell carries a tag."""
    return tag in cell["metadata"].get("tags", [])


def declared(name: str) -> dict[str, Parameter]:
    """Return the parameters that a notebook declares.

    Raises UserError unless exactly one cell is tagged `parameters`, and ParameterError if that cell breaks
    the form.
    """
    cells = [cell for cell in read(source_path(name)).cells if is_tagged(cell, "parameters")]
    if len(cells) != 1:
        raise UserError(f"notebooks/{name}.ipynb: {len(cells)} cells are tagged 'parameters'; one must be")
    try:
        return parameters.declared(cells[0].source)
    except ParameterError as error:
        raise ParameterError(f"notebooks/{name}.ipynb, {error}") from None


def recorded(name: str) -> str:
    """Return the text of what a chapter shows beside its own run.

    Recorded run, claims, printed numbers; deviations, with the values its parameters have in the profiles.
    """
    claims = paths.root() / "book" / "claims"
    decided = [
        path for path in sorted(claims.glob("*.yaml")) if f"notebook: {name}\n" in path.read_text("utf-8")
    ]
    beside = [paths.root() / "results" / f"{name}.json", claims / "printed" / f"{name}.csv", *decided]
    if (register := claims / "deviations" / f"{name}.yaml").is_file():
        profiles = paths.notebooks_dir() / "profiles"
        beside += [register, *(profiles / profile / f"{name}.yaml" for profile in SHOWN_PROFILES)]
    return "\n".join(path.read_text("utf-8") for path in beside if path.is_file())


def profiles(name: str = "*") -> list[str]:
    """Return the names of all profiles, or of those that have a file for one notebook.

    The book's own come first, by size; a reader's own after them, sorted.
    """
    order = ("smoke", *SHOWN_PROFILES)
    having = {path.parent.name for path in (paths.notebooks_dir() / "profiles").glob(f"*/{name}.yaml")}
    return [profile for profile in order if profile in having] + sorted(having - {*order})


def require_profile(profile: str) -> None:
    """Raise UserError, with the nearest name, for an unknown profile."""
    if profile not in profiles():
        raise UserError(f"no profile '{profile}'; {nearest(profile, profiles())}")


def profile_values(name: str, profile: str) -> tuple[str, dict[str, Any]]:
    """Return the profile file of a notebook as a layer `(file name, values as text)`.

    Raises UserError for an unknown profile, or one that has no file for this notebook.
    """
    require_profile(profile)
    path = paths.notebooks_dir() / "profiles" / profile / f"{name}.yaml"
    label = paths.shown(path)
    if not path.is_file():
        having = ", ".join(profiles(name)) or "none"
        raise UserError(f"{name} has no profile '{profile}': {label} is missing; it has {having}")
    return label, parameters.load_yaml(path, label)


def code(notebook: nbformat.NotebookNode) -> list[list[Any]]:
    """Return what decides a notebook's results: each code cell's source, and whether it is `parameters`."""
    return [
        [cell.source, is_tagged(cell, "parameters")]
        for cell in notebook.cells
        if cell.cell_type == "code" and cell.source.strip()
    ]


def code_hash(notebook: nbformat.NotebookNode) -> str:
    """A hash of `code`, kept with a run, so that a record says whether its chapter has changed since."""
    return provenance.digest(code(notebook))


def with_outputs(source: nbformat.NotebookNode, executed: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return `source` with the outputs, the injected cell and the papermill record of `executed`.

    Both must hold the same code (see `code`); so edited text and captions reach the page without a new run.
    """
    result = copy.deepcopy(source)
    result.metadata = copy.deepcopy(executed.metadata)
    ran = [c for c in executed.cells if c.cell_type == "code" and c.source.strip()]
    injected = [c for c in ran if is_tagged(c, "injected-parameters")]
    rest = iter([c for c in ran if not is_tagged(c, "injected-parameters")])
    cells = []
    for cell in result.cells:
        cells.append(cell)
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        executed_cell = next(rest)
        cell.outputs, cell.execution_count = executed_cell.outputs, executed_cell.execution_count
        for key in ("papermill", "execution"):
            if key in executed_cell.metadata:
                cell.metadata[key] = executed_cell.metadata[key]
        if is_tagged(cell, "parameters"):
            cells += injected
    result.cells = cells
    return result


def is_complete(executed: nbformat.NotebookNode) -> bool:
    """Say whether papermill ran a notebook to its end: no exception, an end time, no cell left out."""
    record = executed.metadata.get("papermill", {})
    ran = [c for c in executed.cells if c.cell_type == "code" and c.source.strip()]
    # Papermill leaves `exception` null unless there was one.
    ended = record.get("exception") is not True and record.get("end_time") is not None
    return ended and all(
        cell.metadata.get("papermill", {}).get("status") == "completed" and cell.execution_count is not None
        for cell in ran
    )


def repeat_command(name: str, profile: str, values: Mapping[str, Any], of_profile: Mapping[str, Any]) -> str:
    """Return the command line that runs a notebook with these values again."""
    words = ["companion", "run", name, "--profile", profile]
    for key, value in values.items():
        if key not in of_profile or value != of_profile[key]:
            words += ["-p", f"{key}={as_text(value)}"]
    return shlex.join(words)


def as_text(value: Any) -> str:
    """Write a value as `-p NAME=VALUE` takes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        texts = [as_text(element) for element in value]
        simple = all(text and text == text.strip() and not set(text) & set(",[]\"'#:") for text in texts)
        return ",".join(texts) if texts and simple else json.dumps(value)
    return str(value)
