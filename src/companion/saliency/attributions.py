"""Gradient and Gradient * Input of the loss, the attributions BR scores (BR section 3.2)."""

from torch import Tensor, nn

from companion import guards
from companion.saliency.gradients import input_gradient


def loss_gradient(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    of: str = "cross_entropy",
    label: str = "predicted",
    chunk: int = 1000,
) -> Tensor:
    """g_G(x) = the gradient of the cross-entropy against the predicted label, signed, shaped like x.

    Source: BR section 3.2; its text does not say which label, its code takes the predicted one, on training
    and test images alike, so that a mask carries the net's decision (BR-E12).
    of: another output to differentiate, a key of saliency.OUTPUTS. label: "predicted", or "true" for y.
    Shapes, units, chunk and errors as in saliency.input_gradient; ValueError on another label.
    """
    if label == "predicted":
        guards.check_images(x, model=model)
        y = guards.logits_of(model, x, chunk).argmax(1)
    elif label != "true":
        raise ValueError(f'label={label!r}; expected "predicted" or "true"')
    return input_gradient(model, x, y, of=of, chunk=chunk)


def gradient_x_input(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    of: str = "cross_entropy",
    label: str = "predicted",
    origin: float = 0.5,
    chunk: int = 1000,
) -> Tensor:
    """g_GX(x) = (x - origin) * g_G(x), signed, shaped like x.

    Source: BR section 3.2, after Shrikumar et al. 2017.
    x: (B, ...) in [0, 1].
    y: (B,) int64.
    origin: BR multiplies by pixels in [-1, 1]; 0.5 ranks pixels as it does, so that a black pixel counts as
    much as a white one; 0 multiplies by pixels in [0, 1], and black ones then have attribution 0.
    of, label, chunk: as in loss_gradient, with its errors.
    """
    return (x - origin) * loss_gradient(model, x, y, of=of, label=label, chunk=chunk)
