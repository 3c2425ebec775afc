"""What a chapter's cells call: trainings and measurements of many nets."""

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
    "Leak",
    "area_under",
    "diff_roar",
    "mask_leak",
    "mu_kar",
    "mu_roar",
    "pred_power",
    "retrained_accuracies",
    "retrainings",
    "unmaskings",
]
