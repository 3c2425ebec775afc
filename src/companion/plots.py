"""One visual language for all chapters: colours, galleries, and figures that read in light and dark."""

import io
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from torch import Tensor

from companion.shown import Shown

#: One colour per training method in every chapter (Okabe-Ito and a brown, safe for colour-blind readers).
COLOURS = {
    "standard": "#666666",
    "adversarial": "#0072B2",
    "interpretation": "#D55E00",
    "jacobian": "#009E73",
    "noise modulation": "#CC79A7",
    "additive noise": "#8C6D31",
    "noise by pixel": "#117733",
    "Gaussian multiplier": "#882255",
    "double backprop": "#56B4E9",
    "weight penalty": "#E69F00",
}

#: How the name of a net begins, and the method that trained it.
_TRAINED = {"Standard": "standard", "AT": "adversarial", "JR": "jacobian", "no target": "jacobian"}
_TRAINED |= {"NM": "noise modulation", "IR": "interpretation"}

LEVEL = "#888888"  # what a value is compared with

SIGNED = "RdBu_r"  # red: the output rises with the pixel; blue: it falls; white: zero

_INK = "#010203"  # stands for the page's text colour until the figure is embedded

STYLE = {
    "svg.fonttype": "none",
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.18,
    "grid.color": _INK,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "lines.linewidth": 1.8,
    "figure.constrained_layout.use": True,
}


def show(fig: Figure, *, alt: str, finding: str = "", width: str = "100%") -> Shown:
    """Close `fig` and return it as inline SVG whose ink is the page's text colour, in light and in dark.

    alt: what a reader who cannot see the figure should know. finding: the sentence the figure shows, set
    below it; may contain HTML. width: any CSS width; the figure never outgrows its column.
    """
    for legend in [*fig.legends, *(axis.get_legend() for axis in fig.axes if axis.get_legend())]:
        legend.set_frame_on(False)  # legends are made outside the style's context
        for text in legend.get_texts():
            text.set_color(_INK)
    with plt.rc_context(STYLE), warnings.catch_warnings():
        # The page's font draws the letters, so it does not matter what Matplotlib's own font lacks
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        buffer = io.StringIO()
        fig.savefig(buffer, format="svg")
    plt.close(fig)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = svg.replace(_INK, "currentColor").replace("'DejaVu Sans'", "inherit")
    svg = svg.replace("<image ", '<image style="image-rendering:pixelated" ')
    head, body = svg.split(">", 1)
    natural = float(re.search(r'width="([\d.]+)pt"', head).group(1))
    head = re.sub(r' (width|height)="[\d.]+pt"', "", head)
    style = f"width:{width};max-width:min(100%, {natural * 1.25:.0f}px);height:auto"
    svg = f'{head} role="img" aria-label="{escape(alt, quote=True)}" style="{style}">{body}'
    caption = f'<div class="cmp-finding"><p>{finding}</p></div>' if finding else ""
    return Shown(f'<figure class="cmp-figure" style="margin:0;overflow-x:auto">{svg}</figure>{caption}')


def show_all(figures: Sequence[Figure], *, alt: str, finding: str = "") -> Shown:
    """Several figures, side by side where there is room and below each other on a phone; then `finding`.

    alt: of all of them together; each figure's title, or its label at the left, is added.
    """
    named = [fig.axes[0].get_title() or fig.axes[0].get_title("left") for fig in figures]
    named = [title or fig.axes[0].get_ylabel() for title, fig in zip(named, figures, strict=True)]
    places = [f"{i} of {len(figures)}" for i in range(1, len(figures) + 1)]
    alts = [f"{alt} {place}{of and f': {of}'}." for place, of in zip(places, named, strict=True)]
    drawn = [show(fig, alt=of).html for fig, of in zip(figures, alts, strict=True)]
    panels = "".join(f'<div style="flex:1 1 18rem;max-width:36rem">{html}</div>' for html in drawn)
    caption = f'<div class="cmp-finding"><p>{finding}</p></div>' if finding else ""
    return Shown(f'<div style="display:flex;flex-wrap:wrap;gap:0.5rem 1rem">{panels}</div>{caption}')


def save(fig: Figure, stem: Path, *, dpi: int = 200) -> None:
    """Close `fig` and write `stem`-light.png and `stem`-dark.png, with ink for either kind of page."""
    for theme, ink in (("light", "#24292f"), ("dark", "#ced6dd")):
        for text in fig.findobj(Text):
            text.set_color(ink)
        fig.savefig(stem.with_name(f"{stem.name}-{theme}.png"), dpi=dpi, transparent=True)
    plt.close(fig)


