"""Training losses: functions (model, x, y, ...) -> scalar, differentiable with respect to the parameters.

They run in the model's current mode: the papers differentiate with dropout and batch statistics active.
"""

from companion.losses.cross_entropy import cross_entropy
from companion.losses.interpretation import interpretation
from companion.losses.jacobian import jacobian, squared_jacobian_norm

__all__ = ["cross_entropy", "interpretation", "jacobian", "squared_jacobian_norm"]
