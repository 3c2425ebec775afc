"""Where the images are: names, files, checks before loading, checksums, downloads. No torch needed."""

import difflib
import hashlib
import os
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from companion.data.listing import LAYOUT, folder_content, image_files, read_content
from companion.data.listing import unused as unused_of
from companion.data.origins import (
    MNIST_SMALL,
    MNIST_SMALL_SHA256,
    DataMissing,
    digits_file,
    torchvision_class,
)
from companion.files import cache_folder, expanded, sha256

NAMES = ("mnist_small", "digits", "mnist", "fashion_mnist", "cifar10")
#: Drawn at random by companion.data.toys; there is nothing to fetch or to find.
DRAWN = ("gaussians", "one_hot_blocks")
_MNIST_FILES = tuple(
    f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
)
_CIFAR_FILES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta")
# name -> (folder below the root, files in it)
_FILES = {
    "mnist": ("MNIST/raw", _MNIST_FILES),
    "fashion_mnist": ("FashionMNIST/raw", _MNIST_FILES),
    "cifar10": ("cifar-10-batches-py", _CIFAR_FILES),
}


def data_root(root: str | os.PathLike | None = None) -> Path:
    """Folder that holds the downloaded sets: `root`, else COMPANION_DATA, else ~/.cache/companion/data."""
    chosen = root or os.environ.get("COMPANION_DATA") or cache_folder() / "data"
    return expanded(chosen)


def folder_of(name: str) -> Path | None:
    """The folder of "folder:PATH"; None for a name of NAMES or DRAWN; else ValueError naming the nearest."""
    if name.startswith("folder:") and name != "folder:":
        return expanded(name.removeprefix("folder:"))
    known = [*NAMES, *DRAWN]
    if name in known:
        return None
    nearest = difflib.get_close_matches(name.lower(), [*known, "folder:PATH"], 1, 0.4)
    hint = f"did you mean {nearest[0]}? " if nearest else ""
    raise ValueError(f"unknown data set {name!r}; {hint}known: {', '.join(known)}, folder:PATH")


def require(name: str, root: str | os.PathLike | None = None) -> None:
    """Check, without decoding anything, that a data set can be loaded.

    Raises DataMissing with one line that says what is missing, where it was looked for and how to get it,
    and ValueError for an unknown name or a folder whose train and test classes differ.
    """
    folder = folder_of(name)
    if folder is not None:
        image_files(folder)
    elif name == "mnist_small":
        if not MNIST_SMALL.is_file():
            raise DataMissing(f"mnist_small is not here: no {MNIST_SMALL}; install the package again")
    elif name in _FILES:
        place = data_root(root) / _FILES[name][0]
        lacking = [file.name for file in _files(name, root) if not file.is_file()]
        if lacking and (place / (dotted := lacking[0].replace("-idx", ".idx"))).is_file():
            raise DataMissing(f"{place} holds {dotted}; rename it to {lacking[0]}, and the others likewise")
        if lacking:
            more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
            raise _missing(name, f"{place} lacks {lacking[0]}{more}")
        broken = [file.name for file in _files(name, root) if not _complete(file)]
        if broken:
            raise _missing(name, f"{place / broken[0]} is cut short")


def unused(name: str) -> list[str]:
    """What of an image folder is not among its images, one line each; nothing for other sets."""
    folder = folder_of(name)
    return [] if folder is None else unused_of(folder)


def identity(name: str, root: str | os.PathLike | None = None) -> str:
    """Short string that changes when the data do, and only then: neither place nor time of a file matters.

    Of drawn points it is the name: they change only with the code that draws them.
    """
    folder = folder_of(name)
    if name == "mnist_small":
        return f"mnist_small {_combined(MNIST_SMALL_SHA256)}"
    if name == "digits":
        return f"digits scikit-learn {metadata.version('scikit-learn')}"
    if name in DRAWN:
        return name
    if folder is not None:
        return f"folder {folder_content(folder, image_files(folder))[:16]}"
    return f"{name} {_combined(checksums(name, root))}"


def checksums(name: str, root: str | os.PathLike | None = None) -> dict[str, str]:
    """SHA-256 of the raw files by file name; one entry over all images for a folder, none for drawn points.

    All files are read. Raises as `require`.
    """
    require(name, root)
    folder = folder_of(name)
    if folder is not None:
        files = image_files(folder)
        return {f"{len(files)} images": read_content(folder, files)}
    return {file.name: sha256(file) for file in _files(name, root)}


def fetch(name: str, root: str | os.PathLike | None = None) -> Path | None:
    """Download a data set through torchvision, with its checksums; print and return the folder it is in.

    Files that are already there and whole are kept, so a broken download can be repeated. `mnist_small`,
    `digits` and drawn points need no download: None. Raises OSError when a download fails, ValueError for a
    folder.
    """
    folder = folder_of(name)
    if folder is not None:
        raise ValueError(f"{name}: a folder cannot be fetched; put the images there as {LAYOUT}")
    if name not in _FILES:
        origin = {"mnist_small": "ships with this package", "digits": "ships with scikit-learn"}
        print(f"{name} {origin.get(name, 'is drawn at random')}; there is nothing to fetch")
        return None
    for file in _files(name, root):  # torchvision keeps a file that was cut short, so it has to go first
        if file.is_file() and not _complete(file):
            file.unlink()
    place = data_root(root) / _FILES[name][0]
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        torchvision_class(name)(data_root(root), download=True)
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise OSError(f"{name} could not be downloaded to {place}: {reason}") from error
    require(name, root)
    print(f"{name} is in {place}")
    return place


def _files(name: str, root: str | os.PathLike | None) -> list[Path]:
    if name not in _FILES:
        return {"mnist_small": [MNIST_SMALL], "digits": [digits_file()]}.get(name, [])
    folder, files = _FILES[name]
    return [data_root(root) / folder / file for file in files]


def _missing(name: str, what: str) -> DataMissing:
    return DataMissing(
        f"{name} is not here: {what}; get it with `companion fetch {name}`, "
        f"or set COMPANION_DATA to a folder that holds {_FILES[name][0]}"
    )


def _complete(file: Path) -> bool:
    """Whether an idx file is as long as its header says (other files: not empty)."""
    size = file.stat().st_size
    if not file.name.endswith("-ubyte"):
        return size > 0
    with file.open("rb") as stream:
        dimensions = int.from_bytes(stream.read(4)) & 0xFF
        sizes = [int.from_bytes(stream.read(4)) for _ in range(dimensions)]
    expected = 1
    for length in sizes:
        expected *= length
    return size == 4 + 4 * dimensions + expected


def _combined(sums: Mapping[str, str]) -> str:
    return hashlib.sha256(repr(sorted(sums.items())).encode()).hexdigest()[:16]