def subplots(
    rows: int = 1, columns: int = 1, *, size: tuple[float, float], **kwargs
) -> tuple[Figure, np.ndarray]:
    """plt.subplots in the house style; `size` in inches; always a 2-D array of axes."""
    with plt.rc_context(STYLE):
        return plt.subplots(rows, columns, figsize=size, squeeze=False, **kwargs)


def draw_map(axis: Axes, picture: Tensor, *, limit: float | None = None) -> None:
    """One image (C, H, W). limit=None: pixels in [0, 1]; else a signed map on the scale -limit to limit.

    A signed colour map is summed over channels.
    """
    values = picture.detach().cpu().float()
    axis.set_xticks([])
    axis.set_yticks([])
    axis.grid(False)
    for spine in axis.spines.values():
        spine.set_visible(False)
    if limit is not None:
        axis.imshow(values.sum(0), cmap=SIGNED, vmin=-limit, vmax=limit, interpolation="none")
    elif len(values) == 1:
        axis.imshow(values[0], cmap="gray", vmin=0, vmax=1, interpolation="none")
    else:
        axis.imshow(values.movedim(0, -1), vmin=0, vmax=1, interpolation="none")


def png(picture: Tensor, *, limit: float | None = None) -> bytes:
    """`draw_map` as a PNG of one dot a pixel, a few hundred bytes for a small image.

    A signed map takes 63 steps of the house's colours, the middle one for zero.
    """
    from PIL import Image

    values = picture.detach().cpu().float()
    buffer = io.BytesIO()
    if limit is None:
        grey = len(values) == 1
        dots = (255 * (values[0] if grey else values.movedim(0, -1)).clamp(0, 1)).round().byte().numpy()
        Image.fromarray(dots).save(buffer, "PNG", optimize=True)
        return buffer.getvalue()
    steps = 63
    share = ((values.sum(0) / limit).clamp(-1, 1) + 1) / 2
    used, dots = np.unique((share * (steps - 1)).round().byte().numpy(), return_inverse=True)
    colours = plt.get_cmap(SIGNED)(used / (steps - 1), bytes=True)[:, :3]
    image = Image.fromarray(dots.reshape(share.shape).astype(np.uint8))
    image.putpalette(colours.tobytes())
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def gallery(
    rows: Sequence[tuple[str, Sequence[Tensor]]],
    *,
    columns: Sequence[str] = (),
    pixels: str | None = None,
    cell: float = 0.95,
) -> Figure:
    """A table of maps: one row per label, each map signed, on its own symmetric scale (its largest |value|).

    rows: (label, pictures (C, H, W)). pixels: "first row", "first column" or "all" for pictures that are
    images in [0, 1], not maps.
    """
    count = len(rows[0][1])
    fig, axes = subplots(len(rows), count, size=(cell * count + 1.7, cell * len(rows) + 0.3 * bool(columns)))
    for i, (label, pictures) in enumerate(rows):
        for j, picture in enumerate(pictures):
            first = (pixels == "first row" and i == 0) or (pixels == "first column" and j == 0)
            image = first or pixels == "all"
            draw_map(axes[i, j], picture, limit=None if image else scale(picture))
        axes[i, 0].set_ylabel(label, rotation=0, ha="right", va="center", labelpad=6)
    for axis, title in zip(axes[0], columns, strict=False):
        axis.set_title(title)
    return fig


def one_of_each(labels: Tensor, count: int) -> list[int]:
    """Positions of the first image of each of the first `count` classes: nothing hand-picked."""
    values = labels.tolist()
    return [values.index(label) for label in sorted(set(values))[:count]]


def training_colour(name: str) -> str:
    """The colour of the method that trained a net, by how the net's name begins; IR's for controls."""
    method = next((method for start, method in _TRAINED.items() if name.startswith(start)), "interpretation")
    return COLOURS[method]


def scale(picture: Tensor) -> float:
    """The largest |value| of a map summed over channels, 1 for a map of zeros."""
    largest = torch.as_tensor(picture).sum(0).abs().max().item()
    return largest or 1.0


