"""What the metrics about logits ask of a net's output."""

from torch import Tensor


def check_scores(logits: Tensor) -> None:
    """Raise ValueError unless logits (B, K) are finite scores of at least two classes.

    Rows that lie in [0, 1] and sum to 1 are probabilities: their gradients are not those of the scores.
    """
    if logits.ndim != 2:
        raise ValueError(f"the model returns shape {tuple(logits.shape)}; expected logits (B, K)")
    if logits.shape[1] < 2:
        raise ValueError("the model has a single class; expected at least 2, give a binary net two logits")
    if not logits.isfinite().all():
        raise ValueError("the model returns NaN or infinite logits: look at its weights and its input")
    inside = logits.numel() and bool(((logits >= 0) & (logits <= 1)).all())
    if inside and bool(((logits.sum(1) - 1).abs() < 1e-3).all()):
        raise ValueError(
            "the model returns probabilities (every row sums to 1); expected logits: drop its softmax"
        )
