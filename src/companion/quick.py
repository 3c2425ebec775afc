"""Quicker passes for whoever wants a net's input gradient and nothing else."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

#: A convolution of at most this many input channels is a net's first one: grey or colour images.
FEW = 4

#: Below so many pixels preparing takes longer than it saves: 188 images of 8x8, 16 of 28x28.
LARGE = 12_000

#: Pixel values in one pass. On a CPU the tensors of the larger layers then stay below 20 MB and are allocated
#: without asking the system for memory: 1,000 images of 28x28 at once took 1.5 times as long as 200 each
#: time. Smaller batches of small images wait for their calls instead. The GPU's number bounds memory.
VALUES = {"cpu": 160_000, "cuda": 1_000_000}


def batch_size(x: Tensor) -> int:
    """How many of the images x (B, ...) to put through a net at once on x's device, at least 16.

    200 of 28x28 and 2,500 of 8x8 pixels on a CPU.
    """
    return max(16, VALUES.get(x.device.type, VALUES["cpu"]) // max(1, x[:1].numel()))


def logits(model: nn.Module, x: Tensor) -> Tensor:
    """model(x), for a gradient with respect to x: the first convolution runs in a form that suits CPUs.

    The gradient with respect to an image of 1 or 3 channels is a convolution with 1 or 3 outputs, and CPU
    libraries fill their vectors with outputs: on 28x28 images it took a fifth of a pass of IR's CNN. Here a
    square of neighbouring pixels is the outputs of one strided convolution: the same sums, 3 to 4 times as
    fast. What it returns lies in memory as torch's own would: channels-last where the weights do.
    Values are those of torch up to rounding. Everything else is left to torch: trainable weights, other
    convolutions, small batches, other devices. No second derivative (asking for one raises an error).
    """
    if x.device.type != "cpu" or x.ndim != 4 or x[:, :1].numel() < LARGE:
        return model(x)
    with _FirstConvolutions():
        return model(x)


class _FirstConvolutions(TorchFunctionMode):
    """Inside this context, convolutions that suit are computed by _FirstConvolution."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.conv2d and not kwargs and _suits(*args):
            x, weight, bias, _, padding, *_ = args
            return _FirstConvolution.apply(x, weight, bias, tuple(padding))
        return func(*args, **(kwargs or {}))


def _suits(x: Tensor, weight: Tensor, bias: Tensor | None = None, *rest: Any) -> bool:
    """Whether this is a first convolution as nn.Conv2d calls it, with stride 1, no holes and no groups."""
    if len(rest) != 4 or not all(isinstance(pair, tuple) for pair in rest[:3]):
        return False
    stride, padding, dilation, groups = rest
    return (
        x.ndim == 4
        and x.requires_grad
        and not (weight.requires_grad or (bias is not None and bias.requires_grad))
        and weight.shape[1] <= FEW
        and groups == 1
        and set(stride) == set(dilation) == {1}
        and all(p < k for p, k in zip(padding, weight.shape[2:], strict=True))
    )


class _FirstConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.padding, ctx.image, ctx.dtype = padding, x.shape[2:], x.dtype
        if weight.stride(1) == 1 < weight[0, 0].numel():  # channels-last; of one channel only strides tell
            x = x.to(memory_format=torch.channels_last)
        return F.conv2d(x, weight, bias, padding=padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        weight = ctx.saved_tensors[0].to(gradient.dtype)
        return _input_gradient(gradient, weight, ctx.padding, ctx.image).to(ctx.dtype), None, None, None


def _input_gradient(gradient: Tensor, weight: Tensor, padding: tuple[int, int], image: torch.Size) -> Tensor:
    """sum_{o,k} g[o, u + padding - k] w[o, c, k] for every pixel u, side x side pixels at a time."""
    side = 2 if weight.shape[1] > 2 else 4  # 12 or 16 outputs fill a vector
    mirrored = weight.flip(2, 3).transpose(0, 1)
    channels, outputs, height, width = mirrored.shape
    blocks = mirrored.new_zeros(channels, side, side, outputs, height + side - 1, width + side - 1)
    for row in range(side):
        for column in range(side):
            blocks[:, row, column, :, row : row + height, column : column + width] = mirrored
    blocks = blocks.flatten(0, 2).contiguous(memory_format=torch.channels_last)
    beyond = [-size % side for size in image]  # rows and columns that complete the last blocks
    reach = (height - 1 - padding[0], width - 1 - padding[1])
    if outputs < 16:
        # Zeros of our own: padding in bfloat16, oneDNN 3.13 sums 8 channels wrongly on a CPU with AMX
        gradient = F.pad(gradient, (reach[1], reach[1] + beyond[1], reach[0], reach[0] + beyond[0]))
        found = F.conv2d(gradient, blocks, stride=side)
    else:
        gradient = F.pad(gradient, (0, beyond[1], 0, beyond[0]))
        found = F.conv2d(gradient, blocks, stride=side, padding=reach)
    return F.pixel_shuffle(found, side)[:, :, : image[0], : image[1]]
