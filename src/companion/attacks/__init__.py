"""Attacks: pure functions (model, x, y, *, norm, eps, ...) -> x_adv on pixels in [0, 1]."""

from companion.attacks.evaluate import Verdicts, correct, evaluate
from companion.attacks.fgsm import fgsm
from companion.attacks.minimal import (
    Minimal,
    accuracy_curve,
    carlini_wagner,
    fmn,
    gradient_line_search,
    l2_bim,
)
from companion.attacks.objectives import OBJECTIVES, margin
from companion.attacks.pgd import IR_PAPER, STRONG, pgd

__all__ = [
    "IR_PAPER",
    "OBJECTIVES",
    "STRONG",
    "Minimal",
    "Verdicts",
    "accuracy_curve",
    "carlini_wagner",
    "correct",
    "evaluate",
    "fgsm",
    "fmn",
    "gradient_line_search",
    "l2_bim",
    "margin",
    "pgd",
]
