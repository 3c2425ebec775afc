"""Numbers about trained nets; each returns one value per sample."""

from companion.metrics.alignment import cosine_to_target
from companion.metrics.alignment_identities import (
    algebra,
    counter_example,
    penalty_bracket,
    shared_origin,
)
from companion.metrics.alignment_measures import (
    alignment_values,
    alignments,
    kink_effect,
    nearest_distance,
)
from companion.metrics.alignment_terms import (
    AlignmentTerms,
    alignment,
    alignment_terms,
    binarised_alignment,
    linearised_robustness,
)
from companion.metrics.blind_maps import blind_levels, blind_vii, planted_maps, planted_scores, smooth_maps
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
from companion.metrics.modulation_identities import modulation_identities
from companion.metrics.own_image import (
    GRADIENTS,
    against,
    against_others,
    focus,
    own_image,
    random_phases,
)
from companion.metrics.robustness import (
    clean_accuracy,
    reference_accuracy,
    robust_accuracy,
    scaled_accuracy,
)
from companion.metrics.spectra import demodulation, image_correlation, spectrum, wiener
from companion.metrics.vii import (
    constant_sign_vii,
    log_odds_gradient,
    sign_cosine,
    sign_cosines,
    vii,
    vii_chance,
)

__all__ = [
    "algebra",
    "alignment_values",
    "alignments",
    "kink_effect",
    "nearest_distance",
    "penalty_bracket",
    "shared_origin",
    "GRADIENTS",
    "clean_accuracy",
    "counter_example",
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
    "against",
    "against_others",
    "angle",
    "binarised_alignment",
    "blind_levels",
    "blind_vii",
    "bottom1",
    "boundary_normal",
    "boundary_point",
    "changed",
    "constant_sign_vii",
    "correlation",
    "cosine_to_target",
    "demodulation",
    "density",
    "focus",
    "homogeneous_decomposition",
    "image_correlation",
    "jacobian_norms",
    "line_of_means",
    "linearised_robustness",
    "mahalanobis",
    "log_odds_gradient",
    "manifold_distance",
    "mass_on",
    "mean_displacement",
    "modulation_identities",
    "own_image",
    "planted_maps",
    "planted_scores",
    "projection",
    "random_phases",
    "ratio",
    "sign_cosine",
    "sign_cosines",
    "smooth_maps",
    "spectrum",
    "top1",
    "vii",
    "vii_chance",
    "wiener",
]
