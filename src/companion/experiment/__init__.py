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
from companion.experiment.nets import (
    Nets,
    choose_device,
    measure,
    measure_untrained,
    relative_cost,
    train,
    weight_gap,
)
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
from companion.experiment.toy_nets import paper_steps, toy_attacked, toy_frame, toy_nets
from companion.experiment.unmasking import powers, pred_power, unmasked_views, unmaskings

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
    "measure_untrained",
    "mu_kar",
    "mu_roar",
    "paper_steps",
    "powers",
    "portable",
    "pred_power",
    "rank_correlation",
    "relative_cost",
    "resolution",
    "retrained_accuracies",
    "retrainings",
    "toy_attacked",
    "toy_frame",
    "toy_nets",
    "train",
    "unmasked_views",
    "unmaskings",
    "verdicts_of",
    "weight_gap",
    "where",
]
