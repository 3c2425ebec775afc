"""Numbers about trained nets; each returns one value per sample."""

from companion.metrics.alignment import cosine_to_target
from companion.metrics.alignment_terms import (
    AlignmentTerms,
    alignment,
    alignment_terms,
    binarised_alignment,
    linearised_robustness,
)
from companion.metrics.homogeneous import homogeneous_decomposition
from companion.metrics.jacobian_norms import jacobian_norms
from companion.metrics.vii import constant_sign_vii, sign_cosine, vii, vii_chance

__all__ = [
    "AlignmentTerms",
    "alignment",
    "alignment_terms",
    "binarised_alignment",
    "constant_sign_vii",
    "cosine_to_target",
    "homogeneous_decomposition",
    "jacobian_norms",
    "linearised_robustness",
    "sign_cosine",
    "vii",
    "vii_chance",
]
