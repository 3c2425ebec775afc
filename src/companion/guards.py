"""What every attack, saliency map and metric asks of its model and inputs."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Real

import torch
from torch import Tensor, nn

RANGE_TOLERANCE = 1e-6  # round-off of a resize or a projection, not a normalised image


class NoGradient(ValueError):
    """The model's output has no gradient in its input, or one that is not a number."""


@contextmanager
def frozen(model: nn.Module, mode: str = "eval", *, moving: bool = False) -> Iterator[None]:
    """Put every submodule into `mode`, stop gradients into the parameters, and restore both afterwards.

    mode: "eval", or "train" for papers that attack or differentiate with dropout and batch statistics
    active. The flag of each submodule is restored one by one, so a BatchNorm that was frozen inside a
    training net stays frozen. In mode "train" buffers, BatchNorm's running statistics, are restored as well,
    unless moving=True lets a training move them. Restores after an exception too.
    Raises ValueError for a model that cannot change its mode.
    """
    if mode not in ("eval", "train"):
        raise ValueError(f'mode={mode!r}; expected "eval" or "train"')
    flags = [(module, module.training) for module in model.modules()]
    needs_grad = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    kept = [] if moving or mode == "eval" else [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        try:
            model.train(mode == "train")
        except NotImplementedError:
            raise ValueError(
                f"the model cannot change to {mode} mode: use the net it was exported from, or, exported in "
                f"{mode} mode, put it into an nn.Module whose train() only returns self"
            ) from None
        for parameter, _ in needs_grad:
            parameter.requires_grad_(False)
        yield
    finally:
        for module, training in flags:
            module.training = training
        for parameter, flag in needs_grad:
            parameter.requires_grad_(flag)
        with torch.no_grad():
            for buffer, before in kept:
                buffer.copy_(before)


def check_autograd() -> None:
    """Raise ValueError inside torch.inference_mode(), where nothing has a gradient."""
    if torch.is_inference_mode_enabled():
        raise ValueError(
            "torch.inference_mode() is on, and no gradient can be computed inside it: call this outside of it"
        )


def gradient(
    outputs: Tensor,
    point: Tensor,
    direction: Tensor | None = None,
    *,
    finite: bool = True,
    retain_graph: bool = False,
) -> Tensor:
    """The gradient in `point` of the sum of outputs, or of <direction, outputs>: what an attack follows.

    finite: whether to ask for numbers, for which a GPU has to wait.
    Raises NoGradient where no graph leads from outputs to point, and where a gradient is NaN or infinite.
    """
    found = None
    if outputs.requires_grad:
        of = outputs.sum() if direction is None else outputs
        found = torch.autograd.grad(of, point, direction, retain_graph, allow_unused=True)[0]
    if found is None:
        raise NoGradient("the model's output has no gradient in x; attacks.square needs none")
    if finite:
        check_numbers(without_numbers(found), len(found))
    return found


def without_numbers(gradient: Tensor) -> Tensor:
    """Of how many samples the gradient holds a NaN or an infinity, as a tensor."""
    return (~gradient.flatten(1).isfinite().all(1)).sum()


def check_numbers(lost: Tensor, total: int) -> None:
    """Raise NoGradient if any gradient was lost.

    A NaN does not stop an attack but keeps it where it is: its sign is 0, and it is never larger than the
    best value so far. The net would pass for robust, its linearised robustness for infinite.
    """
    if lost:
        raise NoGradient(
            f"the gradient in x of {int(lost)} of {total} samples is NaN or infinite, an attack would stand "
            "still: look for a square root or a norm at 0, or a division by 0, and add a small constant there"
        )


def check_images(x: Tensor, y: Tensor | None = None, model: nn.Module | None = None) -> None:
    """Raise ValueError, naming the value and the way out, unless x and y are images and labels for `model`.

    x: floating point, (B, C, H, W) or any (B, ...), B at least 1, values in [0, 1] up to 1e-6, finite.
    y: int64 class indices, (B,), on x's device.
    model: an nn.Module with its parameters on x's device, and of x's dtype unless it converts x itself.
    Raises TypeError where x or y is no tensor or the model no nn.Module.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"x is of type {type(x).__name__}; expected a tensor: use torch.as_tensor(x)")
    if not x.is_floating_point():
        raise ValueError(
            f"x has dtype {x.dtype}; expected a floating point image in [0, 1]: use x.float() / 255"
        )
    if x.ndim < 2:
        raise ValueError(f"x has shape {tuple(x.shape)}; expected a batch (B, ...): use x[None]")
    if not x.numel():
        raise ValueError(f"x has shape {tuple(x.shape)}, so it holds no images; expected at least one")
    low, high = (float(v) for v in torch.aminmax(x.detach()))
    if not (low >= -RANGE_TOLERANCE and high <= 1 + RANGE_TOLERANCE):  # also catches NaN
        raise ValueError(
            f"x in [{low:.3g}, {high:.3g}]; expected [0, 1]: move the normalisation into the model "
            "(companion.models.Normalize)"
        )
    if y is not None:
        if not isinstance(y, Tensor):
            raise TypeError(f"y is of type {type(y).__name__}; expected a tensor: use torch.as_tensor(y)")
        if y.dtype != torch.int64:
            raise ValueError(f"y has dtype {y.dtype}; expected int64 class indices: use y.long()")
        if y.shape != x.shape[:1]:
            raise ValueError(f"y has shape {tuple(y.shape)}; expected ({len(x)},), one label for each image")
        if y.device != x.device:
            raise ValueError(f"y is on {y.device}, x on {x.device}: move one of them with .to()")
    if model is not None:
        _check_model(model, x)


def _check_model(model: nn.Module, x: Tensor) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"the model is of type {type(model).__name__}; expected an nn.Module: for a function, "
            "define one whose forward calls it"
        )
    parameter = next((p for p in model.parameters() if p.is_floating_point()), None)
    if parameter is None:
        return
    if parameter.device != x.device:
        raise ValueError(f"the model is on {parameter.device}, x on {x.device}: move one of them with .to()")
    if parameter.dtype != x.dtype:
        try:  # a model may convert its images itself
            with frozen(model), torch.no_grad():
                model(x[:1])
        except RuntimeError:
            raise ValueError(
                f"x has dtype {x.dtype}, the model {parameter.dtype}: use x.to({parameter.dtype}) or "
                f"model.to({x.dtype})"
            ) from None


def check_logits(logits: Tensor) -> None:
    """Raise unless a model's output is logits (B, K) of at least two classes.

    Of one class nothing could ever be misclassified. TypeError where it is no tensor, ValueError otherwise.
    """
    if not isinstance(logits, Tensor):
        raise TypeError(
            f"the model returns a {type(logits).__name__}; expected logits (B, K): put it into an nn.Module "
            "that returns the logits alone"
        )
    if logits.ndim != 2:
        raise ValueError(f"the model returns shape {tuple(logits.shape)}; expected logits (B, K)")
    if logits.shape[1] < 2:
        raise ValueError(
            f"the model returns shape {tuple(logits.shape)}, a single class; expected at least 2: for a "
            "binary net's output z return the logits torch.cat([0 * z, z], 1)"
        )


@torch.no_grad()
def logits_of(model: nn.Module, x: Tensor, batch_size: int = 1000) -> Tensor:
    """The model's logits (B, K) at x in eval mode, checked."""
    parts = []
    with frozen(model):
        for part in x.split(batch_size):
            parts.append(model(part))
            check_logits(parts[-1])
    return torch.cat(parts)


def check_labels(y: Tensor, logits: Tensor) -> None:
    """Raise ValueError unless every label is a column of logits (B, K); errors as in `check_logits`."""
    check_logits(logits)
    if y.numel() and not 0 <= int(y.min()) <= int(y.max()) < logits.shape[1]:
        raise ValueError(
            f"labels run from {int(y.min())} to {int(y.max())}, but the model has {logits.shape[1]} classes "
            f"(0 to {logits.shape[1] - 1})"
        )


def check_number(name: str, value: float) -> None:
    """Raise TypeError unless the value is one real number, such as no text is."""
    if not isinstance(value, Real):
        raise TypeError(
            f"{name}={value!r} is of type {type(value).__name__}; expected a plain number, such as 8/255"
        )


def check_norm(norm: str, eps: float, x: Tensor) -> None:
    """Raise ValueError unless norm is "l2" or "linf" and eps a radius >= 0 within the box [0, 1]^D of x.

    A ball as wide as the box, 1 in linf and sqrt(D) in l2, holds all of it. TypeError where eps is no number.
    """
    if norm not in ("l2", "linf"):
        raise ValueError(f'norm={norm!r}; expected "l2" or "linf"')
    check_number("eps", eps)
    if not 0 <= eps < float("inf"):
        raise ValueError(f"eps={eps}; expected a finite radius >= 0, in units of pixels in [0, 1]")
    widest = 1.0 if norm == "linf" else math.sqrt(math.prod(x.shape[1:]))
    if eps > widest * (1 + 10 * RANGE_TOLERANCE):
        raise ValueError(
            f"eps={eps}; expected at most {widest:.4g}, the {norm} distance between a black and a white "
            f"image of {math.prod(x.shape[1:])} values in [0, 1]: did you mean {eps:g}/255?"
        )
