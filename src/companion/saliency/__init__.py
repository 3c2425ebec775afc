"""Saliency maps: what a net's output answers to, pixel by pixel."""

from companion.saliency.attributions import gradient_x_input, loss_gradient
from companion.saliency.class_gradients import class_gradients
from companion.saliency.gradients import OUTPUTS, input_gradient, smoothgrad
from companion.saliency.maps import permute, threshold
from companion.saliency.masks import fill_value, masked, ranks

__all__ = [
    "OUTPUTS",
    "class_gradients",
    "fill_value",
    "gradient_x_input",
    "input_gradient",
    "loss_gradient",
    "masked",
    "permute",
    "ranks",
    "smoothgrad",
    "threshold",
]
