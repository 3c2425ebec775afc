"""The basic iterative method in l2 with a binary search over its radius (Foolbox 1.8, as ET uses it)."""

from torch import Tensor, nn

from companion.attacks.minimal.outcome import Minimal


def l2_bim(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    eps: float = 0.3,
    step_size: float = 0.05,
    steps: int = 10,
    search: int = 20,
    batch_size: int = 500,
) -> Minimal:
    """Kurakin et al.'s iterative method on CE, at radii that a search per sample doubles and halves.

    Source: ET section 4.1, with Foolbox 1.8's defaults (facts 4.3). eps, step_size: the first radius and
    its step, root mean square per pixel (l2 norm over sqrt(D)); their ratio stays. The radius
    grows by 1.5 until the attack succeeds, at most `search` times, and is then bisected `search` times.
    y: the reference label; ET takes the net's own prediction. Shapes and errors as in `gradient_line_search`.
    """
    raise NotImplementedError
