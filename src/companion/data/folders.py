"""Image folders as tensors: decoded once, then read from a cache until an image changes."""

import contextlib
import hashlib
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from companion.code import fingerprint
from companion.data.image_set import Images, split, stratified_order
from companion.data.listing import ImageFile, folder_content, image_files
from companion.data.origins import DAMAGE
from companion.files import cache_folder

_TEST_FRACTION = 0.2
# In titles, tables and alt texts these would be read as HTML or TeX; their full-width forms look alike
_SPEAKING = str.maketrans({sign: chr(ord(sign) + 0xFEE0) for sign in "$&<>\\"})
_SMALL = "32x32 pixels"
_LARGEST = 512  # pixels a side; a folder of photographs as they come would fill the memory


def read_folder(name: str, folder: Path, split_seed: int, size: int | None) -> Images:
    """The images below `folder`, grey levels as stored: uint8, resized where asked.

    Images are turned as their EXIF orientation says, transparent ones lie on white, and of an animation the
    first picture is taken. They have one channel where all of them are grey, three otherwise.
    Names of classes and of the set have full-width forms of $, &, <, > and backslash.
    Raises as image_files, and ValueError for unreadable images, images of more than 8 bits a channel, images
    of several sizes without `size`, and a class that the split leaves without a training image.
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
    for k in set(range(len(classes))) - set(parts[1].tolist()):
        raise ValueError(
            f"{folder}: no image of class {classes[k]!r} is left to train on; add images to it, or split "
            "them into train/ and test/"
        )
    names = [name.translate(_SPEAKING) for name in (folder.resolve().name, *classes)]
    return Images(name, names[0], *parts, classes=tuple(names[1:]))


def _decoded(folder: Path, files: Sequence[ImageFile], size: int | None) -> np.ndarray:
    """All images of a folder, uint8 (N, H, W, C), from the cache when it has the same images already."""
    kept = cache_folder() / "folders"
    place = hashlib.sha256(f"{folder.resolve()}\0{size}".encode()).hexdigest()[:16]
    content = _decoded_name(folder_content(folder, files), size)
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


def _decoded_name(content: str, size: int | None) -> str:
    """A name for decoded images that changes with the images and with the code that decodes them."""
    return hashlib.sha256(f"{content}\0{size}\0{fingerprint(__name__)}".encode()).hexdigest()[:16]


def _decode(files: Sequence[ImageFile], size: int | None) -> np.ndarray:
    from PIL import Image
    from tqdm import tqdm

    with ThreadPoolExecutor() as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # a large photograph; a bomb raises
        read = pool.map(lambda file: _read(file.path, size), files)
        # disable=None: no bar where nobody watches, such as in a notebook, which would keep its frames
        images = list(tqdm(read, "decode", len(files), unit=" images", disable=None))
    shape = images[0].shape[:2]
    for image, file in zip(images, files, strict=True):
        if image.shape[:2] != shape:
            sizes = [f"{height}x{width}" for height, width in (shape, image.shape[:2])]
            raise ValueError(
                f"{files[0].path} is {sizes[0]} and {file.path} is {sizes[1]}; "
                f"make copies of one size, such as {_SMALL}, or load with size={min(shape)}"
            )
    if all(image.ndim == 2 for image in images):
        return np.stack(images)[..., None]
    return np.stack([image if image.ndim == 3 else np.repeat(image[..., None], 3, 2) for image in images])


def _read(path: Path, size: int | None) -> np.ndarray:
    """One image as uint8, (H, W) when it is grey, (H, W, 3) when it has colours."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            stored = image.size
            fine = image.mode[0] in "IF" or any(_is_fine(tile) for tile in image.tile)
            if not fine:
                ImageOps.exif_transpose(image, in_place=True)
                image = _opaque(image)
    except Exception as error:  # Pillow raises nearly anything on a damaged file
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path} is not a readable image ({reason}); delete or replace it") from error
    if fine:
        raise ValueError(f"{path} has more than 8 bits a channel; save it with 8")
    if size is None and max(stored) > _LARGEST:
        raise ValueError(
            f"{path} is {stored[1]}x{stored[0]}, too large for the nets here; make small copies of all "
            f"images, such as {_SMALL}, or load with size=N"
        )
    if size is not None:
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image)


def _is_fine(tile: Any) -> bool:
    """Whether a part of an image is stored with 16 bits a channel, of which Pillow silently keeps 8."""
    return ";16" in str(tile.args) or (tile.codec_name == "ppm" and tile.args[1] > 255)


def _opaque(image: Any) -> Any:
    """The image in mode L where it is grey, else in RGB; what is transparent shows white."""
    from PIL import Image, ImageChops

    grey = image.mode in ("1", "L", "LA", "La")
    palette = image.mode in ("P", "PA")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if palette:
        red, green, blue = image.convert("RGB").split()
        grey = not (ImageChops.difference(red, green).getbbox() or ImageChops.difference(red, blue).getbbox())
    return image.convert("L" if grey else "RGB")
