"""What VII is of maps that have seen no image: the levels a net's VII is read against (ours)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from companion.data import Images
from companion.metrics.own_image import against_others
from companion.metrics.vii import sign_cosines


def smooth_maps(
    count: int, shape: Sequence[int], *, grid: int, generator: torch.Generator | None = None
) -> Tensor:
    """Random maps that know no image: Gaussian values on a grid x grid, bilinear to H x W, alike in all
    channels.

    Source: facts NM-C11 (ours). Gradients are smooth, so independent pixels are too low a level.
    shape: of one map, (C, H, W); the result is (count, C, H, W). grid: 1 for one value everywhere, and
    max(H, W) for independent pixels. Raises ValueError on another grid.
    """
    if not 1 <= grid <= max(shape[1:]):
        raise ValueError(f"grid={grid}; expected 1 to {max(shape[1:])} points a side for maps of {shape[1:]}")
    coarse = torch.randn(count, 1, grid, grid, generator=generator)
    return interpolate(coarse, tuple(shape[1:]), mode="bilinear").expand(count, *shape)


def blind_vii(images: Images, *, grid: int, count: int, maps: int = 200, seed: int = 0) -> list[float]:
    """VII over the first `count` test images of a net that shows every image one smooth map, for `maps` maps.

    Their mean is also that of a new map for each image. Their spread is that of a map that is the same for
    every image; with a new map for each image the mean over 500 images hardly varies (small MNIST, grid 8:
    .096, standard deviation .003).
    Measured with 200 maps on 1,000 test images (360 of digits): mean, and 2.5 % to 97.5 % of the maps,
    for grid 8 and 16 (digits 2 and 4); one sign everywhere.
    digits: .161 (.113 to .268), .144 (.095 to .247); .268.
    small MNIST: .101 (.045 to .241), .056 (.030 to .119); .587.
    MNIST: .104 (.042 to .254), .057 (.028 to .131); .659.
    CIFAR-10 (JPEG 75): .090 (.058 to .142), .052 (.036 to .085); .346.
    grid: as in `smooth_maps`, with its errors.
    """
    x, mean = images.x_test[:count], images.x_train.mean(0)
    generator = torch.Generator().manual_seed(seed)
    drawn = smooth_maps(maps, x.shape[1:], grid=grid, generator=generator).to(x)
    return sign_cosines(drawn, x, mean=mean).mean(1).tolist()


def blind_levels(images: Images, *, grids: Sequence[int], count: int) -> dict[str, list[float]]:
    """`blind_vii` for each grid, by name, and last the VII of one sign everywhere.

    For images of fewer than 16 pixels a side a quarter of each grid, under its own name. Errors as in
    `smooth_maps`.
    """
    found = {f"smooth, {g}×{g} grid": blind_vii(images, grid=_fit(g, images), count=count) for g in grids}
    return found | {"one sign everywhere": blind_vii(images, grid=1, count=count, maps=1)}


def _fit(grid: int, images: Images) -> int:
    return grid if images.size >= 16 else grid // 4


def planted_maps(images: Images, *, grid: int, count: int, seed: int = 0) -> dict[str, Tensor]:
    """Maps of the first `count` test images by what they know of them: (count, C, H, W) each.

    A new smooth map for each image; the mean training image of its class minus the mean of all; and the
    image minus that mean, under N(0, 1) noise. grid: as in `blind_levels`.
    """
    x, y, mean = images.x_test[:count], images.y_test[:count], images.x_train.mean(0)
    generator = torch.Generator().manual_seed(seed)
    smooth = smooth_maps(len(x), x.shape[1:], grid=_fit(grid, images), generator=generator).to(x)
    means = [images.x_train[images.y_train == label].mean(0) for label in range(images.n_classes)]
    noisy = x - mean + torch.randn(x.shape, generator=generator).to(x)
    return {"smooth, no image": smooth, "the class": torch.stack(means)[y] - mean, "the image": noisy}


def planted_scores(images: Images, *, grid: int, count: int, draws: int = 5) -> list[dict[str, Any]]:
    """metrics.against_others of `planted_maps`, drawn several times: its rows with `knows` and `seed`."""
    seen = images.x_test[:count], images.y_test[:count]
    return [
        {"knows": name, "seed": seed, **row}
        for seed in range(draws)
        for name, maps in planted_maps(images, grid=grid, count=count, seed=seed).items()
        for row in against_others(maps, *seen, mean=images.x_train.mean(0))
    ]
