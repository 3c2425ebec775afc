"""Training losses: functions (model, x, y, ...) -> scalar, differentiable with respect to the parameters.

They run in the model's current mode: the papers differentiate with dropout and batch statistics active.
"""

from companion.losses.alignment_penalty import alignment_penalty
from companion.losses.cross_entropy import cross_entropy
from companion.losses.double_backprop import double_backprop
from companion.losses.interpretation import interpretation
from companion.losses.jacobian import jacobian, squared_jacobian_norm

__all__ = [
    "alignment_penalty",
    "cross_entropy",
    "double_backprop",
    "interpretation",
    "jacobian",
    "squared_jacobian_norm",
]
