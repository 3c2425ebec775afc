"""What a reader with a kernel plays with: controls and a picture that follows them."""

import inspect
from collections.abc import Callable
from html import escape
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from companion import attacks, plots, saliency
from companion.data import Images


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
