"""What the metrics about logits ask of a net's output."""

from torch import Tensor

from companion import guards


def check_scores(logits: Tensor) -> None:
    """Raise ValueError unless logits (B, K) are finite scores of at least two classes.

    Rows that lie in [0, 1] and sum to 1 are probabilities: their gradients are not those of the scores.
    TypeError where they are no tensor.
    """
    guards.check_logits(logits)
    if not logits.isfinite().all():
        raise ValueError("the model returns NaN or infinite logits: look at its weights and its input")
    inside = logits.numel() and bool(((logits >= 0) & (logits <= 1)).all())
    if inside and bool(((logits.sum(1) - 1).abs() < 1e-3).all()):
        raise ValueError(
            "the model returns probabilities (every row sums to 1); expected logits: drop its softmax"
        )
