"""Orders of pixels that are not an image's own: controls for what remove and retrain rewards (ours)."""

import torch
from torch import Tensor, nn

from companion import guards
from companion.saliency.attributions import loss_gradient
from companion.saliency.maps import other_images


def given_order(model: nn.Module | None, x: Tensor, y: Tensor, *, values: tuple[float, ...]) -> Tensor:
    """One map for all images: shaped like x.

    values: C * H * W numbers in the order of an image's entries. model and y are not looked at.
    Raises ValueError for another number of values.
    """
    if len(values) != x[0].numel():
        raise ValueError(f"{len(values)} values for images of {x[0].numel()} entries; expected one for each")
    return torch.tensor(values, dtype=x.dtype, device=x.device).view(1, *x.shape[1:]).expand_as(x)


def gradient_elsewhere(
    model: nn.Module, x: Tensor, y: Tensor, *, chunk: int = 1000, generator: torch.Generator | None = None
) -> Tensor:
    """loss_gradient of another image of x for which the net predicts the same class: shaped like x.

    As sparse, as smooth and as telling of the decision as the image's own map, but of another image. Each
    map is given to one image; the only image of a predicted class keeps its own.
    chunk and errors as in loss_gradient.
    """
    guards.check_images(x, model=model)
    predicted = guards.logits_of(model, x, chunk).argmax(1)
    maps = loss_gradient(model, x, predicted, label="true", chunk=chunk)
    return maps[other_images(predicted, "same_class", generator=generator)]
