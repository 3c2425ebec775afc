"""A rebuilt chapter reads as an experiment: little code, in short visible cells, and a twin for review."""

import ast
import math
from pathlib import Path
from statistics import median

import jupytext
import nbformat
import pytest

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
REBUILT = [
    "alignment_bounds",
    "boundary_tilting",
    "cross_examination",
    "discriminative_features",
    "feature_leakage",
    "interpretation_regularization",
    "noise_modulation",
    "remove_and_retrain",
]
FOLDED = {"hide-input", "remove-input", "hide-cell", "remove-cell"}


def lines(source: str) -> int:
    return sum(bool(line.strip()) for line in source.splitlines())


def problems(notebook: nbformat.NotebookNode) -> list[str]:
    """What is too long, and where: a line each."""
    code = [
        (f"cell {number}", cell.source, set(cell.metadata.get("tags", [])))
        for number, cell in enumerate(notebook.cells)
        if cell.cell_type == "code"
    ]
    total = sum(lines(source) for _, source, tags in code if "parameters" not in tags)
    visible = sorted((lines(source), place) for place, source, tags in code if not tags & FOLDED)
    lengths = [length for length, _ in visible]
    cut = lengths[math.ceil(0.95 * len(lengths)) - 1]
    found = []
    if total > 350:
        found.append(f"{total} lines of code, at most 350")
    if median(lengths) > 10:
        found.append(f"the median visible cell has {median(lengths):g} lines, at most 10")
    if cut > 30:
        longest = ", ".join(f"{place} has {length}" for length, place in visible if length > 30)
        found.append(f"95 % of the visible cells have up to {cut} lines, at most 30: {longest}")
    if len(visible) < 0.8 * len(code):
        folded = ", ".join(place for place, _, tags in code if tags & FOLDED)
        found.append(f"{len(visible)} of {len(code)} code cells are visible, at least 80 %; folded: {folded}")
    for place, source, _ in code:
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                length = node.end_lineno - node.lineno + 1
                if length > 15:
                    found.append(f"{place}: {node.name} has {length} lines, at most 15")
    return found


@pytest.mark.parametrize("name", REBUILT)
def test_code_is_short_and_visible(name):
    found = problems(nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4))
    assert not found, "\n".join([f"notebooks/{name}.ipynb (the first cell is cell 0):", *found])


def chapter(*cells: tuple[str, list[str]]) -> nbformat.NotebookNode:
    made = [nbformat.v4.new_code_cell(source, metadata={"tags": tags}) for source, tags in cells]
    return nbformat.v4.new_notebook(cells=made)


SHORT = ("x = 1", [])


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ([SHORT] * 350, None),
        ([SHORT] * 351, "351 lines of code"),
        ([SHORT] * 4 + [("x = 1\n\n" * 400, ["parameters", "hide-input"])], None),
        ([SHORT] * 2 + [("x = 1\n" * 11, [])] * 3, "the median visible cell has 11 lines"),
        ([SHORT] * 9 + [("x = 1\n" * 31, [])], "cell 9 has 31"),
        ([SHORT] * 19 + [("x = 1\n" * 31, [])], None),
        ([SHORT] * 3 + [("x = 1", ["hide-cell"])], "3 of 4 code cells are visible"),
        ([SHORT, ("def f():\n" + "    x = 1\n" * 15, [])], "cell 1: f has 16 lines"),
        ([SHORT, ("class A:\n" + "    x = 1\n" * 14, [])], None),
    ],
)
def test_each_limit_is_the_one_written_down(cells, said):
    found = problems(chapter(*cells))
    assert found == [] if said is None else len(found) == 1 and said in found[0]


@pytest.mark.parametrize("name", REBUILT)
def test_notebook_and_twin_hold_the_same_cells(name):
    texts, notebook = NOTEBOOKS / f"{name}.py", NOTEBOOKS / f"{name}.ipynb"
    pair = jupytext.read(texts, fmt="py:percent"), nbformat.read(notebook, as_version=4)
    twin, held = ([(c.cell_type, c.source, c.metadata.get("tags", [])) for c in nb.cells] for nb in pair)
    for number, (left, right) in enumerate(zip(twin, held, strict=False)):
        assert left == right, f"{name}: cell {number} differs between the twins; run `make twins`"
    assert len(twin) == len(held), f"{name}: {len(twin)} cells in the .py, {len(held)} in the .ipynb"
    assert pair[1].metadata.jupytext.formats == "ipynb,py:percent"


def test_every_twin_is_tested():
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.py")) == sorted(REBUILT)


@pytest.mark.parametrize("name", REBUILT)
def test_its_page_is_measured_in_a_browser(name):
    assert "page.cut_off(" in (Path(__file__).parent / f"test_{name}.py").read_text("utf-8")
