"""Numbers about trained nets; each returns one value per sample."""

from companion.metrics.alignment import cosine_to_target
from companion.metrics.alignment_identities import algebra, counter_example, penalty_bracket, shared_origin
from companion.metrics.alignment_measures import (
    alignment_values,
    alignments,
    kink_effect,
    nearest_distance,
    next_of_class,
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
from companion.metrics.cross_examination import (
    centred_gradient,
    jacobian_per_margin,
    map_measures,
    signs_of_own_image,
    variance_correlation,
)
from companion.metrics.gradient_norms import gradient_norms, target_cosine
from companion.metrics.homogeneous import homogeneous_decomposition
from companion.metrics.identities import jacobian_identities
from companion.metrics.jacobian_norms import jacobian_norms
from companion.metrics.leakage import (
    block_scores,
    by_block,
    class_directions,
    lead_gradient,
    leak_scores,
    leaking_identities,
    mean_null_map,
    predicted_gradient,
)
from companion.metrics.localisation import bottom1, mass_on, ratio, top1
from companion.metrics.manifold import changed, density, manifold_distance, projection
from companion.metrics.modulation_identities import modulation_identities
from companion.metrics.off_manifold import (
    latent_distances,
    off_manifold,
    projection_errors,
    projections,
    relative_mode,
)
from companion.metrics.own_image import (
    GRADIENTS,
    against,
    against_others,
    focus,
    own_image,
    random_phases,
)
from companion.metrics.projections import (
    nearest_image,
    principal_projection,
    principal_projections,
    random_step,
    step_towards,
)
from companion.metrics.retrained import fraction_correct, gradient_spread, read_off_masks
from companion.metrics.robustness import clean_accuracy, reference_accuracy, robust_accuracy, scaled_accuracy
from companion.metrics.spectra import demodulation, image_correlation, spectrum, wiener
from companion.metrics.strong_accuracy import strong_accuracy
from companion.metrics.tilt import (
    attacked_points,
    best_tilt,
    covariance_facts,
    covariance_within,
    largest_tilt,
    linear_theory,
    linear_z,
    normal_angle,
    theory_gaps,
    tilt,
)
from companion.metrics.toy_scores import reach, toy_gradient, toy_points, toy_robustness, toy_scores
from companion.metrics.vii import (
    constant_sign_vii,
    log_odds_gradient,
    sign_cosine,
    sign_cosines,
    vii,
    vii_chance,
)

__all__ = [
    "AlignmentTerms",
    "Correlation",
    "GRADIENTS",
    "against",
    "against_others",
    "algebra",
    "alignment",
    "alignment_terms",
    "alignment_values",
    "alignments",
    "angle",
    "attacked_points",
    "best_tilt",
    "binarised_alignment",
    "blind_levels",
    "blind_vii",
    "block_scores",
    "bottom1",
    "boundary_normal",
    "boundary_point",
    "by_block",
    "centred_gradient",
    "changed",
    "class_directions",
    "clean_accuracy",
    "constant_sign_vii",
    "correlation",
    "cosine_to_target",
    "counter_example",
    "covariance_facts",
    "covariance_within",
    "demodulation",
    "density",
    "focus",
    "fraction_correct",
    "gradient_norms",
    "gradient_spread",
    "homogeneous_decomposition",
    "image_correlation",
    "jacobian_identities",
    "jacobian_norms",
    "jacobian_per_margin",
    "kink_effect",
    "largest_tilt",
    "latent_distances",
    "lead_gradient",
    "leak_scores",
    "leaking_identities",
    "line_of_means",
    "linear_theory",
    "linear_z",
    "linearised_robustness",
    "log_odds_gradient",
    "mahalanobis",
    "manifold_distance",
    "map_measures",
    "mass_on",
    "mean_displacement",
    "mean_null_map",
    "modulation_identities",
    "nearest_distance",
    "nearest_image",
    "next_of_class",
    "normal_angle",
    "off_manifold",
    "own_image",
    "penalty_bracket",
    "planted_maps",
    "planted_scores",
    "predicted_gradient",
    "principal_projection",
    "principal_projections",
    "projection",
    "projection_errors",
    "projections",
    "random_phases",
    "random_step",
    "ratio",
    "reach",
    "read_off_masks",
    "reference_accuracy",
    "relative_mode",
    "robust_accuracy",
    "scaled_accuracy",
    "shared_origin",
    "sign_cosine",
    "sign_cosines",
    "signs_of_own_image",
    "smooth_maps",
    "spectrum",
    "step_towards",
    "strong_accuracy",
    "target_cosine",
    "theory_gaps",
    "tilt",
    "top1",
    "toy_gradient",
    "toy_points",
    "toy_robustness",
    "toy_scores",
    "variance_correlation",
    "vii",
    "vii_chance",
    "wiener",
]
