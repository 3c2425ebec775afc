"""Small checkouts with small notebooks, which import no torch, for the tests of the publishing wing."""

from pathlib import Path

import nbformat
import pytest

PARAMETERS = """\
# Settings of the small chapter.
eps: float = 0.5  # in (0, inf): l2 radius, pixels in [0,1]
lambda_d: float = 1.0  # in [0, inf): weight
steps: int = 4  # in [1, 100]: steps
strong: bool = True  # use the strong protocol
seeds: list[int] = [0, 1]  # in [0, inf): seeds
radii: list[float] = [0.25, 8 / 255]  # in (0, 1]: radii
dataset: str = "digits"  # one of digits, mnist, folder:PATH: the images
note: str = "plain"  # any text
"""
BEGIN = "from companion.publishing.running import chapter\nrun = chapter.begin(globals())"
WORK = """\
run.set_device("cpu")
run.status("working")
run.record("T1", "eps", eps, sd=0.5, n=len(seeds), model="net")
print("a line for the log")
"""
PROFILE = "eps: 1e-1\nsteps: 010\nseeds: [0]\n"


def code(source: str, *tags: str) -> nbformat.NotebookNode:
    """Return a code cell."""
    return nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)} if tags else {})


class Checkout:
    """A checkout in a temporary folder."""

    def __init__(self, root: Path):
        self.root = root

    def notebook(self, name: str, *cells: str, parameters: str = PARAMETERS, text: str = "# Title") -> Path:
        """Write a notebook of parameters, check and `cells`, and its profile `quick`."""
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nb = nbformat.v4.new_notebook(metadata={"kernelspec": kernel})
        nb.cells = [nbformat.v4.new_markdown_cell(text), code(parameters, "parameters"), code(BEGIN)]
        nb.cells += [code(source) for source in cells]
        for number, cell in enumerate(nb.cells):
            cell.id = f"cell-{number}"  # ids drawn at random would make every edit look larger than it is
        path = self.root / "notebooks" / f"{name}.ipynb"
        nbformat.write(nb, path)
        self.profile("quick", name, PROFILE if parameters == PARAMETERS else "")
        return path

    def profile(self, profile: str, name: str, text: str) -> None:
        """Write a profile file."""
        path = self.root / "notebooks" / "profiles" / profile / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    def folder(self, label: str, profile: str = "quick") -> Path:
        """Return a run folder."""
        return self.root / "runs" / profile / label


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Checkout:
    """Return an empty checkout with a package of one file, which `COMPANION_ROOT` names."""
    (tmp_path / "pyproject.toml").write_text("", "utf-8")
    (tmp_path / "notebooks" / "profiles" / "quick").mkdir(parents=True)
    package = tmp_path / "src" / "companion"
    package.mkdir(parents=True)
    (package / "losses.py").write_text(
        '"""Losses."""\n\n\ndef loss():\n    """Say one."""\n    return 1\n', "utf-8"
    )
    monkeypatch.setenv("COMPANION_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in ("COMPANION_RUN_DIR", "COMPANION_NOTEBOOK", "COMPANION_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    return Checkout(tmp_path)
