"""Images: a whole data set as tensors on one device, and how it is read, shrunk, split and augmented."""

import contextlib
import hashlib
import os
import warnings
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torch.nn.functional import pad as pad_zeros

from companion.data.sources import (
    TOYS,
    ImageFile,
    cache_folder,
    data_root,
    digits_file,
    folder_of,
    image_files,
    listing_hash,
    require,
    torchvision_class,
)

_LABELS = {"digits": "digits", "mnist": "MNIST", "fashion_mnist": "Fashion-MNIST", "cifar10": "CIFAR-10"}
_DIGITS_TEST = 360
_TEST_SHARE = 0.2
# what a damaged file makes torchvision, torch and pickle raise
_DAMAGE = (
    AssertionError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    UnpicklingError,
    ValueError,
)


@dataclass(frozen=True, eq=False, repr=False)
class Images:
    """A labelled image set, split into train and test, all of it on one device.

    x_train, x_test: (N, C, H, W) float32 in [0,1]; y_train, y_test: (N,) int64; `classes` names the labels.
    `name` is what `load` was given, `label` what a figure or a table should call the set.
    """

    name: str
    label: str
    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    classes: tuple[str, ...]

    @property
    def channels(self) -> int:
        return self.x_train.shape[1]

    @property
    def size(self) -> int:
        """Height of an image; folders may hold images that are not square."""
        return self.x_train.shape[2]

    @property
    def n_classes(self) -> int:
        return len(self.classes)

    def to(self, device: str | torch.device) -> "Images":
        """The same set on another device."""
        device = _device(device)
        moved = {
            field: getattr(self, field).to(device) for field in ("x_train", "y_train", "x_test", "y_test")
        }
        return replace(self, **moved)

    def subset(self, n_train: int | None = None, n_test: int | None = None, seed: int = 0) -> "Images":
        """n_train and n_test images, None for all of them.

        The choice is the start of a permutation that `seed` fixes, so a smaller subset lies inside a larger
        one, and any start of it holds the classes in the whole set's proportions, to about one image.
        Raises ValueError when more images are asked for than there are.
        """
        train = _choice(self.y_train, n_train, seed, f"n_train={n_train}: {self.label}")
        test = _choice(self.y_test, n_test, seed, f"n_test={n_test}: {self.label}")
        return replace(
            self,
            x_train=self.x_train[train],
            y_train=self.y_train[train],
            x_test=self.x_test[test],
            y_test=self.y_test[test],
        )

    def hold_out(self, share: float, seed: int = 0) -> "Images":
        """The training images split in two, the second part in place of the test images.

        For choosing settings without a look at the test set. share: of the training images, in (0, 1); the
        split is stratified and fixed by seed. Raises ValueError for a share that leaves one part empty.
        """
        held = round(share * len(self.y_train))
        if not 1 <= held < len(self.y_train):
            raise ValueError(
                f"hold_out={share}: {held} of {len(self.y_train)} images; expected a share in (0, 1)"
            )
        x_train, y_train, x_test, y_test = _split(self.x_train, self.y_train, held, seed)
        return replace(self, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.x_train.shape[1:]))
        return (
            f"Images({self.label}: {len(self.y_train)} train, {len(self.y_test)} test, {shape}, "
            f"{self.n_classes} classes, {self.x_train.device})"
        )


def load(
    name: str = "digits",
    *,
    root: str | os.PathLike | None = None,
    device: str | torch.device = "cpu",
    n_train: int | None = None,
    n_test: int | None = None,
    split_seed: int = 0,
    size: int | None = None,
    hold_out: float | None = None,
) -> Images:
    """Load digits, mnist, fashion_mnist, cifar10, folder:PATH or a toy as tensors on `device`.

    root: folder of the downloaded sets (see `companion.data`).
    n_train, n_test: keep a subset (`Images.subset` with split_seed).
    split_seed: also fixes the stratified split of digits (1,437 train, 360 test) and of an image folder
    without train/ and test/ (80 % train, 20 % test), and the points of a toy; the other sets come split.
    size: resize all images to size x size (bilinear with antialiasing); a toy's points have no size.
    hold_out: put this share of the n_train training images in place of the test images (`Images.hold_out`);
    n_test then counts held-out images.

    A folder's images are decoded once and kept in ~/.cache/companion/folders until a file of it changes.

    Raises DataMissing when the set is not there, ValueError for an unknown name, a damaged file, images of
    several sizes (give `size`), a missing device, or more images asked for than there are.
    """
    folder = folder_of(name)
    if folder is None:
        require(name, root)
    device = _device(device)
    if size is not None and (size < 1 or name in TOYS):
        raise ValueError(f"size={size}; expected at least 1 pixel, and None for points such as {TOYS[0]}")
    if folder is not None:
        images = _load_folder(name, folder, split_seed, size)
    elif name == "digits":
        images = _load_digits(split_seed)
    elif name in TOYS:
        # not an import statement: nets on images do not depend on the code that draws points
        images = import_module("companion.data.toys").TOYS[name](seed=split_seed)
    else:
        images = _load_torchvision(name, data_root(root))
    # The subset is taken from the bytes as stored: only what is kept becomes float32 and reaches the device.
    if hold_out is None:
        images = images.subset(n_train, n_test, split_seed)
    else:
        images = images.subset(n_train, seed=split_seed).hold_out(hold_out, split_seed)
        images = images.subset(n_test=n_test, seed=split_seed)
    images = images.to(device)
    if name in TOYS:
        return images
    return replace(
        images,
        x_train=_unit_range(images.x_train, name, size),
        x_test=_unit_range(images.x_test, name, size),
    )


