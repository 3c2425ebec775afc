"""The input gradients of all logits: the K x D Jacobian of each image."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from companion import guards, quick

WAYS = ("auto", "loop", "batched", "repeated")

#: Up to this many images in one pass, one batched backward pass of all K classes is faster than K passes:
#: those wait for their calls, not for their arithmetic (benchmarks/gradients.py, two nets, one CPU thread).
BATCHED_UP_TO = 25

#: Up to this many pixel values (15 images of 8x8) K copies of each image in one pass are faster still.
REPEATED_UP_TO = 1000


def class_gradients(
    model: nn.Module, x: Tensor, *, chunk: int | None = None, mode: str = "eval", way: str = "auto"
) -> tuple[Tensor, Tensor]:
    """The logits z (B, K) and d z_k / d x for every class k, (B, K, *x.shape[1:]).

    Source: the Jacobian in IR eq. 13 and figure 4, and in Etmann et al. 2019. x: (B, ...) in [0, 1]; the
    gradients are in logits per unit of pixel. One forward pass and K backward passes for `chunk` images.
    chunk: images differentiated at once (default: quick.batch_size); bounds the memory of the passes and, in
    eval mode, changes nothing else. mode: "eval" or "train", as in saliency.input_gradient; with batch
    statistics active an image's gradient includes its effect on the other logits of its chunk.
    way: "loop", K backward passes; "batched", one that carries all K; "repeated", one with K copies of each
    image, in eval mode only; "auto" takes the fastest by size. The values are those of each other up to
    rounding.
    Raises ValueError on a wrong range, dtype, device, chunk or way.
    """
    guards.check_images(x, model=model)
    if way not in WAYS:
        raise ValueError(f"way={way!r}; expected one of {', '.join(WAYS)}")
    if way == "repeated" and mode != "eval":
        raise ValueError(
            f"way='repeated' with mode={mode!r}: copies would share batch statistics; expected 'eval'"
        )
    chunk = quick.batch_size(x) if chunk is None else chunk
    if chunk < 1:
        raise ValueError(f"chunk={chunk}; expected at least 1 image")
    with guards.frozen(model, mode), torch.enable_grad():
        parts = [_of_chunk(model, part, _chosen(way, part, mode)) for part in x.split(chunk)]
    logits, gradients = zip(*parts, strict=True)
    return torch.cat(logits), torch.cat(gradients)


def _chosen(way: str, x: Tensor, mode: str) -> str:
    """ "repeated" where auto prefers it; `rows` decides between the other two."""
    return "repeated" if way == "auto" and mode == "eval" and x.numel() <= REPEATED_UP_TO else way


def _of_chunk(model: nn.Module, x: Tensor, way: str) -> tuple[Tensor, Tensor]:
    if way == "repeated":
        return _of_copies(model, x)
    point = x.detach().requires_grad_()
    logits = model(point)
    return logits.detach(), torch.stack(list(rows(logits, point, unit_rows(logits), way=way)), 1)


def _of_copies(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        logits = model(x)
    count, classes = logits.shape
    copies = x.detach().repeat_interleave(classes, 0).requires_grad_()
    own = torch.eye(classes, device=x.device, dtype=logits.dtype).repeat(count, 1)
    gradients = torch.autograd.grad(model(copies), copies, own)[0]
    return logits, gradients.view(count, classes, *x.shape[1:])


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
        way = "batched" if len(directions) > 1 and len(x) <= BATCHED_UP_TO else "loop"
    if way == "batched":
        return torch.autograd.grad(logits, x, directions, is_grads_batched=True, **keep)[0]
    return (torch.autograd.grad(logits, x, v, **keep)[0] for v in directions)
