"""Minimal-distance l2 attacks: pure functions (model, x, y, *, ...) -> Minimal(adversarial, distance)."""

from companion.attacks.minimal.carlini_wagner import carlini_wagner
from companion.attacks.minimal.ddn import ddn
from companion.attacks.minimal.l2_bim import l2_bim
from companion.attacks.minimal.line_search import gradient_line_search
from companion.attacks.minimal.outcome import Minimal, accuracy_curve

__all__ = ["Minimal", "accuracy_curve", "carlini_wagner", "ddn", "gradient_line_search", "l2_bim"]
