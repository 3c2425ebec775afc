"""A book of a home page and a few chapters with the settings of the real one, built by Jupyter Book."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).parents[2]


def build(root: Path, chapters: Mapping[str, str], *, ran: str, output: str, home: str = "# Home\n") -> None:
    """Build the book in `root` without a warning: chapters of one text and one code cell each.

    Of these `ran` was run in profile smoke, and its cell has left `output`.
    """
    shutil.copytree(ROOT / "book", root / "book", ignore=shutil.ignore_patterns("*.md", "__pycache__"))
    shutil.copy(ROOT / "_config.yml", root)
    files = "".join(f"  - file: notebooks/{name}\n" for name in chapters)
    (root / "_toc.yml").write_text(f"format: jb-book\nroot: book/index\nchapters:\n{files}")
    (root / "book/index.md").write_text(home)
    for folder in ("notebooks", f"runs/smoke/{ran}"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name, text in chapters.items():
        notebook = new_notebook(cells=[new_markdown_cell(f"# {name}\n\n{text}"), new_code_cell("6 * 7")])
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, root / f"notebooks/{name}.ipynb")
        if name == ran:
            result = new_output("execute_result", data={"text/plain": output}, execution_count=1)
            notebook.cells[1].update(execution_count=1, outputs=[result])
            nbformat.write(notebook, root / f"runs/smoke/{ran}/executed.ipynb")
    done = subprocess.run(
        [Path(sys.executable).with_name("jupyter-book"), "build", ".", "--all", "-W", "-n", "--keep-going"],
        cwd=root,
        env={**os.environ, "COMPANION_PROFILE": "smoke"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
