"""Several architectures, optimisers and kinds of training, each with each."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product

import pandas as pd

from companion.training import Part, Recipe


def grid(
    base: Recipe,
    nets: Mapping[str, tuple[Part, int]],
    optimisers: Mapping[str, Part],
    trainings: Mapping[str, Part | None],
) -> pd.DataFrame:
    """`base` with every net, optimiser and training: a row each.

    nets: model and epochs by name. trainings: what is done to the inputs, None for nothing.
    Columns: net, optimiser, training (the names), model (all three) and recipe.
    """
    rows = []
    for net, optimiser, training in product(nets, optimisers, trainings):
        model, epochs = nets[net]
        made = {"optimiser": optimisers[optimiser], "inputs": trainings[training], "epochs": epochs}
        rows.append(
            {
                "net": net,
                "optimiser": optimiser,
                "training": training,
                "model": f"{net}, {optimiser}, {training}",
                "recipe": replace(base, model=model, **made),
            }
        )
    return pd.DataFrame(rows)
