"""Carlini and Wagner's l2 attack (2017), every sample on its own."""

from torch import Tensor, nn

from companion.attacks.minimal.outcome import Minimal


def carlini_wagner(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    steps: int = 1000,
    search: int = 5,
    lr: float = 5e-3,
    const: float = 1e-2,
    batch_size: int = 500,
) -> Minimal:
    """Adam on ||x' - x||^2 + c * max(z_y - max_k z_k, 0), x' = (1 + tanh w) / 2, c searched per sample.

    Source: Carlini & Wagner 2017; settings of ET (Foolbox 1.8): `search` values of c from
    `const` on, at most `steps` steps of rate `lr` each.
    y: the reference label; ET takes the net's own prediction. Shapes and errors as in `gradient_line_search`.
    """
    raise NotImplementedError
