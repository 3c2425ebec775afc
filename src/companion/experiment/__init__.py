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
from companion.experiment.nets import Nets, choose_device, measure, train, untrained
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
from companion.experiment.toy_nets import paper_steps, toy_attacked, toy_frame, toy_nets
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
    "mask_leak",
    "measure",
    "mu_kar",
    "mu_roar",
    "paper_steps",
    "pred_power",
    "rank_correlation",
    "retrained_accuracies",
    "retrainings",
    "toy_attacked",
    "toy_frame",
    "toy_nets",
    "train",
    "unmaskings",
    "untrained",
    "verdicts_of",
    "where",
]
