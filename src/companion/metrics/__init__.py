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
from companion.metrics.leakage import (
    block_scores,
    by_block,
    class_directions,
    leak_scores,
    leaking_identities,
    mean_null_map,
    predicted_gradient,
)
from companion.metrics.localisation import bottom1, mass_on, ratio, top1
from companion.metrics.manifold import changed, density, manifold_distance, projection
from companion.metrics.modulation_identities import modulation_identities
from companion.metrics.own_image import GRADIENTS, against, against_others, focus, own_image
from companion.metrics.robustness import (
    clean_accuracy,
    reference_accuracy,
    robust_accuracy,
    scaled_accuracy,
)
from companion.metrics.spectra import demodulation, image_correlation, spectrum, wiener
from companion.metrics.strong_accuracy import strong_accuracy
from companion.metrics.toy_scores import (
    reach,
    toy_gradient,
    toy_points,
    toy_robustness,
    toy_scores,
)
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
    "block_scores",
    "blind_levels",
    "blind_vii",
    "bottom1",
    "boundary_normal",
    "boundary_point",
    "by_block",
    "changed",
    "class_directions",
    "constant_sign_vii",
    "correlation",
    "cosine_to_target",
    "demodulation",
    "density",
    "focus",
    "homogeneous_decomposition",
    "image_correlation",
    "jacobian_norms",
    "leak_scores",
    "leaking_identities",
    "line_of_means",
    "linearised_robustness",
    "mahalanobis",
    "log_odds_gradient",
    "manifold_distance",
    "mass_on",
    "mean_null_map",
    "mean_displacement",
    "predicted_gradient",
    "modulation_identities",
    "own_image",
    "planted_maps",
    "planted_scores",
    "projection",
    "ratio",
    "reach",
    "sign_cosine",
    "strong_accuracy",
    "sign_cosines",
    "smooth_maps",
    "spectrum",
    "top1",
    "toy_gradient",
    "toy_points",
    "toy_robustness",
    "toy_scores",
    "vii",
    "vii_chance",
    "wiener",
]
