"""Where the images are: names, files, checks before loading, checksums, downloads. No torch needed."""

import difflib
import hashlib
import os
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from pickle import UnpicklingError
from typing import NamedTuple

NAMES = ("mnist_small", "digits", "mnist", "fashion_mnist", "cifar10")
#: Drawn at random by companion.data.toys; there is nothing to fetch or to find.
DRAWN = ("gaussians", "one_hot_blocks")
MNIST_SMALL = Path(__file__).with_name("mnist_small.npz")
#: Of the bytes of its arrays.
MNIST_SMALL_SHA256 = {
    "x_train": "ab669407cfe046d71a9100a65fcc95d169a80d52af277a0b6cd961e74625972a",
    "y_train": "1c68a632c52a4a25bd3a249937de78e50d80679d2183e1248f492c172021b89e",
    "x_test": "5bc6f1f21129e43616a9224c5c7736f18a854a5015f2e2af327db37ee71e9731",
    "y_test": "5455d4803b49f8f594f744149a0217527634057d0c57d92a405c6d2502645a3d",
}
#: What torchvision, torch and numpy raise where a file is damaged.
DAMAGE = (
    AssertionError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    UnpicklingError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)
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
_SUFFIXES = frozenset([".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"])
_SETTLED_NS = 2_000_000_000
_LAYOUT = "PATH/train/CLASS/*.png with PATH/test/CLASS/*.png, or PATH/CLASS/*.png"


class DataMissing(ValueError):
    """A data set is not where it was looked for; the message says where, and how to get it."""


class ImageFile(NamedTuple):
    """One image of a folder: its path, its part ("train", "test", or "" before a split) and its class."""

    path: Path
    part: str
    label: str


def data_root(root: str | os.PathLike | None = None) -> Path:
    """Folder that holds the downloaded sets: `root`, else COMPANION_DATA, else ~/.cache/companion/data."""
    chosen = root or os.environ.get("COMPANION_DATA") or cache_folder() / "data"
    return Path(chosen).expanduser()


def cache_folder() -> Path:
    """The user's cache of this package."""
    return Path.home() / ".cache" / "companion"


def folder_of(name: str) -> Path | None:
    """The folder of "folder:PATH"; None for a name of NAMES or DRAWN; else ValueError naming the nearest."""
    if name.startswith("folder:") and name != "folder:":
        return Path(name.removeprefix("folder:")).expanduser()
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
        if lacking:
            more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
            raise _missing(name, f"{place} lacks {lacking[0]}{more}")
        broken = [file.name for file in _files(name, root) if not _complete(file)]
        if broken:
            raise _missing(name, f"{place / broken[0]} is cut short")


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
        return {f"{len(files)} images": _read_content(folder, files)}
    return {file.name: _sha256(file) for file in _files(name, root)}


def digits_file() -> Path:
    """The file that sklearn.datasets.load_digits reads: 1,797 lines of 64 pixels, 0 to 16, and a label."""
    return Path(metadata.distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz"))


def fetch(name: str, root: str | os.PathLike | None = None) -> Path | None:
    """Download a data set through torchvision, with its checksums; print and return the folder it is in.

    Files that are already there and whole are kept, so a broken download can be repeated. `mnist_small`,
    `digits` and drawn points need no download: None. Raises OSError when a download fails, ValueError for a
    folder.
    """
    folder = folder_of(name)
    if folder is not None:
        raise ValueError(f"{name}: a folder cannot be fetched; put the images there as {_LAYOUT}")
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


def torchvision_class(name: str) -> type:
    """The torchvision data set that knows the files, checksums and mirrors of one of the downloaded sets."""
    from torchvision import datasets

    return {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST, "cifar10": datasets.CIFAR10}[
        name
    ]


def image_files(folder: Path) -> list[ImageFile]:
    """The images of a folder, sorted by path.

    Raises DataMissing when there are none in one of the two layouts, ValueError when train and test hold
    different classes or there is only one class.
    """
    if not folder.is_dir():
        raise DataMissing(f"folder:{folder} is not here: no such folder; expected {_LAYOUT}")
    parts = [part for part in ("train", "test") if (folder / part).is_dir()]
    if len(parts) == 1:
        other = "test" if parts == ["train"] else "train"
        raise DataMissing(f"folder:{folder} has {parts[0]}/ but no {other}/; expected {_LAYOUT}")
    files = [file for part in parts or [""] for file in _images_below(folder / part, part)]
    if not files:
        raise DataMissing(f"folder:{folder} holds no images in class folders; expected {_LAYOUT}")
    classes = {part: {file.label for file in files if file.part == part} for part in parts or [""]}
    if parts and classes["train"] != classes["test"]:
        odd = sorted(classes["train"] ^ classes["test"])[0]
        raise ValueError(f"folder:{folder}: class {odd!r} has images in only one of train/ and test/")
    if len({file.label for file in files}) < 2:
        raise ValueError(f"folder:{folder} holds only class {files[0].label!r}; expected {_LAYOUT}")
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
    content = _read_content(folder, files)
    if youngest < now - _SETTLED_NS:
        with suppress(OSError):
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(content, "ascii")
    return content


def _read_content(folder: Path, files: list[ImageFile]) -> str:
    combined = hashlib.sha256()
    for file in files:
        combined.update(f"{_below(folder, file)}\0{_sha256(file.path)}\n".encode())
    return combined.hexdigest()


def _below(folder: Path, file: ImageFile) -> str:
    return file.path.relative_to(folder).as_posix()


def _images_below(folder: Path, part: str) -> Iterator[ImageFile]:
    for child in sorted(folder.iterdir()):
        if child.is_dir() and not child.name.startswith("."):
            for path in sorted(child.iterdir()):
                if path.suffix.lower() in _SUFFIXES and not path.name.startswith("."):
                    yield ImageFile(path, part, child.name)


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


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
