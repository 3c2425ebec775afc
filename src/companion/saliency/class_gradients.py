"""The input gradients of all logits: the K x D Jacobian of each image."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.func import vmap

from companion import guards, quick

WAYS = ("auto", "loop", "batched")

#: Up to this many images in one pass, one batched backward pass of all K classes is faster than K passes:
#: those wait for their calls, not for their arithmetic (benchmarks/gradients.py, two nets, one CPU thread).
BATCHED_UP_TO = 25

#: A pass that is differentiated again makes twice the calls: batched up to so many pixel values, 200 of 8x8.
BATCHED_TWICE_UP_TO = 12_800


def class_gradients(
    model: nn.Module, x: Tensor, *, chunk: int | None = None, mode: str = "eval", way: str = "auto"
) -> tuple[Tensor, Tensor]:
    """The logits z (B, K) and d z_k / d x for every class k, (B, K, *x.shape[1:]).

    Source: the Jacobian in IR eq. 13 and figure 4, and in Etmann et al. 2019. x: (B, ...) in [0, 1]; the
    gradients are in logits per unit of pixel. One forward pass and K backward passes for `chunk` images.
    chunk: images differentiated at once (default: quick.batch_size); bounds the memory of the passes and, in
    eval mode, changes nothing else. mode: "eval" or "train", as in saliency.input_gradient; with batch
    statistics active an image's gradient includes its effect on the other logits of its chunk.
    way: "loop", K backward passes; "batched", one that carries all K; "auto" takes the faster by size. The
    values are those of each other up to rounding.
    Raises ValueError on a wrong range, dtype, device, chunk or way.
    """
    guards.check_images(x, model=model)
    guards.check_autograd()
    if way not in WAYS:
        raise ValueError(f"way={way!r}; expected one of {', '.join(WAYS)}")
    chunk = quick.batch_size(x) if chunk is None else chunk
    if chunk < 1:
        raise ValueError(f"chunk={chunk}; expected at least 1 image")
    with guards.frozen(model, mode), torch.enable_grad():
        parts = [_of_chunk(model, part, way) for part in x.split(chunk)]
    logits, gradients = zip(*parts, strict=True)
    return torch.cat(logits), torch.cat(gradients)


def _of_chunk(model: nn.Module, x: Tensor, way: str) -> tuple[Tensor, Tensor]:
    point = x.detach().requires_grad_()
    logits = model(point)
    guards.check_logits(logits)
    return logits.detach(), torch.stack(list(rows(logits, point, unit_rows(logits), way=way)), 1)


def unit_rows(logits: Tensor) -> Tensor:
    """The K unit vectors of logit space for every image, (K, B, K): v^T J is then a row of the Jacobian."""
    classes = logits.shape[1]
    return torch.eye(classes, device=logits.device, dtype=logits.dtype)[:, None].expand(-1, len(logits), -1)


def rows(
    logits: Tensor, x: Tensor, directions: Tensor, *, way: str = "auto", create_graph: bool = False
) -> Iterable[Tensor]:
    """v^T J(x) for each v of directions (n, B, K), each shaped like x.

    logits must have been computed from x with x.requires_grad; their graph is kept.
    """
    keep = {"create_graph": create_graph, "retain_graph": True}
    if way == "auto":
        few = len(x) <= BATCHED_UP_TO or (create_graph and x.numel() <= BATCHED_TWICE_UP_TO)
        way = "batched" if few and len(directions) > 1 else "loop"
    if way == "batched":  # not is_grads_batched, which goes through convolutions' derivatives one by one
        return vmap(lambda v: torch.autograd.grad(logits, x, v, **keep)[0])(directions)
    return (torch.autograd.grad(logits, x, v, **keep)[0] for v in directions)
