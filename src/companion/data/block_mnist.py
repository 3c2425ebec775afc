"""BlockMNIST: images in which it is known where the label can be read, and where it cannot.

Two blocks, one above the other: the signal block shows an image that decides the label, the null block the
same patch in every image.
"""

import os
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from companion.data.image_set import Images
from companion.data.images import load

PATCHES = ("crossed", "square", "filled")


def block_mnist(
    of: str,
    *,
    classes: Sequence[int] = (0, 1),
    patch: str = "crossed",
    patch_size: int | None = None,
    top: bool = False,
    root: str | os.PathLike | None = None,
    device: str | torch.device = "cpu",
    n_train: int | None = None,
    n_test: int | None = None,
    split_seed: int = 0,
    size: int | None = None,
    hold_out: float | None = None,
) -> Images:
    """BlockMNIST, and BlockMNIST-Top, from any image set of one channel: (N, 1, 2 H, W) in [0, 1].

    Source: SH section 5 (Shah et al. 2021). No code of it is public: which classes, which patch and how large
    are settings here. Which block is on top is a fair coin for each image, drawn for the whole set, so that
    a smaller subset lies inside a larger one.
    of: the image set, as in data.load.
    classes: its labels that are kept, in the order of the new ones.
    patch: what the null block shows, see `null_block`.
    patch_size: its side, see `null_block`.
    top: the signal block is always on top (BlockMNIST-Top).
    size: side of one block.
    root, device, n_train, n_test, split_seed, hold_out: as in data.load.
    A recipe names the set: data=part("block_mnist", of="mnist", top=True).
    Raises ValueError for images of several channels, fewer than two classes, a class the set does not have
    and a patch that does not fit into a block, and as data.load does.
    """
    whole = load(of, root=root, split_seed=split_seed, size=size)
    if whole.channels != 1:
        raise ValueError(f"{whole.label} has {whole.channels} channels; BlockMNIST needs images of one")
    _check_classes(classes, whole)
    null = null_block(whole.x_train.shape[2:], patch=patch, patch_size=patch_size)
    generator = torch.Generator().manual_seed(split_seed)
    train, test = (
        _blocks(x, y, classes, null, top, generator)
        for x, y in ((whole.x_train, whole.y_train), (whole.x_test, whole.y_test))
    )
    images = replace(
        whole,
        name="block_mnist",
        label=f"BlockMNIST{'-Top' if top else ''} ({whole.label})",
        x_train=train[0],
        y_train=train[1],
        x_test=test[0],
        y_test=test[1],
        classes=tuple(whole.classes[k] for k in classes),
    )
    return images.chosen(n_train, n_test, split_seed, hold_out).to(device)


def null_block(shape: Sequence[int], *, patch: str = "crossed", patch_size: int | None = None) -> Tensor:
    """The block that says nothing of the label: white lines of a square in the middle of black, (H, W).

    patch: "square", its outline; "crossed", with both diagonals; "filled". shape: (H, W) of a block.
    patch_size: the square's side in pixels, None for about three quarters of the block's shorter side.
    Raises ValueError for another patch and a side below 3 or above the block's.
    """
    if patch not in PATCHES:
        raise ValueError(f"patch={patch!r}; expected one of {', '.join(PATCHES)}")
    height, width = shape
    side = 2 * (3 * min(height, width) // 8) if patch_size is None else patch_size
    if not 3 <= side <= min(height, width):
        raise ValueError(
            f"a patch of {side} x {side} pixels does not fit into a block of {height} x {width}; "
            f"expected patch_size from 3 to {min(height, width)}"
        )
    line = max(1, side // 10)  # about as wide as a pen stroke of the digits
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    edge = torch.stack([row, column, side - 1 - row, side - 1 - column]).amin(0) < line
    diagonals = ((row - column).abs() < line) | ((row + column - side + 1).abs() < line)
    white = {"square": edge, "crossed": edge | diagonals, "filled": torch.ones_like(edge)}[patch]
    block = torch.zeros(height, width)
    up, left = (height - side) // 2, (width - side) // 2
    block[up : up + side, left : left + side] = white.float()
    return block


def signal_mask(x: Tensor, *, patch: str = "crossed", patch_size: int | None = None) -> Tensor:
    """Where the label can be read: bool, shaped like x, true on the whole signal block of every image.

    x: (N, 1, 2 H, W), unaltered images of `block_mnist` with the same patch and patch_size. Raises ValueError
    for images of which not exactly one block is the null block.
    """
    if x.ndim != 4 or x.shape[2] % 2:
        raise ValueError(f"x has shape {tuple(x.shape)}; expected images of block_mnist, (N, 1, 2 H, W)")
    blocks = x.unflatten(2, (2, -1))
    null = null_block(blocks.shape[3:], patch=patch, patch_size=patch_size).to(x.device)
    is_null = (blocks == null).flatten(3).all(3)
    if not (is_null.sum(2) == 1).all():
        raise ValueError(
            "not every image has one null block; expected unaltered images of block_mnist with "
            f"patch={patch!r}, patch_size={patch_size}"
        )
    return (~is_null)[..., None, None].expand_as(blocks).flatten(2, 3)


def _blocks(
    x: Tensor, y: Tensor, classes: Sequence[int], null: Tensor, top: bool, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The images of these classes beside the null block, and their new labels."""
    kept = torch.isin(y, torch.tensor(classes))
    signal, label = x[kept], (y[kept, None] == torch.tensor(classes)).long().argmax(1)
    above = torch.rand(len(signal), 1, 1, 1, generator=generator) < (1.0 if top else 0.5)
    rest = null.expand_as(signal)
    return torch.cat([torch.where(above, signal, rest), torch.where(above, rest, signal)], 2), label


def _check_classes(classes: Sequence[int], images: Images) -> None:
    if len(set(classes)) < 2 or len(set(classes)) < len(classes):
        raise ValueError(f"classes={tuple(classes)}; expected at least two labels, each once")
    if unknown := [k for k in classes if not 0 <= k < images.n_classes]:
        raise ValueError(
            f"classes={tuple(classes)}: {images.label} has no class {unknown[0]}; its labels are 0 to "
            f"{images.n_classes - 1}"
        )
