"""Tilts of nets beside the best linear classifier's."""

import pandas as pd

from companion import metrics, store
from companion.experiment.comparing import where
from companion.experiment.nets import Nets


def tilt_gaps(
    nets: Nets, angles: pd.DataFrame, *, model: str, eps: float, device: str = "cpu"
) -> pd.DataFrame:
    """The angles of one training's nets, and as model "optimum" the tilt of the best linear classifier under
    l2 attacks of radius eps on the same seed's training points (metrics.linear_theory), in degrees.

    angles: rows of one quantity, with the columns model, seed and value.
    """
    found = where(angles, model=model)
    points = [store.images(nets[model, seed].data, device) for seed in found["seed"]]
    best = [metrics.linear_theory(of.x_train, of.y_train, [eps])[0]["best"] for of in points]
    return pd.concat([found, found.assign(model="optimum", value=best)], ignore_index=True)
