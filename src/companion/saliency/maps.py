"""What IR does to a map before it becomes a training target (IR section 3.1 and 4.4)."""

import torch
from torch import Tensor


def threshold(maps: Tensor, phi: float = 1.0) -> Tensor:
    """Set a map's entries inside mean +- phi * sd to zero, map by map.

    Source: IR section 3.1, phi = 1. Mean and (unbiased) sd are over all C*H*W entries of one map jointly,
    and an entry exactly on a bound is kept, as in the official code. A constant map has sd 0 and stays.
    maps: (B, ...). Raises ValueError on phi < 0.
    """
    if not phi >= 0:
        raise ValueError(f"phi={phi}; expected a number of standard deviations >= 0")
    flat = maps.flatten(1)
    mean, width = flat.mean(1, keepdim=True), phi * flat.std(1, keepdim=True)
    inside = (flat > mean - width) & (flat < mean + width)
    return flat.masked_fill(inside, 0).view_as(maps)


def permute(maps: Tensor, fraction: float, *, generator: torch.Generator | None = None) -> Tensor:
    """Shuffle int(fraction * D) randomly chosen entries of each map among themselves.

    Source: IR section 4.4. Mean, sd and the multiset of values stay; where they lie does not. A chosen entry
    may land on itself, as in the official code. fraction 0 returns the maps, 1 shuffles all of each.
    maps: (B, ...). Raises ValueError unless 0 <= fraction <= 1.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction={fraction}; expected a share in [0, 1]")
    flat = maps.flatten(1)
    count = int(fraction * flat.shape[1])
    draw = {"generator": generator, "device": maps.device}
    chosen = torch.rand(flat.shape, **draw).argsort(1)[:, :count]
    order = torch.rand(chosen.shape, **draw).argsort(1)
    return flat.scatter(1, chosen, flat.gather(1, chosen.gather(1, order))).view_as(maps)


def other_images(y: Tensor, among: str, *, generator: torch.Generator | None = None) -> Tensor:
    """For each image the index of another one, each taken once: int64 (B,). Ours, a control for IR's targets.

    among: "same_class", the images with its label, or "any". An image is its own other only where there is no
    second one. y: labels, int64 (B,). Raises ValueError on another choice.
    """
    if among not in ("same_class", "any"):
        raise ValueError(f'among={among!r}; expected "same_class" or "any"')
    order = torch.randperm(len(y), generator=generator, device=y.device)
    if among == "same_class":
        order = order[y[order].argsort(stable=True)]
    groups = order.split(y.bincount().tolist()) if among == "same_class" else [order]
    other = torch.empty_like(order)
    for members in groups:
        other[members] = members.roll(1)
    return other
