"""Random crops and mirror images for training, the same for an image and for its maps."""

import torch
from torch import Tensor
from torch.nn.functional import pad as pad_zeros


def augment(
    x: Tensor, *others: Tensor, generator: torch.Generator, pad: int = 4
) -> Tensor | tuple[Tensor, ...]:
    """Random crop after zero padding, then a horizontal flip with probability 1/2, drawn for each image.

    The same crop and flip is applied to x (N, C, H, W) and to every further tensor (N, C', H, W), such as the
    target maps of x. Returns the augmented x, or a tuple when further tensors were given. The generator's
    device decides where the numbers are drawn: with one on the CPU every device sees the same augmentation.

    Source: Noack et al. 2020, CIFAR-10 (pad 4). Raises ValueError for a negative pad or shapes that differ.
    """
    if pad < 0:
        raise ValueError(f"pad={pad}; expected 0 or more pixels")
    n, _, height, width = x.shape
    for other in others:
        if other.ndim != 4 or other.shape[0] != n or other.shape[2:] != x.shape[2:]:
            raise ValueError(
                f"a tensor of shape {tuple(other.shape)} cannot be cropped with images {tuple(x.shape)}; "
                f"expected ({n}, C, {height}, {width})"
            )

    def draw(high: int) -> Tensor:
        numbers = torch.randint(high, (n, 1), generator=generator, device=generator.device)
        return numbers.to(x.device)

    rows = draw(2 * pad + 1) + torch.arange(height, device=x.device)
    columns = draw(2 * pad + 1) + torch.arange(width, device=x.device)
    columns = torch.where(draw(2).bool(), columns.flip(1), columns)
    image = torch.arange(n, device=x.device)

    def crop(tensor: Tensor) -> Tensor:
        channel = torch.arange(tensor.shape[1], device=x.device)
        padded = pad_zeros(tensor, (pad, pad, pad, pad))
        return padded[
            image[:, None, None, None],
            channel[:, None, None],
            rows[:, None, :, None],
            columns[:, None, None, :],
        ]

    cropped = tuple(crop(tensor) for tensor in (x, *others))
    return cropped if others else cropped[0]
