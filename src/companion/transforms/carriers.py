"""Carriers of noise modulation: random numbers by the name of their distribution."""

import ast
import math
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import lru_cache

import torch
from torch import Tensor, distributions


def _exponential(shape: Sequence[int], **draw) -> Tensor:
    return -torch.log1p(-torch.rand(shape, **draw))  # inverse CDF; several times as fast as exponential_()


def _laplace(shape: Sequence[int], **draw) -> Tensor:
    return _exponential(shape, **draw) - _exponential(shape, **draw)


def _gamma(shape: Sequence[int], **draw) -> Tensor:
    # Gamma(1, 1) is Exponential(1) (NM-E1). Numbers that the exponential carrier would draw from the same
    # generator are passed over, so that the two carriers are two draws of one distribution.
    torch.rand(shape, **draw)
    return _exponential(shape, **draw)


def _rayleigh(shape: Sequence[int], **draw) -> Tensor:
    return (2 * _exponential(shape, **draw)).sqrt_()


#: The six carriers of NM section 3.4: N(0,1), U[0,1], Laplace(0,1), Gamma(1,1), Exponential(1), Rayleigh(1).
CARRIERS: dict[str, Callable[..., Tensor]] = {
    "gaussian": torch.randn,
    "uniform": torch.rand,
    "laplace": _laplace,
    "gamma": _gamma,
    "exponential": _exponential,
    "rayleigh": _rayleigh,
}

#: E[d], E[d^2], E[d^3], E[d^4] of each.
_MOMENTS: dict[str, tuple[float, float, float, float]] = {
    "gaussian": (0, 1, 0, 3),
    "uniform": (1 / 2, 1 / 3, 1 / 4, 1 / 5),
    "laplace": (0, 2, 0, 24),
    "gamma": (1, 2, 6, 24),
    "exponential": (1, 2, 6, 24),
    "rayleigh": (math.sqrt(math.pi / 2), 2, 3 * math.sqrt(math.pi / 2), 8),
}


def draw(
    carrier: str,
    shape: Sequence[int],
    *,
    generator: torch.Generator | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Independent random numbers of the distribution `carrier`.

    carrier: one of CARRIERS, or a distribution of torch.distributions over single numbers written as its
    call, such as "StudentT(df=5)" or "Normal(0, 2)", its arguments numbers. A string, so that a Recipe
    can hold it. The latter are drawn on the CPU, since torch.distributions knows only global generators.
    The global random state is left as it was when a generator is given.
    Raises ValueError for an unknown name (naming the nearest), wrong arguments, or a distribution of vectors.
    """
    if carrier in CARRIERS:
        return CARRIERS[carrier](shape, generator=generator, device=device, dtype=dtype)
    distribution = parse(carrier)
    if generator is None:
        return distribution.sample(shape).to(device, dtype)
    seed = torch.randint(2**62, (), generator=generator, device=generator.device)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(seed))
        return distribution.sample(shape).to(device, dtype)


@lru_cache
def parse(carrier: str) -> distributions.Distribution:
    """The object of torch.distributions that a call such as "StudentT(df=5)" makes; errors as in `draw`."""
    name = carrier.partition("(")[0]
    kind = getattr(distributions, name, None)
    if not (isinstance(kind, type) and issubclass(kind, distributions.Distribution)):
        near = get_close_matches(name, [*CARRIERS, *distributions.__all__], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"carrier={carrier!r}; expected one of {', '.join(CARRIERS)}, or a distribution of "
            f'torch.distributions with its arguments, such as "StudentT(df=5)"{hint}'
        )
    try:
        call = ast.parse(carrier, mode="eval").body
        positional = [ast.literal_eval(argument) for argument in call.args]
        named = {argument.arg: ast.literal_eval(argument.value) for argument in call.keywords}
        distribution = kind(*positional, **named)
        if distribution.batch_shape or distribution.event_shape:
            raise ValueError("a carrier draws single numbers, not vectors")
    except (AttributeError, SyntaxError, TypeError, ValueError) as error:
        raise ValueError(
            f'carrier={carrier!r} is no distribution with numbers for arguments, such as "StudentT(df=5)": '
            f"{str(error).splitlines()[0]}"
        ) from error
    return distribution


def modulation_sd(
    carrier: str, beta: float, *, samples: int | None = None, generator: torch.Generator | None = None
) -> float:
    """Standard deviation of m = c^2 / E[c^2] with c = beta + (1 - beta) d and d drawn from `carrier`.

    How far noise modulation moves a pixel, relative to its value; for images of many pixels, where the mean
    of c^2 is E[c^2]. Source: NM eq. 10; facts NM-C5 and NM-C7 (ours, not in the paper).
    samples: None for the closed form sqrt(E[c^4] / E[c^2]^2 - 1), which the six named carriers have; else
    the number of draws of a Monte Carlo estimate, for any carrier.
    Raises ValueError as `draw` does, on beta outside [0, 1], and for a carrier without a closed form.
    """
    check_carrier(carrier, beta)
    if samples is None:
        if carrier not in _MOMENTS:
            raise ValueError(f"carrier={carrier!r} has no closed form here; give samples, such as 1_000_000")
        power, fourth = (_moment(_MOMENTS[carrier], beta, k) for k in (2, 4))
    else:
        noise = draw(carrier, (samples,), generator=generator, dtype=torch.float64)
        power, fourth = ((beta + (1 - beta) * noise).pow(k).mean().item() for k in (2, 4))
    return math.sqrt(max(fourth / power**2 - 1, 0.0))


def _moment(moments: Sequence[float], beta: float, k: int) -> float:
    """E[(beta + (1 - beta) d)^k], by the binomial theorem."""
    of_noise = (1, *moments)
    return sum(math.comb(k, j) * beta ** (k - j) * (1 - beta) ** j * of_noise[j] for j in range(k + 1))


def check_carrier(carrier: str, beta: float) -> None:
    """Raise ValueError unless c = beta + (1 - beta) d is a carrier: beta in [0, 1], c not almost surely 0."""
    if not 0 <= beta <= 1:
        raise ValueError(f"beta={beta}; expected the fraction of the constant in the carrier, in [0, 1]")
    if carrier not in CARRIERS and _is_zero(parse(carrier), beta):
        raise ValueError(
            f"carrier={carrier!r} with beta={beta} is almost surely zero, and eq. 10 divides by its power: "
            "take another beta, or a carrier that varies"
        )


def _is_zero(noise: distributions.Distribution, beta: float) -> bool:
    """Whether beta + (1 - beta) d is almost surely 0."""
    try:
        return bool(noise.variance == 0 and beta + (1 - beta) * noise.mean == 0)
    except NotImplementedError:  # torch knows no moments of it, but has them for all that can be constant
        return False
