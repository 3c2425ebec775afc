"""The fast minimum-norm attack (Pintor et al. 2021) in l2."""

from torch import Tensor, nn

from companion.attacks.minimal.outcome import Minimal


def fmn(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    steps: int = 100,
    step_size: float = 1.0,
    gamma: float = 0.05,
    batch_size: int = 500,
) -> Minimal:
    """Steps along the margin's gradient in a ball that shrinks where they succeed and grows where they fail.

    Source: Pintor et al. 2021, algorithm 1 for l2. step_size: of the first step, pixels of [0, 1], and gamma:
    the radius' relative change; both fall with a half cosine. The cheap one: `steps` passes for each sample.
    y: the reference label; ET takes the net's own prediction. Shapes and errors as in `gradient_line_search`.
    """
    raise NotImplementedError
