"""Where a map is large, on data where it is known where the signal is (SH section 5; BP).

Maps are (N, ...), of any sign: what counts is their absolute value. `signal` is true where the signal is,
(N, ...) or anything that broadcasts to the maps' shape, with at least one entry of either kind in each map.
All functions return one value for each map, (N,), and raise ValueError for masks that do not fit.
"""

from torch import Tensor


def top1(maps: Tensor, signal: Tensor) -> Tensor:
    """1 where the largest |value| is on the signal, else 0; of equal ones, the fraction on the signal.

    Source: SH's released toy notebook, P[argmax_j |g_j| = signal]. A constant map has the signal's fraction
    of the entries, which is what chance gives.
    """
    sizes, on = _flat(maps, signal)
    largest = sizes == sizes.amax(1, keepdim=True)
    return (largest & on).sum(1) / largest.sum(1)


def bottom1(maps: Tensor, signal: Tensor) -> Tensor:
    """As `top1`, of the smallest |value|: a signal can be the least marked.

    Source: SH's released toy notebook, P[argmin_j |g_j| = signal].
    """
    sizes, on = _flat(maps, signal)
    smallest = sizes == sizes.amin(1, keepdim=True)
    return (smallest & on).sum(1) / smallest.sum(1)


def ratio(maps: Tensor, signal: Tensor) -> Tensor:
    """Mean |value| on the signal over mean |value| elsewhere, >= 0: 1 for a constant map.

    Infinite where the rest is zero, NaN for a map of zeros.
    """
    sizes, on = _flat(maps, signal)
    return ((sizes * on).sum(1) / on.sum(1)) / ((sizes * ~on).sum(1) / (~on).sum(1))


def mass_on(maps: Tensor, mask: Tensor) -> Tensor:
    """Fraction of the map's total |value| on the mask, in [0, 1]; NaN for a map of zeros."""
    sizes, on = _flat(maps, mask)
    return (sizes * on).sum(1) / sizes.sum(1)


def _flat(maps: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    try:
        mask = mask.expand(maps.shape)
    except RuntimeError:
        raise ValueError(
            f"a mask of shape {tuple(mask.shape)} does not fit maps of shape {tuple(maps.shape)}"
        ) from None
    on = mask.bool().flatten(1)
    if not (on.any(1) & ~on.all(1)).all():
        raise ValueError("a mask is all true or all false: it has to separate the signal from the rest")
    return maps.detach().abs().flatten(1), on
