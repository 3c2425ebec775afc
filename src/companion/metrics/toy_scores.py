"""What BP and SH read off a toy net's input gradients at its 2d points y e_j, and how robust the net is.

Points are (N, d, 1, 1) in [0, 1], as data.toys.one_hot_blocks makes them; radii and gradients here are for
coordinates in [-1, 1], as in the papers.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from companion import attacks
from companion.metrics.localisation import bottom1, ratio, top1


class ToyPoints(NamedTuple):
    """The 2d points, those with y = 1 first, by coordinate; labels; where the signal is."""

    x: Tensor
    y: Tensor
    signal: Tensor


def toy_points(blocks: int, device: str = "cpu") -> ToyPoints:
    """All points y e_j of `blocks` coordinates."""
    one = torch.eye(blocks)
    x = ((torch.cat([one, -one]) + 1) / 2)[:, :, None, None]
    y = torch.arange(1, -1, -1).repeat_interleave(blocks)
    return ToyPoints(x.to(device), y.to(device), torch.cat([one, one]).bool().to(device))


def toy_gradient(net: nn.Module, blocks: int) -> Tensor:
    """Gradient of the true class's lead at every point, (2d, d): the loss gradient lies along it."""
    x, y, _ = toy_points(blocks, next(net.parameters()).device)
    x = x.to(next(net.parameters()).dtype).requires_grad_()
    logits = net(x)
    lead = ((logits[:, 1] - logits[:, 0]) * (2 * y - 1)).sum()
    return torch.autograd.grad(lead, x)[0].flatten(1) / 2


def toy_scores(net: nn.Module, blocks: int) -> dict[str, float]:
    """top1 and bottom1: at which fraction of the points the signal has the largest (smallest) |gradient|.

    ratio: of the |gradient| at the signal to the mean elsewhere. cosine: |cos| of point and gradient. offset:
    spread over the coordinates of their mean |gradient| at points without signal there, relative to its mean.
    unevenness: standard deviation of a point's entries without the signal over their mean, a mean over the
    points. contrast: (1 - ratio) / unevenness, how many of these deviations the signal lies below the others,
    negative where it lies above; 0 for a uniform map. cross_entropy: mean over the points, no penalty in it.
    clean_accuracy: per cent of the points; NaN for weights that are not finite.
    Source: SH's released toy notebook for the first two and the cosine; the rest is ours.
    """
    x, y, signal = toy_points(blocks, next(net.parameters()).device)
    g = toy_gradient(net, blocks)
    clean = 100 * attacks.correct(net, x, y).float().mean().item()
    elsewhere = torch.where(signal, torch.nan, g.abs()).nanmean(0)
    others = g.abs()[~signal].view(len(g), -1)
    uneven = (others.std(1) / others.mean(1)).mean().item()
    level = ratio(g, signal).mean().item()
    return {
        "top1": top1(g, signal).mean().item(),
        "bottom1": bottom1(g, signal).mean().item(),
        "ratio": level,
        "unevenness": uneven,
        "contrast": (1 - level) / uneven if uneven else 0.0,
        "cross_entropy": F.cross_entropy(net(x.to(g.dtype)), y).item(),
        "cosine": F.cosine_similarity(g, (2 * x - 1).flatten(1)).abs().mean().item(),
        "offset": (elsewhere.std() / elsewhere.mean()).item(),
        "clean_accuracy": clean if g.isfinite().all() else float("nan"),
    }


def toy_robustness(
    net: nn.Module, blocks: int, *, radii: Mapping[str, Sequence[float]], steps: int
) -> list[dict[str, Any]]:
    """Accuracy in per cent on the 2d points at each radius of each norm, a row each.

    radii: by norm, l1, l2 or linf. Protocol "strong": cross-entropy and margin, with a random start and from
    the point; in l1 `l1_attack`. Under linf also "sh", the attack of SH's notebook: 8 signed steps of a
    quarter of the radius from the point itself along the cross-entropy, the last iterate judged.
    """
    x, y, _ = toy_points(blocks, next(net.parameters()).device)
    rows = []
    for norm, of_norm in radii.items():
        robust = attacks.correct(net, x, y)
        for radius in sorted(of_norm):
            robust = robust & _survive(net, x, y, norm, radius, steps)
            rows.append({"norm": norm, "radius": radius, "protocol": "strong", "value": _per_cent(robust)})
            if norm == "linf":
                ball = {"norm": norm, "eps": radius / 2, "steps": 8, "step_size": radius / 8}
                moved = attacks.pgd(net, x, y, **ball, start="none")
                right = attacks.correct(net, moved, y)
                rows.append({"norm": norm, "radius": radius, "protocol": "sh", "value": _per_cent(right)})
    return rows


def reach(rows: Sequence[Mapping[str, Any]]) -> float:
    """The largest radius up to which every point is right, 0 if none: of rows of one norm and protocol."""
    largest = 0.0
    for row in sorted(rows, key=lambda of: of["radius"]):
        if row["value"] < 100:
            break
        largest = row["radius"]
    return largest


def l1_attack(net: nn.Module, x: Tensor, y: Tensor, *, eps: float, steps: int) -> Tensor:
    """Points moved by at most eps in l1, inside [0, 1]: `steps` equal steps along one coordinate each.

    The coordinate is the one along which the true class's lead falls fastest, of those that can still move.
    From the point itself; a step is l1's steepest.
    """
    step, moved = eps / steps, x.clone()
    for _ in range(steps):
        moved.requires_grad_()
        logits = net(moved)
        lead = ((logits[:, 1] - logits[:, 0]) * (2 * y - 1)).sum()
        down = -torch.autograd.grad(lead, moved)[0].flatten(1)
        at = moved.detach().flatten(1)
        room = torch.where(down > 0, 1 - at, at).clamp_max(step)
        best = (down.abs() * room).argmax(1, keepdim=True)
        change = (down.sign() * room).gather(1, best)
        moved = at.scatter_add(1, best, change).view_as(x)
    return moved


def _survive(net: nn.Module, x: Tensor, y: Tensor, norm: str, radius: float, steps: int) -> Tensor:
    if norm == "l1":
        return attacks.correct(net, l1_attack(net, x, y, eps=radius / 2, steps=steps), y)
    generator = torch.Generator(x.device).manual_seed(0)
    ball = {"norm": norm, "eps": radius / 2, "steps": steps, "restarts": 1, "generator": generator}
    return attacks.evaluate(net, x, y, **ball).robust.all(0)


def _per_cent(right: Tensor) -> float:
    return 100 * right.float().mean().item()