def curve(axis: Axes, frame: Any, x: str, *, colour: str, label: str, style: str = "-") -> None:
    """The mean of `value` over seeds against the column `x`, and its 95 % t-interval as a band."""
    grouped = frame.groupby(x)["value"]
    at, found = list(grouped.groups), [interval(list(values)) for _, values in grouped]
    mean, half = (np.array(part) for part in zip(*found, strict=True))
    axis.plot(at, mean, style, color=colour, marker="o", markersize=3, label=label)
    axis.fill_between(at, mean - half, mean + half, color=colour, alpha=0.15, linewidth=0)
    axis.set_xlabel(x)


def panels(
    curves: Mapping[str, Mapping[str, Any]], x: str, colours: Mapping[str, str], *, size=(2.9, 2.9)
) -> Figure:
    """`curve` of several frames in several panels.

    curves: by the title of a panel, frames by their label. colours: by label. size: of a panel, in inches.
    """
    fig, axes = subplots(1, len(curves), size=(size[0] * len(curves), size[1]))
    for axis, (title, drawn) in zip(axes[0], curves.items(), strict=True):
        for label, frame in drawn.items():
            curve(axis, frame, x, colour=colours[label], label=label)
        axis.set_title(title)
        if len(drawn) > 1:
            axis.legend(fontsize=8)
    return fig


def lines(
    drawn: Sequence[tuple[str, Any, str, str]],
    x: str,
    *,
    title: str,
    labels: tuple[str, str],
    levels: Mapping[str, tuple[float, str]] = {},
) -> Figure:
    """`curve` of several frames in one panel, with a line at 0 and dotted lines at some levels.

    drawn: label, frame, colour and style of each. labels: of the two axes. levels: height and colour by name.
    """
    fig, axes = subplots(1, 1, size=(4.4, 3.4))
    axis = axes[0, 0]
    for label, frame, colour, style in drawn:
        curve(axis, frame, x, colour=colour, label=label, style=style)
    for name, (height, colour) in levels.items():
        axis.axhline(height, color=colour, linestyle=":", label=name)
    axis.axhline(0, color="#888888", linewidth=1)
    axis.set(title=title, xlabel=labels[0], ylabel=labels[1])
    axis.legend(fontsize=8)
    return fig


def dots(panels: Mapping[str, Any], models: Sequence[str], colour: Callable[[str], str]) -> Figure:
    """Models from top to bottom; in each panel the mean of `value` over seeds, its 95 % t-interval, and
    seeds.

    panels: frames with the columns model, seed and value, by title. colour: of a model's name.
    """
    fig, axes = subplots(
        1, len(panels), size=(2.1 + 2.3 * len(panels), 0.6 + 0.27 * len(models)), sharey=True
    )
    for axis, (title, frame) in zip(axes[0], panels.items(), strict=True):
        for place, model in enumerate(models):
            values = list(frame.loc[frame["model"] == model, "value"])
            mean, half = interval(values)
            axis.plot(values, [place] * len(values), "|", color=colour(model), alpha=0.5)
            axis.errorbar(mean, place, xerr=half, fmt="o", color=colour(model), markersize=5, capsize=2)
        axis.set_title(title)
    axes[0, 0].set_yticks(range(len(models)), models)
    axes[0, 0].invert_yaxis()
    return fig


def toy_heat(panels: Mapping[str, Tensor], signal: Tensor, *, lowest: float = 0.8) -> Figure:
    """Maps of a toy's points, a row each, divided by the row's largest |value|; a dot marks the signal.

    panels: maps (N, d) by title. signal: (N, d), true at one entry of each row. lowest: the end of the colour
    scale; SH's and BP's is 0.8.
    """
    fig, axes = subplots(1, len(panels), size=(0.6 + 1.7 * len(panels), 3.3), sharey=True)
    at = signal.cpu().long().argmax(1)
    for axis, (title, maps) in zip(axes[0], panels.items(), strict=True):
        shown = maps.abs().cpu() / maps.abs().amax(1, keepdim=True).cpu().clamp_min(1e-30)
        image = axis.imshow(shown, aspect="auto", cmap="viridis", vmin=lowest, vmax=1, interpolation="none")
        axis.plot(at, range(len(at)), "o", color="#D55E00", markersize=2.5)
        axis.set_title(title, fontsize=9)
        axis.set(yticks=[], xticks=range(0, maps.shape[1], 3))
        axis.set_xticklabels([str(k + 1) for k in range(0, maps.shape[1], 3)])
        axis.grid(False)
    bar = fig.colorbar(image, ax=axes[0, -1], extend="min", shrink=0.6, ticks=[lowest, 1])
    bar.ax.tick_params(colors=_INK)
    return fig


