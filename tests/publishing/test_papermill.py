"""Plain papermill, without the runner; and every notebook of the book as papermill sees it."""

import json
import subprocess
import sys

import nbformat
import papermill
import pytest

from companion.publishing import paths
from companion.publishing.running import notebooks, parameters

from .conftest import PARAMETERS, WORK

BOOK = sorted((paths.root() / "notebooks").glob("*.ipynb"))


def run_papermill(path, *arguments: str):
    """Run plain papermill; return its exit status, its stderr and the executed notebook."""
    out = path.with_name("executed.ipynb")
    call = [sys.executable, "-m", "papermill", str(path), str(out), "--no-progress-bar", *arguments]
    done = subprocess.run(call, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stderr, nbformat.read(out, as_version=4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments, said",
    [
        (["-p", "lambda_dd", "3"], "this notebook has no parameter 'lambda_dd'; did you mean 'lambda_d'?"),
        (["-p", "eps", "abc"], "eps = abc: write a finite number such as 0.5, 1e-3 or 8/255"),
        (["-p", "eps", "-1"], "eps = -1: must be in (0, inf)"),
        (["-p", "seeds", "0,0"], "seeds = 0,0: 0 is given twice; write each value once"),
    ],
)
def test_a_mistake_fails_in_the_check_cell(checkout, arguments, said):
    status, stderr, executed = run_papermill(checkout.notebook("small", WORK), *arguments)
    code = [cell for cell in executed.cells if cell.cell_type == "code"]
    check = code[2]  # parameters, injected parameters, check
    assert status == 1 and "chapter.begin" in check.source
    (error,) = check.outputs
    assert (error.ename, error.evalue) == ("ParameterError", said)
    assert error.traceback == [f"ParameterError: {said}"]
    assert said in stderr and "companion/publishing" not in stderr
    assert [cell.execution_count for cell in code] == [1, 2, 3, None]
    assert not (checkout.root / "runs").exists()


@pytest.mark.slow
def test_good_values_are_coerced(checkout):
    cell = "assert (eps, seeds, steps) == (8 / 255, [0, 1], 10) and type(steps) is int, (eps, seeds, steps)"
    values = ["-p", "eps", "8/255", "-p", "seeds", "0,1", "-p", "steps", "1e1"]
    path = checkout.notebook("small", WORK, cell)
    status, stderr, _ = run_papermill(path, *values)
    assert status == 0, stderr
    results = json.loads((checkout.root / "runs" / "live" / "notebook" / "results.json").read_text("utf-8"))
    assert results["rows"][0]["value"] == 8 / 255


def test_a_loop_that_records_the_same_labels_twice_fails(checkout):
    again = 'run.record("T1", "eps", 0.5, model="net")'  # of an earlier execution: replaced
    loop = 'for loss in ("CE", "CW"):\n    run.record("T2", "loss", len(loss), model="net")'
    status, stderr, executed = run_papermill(checkout.notebook("small", WORK, again, loop))
    (error,) = executed.cells[-1].outputs
    assert status == 1 and "T2, loss (model=net) is recorded twice" in error.evalue
    assert [cell.execution_count for cell in executed.cells if cell.cell_type == "code"] == [1, 2, 3, 4, 5]


def test_papermill_sees_the_names_of_the_test_notebook(checkout):
    seen = papermill.inspect_notebook(checkout.notebook("small"))
    assert set(seen) == set(parameters.declared(PARAMETERS))


@pytest.mark.parametrize("path", BOOK, ids=lambda path: path.stem)
def test_papermill_sees_every_declared_name(path):
    declared = notebooks.declared(path.stem)
    seen = papermill.inspect_notebook(path)
    assert declared and list(seen) == list(declared)
    for name, parameter in declared.items():
        assert seen[name]["inferred_type_name"] == parameter.type


@pytest.mark.parametrize("path", BOOK, ids=lambda path: path.stem)
def test_every_profile_of_the_book_can_be_used(path):
    declared = notebooks.declared(path.stem)
    for profile in notebooks.profiles():
        layer = notebooks.profile_values(path.stem, profile)
        assert layer[1], f"{layer[0]} sets nothing"
        parameters.resolve(declared, [layer], path.stem)


@pytest.mark.parametrize("path", BOOK, ids=lambda path: path.stem)
def test_the_book_keeps_clean_sources(path):
    cells = [cell for cell in notebooks.read(path).cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in cells)
    assert not any(notebooks.is_tagged(cell, "injected-parameters") for cell in cells)
    assert notebooks.is_tagged(cells[0], "parameters") and "chapter.begin(" in cells[1].source
