"""Runs worth keeping: results/NOTEBOOK.json, which the chapters show beside the reader's own run."""

import json
from pathlib import Path
from typing import Any

from companion.files import write_atomic
from companion.publishing import paths
from companion.publishing.paths import UserError
from companion.publishing.running import runner


def record(run: str, note: str = "") -> Path:
    """Copy a complete run's rows, provenance and first picture to results/NOTEBOOK.json and return that path.

    run: its folder, `runs/PROFILE/NAME` or `PROFILE/NAME`; with `@...` where parameters leave the profile.
    note: what a reader of its numbers should know, kept with the provenance.
    Raises UserError for a run that is missing, incomplete, or made with uncommitted changes: nobody could
    repeat it.
    """
    folder = _folder(run)
    about = runner.read_record(folder)
    if not about:
        raise UserError(f"no run in {paths.shown(folder)}; `companion list` shows all runs")
    if about.get("complete") is not True:
        raise UserError(
            f"the run in {paths.shown(folder)} is not complete; run it again: {about.get('command')}"
        )
    if about.get("commit") is None or about.get("dirty") is not False:
        raise UserError(
            f"the run in {paths.shown(folder)} was made with uncommitted changes, so nobody could repeat it; "
            f"commit them and run it again: {about.get('command')} --force"
        )
    about = {key: value for key, value in about.items() if key != "checksums"}  # of files that are not kept
    results = json.loads((folder / "results.json").read_text("utf-8"))
    kept: dict[str, Any] = {"run": about | ({"note": note} if note else {}), "rows": results["rows"]}
    if results.get("checks"):
        kept["checks"] = results["checks"]
    target = paths.root() / "results" / f"{about['notebook']}.json"
    target.parent.mkdir(exist_ok=True)
    write_atomic(target, json.dumps(kept, indent=1, allow_nan=False) + "\n")
    for picture in folder.glob("question-*.png"):
        kept_as = paths.recorded_picture(about["notebook"], picture.stem.removeprefix("question-"))
        kept_as.parent.mkdir(exist_ok=True)
        write_atomic(kept_as, picture.read_bytes())
    return target


def _folder(run: str) -> Path:
    given = Path(run)
    if given.is_absolute():
        return given
    inside = given.parts[1:] if given.parts[:1] == ("runs",) else given.parts
    return paths.runs_dir().joinpath(*inside)