def over_weights(
    title: str,
    curves: Mapping[str, Any],
    colours: Mapping[str, str],
    *,
    level: float,
    failed: Sequence[float],
) -> Figure:
    """Fractions against the column `lambda`, on a logarithmic axis, and a grey line at `level`.

    curves: frames by label, as in `panels`. failed: weights that get a cross above.
    """
    fig = panels({title: curves}, "lambda", colours, size=(3.4, 2.5))
    (axis,) = fig.axes
    weights = sorted({weight for frame in curves.values() for weight in frame["lambda"]})
    axis.set(xscale="log", ylim=(-0.05, 1.12), xlabel="λ")
    axis.set_xticks(weights, [f"{w:g}" for w in weights], minor=False)
    axis.minorticks_off()
    axis.axhline(level, color=LEVEL, linewidth=1)
    axis.plot(failed, [1.06] * len(failed), "x", color=_INK)
    return fig


def toy_bars(gradient: Tensor, own: int) -> Figure:
    """|gradient| at one point of a toy, a bar for each coordinate (d,), over the largest; `own` has the
    signal."""
    fig, axes = subplots(1, 1, size=(3.2, 1.9))
    sizes = gradient.abs().cpu() / gradient.abs().max().cpu().clamp_min(1e-30)
    colours = ["#D55E00" if k == own else "#8FA3B3" for k in range(len(sizes))]
    axes[0, 0].bar(range(1, len(sizes) + 1), sizes, color=colours)
    axes[0, 0].set(ylim=(0, 1.05), xticks=[1, own + 1, len(sizes)], yticks=[0, 1])
    axes[0, 0].grid(False)
    return fig


