"""Where things are: the checkout, its notebooks, its runs."""

import difflib
import os
from collections.abc import Iterable
from pathlib import Path

from companion.files import expanded

#: The papers in the order in which the book presents them.
PAPERS = ("IR", "BR", "NM", "ET", "BP", "SH")


class UserError(Exception):
    """A mistake of the user: shown as one line that names the value and the fix; exit status 2."""


def root() -> Path:
    """Return the checkout: `COMPANION_ROOT` if set, else the folder of pyproject.toml above the package.

    Raises UserError when the package is installed outside a checkout and the working directory is in none.
    """
    if named := os.environ.get("COMPANION_ROOT"):
        try:
            return expanded(named).resolve()
        except ValueError as error:
            raise UserError(f"COMPANION_ROOT={error}") from None
    if found := _checkout_above(Path(__file__).resolve()) or here():
        return found
    raise UserError("no checkout of the companion found here; go to its folder or set COMPANION_ROOT to it")


def here() -> Path | None:
    """Return the checkout that the working directory lies in, if it lies in one."""
    return _checkout_above(Path.cwd() / "_")


def _checkout_above(path: Path) -> Path | None:
    for folder in path.parents:
        if (folder / "pyproject.toml").is_file() and (folder / "notebooks").is_dir():
            return folder
    return None


def notebooks_dir() -> Path:
    """Folder of the clean notebooks."""
    return root() / "notebooks"


def recorded_picture(notebook: str, theme: str) -> Path:
    """The first picture of a chapter's recorded run, for light or for dark pages."""
    return root() / "results" / "pictures" / f"{notebook}-{theme}.png"


def runs_dir() -> Path:
    """Folder of everything a run writes."""
    return root() / "runs"


def package_dir() -> Path:
    """Folder of the package source: the checkout's, or the installed one where the checkout has none."""
    inside = root() / "src" / "companion"
    return inside if inside.is_dir() else Path(__file__).resolve().parents[1]


def paper_rank(paper: str) -> tuple[int, str]:
    """Return a key that sorts papers as the book does, unknown ones last."""
    return (PAPERS.index(paper) if paper in PAPERS else len(PAPERS), paper)


def shown(path: Path) -> str:
    """Return `path` as a reader types it: relative to the checkout if it lies there, forward slashes."""
    try:
        return path.resolve().relative_to(root()).as_posix()
    except ValueError:
        return str(path)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the fix for an unknown `name`: the nearest known one, else the list of all."""
    known = sorted(known)
    folded = {other.lower(): other for other in known}
    if close := difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.5):
        return f"did you mean '{folded[close[0]]}'?"
    return f"known: {', '.join(known)}" if known else "there are none"
