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


def br_margin(logits: Tensor, y: Tensor) -> Tensor:
    """max over k of z_k (1 - [k = y]), minus z_y, per sample (B,): the CW objective of BR's released code.

    Source: the official code (facts 2.3), without its relu(. + 500), which never switches off. The label is
    masked with 0, so where all other logits are negative the attack only lowers z_y; kept to show what that
    does, `margin` is right.
    """
    others = logits.scatter(1, y[:, None], 0.0)
    return others.amax(1) - logits.gather(1, y[:, None]).squeeze(1)


def dlr(logits: Tensor, y: Tensor) -> Tensor:
    """Difference of logits ratio: the margin divided by z_(1) - z_(3), per sample (B,).

    Source: Croce & Hein 2020, eq. 6; z_(k) is the k-th largest logit. Neither scaling nor shifting the logits
    changes it; between -1 and 0 where the net is right. Where the three largest logits are equal, the margin
    itself. Raises ValueError for fewer than 3 classes, which have no third logit.
    """
    _need_classes(logits, 3, "dlr")
    top = logits.topk(3).values
    return margin(logits, y) / _positive(top[:, 0] - top[:, 2])


def targeted_margin(logits: Tensor, y: Tensor, target: Tensor) -> Tensor:
    """z_target - z_y, per sample (B,): positive only where the net errs. target: int64 (B,)."""
    return (logits.gather(1, target[:, None]) - logits.gather(1, y[:, None])).squeeze(1)


def targeted_dlr(logits: Tensor, y: Tensor, target: Tensor) -> Tensor:
    """The targeted margin divided by z_(1) - (z_(3) + z_(4)) / 2, per sample (B,). target: int64 (B,).

    Source: Croce & Hein 2020, eq. 7, with its sign such that an attack maximises it. Where the four largest
    logits are equal, the targeted margin itself. Raises ValueError for fewer than 4 classes.
    """
    _need_classes(logits, 4, "targeted dlr")
    top = logits.topk(4).values
    return targeted_margin(logits, y, target) / _positive(top[:, 0] - (top[:, 2] + top[:, 3]) / 2)


def _need_classes(logits: Tensor, least: int, name: str) -> None:
    if logits.shape[1] < least:
        raise ValueError(
            f'{name} needs at least {least} classes; the model has {logits.shape[1]}: use loss="margin"'
        )


def _positive(spread: Tensor) -> Tensor:
    """The spread of the logits, or 1 where there is none: a small constant instead would depend on scale."""
    return spread.where(spread > 0, torch.ones_like(spread))


OBJECTIVES = {"cross_entropy": cross_entropy, "margin": margin, "br_margin": br_margin, "dlr": dlr}

#: Objectives of (logits, y, target): towards one class instead of whichever is nearest.
TARGETED = {"margin": targeted_margin, "dlr": targeted_dlr}