def augment(
    x: Tensor, *others: Tensor, generator: torch.Generator, pad: int = 4
) -> Tensor | tuple[Tensor, ...]:
    """Random crop after zero padding, then a horizontal flip with probability 1/2, drawn for each image.

    The same crop and flip is applied to x (N, C, H, W) and to every further tensor (N, C', H, W), such as the
    target maps of x. Returns the augmented x, or a tuple when further tensors were given. The generator's
    device decides where the numbers are drawn: with one on the CPU every device sees the same augmentation.

    Source: Noack et al. 2020, CIFAR-10 (pad 4). Raises ValueError for a negative pad or shapes that differ.
    """
    if pad < 0:
        raise ValueError(f"pad={pad}; expected 0 or more pixels")
    n, _, height, width = x.shape
    for other in others:
        if other.ndim != 4 or other.shape[0] != n or other.shape[2:] != x.shape[2:]:
            raise ValueError(
                f"a tensor of shape {tuple(other.shape)} cannot be cropped with images {tuple(x.shape)}; "
                f"expected ({n}, C, {height}, {width})"
            )

    def draw(high: int) -> Tensor:
        numbers = torch.randint(high, (n, 1), generator=generator, device=generator.device)
        return numbers.to(x.device)

    rows = draw(2 * pad + 1) + torch.arange(height, device=x.device)
    columns = draw(2 * pad + 1) + torch.arange(width, device=x.device)
    columns = torch.where(draw(2).bool(), columns.flip(1), columns)
    image = torch.arange(n, device=x.device)

    def crop(tensor: Tensor) -> Tensor:
        channel = torch.arange(tensor.shape[1], device=x.device)
        padded = pad_zeros(tensor, (pad, pad, pad, pad))
        return padded[
            image[:, None, None, None],
            channel[:, None, None],
            rows[:, None, :, None],
            columns[:, None, None, :],
        ]

    cropped = tuple(crop(tensor) for tensor in (x, *others))
    return cropped if others else cropped[0]


def _device(device: str | torch.device) -> torch.device:
    device = torch.device(device)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device={str(device)!r}: {torch.cuda.device_count()} GPUs are visible; use 'cpu'")
    return device


def _unit_range(x: Tensor, name: str, size: int | None) -> Tensor:
    """Stored grey levels to float32 in [0,1], resized where asked."""
    top = 16 if name == "digits" else 255
    x = x.float().contiguous().div_(top)
    if size is None or x.shape[2:] == (size, size):
        return x
    return interpolate(x, (size, size), mode="bilinear", antialias=True).clamp_(0, 1)


def _stratified_order(y: Tensor, seed: int) -> Tensor:
    """Permutation of the samples in which every start holds the classes in about the overall shares."""
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.randperm(len(y), generator=generator)
    place = torch.empty(len(y), dtype=torch.float64)
    for label in y.unique().tolist():
        members = (y[shuffled] == label).nonzero().flatten()
        # the k-th member of a class of m belongs somewhere in [k/m, (k+1)/m)
        jitter = torch.rand(len(members), generator=generator, dtype=torch.float64)
        place[members] = (torch.arange(len(members)) + jitter) / len(members)
    return shuffled[place.argsort(stable=True)]


def _choice(y: Tensor, n: int | None, seed: int, what: str) -> Tensor | slice:
    if n is None:
        return slice(None)
    if not 1 <= n <= len(y):
        raise ValueError(f"{what} has {len(y)} of them; ask for 1 to {len(y)}")
    return _stratified_order(y.cpu(), seed)[:n].to(y.device)


