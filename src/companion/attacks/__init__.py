"""Attacks: pure functions (model, x, y, *, norm, eps, ...) -> x_adv on pixels in [0, 1]."""

from companion.attacks.evaluate import Verdicts, correct, evaluate
from companion.attacks.fgsm import fgsm
from companion.attacks.objectives import OBJECTIVES, margin
from companion.attacks.pgd import IR_PAPER, STRONG, pgd

__all__ = ["IR_PAPER", "OBJECTIVES", "STRONG", "Verdicts", "correct", "evaluate", "fgsm", "margin", "pgd"]
