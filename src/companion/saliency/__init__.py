"""Saliency maps: what a net's output answers to, pixel by pixel."""

from companion.saliency.class_gradients import class_gradients
from companion.saliency.gradients import OUTPUTS, input_gradient, smoothgrad
from companion.saliency.maps import permute, threshold

__all__ = ["OUTPUTS", "class_gradients", "input_gradient", "permute", "smoothgrad", "threshold"]
