"""The images of a folder, and what tells whether one of them changed. No torch."""

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from unicodedata import normalize

from companion.data.origins import DataMissing
from companion.files import cache_folder, sha256

LAYOUT = "PATH/train/CLASS/*.png with PATH/test/CLASS/*.png, or PATH/CLASS/*.png"
_SUFFIXES = frozenset([".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"])
# Pictures that somebody put there as such; anything else beside the images (notes, lists, videos) is let be.
_NOT_READ = frozenset([".heic", ".heif", ".avif", ".jxl", ".jp2", ".svg", ".psd", ".raw", ".dng"])
#: Names of the part that is tested on, in any case; the first that is there is taken.
_TEST = ("test", "val", "valid", "validation")
_SETTLED_NS = 2_000_000_000


class ImageFile(NamedTuple):
    """One image of a folder: its path, its part ("train", "test", or "" before a split) and its class."""

    path: Path
    part: str
    label: str


def image_files(folder: Path) -> list[ImageFile]:
    """The images of a folder, sorted by part, class and name.

    PATH/train and PATH/test hold the class folders, or PATH itself does. The names of the two parts may be
    capital; without test/, val/ or validation/ is tested on. Accents count the same in either of their two
    spellings (NFC, NFD). What is left out is said by `unused`.
    Raises DataMissing when there are none in one of the two layouts, ValueError when train and test hold
    different classes, there is only one class, a class folder holds no image, and for a picture of a format
    that is not read, a link that leads nowhere, a name that is not UTF-8, and a file that cannot be read.
    """
    if not _is_folder(folder):
        raise DataMissing(f"folder:{folder} is not here: no such folder; expected {LAYOUT}")
    with _readable(folder):
        parts = _parts(folder)
        files = [file for part, place in parts.items() for file in _images_below(place, part)]
    if not files:
        raise DataMissing(f"folder:{folder} holds no images in class folders; expected {LAYOUT}")
    classes = {part: {file.label for file in files if file.part == part} for part in parts}
    if len(parts) == 2 and classes["train"] != classes["test"]:
        odd = sorted(classes["train"] ^ classes["test"])[0]
        names = " and ".join(f"{place.name}/" for place in parts.values())
        raise ValueError(f"folder:{folder}: class {odd!r} has images in only one of {names}")
    if len({file.label for file in files}) < 2:
        raise ValueError(f"folder:{folder} holds only class {files[0].label!r}; expected {LAYOUT}")
    return files


def unused(folder: Path) -> list[str]:
    """What of a folder is not among its images, though it may have been meant to be; one line each."""
    with _readable(folder):
        parts = _parts(folder)
        said = []
        if "train" in parts:
            test = parts["test"].name
            if test.lower() != "test":
                said.append(f"{test}/ is taken for the test images")
            others = [f"{c.name}/" for c in _folders(folder) if c not in parts.values()]
            said += [f"{' and '.join(others)} beside the two parts is not used"] if others else []
        astray = [p for place in {folder, *parts.values()} for p in _pictures(place)]
        for label in [label for place in parts.values() for label in _folders(place)]:
            astray += [p for b in _folders(label) for p in b.rglob("*") if _has_picture_name(p.name)]
        if astray:
            first = min(astray).relative_to(folder).as_posix()
            said.append(
                f"images outside or below the class folders are not used: {len(astray)}, such as {first}"
            )
    return [f"folder:{folder}: {line}" for line in said]


def folder_content(folder: Path, files: list[ImageFile]) -> str:
    """SHA-256 of the images' names and bytes, which are read again only where a file may have changed.

    It is kept in ~/.cache/companion/listings under a hash of all names, sizes, inodes, modification times and
    times of the last change, which setting the modification time back does not hide. Files changed within the
    last two seconds are not trusted: a further change could fall into the same tick of the clock.
    """
    now, youngest = time.time_ns(), 0
    listing = hashlib.sha256(str(folder.resolve()).encode())
    with _readable(folder):
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
    with _readable(folder):
        for file in files:
            combined.update(f"{_below(folder, file)}\0{sha256(file.path)}\n".encode())
    return combined.hexdigest()


def _below(folder: Path, file: ImageFile) -> str:
    return normalize("NFC", file.path.relative_to(folder).as_posix())


def _parts(folder: Path) -> dict[str, Path]:
    """The folder of each part: of "train" and "test", or of "" where there is no split."""
    named: dict[str, Path] = {}
    for child in _folders(folder):
        name = child.name.lower()
        if name in named and name in ("train", *_TEST):
            raise ValueError(f"folder:{folder} holds {named[name].name}/ and {child.name}/; keep one of them")
        named[name] = child
    test = next((named[name] for name in _TEST if name in named), None)
    if "train" in named and test is not None:
        return {"train": named["train"], "test": test}
    if "train" in named or "test" in named:
        here, other = ("train", "test") if "train" in named else ("test", "train")
        raise DataMissing(f"folder:{folder} has {here}/ but no {other}/; expected {LAYOUT}")
    return {"": folder}


def _images_below(place: Path, part: str) -> Iterator[ImageFile]:
    """The images of the class folders in a folder; none if no class folder holds any."""
    found = {label: _pictures(label) for label in _folders(place)}
    for label, pictures in found.items():
        if not pictures and any(found.values()):
            raise ValueError(
                f"{label} holds no image that can be read, such as .jpg or .png; put some there or take the "
                "folder away"
            )
        for path in pictures:
            if path.suffix.lower() in _NOT_READ:
                raise ValueError(
                    f"{path}: {path.suffix} is not read here; save it as .jpg or .png, or take it away"
                )
            yield ImageFile(path, part, normalize("NFC", label.name))


def _folders(place: Path) -> list[Path]:
    return [Path(entry.path) for entry in _visible(place) if entry.is_dir()]


def _pictures(place: Path) -> list[Path]:
    entries = _visible(place)
    return [Path(e.path) for e in entries if _has_picture_name(e.name) and not e.is_dir()]


def _has_picture_name(name: str) -> bool:
    return Path(name).suffix.lower() in _SUFFIXES | _NOT_READ


def _visible(place: Path) -> list[os.DirEntry]:
    """What a folder holds, sorted by name, without what is hidden."""
    found = []
    with os.scandir(place) as entries:
        for entry in entries:
            if not entry.name.startswith("."):
                _check_name(entry.path)
                if entry.is_symlink() and not os.path.exists(entry.path):
                    raise ValueError(f"{entry.path} is a link to a missing file; correct or remove it")
                found.append(entry)
    return sorted(found, key=lambda entry: normalize("NFC", entry.name))


def _is_folder(folder: Path) -> bool:
    _check_name(str(folder))
    with _readable(folder):
        return folder.is_dir()


def _check_name(path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{ascii(path)} is no UTF-8; rename it") from None


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = error.filename or folder
        raise ValueError(
            f"{what} cannot be read ({error.strerror}); change its rights or take it away"
        ) from None
