"""Numbers about trained nets; each returns one value per sample."""

from companion.metrics.alignment import cosine_to_target
from companion.metrics.alignment_terms import (
    AlignmentTerms,
    alignment,
    alignment_terms,
    binarised_alignment,
    linearised_robustness,
)
from companion.metrics.boundary import (
    angle,
    boundary_normal,
    boundary_point,
    line_of_means,
    mahalanobis,
    mean_displacement,
)
from companion.metrics.correlation import Correlation, correlation
from companion.metrics.gradient_norms import gradient_norms, target_cosine
from companion.metrics.homogeneous import homogeneous_decomposition
from companion.metrics.identities import jacobian_identities
from companion.metrics.jacobian_norms import jacobian_norms
from companion.metrics.localisation import bottom1, mass_on, ratio, top1
from companion.metrics.manifold import changed, density, manifold_distance, projection
from companion.metrics.projections import nearest_image, principal_projection, random_step
from companion.metrics.retrained import fraction_correct, gradient_spread, read_off_masks
from companion.metrics.robustness import (
    clean_accuracy,
    reference_accuracy,
    robust_accuracy,
    scaled_accuracy,
)
from companion.metrics.strong import strong_accuracy
from companion.metrics.vii import constant_sign_vii, sign_cosine, vii, vii_chance

__all__ = [
    "fraction_correct",
    "nearest_image",
    "principal_projection",
    "random_step",
    "gradient_spread",
    "read_off_masks",
    "strong_accuracy",
    "clean_accuracy",
    "reference_accuracy",
    "robust_accuracy",
    "scaled_accuracy",
    "gradient_norms",
    "target_cosine",
    "jacobian_identities",
    "AlignmentTerms",
    "Correlation",
    "alignment",
    "alignment_terms",
    "angle",
    "binarised_alignment",
    "bottom1",
    "boundary_normal",
    "boundary_point",
    "changed",
    "constant_sign_vii",
    "correlation",
    "cosine_to_target",
    "density",
    "homogeneous_decomposition",
    "jacobian_norms",
    "line_of_means",
    "linearised_robustness",
    "mahalanobis",
    "manifold_distance",
    "mass_on",
    "mean_displacement",
    "projection",
    "ratio",
    "sign_cosine",
    "top1",
    "vii",
    "vii_chance",
]
