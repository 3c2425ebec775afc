"""Images without the pixels that a map calls important: what ROAR, KAR and DiffROAR retrain on."""

import numpy as np
import torch
from torch import Tensor


def ranks(maps: Tensor, *, unit: str = "pixel", generator: torch.Generator | None = None) -> Tensor:
    """Place of each pixel in its image's order, 0 for the largest absolute value: int32.

    Source: BR section 3.2, which adds uniform noise below 1e-8 to the values; that decides ties, but also
    reorders values that small. Here ties, and ties alone, are broken at random; values are compared in single
    precision.
    maps: (B, C, H, W), signed. unit: "pixel" adds the absolute values of a pixel's channels and ranks the
    pixels, (B, 1, H, W); "entry" ranks every channel of every pixel, (B, C, H, W) (Hooker et al. 2018; SH).
    generator: on the device of the maps. Raises ValueError on another unit and for maps that are not finite.
    """
    if unit not in ("pixel", "entry"):
        raise ValueError(f'unit={unit!r}; expected "pixel" or "entry"')
    if not maps.isfinite().all():
        raise ValueError("a map holds NaN or infinity, so its pixels have no order")
    values = maps.abs().sum(1, keepdim=True) if unit == "pixel" else maps.abs()
    flat = values.flatten(1).float()
    size = flat.view(torch.int32).long()  # the bits of numbers >= 0 are ordered as the numbers are
    tie = torch.randint(2**32, flat.shape, generator=generator, device=maps.device)
    order = _argsort((size.neg() << 32) | tie)
    places = torch.arange(flat.shape[1], dtype=torch.int32, device=maps.device).expand(flat.shape)
    return places.new_empty(flat.shape).scatter_(1, order, places).view_as(values)


def _argsort(keys: Tensor) -> Tensor:
    """keys.argsort(1), which numpy does four times faster on a CPU."""
    return keys.argsort(1) if keys.is_cuda else torch.from_numpy(np.argsort(keys.numpy(), axis=1))


def masked(
    x: Tensor,
    ranks: Tensor,
    fraction: float,
    *,
    remove: str = "largest",
    fill: float | Tensor = 0.0,
    shows: str = "image",
) -> Tensor:
    """x with round(fraction * D) of the D ranked pixels of every image replaced by `fill`: shaped like x.

    Source: BR section 3.2. remove: "largest" takes the first in the order, as ROAR does, "smallest" the last,
    as KAR does. BR's random baseline instead drops each pixel by a coin of its own, so that its fraction is
    right only on average. A larger fraction contains a smaller one.
    x: (B, C, H, W) in [0, 1]; ranks: see `ranks`; fill: a number, or (C, 1, 1).
    shows: "mask" returns ones where pixels stay and zeros where they are replaced, and nothing of x (BR-E12).
    Raises ValueError on another setting, a fraction outside [0, 1] or ranks of other images.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction={fraction}; expected a fraction of the pixels in [0, 1]")
    if ranks.shape not in (x.shape, (len(x), 1, *x.shape[2:])):
        raise ValueError(f"ranks have shape {tuple(ranks.shape)}, x {tuple(x.shape)}: rank these images")
    total = ranks[0].numel()
    count = round(fraction * total)
    if remove == "largest":
        replaced = ranks < count
    elif remove == "smallest":
        replaced = ranks >= total - count
    else:
        raise ValueError(f'remove={remove!r}; expected "largest" or "smallest"')
    if shows == "image":
        return torch.where(replaced, torch.as_tensor(fill, dtype=x.dtype, device=x.device), x)
    if shows == "mask":
        return (~replaced).to(x.dtype).expand_as(x).contiguous()
    raise ValueError(f'shows={shows!r}; expected "image" or "mask"')


def fill_value(x_train: Tensor, fill: str | float) -> Tensor:
    """What takes the place of a masked pixel: (C, 1, 1).

    fill: "channel_mean" of the training images (BR), the "mean" of all channels together (SH), or a number in
    [0, 1]. x_train: (N, C, H, W). Raises ValueError on another name and on a number outside.
    """
    if fill == "channel_mean":
        return x_train.mean((0, 2, 3)).view(-1, 1, 1)
    if fill == "mean":
        return x_train.mean().expand(x_train.shape[1], 1, 1)
    if isinstance(fill, str) or not 0 <= fill <= 1:
        raise ValueError(f'fill={fill!r}; expected "channel_mean", "mean" or a number in [0, 1]')
    return x_train.new_full((x_train.shape[1], 1, 1), fill)
