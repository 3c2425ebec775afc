"""The page that lies on top of a workshop's box."""

from pathlib import Path
from typing import Any

#: What the folders of a box hold, in the order in which a reader wants them.
FOLDERS = {
    "student": "the exercises, one notebook a chapter",
    "instructor": "the same with solutions, checks and what usually goes wrong: **not to be handed out**",
    "book": "the pages: open `book/index.html`; they work from a disk, without Python and without a server",
    "companion": "the checkout, with the executed chapters and the trained networks in `runs/`",
    "wheels": "every package, checked by its hash when it is installed",
}


def text(made: dict[str, Any]) -> str:
    """README.md of a box, from what its made.json says."""
    sizes = made["bytes"]
    rows = [
        f"| `{name}/` | {what} | {shown(sizes[name])} |" for name, what in FOLDERS.items() if name in sizes
    ]
    version, total = made["python"], shown(sum(sizes.values()))
    return _TEXT.format(
        rows="\n".join(rows), python=version, total=total, proof=_proof(made.get("proved")), **_named(made)
    )


def shown(number: float) -> str:
    """Bytes as a reader says them, such as "3.0 GB"."""
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.1f} MB"


def size(path: Path) -> int:
    """Bytes of all files under a folder."""
    return sum(file.lstat().st_size for file in path.rglob("*") if not file.is_dir())


def _named(made: dict[str, Any]) -> dict[str, Any]:
    return {name: made[name] for name in ("system", "commit", "profile", "packages")}


def _proof(proved: dict[str, Any] | None) -> str:
    if proved is None:
        return (
            "**Not proved**: the same `companion workshop make` goes on from here, and says what is missing."
        )
    installed, minutes = shown(proved["installed_bytes"]), proved["install_minutes"]
    return (
        f"Proved on {proved['when'][:10]}, {proved['network']}: installed from this folder in {minutes} "
        f"minutes ({installed} on disk); every chapter up to date; {proved['commands']} commands, those of "
        f"the sessions and the checks of the solutions, in {proved['session_minutes']} minutes. "
        "`proof.log` shows each."
    )


_TEXT = """\
# A workshop in a box

For laptops with **{system}** and **Python {python}**. No network is needed.

* Linux: `sh start.sh`
* macOS: double-click `start.command`
* Windows: double-click `start.bat`

This copies the exercises into `companion-workshop` in the home folder, installs the packages there, and opens
the exercises and the pages. Started again, it opens them at once and overwrites nothing. Another folder:
`sh start.sh FOLDER`. Only install: `sh start.sh --install FOLDER`.

| in this folder | what it is | size |
|---|---|---|
{rows}

All together {total}: {packages} packages, commit `{commit}`, profile `{profile}`.

## For the teacher

Copy everything **but `instructor/`** to the sticks. (Who looks for them finds the solutions in
`companion/workbooks/`, too: the checks need them. These exercises are for learning, not for marks.)
A laptop that cannot install still has `book/index.html`.
The packages are for the system above; laptops of another kind need a box that was made on one of them.

{proof}

Is a copy whole? `sha256sum -c SHA256SUMS` (macOS: `shasum -a 256 -c SHA256SUMS`). `start` checks what
it copies, and pip checks each package.

## When something goes wrong

* *which was not found*: Python {python} is missing. Install it, or name it:
  `PYTHON=/where/it/is/python{python} sh start.sh`.
* *No matching distribution found*: this laptop has another system or processor than the box.
* *this copy of the box is damaged*: copy the box again.
* Interrupted: start it again.
* In a terminal, in `companion-workshop/companion`: `source .venv/bin/activate` (Windows:
  `.venv\\Scripts\\activate`), then `companion list`, `companion run`, and
  `companion workshop check ../student/NAME.ipynb`.
"""
