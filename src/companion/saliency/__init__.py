"""Saliency maps: what a net's output answers to, pixel by pixel."""

from companion.saliency.gradients import OUTPUTS, input_gradient, smoothgrad
from companion.saliency.maps import permute, threshold

__all__ = ["OUTPUTS", "input_gradient", "permute", "smoothgrad", "threshold"]
