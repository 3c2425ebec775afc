"""A generative model trained until it is at least as good a manifold as a plane."""

from collections.abc import Callable, Sequence

import pandas as pd

from companion import metrics
from companion.experiment.comparing import where
from companion.experiment.nets import measure, train
from companion.metrics.off_manifold import GAN, PCA
from companion.training import Recipe


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
