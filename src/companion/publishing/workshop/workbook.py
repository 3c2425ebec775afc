"""Workbooks: short notebooks of exercises, the source of a student's and of an instructor's edition.

A workbook is workbooks/CHAPTER.py (py:percent). A cell without a tag is in both editions. `stub` is the
student's; `solution` and `instructor` are the instructor's; `check` is what judges an answer and is shown to
instructors alone; `wrong` holds wrong answers that people give, on which the checks are tested. The first
line of a stub, solution or wrong answer is "# exercise ID", of a check "# check ID".
"""

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from companion.publishing import paths

#: The tags of cells that an edition leaves out.
LEFT_OUT = {"student": {"solution", "wrong", "check", "instructor"}, "instructor": {"stub", "wrong"}}
_MARKER = re.compile(r"\s*# (exercise|check|predict) ([\w-]+) *(?:\n|$)")


@dataclass
class Exercise:
    """An exercise: the names of its answer, and the code of its cells."""

    names: tuple[str, ...]
    stub: str
    solution: str = ""
    check: str = ""
    wrong: list[str] = field(default_factory=list)


def folder() -> Path:
    """Folder of the workbooks' sources."""
    return paths.root() / "workbooks"


def names() -> list[str]:
    """The workbooks there are, each named like the chapter it belongs to."""
    return sorted(path.stem for path in folder().glob("*.py"))


def read(name: str) -> NotebookNode:
    """The source of a workbook: all cells of both editions."""
    import jupytext  # a quarter of a second, which only those wait for who read a workbook

    return jupytext.read(folder() / f"{name}.py", fmt="py:percent")


def marked(source: str) -> tuple[str, str] | None:
    """The kind and the ID that the first line of a cell names, such as ("exercise", "fgsm")."""
    found = _MARKER.match(source)
    return (found[1], found[2]) if found else None


def exercises(workbook: NotebookNode) -> dict[str, Exercise]:
    """The exercises of a workbook that are judged, by ID, in their order."""
    found: dict[str, Exercise] = {}
    for cell in workbook.cells:
        kind, name = marked(cell.source) or ("", "")
        tags = cell.metadata.get("tags", [])
        if "stub" in tags and kind == "exercise":
            found[name] = Exercise(_assigned(cell.source), cell.source)
        elif "solution" in tags and kind == "exercise":
            found[name].solution = cell.source
        elif "wrong" in tags and kind == "exercise":
            found[name].wrong.append(cell.source)
        elif "check" in tags and kind == "check":
            found[name].check = cell.source
    return found


def shared(workbook: NotebookNode) -> list[str]:
    """The code that both editions have, in which a check is executed: set-up without answers."""
    return [
        cell.source
        for cell in workbook.cells
        if cell.cell_type == "code"
        and not set(cell.metadata.get("tags", [])) & set().union(*LEFT_OUT.values())
        and "reveal(" not in cell.source
    ]


def parameters(workbook: NotebookNode) -> tuple[str, ...]:
    """The names that the workbook's parameters cell defines."""
    sources = [cell.source for cell in workbook.cells if "parameters" in cell.metadata.get("tags", [])]
    return tuple(name for source in sources for name in _assigned(source))


def edition(workbook: NotebookNode, which: str) -> NotebookNode:
    """The "student" or the "instructor" edition: the workbook without the cells the other one has."""
    kept = [c for c in workbook.cells if not set(c.metadata.get("tags", [])) & LEFT_OUT[which]]
    made = nbformat.v4.new_notebook(metadata={"kernelspec": _KERNEL})
    for cell in kept:
        tags = [tag for tag in cell.metadata.get("tags", []) if tag != "exercise"]
        of = nbformat.v4.new_code_cell if cell.cell_type == "code" else nbformat.v4.new_markdown_cell
        made.cells.append(
            of(cell.source, id=f"cell-{len(made.cells)}", metadata={"tags": tags} if tags else {})
        )
    return made


_KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


def write_editions(target: Path, only: str | None = None) -> list[Path]:
    """Write student/NAME.ipynb and instructor/NAME.ipynb (or `only` one of the two) of every workbook."""
    written = []
    for which in [only] if only else LEFT_OUT:
        (target / which).mkdir(parents=True, exist_ok=True)
        for name in names():
            path = target / which / f"{name}.ipynb"
            nbformat.write(edition(read(name), which), path)
            written.append(path)
    return written


def reveal(prediction: Any, show: Callable[[], Any]) -> Any:
    """What a prediction was about, once there is one: until then a line that asks for it."""
    if prediction is None or prediction is ...:
        print("Enter your prediction in the cell above first, and run it.")
        return None
    return show()


def _assigned(source: str) -> tuple[str, ...]:
    """The names that a piece of code defines at its top level."""
    found: list[str] = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.append(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found += [n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)]
    return tuple(found)
