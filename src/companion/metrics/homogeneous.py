"""The homogeneous decomposition of a ReLU net's logits (ET, Etmann et al. 2019, theorem 1)."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from companion import guards
from companion.metrics.scores import check_scores
from companion.models import Normalize

#: Layers h -> A h + c. What such a layer returns for h = 0 is all its biases, shifts and means contribute.
AFFINE = (
    *(nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, Normalize),
)

#: Layers f with f(a h) = a f(h) for every a > 0.
HOMOGENEOUS = (
    *(nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.Identity, nn.Flatten, nn.Unflatten),
    *(nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d, nn.CircularPad1d, nn.CircularPad2d, nn.CircularPad3d),
    *(nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReflectionPad3d),
    *(nn.ReplicationPad1d, nn.ReplicationPad2d, nn.ReplicationPad3d),
    *(nn.Upsample, nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle),
    *(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
    *(nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d),
    *(nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d),
)


def homogeneous_decomposition(model: nn.Module, x: Tensor, *, chunk: int = 500) -> tuple[Tensor, Tensor]:
    """<x, grad_x z_i> and <b, grad_b z_i> for every class i: two tensors (B, K) that sum to the logits.

    Source: ET eq. 13. b holds every constant a layer adds: the biases of convolutions and dense layers, the
    shifts and the running means of BatchNorm, and the mean of models.Normalize. Each part is a directional
    derivative of its own, of all classes at once; neither is the remainder of the other.
    x: (B, ...) in [0, 1], in the model's float dtype; computed in float64, where rounding hides no layer
    outside the theorem's class, and returned in x's dtype. Eval mode.
    chunk: samples at once; bounds the memory and changes nothing else.
    Raises ValueError on a layer outside the theorem's class, which it names, on probabilities instead of
    logits, a single class, NaN, and on a wrong range, dtype or device.
    """
    guards.check_images(x, model=model)
    guards.check_autograd()
    check_class(model)
    if chunk < 1:
        raise ValueError(f"chunk={chunk}; expected at least 1 sample")
    exact, parts = copy.deepcopy(model).double(), []
    with guards.frozen(exact), torch.enable_grad():
        for part in x.detach().split(chunk):
            logits, linear = linear_part(exact, part.double())
            check_scores(logits)
            _, bias = bias_part(exact, part.double())
            check_sum(logits, linear, bias)
            parts.append((linear.to(x.dtype), bias.to(x.dtype)))
    linear, bias = zip(*parts, strict=True)
    return torch.cat(linear), torch.cat(bias)


def linear_part(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """The logits and <x, grad_x z_i>, the derivative of s -> z_i((1 + s) x) at s = 0: (B, K) each."""
    s = x.new_zeros((), requires_grad=True)
    logits = model(x + s * x)
    guards.check_logits(logits)
    return logits.detach(), _derivative(logits, s)


def bias_part(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """The logits and <b, grad_b z_i>, the derivative of s -> z_i(x; (1 + s) b) at s = 0: (B, K) each."""
    s = x.new_zeros((), requires_grad=True)
    with _scaled_constants(model, s):
        logits = model(x)
    return logits.detach(), _derivative(logits, s)


def _derivative(outputs: Tensor, s: Tensor) -> Tensor:
    """d outputs / d s for one number s, shaped like outputs, by two backward passes instead of B * K.

    The first gives sum_ik u_ik d outputs_ik / d s, which is linear in u; the second differentiates it by u.
    """
    if not outputs.requires_grad:  # a net without constants
        return torch.zeros_like(outputs)
    u = torch.zeros_like(outputs, requires_grad=True)
    product = torch.autograd.grad(outputs, s, u, create_graph=True)[0]
    return torch.autograd.grad(product, u)[0]


@contextmanager
def _scaled_constants(model: nn.Module, s: Tensor) -> Iterator[None]:
    """Every affine layer A h + c becomes A h + (1 + s) c."""

    def add(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        return output + s * layer.forward(torch.zeros_like(inputs[0][:1]))

    layers = [module for module in model.modules() if isinstance(module, AFFINE)]
    handles = [layer.register_forward_hook(add) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def check_class(model: nn.Module) -> None:
    """Raise ValueError, naming the layer, unless the net is built from layers of theorem 1's class."""
    for name, module in model.named_modules():
        where = f"{name or 'the model'} ({type(module).__name__})"
        if isinstance(module, AFFINE):
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None:
                raise ValueError(f"{where} keeps no running statistics, so it is not affine in eval mode")
            continue
        own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        leaf = next(module.children(), None) is None
        if not isinstance(module, HOMOGENEOUS) and (own or leaf):
            raise ValueError(
                f"{where} is outside the class of ET's theorem 1, which holds for layers that are affine "
                "(dense, convolution, BatchNorm in eval mode, models.Normalize) or positively homogeneous "
                "(ReLU, leaky ReLU, max- and average-pooling, padding that adds no constant, upsampling, "
                "dropout off, flatten)"
            )


def check_sum(logits: Tensor, linear: Tensor, bias: Tensor) -> None:
    """Raise ValueError unless linear + bias are the logits up to rounding.

    Catches what check_class cannot see: a function outside the class in some forward, such as a softmax, or
    a layer used through its weights.
    """
    size = logits.abs() + linear.abs() + bias.abs()
    gap = (logits - linear - bias).abs()
    if bool((gap > 10 * torch.finfo(logits.dtype).eps ** 0.5 * size).any()):
        raise ValueError(
            f"the two parts miss the logits by up to {gap.max().item():.3g}: some function in the forward "
            "pass is outside the class of ET's theorem 1, or takes a layer's weights without calling it"
        )
