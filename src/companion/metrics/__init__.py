"""Numbers about trained nets; each returns one value per sample."""

from companion.metrics.alignment import cosine_to_target
from companion.metrics.jacobian_norms import jacobian_norms

__all__ = ["cosine_to_target", "jacobian_norms"]
