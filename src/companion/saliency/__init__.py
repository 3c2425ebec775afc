"""Saliency maps: what a net's output answers to, pixel by pixel."""

from companion.saliency.attributions import gradient_x_input, loss_gradient
from companion.saliency.class_gradients import class_gradients
from companion.saliency.gradients import OUTPUTS, input_gradient, smoothgrad
from companion.saliency.maps import other_images, permute, threshold
from companion.saliency.masks import fill_value, masked, ranks
from companion.saliency.orders import given_order, gradient_elsewhere
from companion.saliency.without_net import image, image_minus_mean

__all__ = [
    "OUTPUTS",
    "class_gradients",
    "fill_value",
    "given_order",
    "gradient_elsewhere",
    "gradient_x_input",
    "image",
    "image_minus_mean",
    "input_gradient",
    "loss_gradient",
    "masked",
    "other_images",
    "permute",
    "ranks",
    "smoothgrad",
    "threshold",
]
