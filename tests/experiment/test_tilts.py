"""Angles of nets beside the best linear classifier's, on points that are drawn again."""

import pandas as pd
import pytest

from companion import experiment, metrics, store
from companion.training import Recipe, part


def test_the_optimum_of_every_seed_is_that_of_its_own_points():
    def recipe(seed):
        of = part("gaussians", n_train=200, split_seed=seed)
        return Recipe(data=of, model=part("one_hidden", width=4), optimiser=part("Adam", lr=0.1), seed=seed)

    nets = {("weak", seed): recipe(seed) for seed in (3, 5)}
    angles = [{"model": m, "seed": s, "value": float(s)} for m in ("weak", "other") for s in (3, 5)]
    found = experiment.tilt_gaps(nets, pd.DataFrame(angles), model="weak", eps=0.1)
    value = found.set_index(["model", "seed"])["value"]
    assert len(value) == 4 and value["weak", 3] == 3
    for seed in (3, 5):
        own = store.images(nets["weak", seed].data, "cpu")
        best = metrics.linear_theory(own.x_train, own.y_train, [0.1])[0]["best"]
        assert value["optimum", seed] == pytest.approx(best)
    assert value["optimum", 3] != value["optimum", 5]
