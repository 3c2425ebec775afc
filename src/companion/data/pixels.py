"""From grey levels as a reader of a set gives them to images in [0, 1]."""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from companion.data.image_set import Images


def delivered(
    stored: Images,
    *,
    n_train: int | None,
    n_test: int | None,
    split_seed: int,
    hold_out: float | None,
    size: int | None,
    device: torch.device,
) -> Images:
    """The part of a set as stored that is asked for, float32 in [0, 1], on the device; see `load`."""
    # The subset is taken from the bytes as stored: only what is kept becomes float32 and reaches the device.
    images = stored.chosen(n_train, n_test, split_seed, hold_out).to(device)
    return replace(
        images,
        x_train=_unit_range(images.x_train, images.name, size),
        x_test=_unit_range(images.x_test, images.name, size),
    )


def _unit_range(x: Tensor, name: str, size: int | None) -> Tensor:
    """Stored grey levels to float32 in [0,1], resized where asked."""
    top = 16 if name == "digits" else 255
    x = x.float().contiguous().div_(top)
    if size is None or x.shape[2:] == (size, size):
        return x
    return interpolate(x, (size, size), mode="bilinear", antialias=True).clamp_(0, 1)