def _split(x: Tensor, y: Tensor, n_test: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    order = _stratified_order(y.cpu(), seed).to(y.device)
    train, test = order[: len(y) - n_test], order[len(y) - n_test :]
    return x[train], y[train], x[test], y[test]


def _load_digits(split_seed: int) -> Images:
    # Not load_digits, which gives the same: importing scikit-learn takes every process that trains a second
    table = torch.from_numpy(np.loadtxt(digits_file(), delimiter=",", dtype=np.uint8))
    x, y = table[:, :-1].reshape(-1, 1, 8, 8), table[:, -1].long()
    parts = _split(x, y, _DIGITS_TEST, split_seed)
    return Images("digits", _LABELS["digits"], *parts, classes=tuple("0123456789"))


def _load_torchvision(name: str, root: Path) -> Images:
    kind = torchvision_class(name)
    try:
        train, test = (kind(root, train=part, download=False) for part in (True, False))
    except (
        AssertionError,
        EOFError,
        KeyError,
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
        UnpicklingError,
    ) as error:
        raise ValueError(
            f"{name} in {root} cannot be read ({type(error).__name__}: {error}); delete it and run "
            f"`companion fetch {name}`"
        ) from error

    def tensors(part) -> tuple[Tensor, Tensor]:
        x = torch.as_tensor(part.data)
        x = x[:, None] if x.ndim == 3 else x.permute(0, 3, 1, 2)
        return x.contiguous(), torch.as_tensor(part.targets).long()

    classes = tuple("0123456789") if name == "mnist" else tuple(train.classes)
    return Images(name, _LABELS[name], *tensors(train), *tensors(test), classes=classes)


def _load_folder(name: str, folder: Path, split_seed: int, size: int | None) -> Images:
    files = image_files(folder)
    x = torch.from_numpy(_decoded(folder, files, size)).permute(0, 3, 1, 2)
    classes = sorted({file.label for file in files})
    y = torch.tensor([classes.index(file.label) for file in files])
    is_test = torch.tensor([file.part == "test" for file in files])
    if is_test.any():
        # Files are sorted by class; a stratified order keeps x_test[:n] a fair sample here as elsewhere.
        train, test = (part.nonzero().flatten() for part in (~is_test, is_test))
        train, test = (part[_stratified_order(y[part], split_seed)] for part in (train, test))
        parts = (x[train], y[train], x[test], y[test])
    else:
        n_test = max(1, round(_TEST_SHARE * len(files)))
        parts = _split(x, y, n_test, split_seed)
    return Images(name, folder.resolve().name, *parts, classes=tuple(classes))


def _decoded(folder: Path, files: Sequence[ImageFile], size: int | None) -> np.ndarray:
    """All images of a folder, uint8 (N, H, W, C), from the cache when no file has changed since."""
    place = hashlib.sha256(f"{folder.resolve()}\0{size}".encode()).hexdigest()[:16]
    cached = cache_folder() / "folders" / f"{place}-{listing_hash(folder, files)[:16]}.npz"
    with contextlib.suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        # the zip format carries a checksum: a cache that was cut or changed raises here and is built again
        with cached.open("rb") as stream, np.load(stream) as stored:
            images = stored["images"]
        if len(images) == len(files):
            return images
    images = _decode(files, size)
    temporary = cached.with_name(f".{cached.stem}.{os.getpid()}.npz")
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        np.savez(temporary, images=images)
        os.replace(temporary, cached)
        for outdated in cached.parent.glob(f"{place}-*.npz"):
            if outdated != cached:
                outdated.unlink(missing_ok=True)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        warnings.warn(f"decoded images of {folder} are not kept: {error}", stacklevel=2)
    return images


def _decode(files: Sequence[ImageFile], size: int | None) -> np.ndarray:
    from tqdm import tqdm

    with ThreadPoolExecutor() as pool:
        images = list(
            tqdm(pool.map(lambda file: _read(file.path, size), files), "decode", len(files), unit=" images")
        )
    shape = images[0].shape[:2]
    for image, file in zip(images, files, strict=True):
        if image.shape[:2] != shape:
            sizes = [f"{height}x{width}" for height, width in (shape, image.shape[:2])]
            raise ValueError(
                f"{files[0].path} is {sizes[0]} and {file.path} is {sizes[1]}; "
                f"make all images the same size, or load with size=N, such as size={min(shape)}"
            )
    if all(image.ndim == 2 for image in images):
        return np.stack(images)[..., None]
    return np.stack([image if image.ndim == 3 else np.repeat(image[..., None], 3, 2) for image in images])


def _read(path: Path, size: int | None) -> np.ndarray:
    """One image as uint8, (H, W) when it is grey, (H, W, 3) when it has colours."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.mode[0] in "IF":
                raise ValueError(f"{path} has more than 8 bits a channel; save it with 8")
            image = image.convert("L" if image.mode in ("1", "L", "LA") else "RGB")
    except OSError as error:
        raise ValueError(f"{path} is not a readable image ({error}); delete or replace it") from error
    if size is not None:
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image)