def points(
    panels: Mapping[str, Any],
    x: str,
    y: str,
    colours: Mapping[Any, str],
    *,
    group: str = "model",
    filled: Callable[[Any], bool] = lambda row: True,
    diagonal: bool = False,
    columns: int = 2,
    names: str = "",
    size: tuple[float, float] = (3.0, 2.9),
) -> Figure:
    """A dot for each row of several frames, in panels with one axis x; points that are not finite are left
    out.

    panels: frames with the columns x, y and `group`, by title. colours: by the values of `group`, in the
    legend's order. filled: of a row, whether its dot is solid. diagonal: draw y = x. columns: panels side
    by side; two can be read on a phone. names: the legend's title; none without. size: of a panel, in inches.
    """
    rows = -(-len(panels) // columns)
    fig, axes = subplots(rows, columns, size=(size[0] * columns, size[1] * rows), sharex=True)
    for axis, (title, frame) in zip(axes.flat, panels.items(), strict=False):
        kept = frame[np.isfinite(frame[x].astype(float)) & np.isfinite(frame[y].astype(float))]
        for row in kept.to_dict("records"):
            colour = colours[row[group]]
            axis.plot(row[x], row[y], "o", color=colour, mfc=colour if filled(row) else "none", markersize=5)
        if diagonal and len(kept):
            ends = [kept[x].min(), kept[x].max()]
            axis.plot(ends, ends, "-", color="#888888", linewidth=0.8)
        axis.set_title(title)
        axis.set_ylabel(y)
        low, high = axis.get_ylim()
        axis.set_ylim(min(0.0, low), high + 0.06 * (high - min(0.0, low)))
    for axis in axes.flat[len(panels) :]:
        axis.remove()
    for axis in axes.flat[max(0, len(panels) - columns) : len(panels)]:
        axis.set_xlabel(x)
        axis.tick_params(labelbottom=True)
    if names:
        handles = [plt.Line2D([], [], marker="o", linestyle="", color=c) for c in colours.values()]
        labels = [f"{g:g}" if isinstance(g, float) else str(g) for g in colours]
        fig.legend(handles, labels, title=names, loc="outside lower center", ncols=4, fontsize=8)
    return fig


def ramp(values: Sequence[Any]) -> dict[Any, str]:
    """A colour for each value in order, from dark to light, told apart by colour-blind readers."""
    from matplotlib.colors import to_hex

    shades = np.linspace(0.05, 0.9, len(values))
    return {value: to_hex(plt.get_cmap("viridis")(s)) for value, s in zip(values, shades, strict=True)}


def named_points(
    points: Any, colour: Callable[[str], str], *, size: tuple[float, float] = (7.4, 4.6)
) -> Figure:
    """A point for each row of a frame with two columns, x and y; the names in a column at the right.

    colour: of a row's name. Names are moved apart where points lie together, and a line leads to each.
    """
    fig, axes = subplots(1, 1, size=size)
    axis, (x, y) = axes[0, 0], points.columns
    ordered = points.sort_values(y)
    gap = 0.9 * (ordered[y].max() - ordered[y].min()) / max(1, len(ordered) - 1)
    places = []
    for height in ordered[y]:
        places.append(max(places[-1] + gap, height) if places else height)
    down = np.mean(places) - ordered[y].mean()
    edge = ordered[x].max() + 0.06 * ((ordered[x].max() - ordered[x].min()) or 1)
    for (name, row), place in zip(ordered.iterrows(), places, strict=True):
        axis.plot(row[x], row[y], "o", color=colour(name))
        axis.plot([row[x], edge], [row[y], place - down], color=colour(name), linewidth=0.5, alpha=0.6)
        axis.text(edge, place - down, f" {name}", fontsize=9, va="center", color=_INK)
    axis.set(xlabel=x, ylabel=y)
    return fig


def heat(
    shades: Any,
    texts: Any,
    *,
    faint: Any,
    signed: bool = False,
    cell: tuple[float, float] = (0.5, 0.27),
) -> Figure:
    """A table of numbers as coloured cells: rows and columns of the frames `shades` and `texts`.

    shades: in [0, 1], from light to dark, or, if signed, in [-1, 1] on the house's scale of maps; NaN for an
    empty cell. texts: what stands in the cells. faint: true where a cell has no colour and grey numbers.
    cell: width and height of one, in inches.
    """
    rows, columns = shades.shape
    upright = max(len(str(name)) for name in shades.columns) < 4
    fig, axes = subplots(1, 1, size=(1.8 + cell[0] * columns, (0.3 if upright else 1.5) + cell[1] * rows))
    axis, palette = axes[0, 0], plt.get_cmap(SIGNED if signed else "Blues")
    for i, j in np.ndindex(rows, columns):
        value = shades.iloc[i, j]
        if np.isnan(value):
            continue
        grey = bool(faint.iloc[i, j])
        colour = palette((value + 1) / 2 if signed else 0.08 + 0.8 * value)
        bright = np.dot(colour[:3], (0.3, 0.59, 0.11)) > 0.55
        ink = LEVEL if grey else "#14181e" if bright else "#ffffff"
        if not grey:
            axis.add_patch(plt.Rectangle((j - 0.48, i - 0.46), 0.96, 0.92, color=colour, linewidth=0))
        axis.text(j, i, texts.iloc[i, j], ha="center", va="center", fontsize=9, color=ink)
    axis.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
    axis.set_xticks(range(columns), shades.columns, rotation=0 if upright else 90, fontsize=9)
    axis.set_yticks(range(rows), shades.index, fontsize=9)
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    axis.grid(False)
    axis.spines[:].set_visible(False)
    return fig


def dots_each(
    panels: Mapping[str, Any],
    models: Sequence[str],
    colour: Callable[[str], str],
    levels: Mapping[str, Any] = {},
) -> list[Figure]:
    """`dots` with a figure for each panel, for `show_all`; grey crosses where `levels` has the same panel.

    levels: what each model is compared with, frames as in `dots`; their means over seeds are drawn.
    """
    figures = [dots({title: frame}, models, colour) for title, frame in panels.items()]
    for fig, title in zip(figures, panels, strict=True):
        if title in levels:
            mean = levels[title].groupby("model")["value"].mean()
            fig.axes[0].plot(mean[list(models)], range(len(models)), "x", color=LEVEL)
    return figures


def curves_each(curves: Mapping[str, Any], x: str, colour: str, levels: Mapping[str, Any]) -> list[Figure]:
    """`panels` with one curve and a figure for each panel; dashed grey where `levels` has the panel."""
    figures = [panels({title: {"": frame}}, x, {"": colour}) for title, frame in curves.items()]
    for fig, title in zip(figures, curves, strict=True):
        if title in levels:
            mean = levels[title].groupby(x)["value"].mean()
            fig.axes[0].plot(mean.index, mean, "--", color=LEVEL)
    return figures


def mosaic(pictures: Tensor, columns: int, *, signed: bool) -> Figure:
    """Many small pictures (B, C, H, W) as one, without titles; maps each on its own symmetric scale."""
    shown = pictures.detach().cpu().float()
    if signed:
        shares = torch.stack([p.sum(0) / scale(p) / 2 + 0.5 for p in shown])
        tiles = plt.get_cmap(SIGNED)(shares.numpy())[..., :3]
    else:
        tiles = shown.movedim(1, -1).expand(-1, -1, -1, 3).numpy()
    tiles = np.pad(tiles, ((0, -len(tiles) % columns), (0, 1), (0, 1), (0, 0)), constant_values=1.0)
    rows = [np.concatenate(tiles[i : i + columns], 1) for i in range(0, len(tiles), columns)]
    height = 8 * sum(row.shape[0] for row in rows) / rows[0].shape[1]
    fig, axes = subplots(1, 1, size=(8, height))
    axes[0, 0].imshow(np.concatenate(rows), interpolation="none")
    axes[0, 0].axis("off")
    return fig


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half-width of the 95 % t-interval; half-width 0 for a single value, which has no spread."""
    from scipy import stats

    data = np.asarray(values, float)
    if len(data) < 2:
        return float(data.mean()), 0.0
    half = stats.t.ppf(0.975, len(data) - 1) * data.std(ddof=1) / np.sqrt(len(data))
    return float(data.mean()), float(half)


def areas(sets: Mapping[str, Sequence[float]], colours: Sequence[str], *, title: str, label: str) -> Figure:
    """Gaussian kernel densities of sets of values in one panel, as areas; sets without spread are left out.

    Source: BR figure 1: kernels as wide as a quarter of a set's standard deviation.
    """
    from scipy.stats import gaussian_kde

    fig, axes = subplots(1, 1, size=(4.4, 3.6))
    everything = [value for values in sets.values() for value in values]
    at = np.linspace(0.9 * min(everything), 1.05 * max(everything), 200)
    for (name, values), colour in zip(sets.items(), colours, strict=True):
        if len(set(values)) > 1:
            height = gaussian_kde(np.asarray(values, float), bw_method=0.25)(at)
            axes[0, 0].fill_between(at, height, color=colour, alpha=0.35, linewidth=0)
            axes[0, 0].plot(at, height, color=colour, label=name)
    axes[0, 0].set(title=title, xlabel=label, yticks=[], ylim=(0, None))
    fig.legend(loc="outside lower center", ncols=2, fontsize=8)
    return fig


def projected(rows: Mapping[str, tuple[Tensor, Mapping[str, Tensor]]], *, cell: float = 0.9) -> Figure:
    """A row for each image: the image, and for each of its projections by name that and the residual.

    Residuals, image minus projection, are signed maps on one scale, -1 to 1, under their l2 length.
    """
    names = list(next(iter(rows.values()))[1])
    count = 1 + 2 * len(names)
    fig, axes = subplots(len(rows), count, size=(cell * count + 0.9, 1.28 * cell * len(rows) + 0.2))
    for line, (label, (x, by_name)) in zip(axes, rows.items(), strict=True):
        draw_map(line[0], x)
        line[0].set_ylabel(label.replace(", ", "\n"), rotation=0, ha="right", va="center", labelpad=6)
        for k, name in enumerate(names):
            draw_map(line[1 + 2 * k], by_name[name])
            residual = x - by_name[name]
            draw_map(line[2 + 2 * k], residual, limit=1.0)
            line[2 + 2 * k].set_title(f"{residual.norm():.2f}", fontsize=9)
    for k, name in enumerate(names):
        axes[0, 1 + 2 * k].set_title(name.replace(" ", "\n"), fontsize=9)
    return fig


def clipped(picture: Tensor, *, percentile: float = 0.5) -> Tensor:
    """A map (C, H, W) summed over channels and clipped to -s to s, where s is the larger size of its two
    percentiles, the lowest and the highest so many per cent: the scale of BR's figure 6, made symmetric."""
    total = picture.sum(0, keepdim=True)
    share = percentile / 100
    ends = torch.quantile(
        total.double(), torch.tensor([share, 1 - share], dtype=torch.float64, device=total.device)
    )
    limit = ends.abs().max().item() or total.abs().max().item()
    return total.clamp(-limit, limit)
