"""Pick an image, a net, a norm and a radius: prediction, attack and gradient at once."""

from collections.abc import Mapping
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import nn

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


def playground(
    nets: Mapping[str, nn.Module], images: Images, *, eps: float = 0.5, eps_max: float = 3.0
) -> Any:
    """Widgets for `panel`: an ipywidgets box with the fields index, net, norm and eps, and the picture.

    The box's `controls` maps those names to their widgets, and `picture.value` is the current figure's HTML.
    """
    import ipywidgets as widgets

    wide = {"layout": widgets.Layout(width="28em"), "style": {"description_width": "5em"}}
    controls = {
        "index": widgets.IntSlider(0, 0, len(images.y_test) - 1, description="image", **wide),
        "net": widgets.Dropdown(options=list(nets), description="net", **wide),
        "norm": widgets.Dropdown(options=["l2", "linf"], description="norm", **wide),
        "eps": widgets.FloatSlider(eps, min=0, max=eps_max, step=0.01, description="eps", **wide),
    }
    for control in controls.values():
        if hasattr(control, "continuous_update"):
            control.continuous_update = False
    picture = widgets.HTML()

    def draw(_: object = None) -> None:
        chosen = {name: control.value for name, control in controls.items()}
        fig = panel(nets[chosen["net"]], images, chosen["index"], norm=chosen["norm"], eps=chosen["eps"])
        picture.value = plots.show(fig, alt=f"{chosen['net']}: image, gradient, attack, attacked image").html

    for control in controls.values():
        control.observe(draw, names="value")
    draw()
    box = widgets.VBox([*controls.values(), picture])
    box.controls, box.picture = controls, picture
    return box
