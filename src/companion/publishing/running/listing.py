"""Tables for `companion list`: the state of every run, and the parameters of one notebook."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from companion.publishing import paths
from companion.publishing.paths import UserError
from companion.publishing.running import notebooks, parameters, provenance, runner


def runs_table() -> list[str]:
    """Return a table of notebooks, profiles and variants with their state, wall time and date."""
    package = provenance.source_hash(paths.package_dir())
    rows = [("notebook", "profile", "state", "wall time", "finished")]
    for name in notebooks.names():
        for profile in notebooks.profiles(name):
            for folder in _folders(name, profile):
                rows.append((folder.name, profile, *_state(name, profile, folder, package)))
    return _aligned(rows)


def parameters_table(name: str) -> list[str]:
    """Return a notebook's parameters: type, default, domain, meaning, and what each profile changes."""
    declared = notebooks.declared(name)
    rows = [("parameter", "type", "default", "domain", "meaning")]
    for p in declared.values():
        domain = p.domain.text if p.domain else ""
        rows.append((p.name, p.type, notebooks.as_text(p.default), domain, p.help))
    lines = _aligned(rows)
    for profile in notebooks.profiles(name):
        try:
            values = parameters.resolve(declared, [notebooks.profile_values(name, profile)], name)
        except UserError as error:
            lines.append(f"profile {profile}: {error}")
            continue
        changed = {k: notebooks.as_text(v) for k, v in values.items() if v != declared[k].default}
        settings = ", ".join(f"{k}={v}" for k, v in changed.items())
        lines.append(f"profile {profile}: {settings or 'the defaults'}")
    return lines


def _folders(name: str, profile: str) -> list[Path]:
    """Return the folder of the profile's own run, there or not, and those of its variants."""
    parent = paths.runs_dir() / profile
    variants = {path.with_name(path.name.removesuffix(".failed")) for path in parent.glob(f"{name}@*")}
    return [parent / name, *sorted(variants)]


def _state(name: str, profile: str, folder: Path, package: str) -> tuple[str, str, str]:
    """Return state, wall time and date of a run folder."""
    record = runner.read_record(folder)
    failed = runner.read_record(folder.with_name(f"{folder.name}.failed"))
    if failed and (failed.get("started") or "") >= (record.get("started") or ""):
        return "failed", _wall(failed), _date(failed)
    if record.get("complete") is not True:
        return "none", "", ""
    if not runner.is_whole(folder, record):
        return "damaged", _wall(record), _date(record)
    current = _is_current(name, profile, folder, record, package)
    return "complete" if current else "stale", _wall(record), _date(record)


def _is_current(name: str, profile: str, folder: Path, record: dict[str, Any], package: str) -> bool:
    """Say whether a new run with the same data would be skipped."""
    try:
        declared = notebooks.declared(name)
        values = parameters.resolve(declared, [notebooks.profile_values(name, profile)], name)
        if folder.name != name:
            values = parameters.resolve(declared, [("run.json", record["parameters"])], name)
    except UserError:
        return False
    code = notebooks.code(notebooks.read(notebooks.source_path(name)))
    return record.get("hash") == provenance.run_hash(
        code, values, package, record.get("data", ""), notebooks.recorded(name)
    )


def _wall(record: dict[str, Any]) -> str:
    return runner.duration(record["wall_s"]) if record.get("wall_s") is not None else ""


def _date(record: dict[str, Any]) -> str:
    return (record.get("started") or "")[:16].replace("T", " ")


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)).rstrip() for row in rows]
