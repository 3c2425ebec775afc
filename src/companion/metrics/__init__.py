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
from companion.metrics.homogeneous import homogeneous_decomposition
from companion.metrics.jacobian_norms import jacobian_norms
from companion.metrics.localisation import bottom1, mass_on, ratio, top1
from companion.metrics.manifold import changed, density, manifold_distance, projection
from companion.metrics.retraining import (
    Leak,
    area_under,
    diff_roar,
    mask_leak,
    mu_kar,
    mu_roar,
    retrained_accuracies,
    retrainings,
)
from companion.metrics.unmasking import pred_power, unmaskings
from companion.metrics.vii import constant_sign_vii, sign_cosine, vii, vii_chance

__all__ = [
    "AlignmentTerms",
    "Correlation",
    "Leak",
    "alignment",
    "alignment_terms",
    "angle",
    "area_under",
    "binarised_alignment",
    "bottom1",
    "boundary_normal",
    "boundary_point",
    "changed",
    "constant_sign_vii",
    "correlation",
    "cosine_to_target",
    "density",
    "diff_roar",
    "homogeneous_decomposition",
    "jacobian_norms",
    "line_of_means",
    "linearised_robustness",
    "mahalanobis",
    "manifold_distance",
    "mask_leak",
    "mass_on",
    "mean_displacement",
    "mu_kar",
    "mu_roar",
    "pred_power",
    "projection",
    "ratio",
    "retrained_accuracies",
    "retrainings",
    "sign_cosine",
    "unmaskings",
    "top1",
    "vii",
    "vii_chance",
]
