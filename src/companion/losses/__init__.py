"""Training losses: functions (model, x, y, ...) -> scalar, differentiable with respect to the parameters.

A loss for nets in several parts yields a scalar for each part, and training updates after each.
They run in the model's current mode: the papers differentiate with dropout and batch statistics active.
"""

from companion.losses.alignment_penalty import alignment_penalty
from companion.losses.cross_entropy import cross_entropy
from companion.losses.double_backprop import double_backprop
from companion.losses.interpretation import interpretation
from companion.losses.jacobian import jacobian, squared_jacobian_norm
from companion.losses.penalties import input_gradient_penalty, penalised, weight_penalty
from companion.losses.vaegan import draw_latent, vaegan

__all__ = [
    "alignment_penalty",
    "cross_entropy",
    "double_backprop",
    "draw_latent",
    "input_gradient_penalty",
    "interpretation",
    "jacobian",
    "penalised",
    "squared_jacobian_norm",
    "vaegan",
    "weight_penalty",
]
