"""When an executed notebook counts as complete, and how values are written for the command line."""

import copy

import nbformat
import pytest

from companion.publishing.running import notebooks
from companion.publishing.running.parameters import declared


@pytest.fixture
def executed():
    """Return a notebook as papermill 2.7 leaves it after a good run."""
    cell = nbformat.v4.new_code_cell("1", execution_count=1)
    cell.metadata["papermill"] = {"status": "completed", "exception": False}
    empty = nbformat.v4.new_code_cell("  ")
    record = {"exception": None, "end_time": "2026-01-01T00:00:00"}
    return nbformat.v4.new_notebook(cells=[cell, empty], metadata={"papermill": record})


def test_complete(executed):
    assert notebooks.is_complete(executed)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda nb: nb.metadata.pop("papermill"),
        lambda nb: nb.metadata.papermill.update(exception=True),
        lambda nb: nb.metadata.papermill.update(end_time=None),
        lambda nb: nb.cells[0].update(execution_count=None),
        lambda nb: nb.cells[0].metadata.papermill.update(status="running"),
        lambda nb: nb.cells.append(nbformat.v4.new_code_cell("2")),
    ],
)
def test_incomplete(executed, spoil):
    spoilt = copy.deepcopy(executed)
    spoil(spoilt)
    assert not notebooks.is_complete(spoilt)


@pytest.mark.parametrize(
    "line, value",
    [
        ("x: float = 1.0", 8 / 255),
        ("x: bool = True", False),
        ("x: int = 1", -3),
        ('x: str = ""', "a, 'b'\tc"),
        ("x: list[int] = [0]", [3]),
        ("x: list[float] = [0.0]", [1e-9, 8 / 255]),
        ('x: list[str] = [""]', ["a", "b c"]),
        ('x: list[str] = [""]', ["a, b", "[c]", "d'e", 'f"', "g'\"", "", "\n", " g", "#h: i"]),
    ],
)
def test_a_value_written_for_the_command_line_reads_back(line, value):
    assert declared(line)["x"].coerce(notebooks.as_text(value)) == value
