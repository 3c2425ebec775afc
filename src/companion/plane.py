"""Pictures of two classes of points in the unit square and of a net between them (BR figure 3b)."""

import re
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from companion import metrics, plots
from companion.data import Images

CLASSES = ("#0072B2", "#D55E00")
ATTACKED = "#009E73"
_INK = "#010203"


def plane(net: nn.Module, points: Images, moved: Tensor, *, count: int, title: str = "") -> Figure:
    """The regions of a net, `count` test points of each class, and what an attack makes of the first class.

    moved: the attacked copies of all its test points (metrics.attacked_points). Arrow: their mean
    displacement, from the mean of the class; dashed: the line of the means.
    """
    fig, axes = plots.subplots(1, 1, size=(3.4, 3.6))
    axis, x = axes[0, 0], points.x_test[points.y_test == 0]
    _regions(axis, net, points.x_test.device)
    gap = np.full(min(count, len(x)), np.nan)
    path = [np.stack([*of, gap], 1).ravel() for of in zip(_xy(x[:count]), _xy(moved[:count]), strict=True)]
    axis.plot(*path, color="#777777", linewidth=0.5, alpha=0.4)
    _dots(axis, moved[:count], ATTACKED, 3.2)
    for k, colour in enumerate(CLASSES):
        _dots(axis, points.x_test[points.y_test == k][:count], colour, 2.6)
    means = [_xy(points.x_train[points.y_train == k].mean(0, keepdim=True))[:, 0] for k in (0, 1)]
    axis.plot(*zip(*means, strict=True), "--", color=_INK, linewidth=1.1)
    arrow = {"arrowstyle": "-|>", "color": _INK, "linewidth": 1.8, "shrinkA": 0, "shrinkB": 0}
    step = metrics.mean_displacement(x, moved).cpu().numpy()
    axis.annotate("", xy=means[0] + step, xytext=means[0], arrowprops=arrow)
    axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xticks=[0, 0.5, 1], yticks=[0, 0.5, 1], title=title)
    axis.grid(False)
    return fig


def shortened(shown: plots.Shown) -> str:
    """The HTML of a figure with coordinates to a tenth of a point, which halves it and cannot be seen."""
    return re.sub(r"(\d\.\d)\d{4,}", r"\1", shown.html)


def theory(curves: Any, nets: Any) -> Figure:
    """Tilts against the radius: of linear classifiers (metrics.linear_theory), and of nets (metrics.tilt).

    curves, nets: frames over the radius, with the columns cone and best; normal_angle and displacement_angle.
    The area above the cone is shaded.
    """
    fig, axes = plots.subplots(1, 1, size=(4.6, 3.8))
    axis = axes[0, 0]
    axis.fill_between(curves.index, curves["cone"], 90, color="#888888", alpha=0.15, linewidth=0)
    drawn = {
        "cone: limit of guessing": (curves["cone"], "#888888", "-"),
        "best linear classifier": (curves["best"], "#D55E00", "--"),
        "nets: boundary's normal": (nets["normal_angle"], "#0072B2", "s-"),
        "nets: mean displacement": (nets["displacement_angle"], ATTACKED, "o-"),
    }
    for name, (of, colour, style) in drawn.items():
        axis.plot(of.index, of, style, color=colour, markersize=4, label=name)
    axis.set(xlabel="radius ε", ylabel="angle to the line of the means, °", ylim=(0, 90))
    axis.legend(fontsize=8)
    return fig


def _regions(axis: Axes, net: nn.Module, device: torch.device, size: int = 31) -> None:
    ticks = torch.linspace(0, 1, size)
    down, across = torch.meshgrid(ticks, ticks, indexing="ij")
    with torch.no_grad():
        logits = net(torch.stack([across, down], -1).view(-1, 2, 1, 1).to(device))
    score = (logits[:, 1] - logits[:, 0]).view(size, size).cpu().numpy()
    low, high = min(score.min(), 0) - 1, max(score.max(), 0) + 1
    axis.contourf(ticks, ticks, score, levels=[low, 0, high], colors=CLASSES, alpha=0.16)
    axis.contour(ticks, ticks, score, levels=[0], colors=["#555555"], linewidths=1.4)


def _xy(x: Tensor) -> np.ndarray:
    return x.flatten(1).cpu().numpy().T


def _dots(axis: Axes, x: Tensor, colour: str, size: float) -> None:
    """Points as one line of many short strokes, which is the shortest SVG."""
    u, v = _xy(x)
    gap = np.full(len(u), np.nan)
    strokes = [np.stack(ends, 1).ravel() for ends in ((u - 0.002, u + 0.002, gap), (v, v, gap))]
    axis.plot(*strokes, color=colour, linewidth=size, solid_capstyle="round")
