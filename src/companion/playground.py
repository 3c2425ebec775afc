"""What a reader with a kernel plays with: controls and a picture that follows them."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from companion import attacks, metrics, plots, saliency, transforms
from companion.data import Images
from companion.training import Part

_SHADES = ("#56B4E9", "#E69F00", "#CC79A7")  # an alignment, and what is added to it


def panel(net: nn.Module, images: Images, index: int, *, norm: str, eps: float, steps: int = 40) -> Figure:
    """Test image `index`, its gradient, the perturbation PGD finds within eps, and the attacked image.

    The gradient is of the true-class logit; the attack is the strong protocol with the margin loss, seeded by
    the image, so the same choice shows the same picture. Raises ValueError for an index out of range.
    """
    if not 0 <= index < len(images.y_test):
        raise ValueError(f"index={index}; expected 0 to {len(images.y_test) - 1}")
    x, y = images.x_test[index : index + 1], images.y_test[index : index + 1]
    generator = torch.Generator(x.device).manual_seed(index)
    gradient = saliency.input_gradient(net, x, y)[0]
    attacked = attacks.pgd(
        net, x, y, norm=norm, eps=eps, steps=steps, loss="margin", stop_early=True, generator=generator
    )
    with torch.no_grad():
        before, after = (net(v).softmax(1)[0] for v in (x, attacked))

    def says(p: torch.Tensor) -> str:
        return f"{images.classes[int(p.argmax())]} ({p.max():.0%})"

    delta = (attacked - x)[0]
    fig, axes = plots.subplots(1, 4, size=(8.4, 2.5))
    plots.draw_map(axes[0, 0], x[0])
    plots.draw_map(axes[0, 1], gradient, limit=plots.scale(gradient))
    plots.draw_map(axes[0, 2], delta, limit=plots.scale(delta))
    plots.draw_map(axes[0, 3], attacked[0])
    titles = (
        f"label {images.classes[int(y)]}, net says {says(before)}",
        f"gradient of its logit, ± {plots.scale(gradient):.2g}",
        f"attack, {norm} ≤ {eps:g}, ± {plots.scale(delta):.2g}",
        f"attacked: net says {says(after)}",
    )
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=8.5)
    return fig


def masked(net: nn.Module, images: Images, shown: Tensor, index: int) -> Figure:
    """Test image `index`, and as a net retrained on masked images sees it, with what that net says.

    shown: the masked test images. Raises ValueError for an index out of range.
    """
    if not 0 <= index < len(images.y_test):
        raise ValueError(f"index={index}; expected 0 to {len(images.y_test) - 1}")
    with torch.no_grad():
        says = net(shown[index : index + 1]).softmax(1)[0]
    fig, axes = plots.subplots(1, 2, size=(5.2, 2.8))
    label, said = (images.classes[int(k)] for k in (images.y_test[index], says.argmax()))
    titles = (f"label {label}", f"retrained net says {said} ({says.max():.0%})")
    for axis, picture, title in zip(axes[0], (images.x_test[index], shown[index]), titles, strict=True):
        plots.draw_map(axis, picture)
        axis.set_title(title, fontsize=9)
    return fig


def alignment_panel(
    net: nn.Module, images: Images, index: int, *, origin: float = 0.0, common: float = 0.0
) -> Figure:
    """Test image `index`, ET's three gradients, and as bars the terms of ET's theorems 2 and 3.

    origin, common: as in metrics.alignment_terms; they move terms and bounds and no decision. common is in
    units of ||g|| / ||x - origin||. Raises ValueError for an index out of range.
    """
    if not 0 <= index < len(images.y_test):
        raise ValueError(f"index={index}; expected 0 to {len(images.y_test) - 1}")
    x = images.x_test[index : index + 1]
    unit = metrics.alignment_terms(net, x, origin=origin).g.norm() / (x - origin).norm().clamp_min(1e-12)
    terms = metrics.alignment_terms(net, x, origin=origin, common=common * unit.item())
    fig, axes = plots.subplots(2, 4, size=(7.6, 4.6))
    maps = {"x − origin": x - origin, "g": terms.g, "g†": terms.g_plus, "γ": terms.gamma}
    for axis, (name, picture) in zip(axes[0], maps.items(), strict=True):
        plots.draw_map(axis, picture[0], limit=plots.scale(picture[0]))
        axis.set_title(f"{name}, ± {plots.scale(picture[0]):.2g}", fontsize=9)
    for axis in axes[1]:
        axis.remove()
    _stacked(fig.add_subplot(2, 1, 2), terms)
    says, rival = (images.classes[int(of[0])] for of in (terms.predicted, terms.rival))
    fig.suptitle(f"the net says {says}; nearest other class by linearisation: {rival}", fontsize=9)
    return fig


def _stacked(axis: Axes, terms: metrics.AlignmentTerms) -> None:
    """rho_tilde and the bounds, each as a bar of its terms."""
    parts = {
        "ρ̃": [("ρ̃", terms.rho_tilde)],
        "Theorem 2, first": [("α†", terms.alpha_plus), ("|β†|/‖g†‖", terms.shift)],
        "Theorem 2, second": [("α", terms.alpha), ("turn", terms.turn), ("|β†|/‖g†‖", terms.shift)],
        "Theorem 3": [("α(ξ)", terms.alpha_xi), ("turn at ξ", terms.turn_xi)],
    }
    for place, summands in enumerate(parts.values()):
        start = 0.0
        for shade, (name, value) in zip(_SHADES, summands, strict=False):
            axis.barh(place, value.item(), left=start, color=shade)
            axis.text(start + value.item() / 2, place, f"{name} {value.item():.2f}", ha="center", va="center")
            start += value.item()
    axis.set_yticks(range(len(parts)), list(parts))
    axis.invert_yaxis()
    axis.set_xlabel("l2 distance, pixels in [0, 1]")


def modulation(
    net: nn.Module, images: Images, index: int, *, carrier: str, beta: float, centre: Sequence[float]
) -> Figure:
    """Test image `index`, its modulated copy and spectrum (NM figure 2), and the loss's gradient in the net.

    The gradient as the eye sees it, its signs, which VII sees, and its magnitude. The noise is seeded by the
    image, so the same choice shows the same picture. Raises ValueError for an index out of range.
    """
    if not 0 <= index < len(images.y_test):
        raise ValueError(f"index={index}; expected 0 to {len(images.y_test) - 1}")
    x, y = images.x_test[index : index + 1], images.y_test[index : index + 1]
    generator = torch.Generator(x.device).manual_seed(index)
    chosen = {"carrier": carrier, "beta": beta, "centre": centre}
    copy = transforms.noise_modulation(net, x, y, **chosen, generator=generator)
    origin = torch.as_tensor(centre, device=x.device).view(-1, 1, 1)
    gradient = metrics.log_odds_gradient(net, x, y)[0]
    rows = [x[0], copy[0].clamp(0, 1), metrics.spectrum(copy - origin)]
    titles = [f"label {images.classes[int(y)]}", "modulated, clipped", "its spectrum"]
    fig, axes = plots.subplots(2, 3, size=(6.2, 4.4))
    for axis, title, picture in zip(axes[0], titles, rows, strict=True):
        plots.draw_map(axis, picture)
        axis.set_title(title, fontsize=9)
    for axis, title, picture in zip(
        axes[1],
        ("gradient of the loss", "its signs", "its magnitude"),
        (gradient, gradient.sign(), gradient.abs()),
        strict=True,
    ):
        plots.draw_map(axis, picture, limit=plots.scale(picture))
        axis.set_title(title, fontsize=9)
    return fig


def stages(pictures: Mapping[str, Tensor]) -> Figure:
    """The first picture of each stage of metrics.demodulation, and the spectrum of all (NM figure 2)."""
    fig, axes = plots.subplots(len(pictures), 2, size=(4.2, 1.5 * len(pictures)))
    for (axis, beside), (name, z) in zip(axes, pictures.items(), strict=True):
        plots.draw_map(axis, z[0], limit=plots.scale(z[0]))
        plots.draw_map(beside, metrics.spectrum(z))
        axis.set_ylabel(name.replace(" ", "\n"), rotation=0, ha="right", va="center")
    axes[0, 0].set_title("one image")
    axes[0, 1].set_title("spectrum")
    return fig


def seen_in_training(net: nn.Module, x: Tensor, y: Tensor, inputs: Part | None) -> dict[str, bytes]:
    """For an explorer: the first image of x as training sees it, clipped, and the loss's gradient in the net,
    its signs and its magnitude, as PNGs by name. inputs: the transform of the net's training, or None.
    """
    x, y, copy = x[:1], y[:1], x[:1]
    if inputs is not None:
        generator = torch.Generator(x.device).manual_seed(0)
        copy = getattr(transforms, inputs.name)(net, x, y, **inputs.kwargs, generator=generator).clamp(0, 1)
    gradient = metrics.log_odds_gradient(net, x, y)[0]
    maps = {"gradient": gradient, "its signs": gradient.sign(), "its magnitude": gradient.abs()}
    signed = {name: plots.png(of, limit=plots.scale(of)) for name, of in maps.items()}
    return {"as training sees it": plots.png(copy[0]), **signed}


def left_over(
    net: nn.Module, images: Images, chosen: Sequence[int], attacked: Tensor, projected: Tensor
) -> list[tuple[dict[str, bytes], dict[str, str]]]:
    """For an explorer: each chosen test image, its attacked copy, the copy on a manifold and the residual, on
    the scale -1 to 1, as PNGs; the residual's l2 length and what the net says before and after.

    attacked, projected: (B, C, H, W), one for each of the B chosen.
    """
    x = images.x_test[list(chosen)]
    with torch.no_grad():
        before, after = (net(of).argmax(1).tolist() for of in (x, attacked))
    frames = []
    for own, moved, on, old, new in zip(x, attacked, projected, before, after, strict=True):
        pngs = {name: plots.png(of) for name, of in (("image", own), ("attack", moved), ("projection", on))}
        pngs["residual"] = plots.png(moved - on, limit=1.0)
        says = f"{images.classes[old]} → {images.classes[new]}"
        frames.append((pngs, {"distance": f"{(moved - on).norm():.2f}", "the net says": says}))
    return frames


def controls(draw: Callable[..., plots.Shown], *, live: bool, **choices: Any) -> Any:
    """Controls for the arguments of `draw` and, below them, what it returns: an ipywidgets box.

    draw: returns plots.show(...), or anything else with `html`; the controls start at its defaults.
    live: whether a kernel answers; if not, this is draw() and how to open the chapter live.
    choices: of each argument, (lowest, highest), (lowest, highest, step) or a list (ipywidgets' shorthand).
    The picture is drawn once for each change; what `draw` raises is shown in its place, in one line.
    """
    if not live:
        how = "open this chapter with <code>make lab</code>, or in Colab, and run all its cells"
        return plots.Shown(f"{draw().html}<p>To choose {', '.join(choices)} yourself, {how}.</p>")
    import ipywidgets as widgets

    starts = inspect.signature(draw).parameters
    made = {n: widgets.interactive.widget_from_abbrev(c, starts[n].default) for n, c in choices.items()}
    picture = widgets.HTML()

    def redraw(_: object = None) -> None:
        try:
            picture.value = draw(**{name: control.value for name, control in made.items()}).html
        except Exception as error:  # whoever moved a control reads why, not where
            picture.value = f"<p><b>{type(error).__name__}</b>: {escape(' '.join(str(error).split()))}</p>"

    for name, control in made.items():
        control.description, control.layout.width = name, "28em"
        control.continuous_update = False  # sliders: drawn when let go
        control.observe(redraw, names="value")
    redraw()
    return widgets.VBox([*made.values(), picture])
