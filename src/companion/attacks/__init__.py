"""Attacks: pure functions (model, x, y, *, norm, eps, ...) -> x_adv on pixels in [0, 1]."""

from companion.attacks.apgd import apgd
from companion.attacks.curve import curve
from companion.attacks.evaluate import RobustnessResult, correct, evaluate
from companion.attacks.fgsm import fgsm
from companion.attacks.minimal import (
    Minimal,
    accuracy_curve,
    carlini_wagner,
    ddn,
    gradient_line_search,
    l2_bim,
)
from companion.attacks.objectives import OBJECTIVES, TARGETED, dlr, margin, targeted_dlr
from companion.attacks.pgd import pgd
from companion.attacks.precision import flips
from companion.attacks.protocols import BR_PAPER, BUDGETS, IR_PAPER, PROTOCOLS, STRONG, Protocol
from companion.attacks.square import square

__all__ = [
    "BR_PAPER",
    "BUDGETS",
    "IR_PAPER",
    "OBJECTIVES",
    "PROTOCOLS",
    "STRONG",
    "TARGETED",
    "Minimal",
    "Protocol",
    "RobustnessResult",
    "accuracy_curve",
    "apgd",
    "carlini_wagner",
    "correct",
    "curve",
    "ddn",
    "dlr",
    "evaluate",
    "fgsm",
    "flips",
    "gradient_line_search",
    "l2_bim",
    "margin",
    "pgd",
    "square",
    "targeted_dlr",
]
