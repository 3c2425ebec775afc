"""Manifolds of images: the paper's settings, a generative model as good as a plane, distances compared."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from companion import metrics
from companion.experiment.comparing import where
from companion.experiment.nets import measure, train
from companion.metrics.off_manifold import GAN, PCA
from companion.training import Recipe

_GREY = {"l2": [0.5, 1, 2], "linf": [0.025, 0.05, 0.1], "epochs": 5, "model": "br_mnist_cnn"}
_COLOURS = {"l2": [0.05, 0.2, 0.8], "linf": [0.0025, 0.005, 0.01], "epochs": 20, "model": "br_cifar_cnn"}
_LARSEN = {"design": "larsen", "latent": 10, "updates": 1, "betas": [0.5, 0.999]}
_MIYATO = {"design": "miyato", "latent": 128, "updates": 5, "betas": [0, 0.9]}
_PAPER = {
    "mnist": {**_GREY, **_LARSEN, "weight": 0.005, "passes": [30]},
    "fashion_mnist": {**_GREY, **_LARSEN, "weight": 0.0005, "passes": [60]},
    "cifar10": {**_COLOURS, **_MIYATO, "weight": 0.01, "passes": [150]},
}


def paper_of_manifolds(dataset: str) -> dict[str, Any]:
    """The settings of BR's figure 1 for a data set: classifiers, radii in pixels of [0, 1], and VAE-GAN.

    Source: BR appendix A and the authors' code. Raises ValueError for a data set the paper does not have.
    """
    if dataset not in _PAPER:
        raise ValueError(f"of_paper=true, dataset={dataset}; the paper has {', '.join(_PAPER)}")
    return dict(_PAPER[dataset])


def relative_modes(frame: pd.DataFrame, clean: Mapping[str, Sequence[float]]) -> pd.DataFrame:
    """metrics.relative_mode of every row's `each`, in place of its value, as quantity "mode".

    frame: with the columns projection and each. clean: the distances of clean images, by projection.
    """
    each = zip(frame["each"], frame["projection"], strict=True)
    found = [metrics.relative_mode(values, clean[name]) for values, name in each]
    return frame.assign(quantity="mode", value=found)


def good_enough(
    recipes: Sequence[Recipe],
    *,
    dimensions: int,
    device: str = "cpu",
    announce: Callable[[str], None] = print,
    report: Callable[[str], None] | None = None,
) -> tuple[Recipe, pd.DataFrame]:
    """The first of several trainings of a VAE-GAN whose error on held-out images is at most that of as many
    principal components; the last, where none is. And the errors of those that were tried.

    recipes: in the order in which they are tried; their data hold some training images out, which stand in
    place of the test images, so that test images choose nothing. The rest as in experiment.train.
    Columns: those of `measure` with projection and epochs. Raises ValueError without recipes.
    """
    if not recipes:
        raise ValueError("recipes is empty; expected at least one training")
    tried = []
    for recipe in recipes:
        nets = train(
            lambda seed, of=recipe: {GAN: of}, [recipe.seed], device=device, announce=announce, report=report
        )
        found = measure(metrics.projection_errors, nets, device=device, dimensions=dimensions, report=report)
        tried.append(found.assign(epochs=recipe.epochs))
        error = where(found, quantity="distance").set_index("projection")["value"]
        if error[GAN] <= error[PCA]:
            break
    return recipe, pd.concat(tried, ignore_index=True)
