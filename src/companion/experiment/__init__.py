"""What a chapter's cells call: trainings and measurements of many nets."""

from companion.experiment.comparing import (
    Difference,
    by_seed,
    compared,
    difference,
    differences,
    rank_correlation,
    verdicts_of,
    where,
)
from companion.experiment.nets import Nets, choose_device, measure, train
from companion.experiment.planted import planted_scores
from companion.experiment.portable import portable
from companion.experiment.retraining import (
    apart,
    area_under,
    at_equal_accuracy,
    by_model,
    diff_roar,
    mu_kar,
    mu_roar,
    one_order,
    readings,
    retrained,
    retrained_accuracies,
    retrainings,
    scores,
)
from companion.experiment.unmasking import pred_power, unmaskings

__all__ = [
    "Difference",
    "Nets",
    "apart",
    "area_under",
    "at_equal_accuracy",
    "by_model",
    "by_seed",
    "choose_device",
    "compared",
    "diff_roar",
    "difference",
    "differences",
    "measure",
    "mu_kar",
    "mu_roar",
    "one_order",
    "planted_scores",
    "portable",
    "pred_power",
    "rank_correlation",
    "readings",
    "retrained",
    "retrained_accuracies",
    "retrainings",
    "scores",
    "train",
    "unmaskings",
    "verdicts_of",
    "where",
]
