"""Files of the store: content beside a JSON note that holds its checksum."""

import hashlib
import json
import os
import warnings
from pathlib import Path
from typing import Any

from companion.code import PACKAGE
from companion.files import cache_folder, expanded, write_atomic


def folder() -> Path:
    """COMPANION_STORE, else runs/store of the checkout, else ~/.cache/companion/store."""
    checkout = PACKAGE.parents[1]
    if named := os.environ.get("COMPANION_STORE"):
        return expanded(named)
    if (checkout / "pyproject.toml").exists():
        return checkout / "runs" / "store"
    return cache_folder() / "store"


def verified(path: Path) -> bytes | None:
    """The file's bytes if it is there and whole; None, with a warning when it was damaged, otherwise."""
    note = note_of(path)
    try:
        content, about = path.read_bytes(), json.loads(note.read_text("utf-8"))
        sha256, name = about["sha256"], about.get("name", path.name)  # the oldest notes have no name
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError):
        warnings.warn(f"{note.name} in the store is damaged; it will be made again", stacklevel=3)
        return None
    if name != path.name:
        warnings.warn(f"{path.name} in the store is a copy of {name}; it will be made again", stacklevel=3)
        return None
    if hashlib.sha256(content).hexdigest() != sha256:
        warnings.warn(f"{path.name} in the store is damaged (checksum); it will be made again", stacklevel=3)
        return None
    return content


def note_of(path: Path) -> Path:
    return path.with_suffix(".json") if path.suffix != ".json" else path.with_suffix(".note.json")


def keep(path: Path, content: bytes, note: dict[str, Any]) -> None:
    """Content first, then the note with its checksum: without a whole note the content does not count."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"sha256": hashlib.sha256(content).hexdigest(), "name": path.name, **note}, indent=1)
    write_atomic(path, content)
    write_atomic(note_of(path), text)
