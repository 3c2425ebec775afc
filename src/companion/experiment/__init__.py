"""What a chapter's cells call: trainings and measurements of many nets."""

from companion.experiment.comparing import (
    Difference,
    by_seed,
    compared,
    difference,
    differences,
    flattening,
    rank_correlation,
    resolution,
    verdicts_of,
    where,
)
from companion.experiment.nets import Nets, choose_device, measure, relative_cost, train, weight_gap
from companion.experiment.portable import portable
from companion.experiment.retraining import (
    Leak,
    area_under,
    diff_roar,
    mask_leak,
    mu_kar,
    mu_roar,
    retrained_accuracies,
    retrainings,
)
from companion.experiment.unmasking import pred_power, unmaskings

__all__ = [
    "Difference",
    "Leak",
    "Nets",
    "area_under",
    "by_seed",
    "choose_device",
    "compared",
    "diff_roar",
    "difference",
    "differences",
    "flattening",
    "mask_leak",
    "measure",
    "mu_kar",
    "mu_roar",
    "portable",
    "pred_power",
    "rank_correlation",
    "relative_cost",
    "resolution",
    "retrained_accuracies",
    "retrainings",
    "train",
    "unmaskings",
    "verdicts_of",
    "weight_gap",
    "where",
]
