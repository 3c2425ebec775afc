"""Square attack (Andriushchenko et al. 2020): random search that asks for logits and for no gradient."""

from collections.abc import Callable
from functools import lru_cache, partial
from math import sqrt

import torch
from torch import Tensor, nn

from companion import guards
from companion.attacks.norms import per_sample_norm, project
from companion.attacks.objectives import margin

#: p is halved at these queries out of 10,000; a smaller budget moves them forward in proportion.
HALVED_AT = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)

#: draw(n): n uniform numbers in [0, 1) for each sample, (B, n)
Draw = Callable[[int], Tensor]


def square(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    norm: str,
    eps: float,
    queries: int = 5000,
    p: float = 0.8,
    seeds: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Square attack: change one window of the best image so far, keep the change where the margin rises.

    Source: Andriushchenko et al. 2020, algorithms 1 to 3, with the margin as loss. linf: the window moves to
    x + eps or x - eps, by channel. l2: a second window hands its part of the norm to the first, where a bump
    of either sign is added. A sample stops at its first misclassified image (the active set). The net may be
    a black box: only logits are used, so gradients that are masked, zero or wrong mislead nobody.

    x: (B, C, H, W) in [0, 1]; (B, H, W) and (B, D) count as images of one channel, or of one row.
    y: (B,) int64.
    norm: "l2" or "linf".
    eps: radius, pixel units.
    queries: forward passes per sample.
    p: fraction of the image that the first windows cover (AutoAttack's default).
    seeds: int64 (B,), drawn from the generator unless given. A sample's random numbers follow from its own
    seed, so its result depends neither on its batch nor on which others are still robust.
    generator: of the seeds.

    Returns x_adv, shaped like x, in [0, 1] and within eps of x: misclassified, or the image of the greatest
    margin. eps = 0 returns x itself, bit for bit.
    Raises ValueError on a wrong range, dtype, shape, label, device, norm or setting.

    Deviation: AutoAttack's code draws one window for a whole batch, never at the last row or column.
    """
    guards.check_images(x, y, model)
    guards.check_norm(norm, eps, x)
    if x.ndim > 4:
        raise ValueError(f"x has shape {tuple(x.shape)}; square attacks (B, C, H, W), (B, H, W) or (B, D)")
    if queries < 1:
        raise ValueError(f"queries={queries}; expected at least 1")
    if not 0 < p <= 1:
        raise ValueError(f"p={p}; expected a fraction of the image in (0, 1]")
    if seeds is not None and (seeds.dtype != torch.int64 or seeds.shape != y.shape):
        raise ValueError(
            f"seeds has dtype {seeds.dtype} and shape {tuple(seeds.shape)}; expected one int64 for each of "
            f"{len(y)} images"
        )
    x = x.detach()
    if eps == 0:
        return x.clone()
    if seeds is None:
        seeds = torch.randint(2**62, (len(x),), generator=generator, device=x.device)
    first, change = {"linf": (_stripes, _recoloured), "l2": (_tiles, _moved)}[norm]
    clean = x.reshape(len(x), *[1] * (4 - x.ndim), *x.shape[1:])
    adversarial, active = clean.clone(), torch.arange(len(x), device=x.device)
    labels, best, highest = y, clean, x.new_full((len(x),), -torch.inf)

    with guards.frozen(model), torch.no_grad():
        for query in range(queries):
            draw = partial(_uniform, seeds, query)
            if query == 0:
                image = first(clean, eps, draw)
            else:
                image = change(clean, best, eps, _side(p, query / queries, clean, norm), draw)
            logits = model(image.reshape(-1, *x.shape[1:]))
            if query == 0:
                guards.check_labels(y, logits)
            value, robust = margin(logits, labels), logits.argmax(1) == labels
            better = (value > highest) | ~robust
            best = torch.where(better[:, None, None, None], image, best)
            highest = value.where(better, highest)
            if not robust.all():
                adversarial[active[~robust]] = best[~robust]
                state = (active, clean, labels, seeds, best, highest)
                active, clean, labels, seeds, best, highest = (tensor[robust] for tensor in state)
                if not robust.any():
                    break
    adversarial[active] = best
    return adversarial.view_as(x)


def _side(p: float, progress: float, clean: Tensor, norm: str) -> int:
    """Side of a square that covers a fraction p of the image, halved on schedule; odd, at least 3 for l2."""
    height, width = clean.shape[2:]
    halvings = sum(10_000 * progress > query for query in HALVED_AT)
    side = round(sqrt(p / 2**halvings * height * width))
    return max(side, 1) if norm == "linf" else max(side + 1 - side % 2, 3)


def _stripes(clean: Tensor, eps: float, draw: Draw) -> Tensor:
    """The linf start: every column of every channel moves by eps, up or down."""
    _, channels, _, width = clean.shape
    return (clean + eps * _signs(draw(channels * width), clean).view(-1, channels, 1, width)).clamp(0, 1)


def _recoloured(clean: Tensor, best: Tensor, eps: float, side: int, draw: Draw) -> Tensor:
    """Algorithm 2 (linf): within a random square x + eps or x - eps, by channel."""
    numbers = draw(2 + clean.shape[1])
    inside, _, _ = _window(clean, side, numbers[:, :2])
    return torch.where(inside, (clean + eps * _signs(numbers[:, 2:, None, None], clean)).clamp(0, 1), best)


def _tiles(clean: Tensor, eps: float, draw: Draw) -> Tensor:
    """The l2 start: a grid of bumps, five along the shorter side, of random signs and orientations."""
    _, channels, height, width = clean.shape
    side = max(min(height, width) // 5, 1)
    rows, columns = (torch.arange(n, device=clean.device) for n in (height, width))
    grid = -(-height // side), -(-width // side)
    numbers = draw((1 + channels) * grid[0] * grid[1]).view(-1, 1 + channels, *grid)
    numbers = numbers[:, :, rows[:, None] // side, columns // side]
    bump = _bump(side, side).to(clean)[rows[:, None] % side, columns % side]
    turned = _bump(side, side).T.to(clean)[rows[:, None] % side, columns % side]
    delta = _signs(numbers[:, 1:], clean) * torch.where(numbers[:, :1] < 0.5, bump, turned)
    return (clean + eps * delta / per_sample_norm(delta)).clamp(0, 1)


def _moved(clean: Tensor, best: Tensor, eps: float, side: int, draw: Draw) -> Tensor:
    """Algorithm 3 (l2): two random squares give up their norm, and what the box left unused of eps; the first
    gets all of it, along its old direction plus a bump of random sign."""
    _, channels, height, width = clean.shape
    numbers = draw(5 + channels)
    inside, rows, columns = _window(clean, side, numbers[:, :2])
    cleared = inside | _window(clean, side, numbers[:, 2:4])[0]
    shape = min(side, height), min(side, width)
    upright, turned = (
        eta.to(clean)[rows[:, :, None], columns[:, None, :]][:, None]
        for eta in (_bump(*shape), _bump(*shape[::-1]).T)
    )
    bump = torch.where(numbers[:, 4, None, None, None] < 0.5, upright, turned)
    delta = best - clean
    unused = (eps**2 - per_sample_norm(delta) ** 2).clamp_min(0)
    available = ((delta * cleared).square().sum((2, 3), keepdim=True) + unused / channels).sqrt()
    direction = _unit((_signs(numbers[:, 5:, None, None], clean) * bump + _unit(delta * inside)) * inside)
    return (clean + project(delta * ~cleared + available * direction, "l2", eps)).clamp(0, 1)


def _window(clean: Tensor, side: int, place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A square for each sample: bool (B, 1, H, W), and rows (B, H) and columns (B, W) from its corner.

    place: uniform numbers (B, 2). A side longer than the image is cut; every position is equally likely.
    Counts outside the square are clamped to it.
    """
    offsets, inside = [], []
    for size, number in zip(clean.shape[2:], place.unbind(1), strict=True):
        length = min(side, size)
        corner = (number * (size - length + 1)).long()
        offset = torch.arange(size, device=clean.device) - corner[:, None]
        inside.append((offset >= 0) & (offset < length))
        offsets.append(offset.clamp(0, length - 1))
    return (inside[0][:, :, None] & inside[1][:, None, :])[:, None], *offsets


@lru_cache
def _bump(height: int, width: int) -> Tensor:
    """eta of eq. 2, norm 1: two peaks of opposite sign, side by side from top to bottom."""
    upper = height // 2
    eta = torch.cat([_peak(upper, width), -_peak(height - upper, width)])
    return eta / eta.norm()


def _peak(height: int, width: int) -> Tensor:
    """Sum of 1 / (j + 1)^2 over j from the distance to the middle on: highest in the middle."""
    rows, columns = ((torch.arange(n) - n // 2).abs() for n in (height, width))
    distance = torch.maximum(rows[:, None], columns)
    terms = 1 / torch.arange(1, max(height, width) // 2 + 2) ** 2
    return terms.flip(0).cumsum(0).flip(0)[distance]


def _unit(delta: Tensor) -> Tensor:
    """Each channel divided by its l2 norm; zero stays zero."""
    norm = delta.square().sum((2, 3), keepdim=True).sqrt()
    return delta / norm.where(norm > 0, torch.ones_like(norm))


def _signs(uniform: Tensor, clean: Tensor) -> Tensor:
    """1 or -1, in the images' dtype: x + eps * sign is then x + eps or x - eps to the last bit."""
    return (2.0 * (uniform < 0.5) - 1).to(clean)


def _uniform(seeds: Tensor, query: int, count: int) -> Tensor:
    """`count` uniform numbers in [0, 1) for each sample, (B, count): splitmix64 of seed and counter.

    A generator would number the draws by batch; here the same seed gives the same numbers everywhere.
    """
    counter = torch.arange(1, count + 1, device=seeds.device) + (query << 32)
    z = seeds[:, None] + counter * -0x61C8864680B583EB  # int64 wraps as uint64 does
    z = (z ^ (z >> 30 & 0x3FFFFFFFF)) * -0x40A7B892E31B1A47  # a shift without the sign bit
    z = (z ^ (z >> 27 & 0x1FFFFFFFFF)) * -0x6B2FB644ECCEEE15
    z = z ^ (z >> 31 & 0x1FFFFFFFF)
    return (z >> 11 & 0x1FFFFFFFFFFFFF).double() / 2**53
