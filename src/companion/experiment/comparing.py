"""Two kinds of nets compared over seeds."""

from typing import NamedTuple

import pandas as pd

from companion.plots import interval


class Difference(NamedTuple):
    """A mean difference over seeds, the half-width of its 95 % t-interval (0 for one seed), and their number."""

    mean: float
    half: float
    n: int

    def __str__(self) -> str:
        return f"{self.mean:+.1f} ± {self.half:.1f}" if self.n > 1 else f"{self.mean:+.1f} (one seed)"

    @property
    def sign(self) -> int:
        """1 or -1 where the interval is above or below 0, else 0; always 0 for one seed."""
        return 0 if self.n < 2 or abs(self.mean) <= self.half else (1 if self.mean > 0 else -1)


def difference(frame: pd.DataFrame, more: str, less: str) -> Difference:
    """The values of the model `more` minus those of `less`, paired by seed.

    frame: rows of one quantity under one attack, with the columns model, seed and value.
    Raises ValueError where a seed has several values, or the two models share no seed.
    """
    table = frame.pivot(index="seed", columns="model", values="value")[[more, less]].dropna()
    if table.empty:
        raise ValueError(f"{more} and {less} have no seed in common")
    mean, half = interval((table[more] - table[less]).tolist())
    return Difference(mean, half, len(table))


def compared(of: Difference, more: str, same: str, less: str) -> str:
    """The words for a difference: `more` or `less` where its interval leaves out 0, else `same`."""
    return {1: more, 0: same, -1: less}[of.sign]
