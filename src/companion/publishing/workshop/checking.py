"""Running a student's notebook and saying, exercise by exercise, whether the answer is right."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode

from companion.publishing import paths
from companion.publishing.paths import UserError
from companion.publishing.workshop import judging, workbook

_CELL_S = 120  # the longest a cell may take: a loop without an end costs this, and the rest is still judged
_BEGIN = """\
from companion.publishing.workshop import judging as _judging
from pathlib import Path as _Path
_judge = _judging.Judge({name!r}, _Path({found!r}))
"""


def check(path: Path, cell_s: int = _CELL_S) -> dict[str, tuple[str, str]]:
    """The verdict and the hint of every exercise of the workbook that a student's notebook belongs to.

    The notebook is executed, not changed. A cell that fails, a copied cell or one that was deleted, and
    what is printed do no harm to the other exercises; the best of several answers counts.
    Raises UserError for a file that is no notebook of one of the workbooks.
    """
    notebook = _read(path)
    name = belongs_to(notebook, path)
    with tempfile.TemporaryDirectory() as folder, own_kernel(Path(folder)):
        found = Path(folder) / "found.json"
        job = _with_judge(notebook, name, found, cell_s)
        client = NotebookClient(
            job,
            kernel_name="python3",
            extra_arguments=["--log-level=ERROR"],  # no warning that a student can do nothing about
            timeout_func=lambda cell: cell.metadata.get("limit_s"),
            interrupt_on_timeout=True,
            allow_errors=True,
            resources={"metadata": {"path": str(path.resolve().parent)}},
        )
        dead = False
        try:
            client.execute()
        except DeadKernelError:
            dead = True
        if not found.is_file():
            said = "".join(_errors(job.cells[0])) or "its kernel did not start"
            raise UserError(f"{path}: cannot be checked ({said})")
        verdicts = {key: tuple(value) for key, value in json.loads(found.read_text("utf-8")).items()}
    if dead:
        ended = (judging.MISSING, "the kernel ended before this exercise was judged")
        verdicts = {k: ended if v[0] == judging.MISSING else v for k, v in verdicts.items()}
    return verdicts


def belongs_to(notebook: NotebookNode, path: Path) -> str:
    """The workbook that has most of the notebook's exercises. Raises UserError where none has any."""
    there = {found[1] for cell in notebook.cells if (found := workbook.marked(cell.source))}
    shares = {name: len(there & set(workbook.exercises(workbook.read(name)))) for name in workbook.names()}
    best = max(shares, key=shares.__getitem__, default=None)
    if best is None or not shares[best]:
        raise UserError(
            f"{path}: holds no exercise of a workbook (a cell whose first line is '# exercise NAME'); "
            "check a notebook of the student edition: companion workshop editions FOLDER"
        )
    return best


def _read(path: Path) -> NotebookNode:
    try:
        return nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise UserError(f"no file {path}; name a notebook of the student edition") from None
    except Exception as error:
        raise UserError(f"{path}: is no notebook that can be read ({type(error).__name__})") from None


def _with_judge(notebook: NotebookNode, name: str, found: Path, cell_s: int) -> NotebookNode:
    """The notebook's code, each cell with its limit, and the judge's cells in between, which have none."""
    made = [_cell(_BEGIN.format(name=name, found=str(found)))]
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        kind, exercise = workbook.marked(cell.source) or ("", "")
        if kind == "exercise":
            made.append(_cell(f"_judge.forget({exercise!r}, globals())"))
        made.append(_cell(cell.source, limit_s=cell_s))
        if kind == "exercise":
            # A check calls the student's function, which may not end either.
            made.append(_cell(f"_judge.judge({exercise!r}, globals())", limit_s=cell_s))
    made.append(_cell("_judge.judge_all(globals())", limit_s=cell_s))
    return nbformat.v4.new_notebook(cells=made)


def _cell(source: str, **metadata: int) -> NotebookNode:
    return nbformat.v4.new_code_cell(source, metadata=metadata)


def _errors(cell: NotebookNode) -> Iterator[str]:
    return (f"{o.ename}: {o.evalue}" for o in cell.get("outputs", []) if o.output_type == "error")


@contextmanager
def own_kernel(folder: Path) -> Iterator[None]:
    """This environment's kernel, without the user's IPython profile, for the time of a check."""
    own = {
        "JUPYTER_PREFER_ENV_PATH": "1",
        "IPYTHONDIR": str(folder),
        "JUPYTER_RUNTIME_DIR": str(folder),
        "COMPANION_ROOT": str(paths.root()),
    }
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
