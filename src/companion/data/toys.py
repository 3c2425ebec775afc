"""Points drawn from a known distribution, in the form of images: a point of D coordinates is (D, 1, 1).

Images of one pixel with a channel for each coordinate pass through the same attacks, losses and nets as any
other. Coordinates lie in [0, 1], like pixels.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from companion.data.image_set import Images

#: The classes of BR's figure 3b: means, and the covariance of both.
MEANS = ((1.2, 0.1), (-1.2, -0.1))
COVARIANCE = ((0.1, -0.01), (-0.01, 0.002))
#: As printed in BR's appendix A.1; not positive semi-definite, so no distribution has it (BR-E1).
PRINTED_COVARIANCE = ((0.1, -0.01), (-0.01, 0.0002))


def gaussians(
    *,
    covariance: Sequence[Sequence[float]] = COVARIANCE,
    n: int = 3000,
    n_train: int | None = None,
    n_test: int | None = None,
    split_seed: int = 0,
    hold_out: float | None = None,
    device: str | torch.device = "cpu",
) -> Images:
    """Two Gaussians in the plane: n points of each class to train on, n to test on.

    Source: BR appendix A.1, with its code's means (the text loses a sign, BR-E2) and covariance (the printed
    one is none, BR-E1: pass PRINTED_COVARIANCE to see). One scale for both axes takes the training points
    into the unit square, as BR's code takes them into [-1, 1]: distances and radii here are half of BR's. It
    hangs on the outermost points, and with it half the distance of the means, 0.25 to 0.27: BR's strong
    adversary, 0.25, reaches as far as a boundary between the classes can give way.
    Class 0 is BR's class 1, which its figure attacks (BR-E4). Deviation: the code has no test points. The few
    of those drawn here that lie outside the square are moved to its edge.
    covariance: of both classes, 2 x 2.
    n: points of each class in either part.
    split_seed: draws the points.
    n_train, n_test, hold_out, device: as in data.load.
    Raises ValueError for a matrix that is no covariance.
    """
    covariance = torch.tensor(covariance, dtype=torch.float64)
    smallest = torch.linalg.eigvalsh(covariance)[0].item()
    if smallest < 0 or not covariance.equal(covariance.T):
        raise ValueError(
            f"covariance {covariance.tolist()} has the eigenvalue {smallest:.2g}; expected a symmetric "
            "matrix with none below 0. BR prints 0.0002 where its code has 0.002 (BR-E1): use COVARIANCE"
        )
    generator = torch.Generator().manual_seed(split_seed)
    noise = torch.randn(2, 2, n, 2, generator=generator, dtype=torch.float64)  # train and test, class, point
    raw = noise @ torch.linalg.cholesky(covariance).T + torch.tensor(MEANS, dtype=torch.float64)[:, None]
    low, high = raw[0].aminmax()
    x_train, x_test = ((raw - low) / (high - low)).clamp(0, 1).float().view(2, 2 * n, 2, 1, 1)
    y = torch.arange(2).repeat_interleave(n)
    points = Images("gaussians", "two Gaussians", x_train, y, x_test, y.clone(), ("class 1", "class 2"))
    return points.chosen(n_train, n_test, split_seed, hold_out).to(device)


def one_hot_blocks(
    *,
    relevant: int = 10,
    noise_blocks: int = 0,
    block: int = 1,
    eta: float = 0.0,
    n_train: int = 10_000,
    n_test: int = 1_000,
    split_seed: int = 0,
    device: str | torch.device = "cpu",
) -> Images:
    """x = y u in one of the relevant blocks, drawn anew for every point; labels y = -1 or 1, equally likely.

    u is the constant vector of length 1 of a block's coordinates. Every other block holds noise, uniform in
    the ball of radius eta: nothing for eta = 0. The last `noise_blocks` never hold the signal.
    Source: BP section III-A and SH's released code, x = y e_j (block=1, no noise blocks, eta 0; BP's text
    also speaks of noise blocks, BP-E2); SH's simplified BlockMNIST (noise_blocks = relevant).
    Returns points of (relevant + noise_blocks) * block coordinates (v + 1) / 2 in [0, 1]: gradients are
    twice, distances and radii half of those in the papers' coordinates. Class 1 is y = 1.
    relevant: blocks that may hold the signal.
    noise_blocks: further blocks, which never do.
    block: coordinates of a block.
    eta: radius of the noise.
    n_train, n_test: points drawn.
    split_seed: draws them.
    device: where the tensors are.
    Raises ValueError for sizes below 1 and eta outside [0, 1), where noise could pass for signal.
    """
    for name, value, least in (
        ("relevant", relevant, 1),
        ("noise_blocks", noise_blocks, 0),
        ("block", block, 1),
    ):
        if value < least:
            raise ValueError(f"{name}={value}; expected at least {least}")
    for name, value in (("n_train", n_train), ("n_test", n_test)):
        if value < 2:
            raise ValueError(f"{name}={value}; expected at least 2 points, one of each class")
    if not 0 <= eta < 1:
        raise ValueError(f"eta={eta}; expected a noise level in [0, 1), below the signal's length")
    generator = torch.Generator().manual_seed(split_seed)
    n, blocks = n_train + n_test, relevant + noise_blocks
    y = torch.randint(2, (n,), generator=generator)
    y[:2] = y[n_train : n_train + 2] = torch.arange(2)  # never a set of one class
    place = torch.randint(relevant, (n,), generator=generator)
    direction = torch.randn(n, blocks, block, generator=generator)
    radius = eta * torch.rand(n, blocks, 1, generator=generator) ** (1 / block)
    v = radius * direction / direction.norm(dim=2, keepdim=True)
    v[torch.arange(n), place] = ((2 * y - 1) / block**0.5)[:, None]
    x = ((v.flatten(1) + 1) / 2)[:, :, None, None]
    label = f"{blocks} blocks" if eta or noise_blocks or block > 1 else "y e_j"
    points = Images(
        "one_hot_blocks", label, x[:n_train], y[:n_train], x[n_train:], y[n_train:], ("y = -1", "y = 1")
    )
    return points.to(device)


def signal_of(x: Tensor, y: Tensor, *, block: int = 1) -> Tensor:
    """Where the signal of points of `one_hot_blocks` is: bool, shaped like x, true on one block of each.

    x: (N, D, 1, 1); y: (N,). Raises ValueError for points that do not hold y u in exactly one block.
    """
    if x.shape[1] % block:
        raise ValueError(f"block={block} does not divide the {x.shape[1]} coordinates of a point")
    v = (2 * x - 1).view(len(x), -1, block)
    signal = ((2 * y - 1).to(v) / block**0.5)[:, None, None]
    here = ((v - signal).abs() < 1e-5).all(2)
    if not (here.sum(1) == 1).all():
        raise ValueError(
            f"{int((here.sum(1) != 1).sum())} of {len(x)} points do not hold the signal in exactly one block "
            f"of {block} coordinates: give points of one_hot_blocks and their block"
        )
    return here.repeat_interleave(block, 1)[:, :, None, None]


class Distinct(NamedTuple):
    """A set's distinct points (P, ...), their labels (P,) and fractions of the set (P,), which sum to 1."""

    x: Tensor
    y: Tensor
    weights: Tensor


def distinct(x: Tensor, y: Tensor) -> Distinct:
    """Every different labelled point once, in a fixed order, with how often it occurs as its weight.

    A mean over the set is the weighted sum over these: for x = y e_j of d blocks they are at most 2d points.
    x: (N, ...); y: (N,).
    """
    rows, counts = torch.cat([y[:, None].to(x), x.flatten(1)], 1).unique(dim=0, return_counts=True)
    return Distinct(rows[:, 1:].view(-1, *x.shape[1:]), rows[:, 0].to(y), counts.to(x) / len(x))
