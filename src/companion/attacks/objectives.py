"""What an attack maximises: one value per sample, so that no sample's step depends on its batch."""

import torch
from torch import Tensor
from torch.nn import functional as F


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """-log p_y, per sample (B,). Its gradient carries the factor 1 - p_y: it vanishes on confident nets."""
    return F.cross_entropy(logits, y, reduction="none")


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """max over k != y of z_k, minus z_y, per sample (B,): positive exactly where the net errs.

    Source: Carlini & Wagner 2017. The label is masked with -inf, so the maximum is right whatever
    the logits' signs (masking with 0, as several libraries do, is wrong when all logits are negative).
    Scaling the logits scales the margin, so its normalised gradient does not change (IR-E5).
    """
    others = logits.scatter(1, y[:, None], -torch.inf)
    return others.amax(1) - logits.gather(1, y[:, None]).squeeze(1)


OBJECTIVES = {"cross_entropy": cross_entropy, "margin": margin}
