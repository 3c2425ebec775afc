"""Image folders as tensors: decoded once, then read from a cache until an image changes."""

import contextlib
import hashlib
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from companion.data.image_set import Images, split, stratified_order
from companion.data.listing import ImageFile, folder_content, image_files
from companion.data.origins import DAMAGE
from companion.files import cache_folder

_TEST_FRACTION = 0.2


def read_folder(name: str, folder: Path, split_seed: int, size: int | None) -> Images:
    """The images below `folder`, grey levels as stored: uint8, resized where asked.

    Raises as image_files, and ValueError for unreadable images and images of several sizes without `size`.
    """
    files = image_files(folder)
    x = torch.from_numpy(_decoded(folder, files, size)).permute(0, 3, 1, 2)
    classes = sorted({file.label for file in files})
    y = torch.tensor([classes.index(file.label) for file in files])
    is_test = torch.tensor([file.part == "test" for file in files])
    if is_test.any():
        # Files are sorted by class; a stratified order keeps x_test[:n] a fair sample here as elsewhere.
        train, test = (part.nonzero().flatten() for part in (~is_test, is_test))
        train, test = (part[stratified_order(y[part], split_seed)] for part in (train, test))
        parts = (x[train], y[train], x[test], y[test])
    else:
        n_test = max(1, round(_TEST_FRACTION * len(files)))
        parts = split(x, y, n_test, split_seed)
    return Images(name, folder.resolve().name, *parts, classes=tuple(classes))


def _decoded(folder: Path, files: Sequence[ImageFile], size: int | None) -> np.ndarray:
    """All images of a folder, uint8 (N, H, W, C), from the cache when it has the same images already."""
    kept = cache_folder() / "folders"
    place, content = _short(str(folder.resolve()), size), _short(folder_content(folder, files), size)
    for cached in kept.glob(f"*-{content}.npz"):  # of this folder, or of another with the same images
        with contextlib.suppress(*DAMAGE):
            # the zip format carries a checksum: a cache that was cut or changed raises here
            with cached.open("rb") as stream, np.load(stream) as stored:
                images = stored["images"]
            if len(images) == len(files):
                return images
    cached = kept / f"{place}-{content}.npz"
    images = _decode(files, size)
    temporary = cached.with_name(f".{cached.stem}.{os.getpid()}.npz")
    try:
        kept.mkdir(parents=True, exist_ok=True)
        np.savez(temporary, images=images)
        os.replace(temporary, cached)
        for outdated in kept.glob(f"{place}-*.npz"):
            if outdated != cached:
                outdated.unlink(missing_ok=True)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        warnings.warn(f"decoded images of {folder} are not kept: {error}", stacklevel=2)
    return images


def _short(what: str, size: int | None) -> str:
    return hashlib.sha256(f"{what}\0{size}".encode()).hexdigest()[:16]


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
