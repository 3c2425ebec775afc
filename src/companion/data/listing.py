"""The images of a folder, and what tells whether one of them changed. No torch."""

import hashlib
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from companion.data.origins import DataMissing
from companion.files import cache_folder, sha256

_SUFFIXES = frozenset([".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"])
_SETTLED_NS = 2_000_000_000
LAYOUT = "PATH/train/CLASS/*.png with PATH/test/CLASS/*.png, or PATH/CLASS/*.png"


class ImageFile(NamedTuple):
    """One image of a folder: its path, its part ("train", "test", or "" before a split) and its class."""

    path: Path
    part: str
    label: str


def image_files(folder: Path) -> list[ImageFile]:
    """The images of a folder, sorted by path.

    Raises DataMissing when there are none in one of the two layouts, ValueError when train and test hold
    different classes or there is only one class.
    """
    if not folder.is_dir():
        raise DataMissing(f"folder:{folder} is not here: no such folder; expected {LAYOUT}")
    parts = [part for part in ("train", "test") if (folder / part).is_dir()]
    if len(parts) == 1:
        other = "test" if parts == ["train"] else "train"
        raise DataMissing(f"folder:{folder} has {parts[0]}/ but no {other}/; expected {LAYOUT}")
    files = [file for part in parts or [""] for file in _images_below(folder / part, part)]
    if not files:
        raise DataMissing(f"folder:{folder} holds no images in class folders; expected {LAYOUT}")
    classes = {part: {file.label for file in files if file.part == part} for part in parts or [""]}
    if parts and classes["train"] != classes["test"]:
        odd = sorted(classes["train"] ^ classes["test"])[0]
        raise ValueError(f"folder:{folder}: class {odd!r} has images in only one of train/ and test/")
    if len({file.label for file in files}) < 2:
        raise ValueError(f"folder:{folder} holds only class {files[0].label!r}; expected {LAYOUT}")
    return files


def folder_content(folder: Path, files: list[ImageFile]) -> str:
    """SHA-256 of the images' names and bytes, which are read again only where a file may have changed.

    It is kept in ~/.cache/companion/listings under a hash of all names, sizes, inodes, modification times and
    times of the last change, which setting the modification time back does not hide. Files changed within the
    last two seconds are not trusted: a further change could fall into the same tick of the clock.
    """
    now, youngest = time.time_ns(), 0
    listing = hashlib.sha256(str(folder.resolve()).encode())
    for file in files:
        stat = file.path.stat()
        stamps = (stat.st_size, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns)
        listing.update(f"{_below(folder, file)}\0{stamps}\n".encode())
        youngest = max(youngest, stat.st_mtime_ns, stat.st_ctime_ns)
    kept = cache_folder() / "listings" / listing.hexdigest()
    with suppress(OSError, UnicodeDecodeError):
        content = kept.read_text("ascii")
        if len(content) == 64:
            return content
    content = read_content(folder, files)
    if youngest < now - _SETTLED_NS:
        with suppress(OSError):
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(content, "ascii")
    return content


def read_content(folder: Path, files: list[ImageFile]) -> str:
    combined = hashlib.sha256()
    for file in files:
        combined.update(f"{_below(folder, file)}\0{sha256(file.path)}\n".encode())
    return combined.hexdigest()


def _below(folder: Path, file: ImageFile) -> str:
    return file.path.relative_to(folder).as_posix()


def _images_below(folder: Path, part: str) -> Iterator[ImageFile]:
    for child in sorted(folder.iterdir()):
        if child.is_dir() and not child.name.startswith("."):
            for path in sorted(child.iterdir()):
                if path.suffix.lower() in _SUFFIXES and not path.name.startswith("."):
                    yield ImageFile(path, part, child.name)
